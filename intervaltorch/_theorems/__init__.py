"""The basis of the rules: theorems that bound whole families of functions, and the helpers that their proofs share."""
