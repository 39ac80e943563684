"""What rules stand on: theorems that bound whole families of functions, and what their proofs share."""
