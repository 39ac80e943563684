"""What is entered from outside the rules: functions of users, divergences, and a table of all of torch."""
