"""`register` for functions of users, divergences of `torch.distributions`, and the table of all functions of torch."""
