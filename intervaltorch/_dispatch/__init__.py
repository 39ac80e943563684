"""From a call of torch to a rule, and what is said where there is none."""
