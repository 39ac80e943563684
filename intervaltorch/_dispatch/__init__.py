"""From a call of torch to a rule, and the errors where there is no rule."""
