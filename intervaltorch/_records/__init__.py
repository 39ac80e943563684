"""The record of each function that has a rule, and the reason for each function that is refused."""
