"""What is known about each function of torch: the record of a rule, or the reason of a refusal."""
