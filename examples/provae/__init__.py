"""proVAE: a variational autoencoder whose ELBO is certified on every point of a ball.

F. Condessa and J. Z. Kolter, *Provably robust deep generative models*, arXiv:2004.10608. The model is
ordinary PyTorch (`model.py`), and its certificate is the model's own `elbo` evaluated on a box
(`certify.py`).

Start with `python -m examples.provae demo`, or read the modules in this order: `model`, `certify`,
`attack`, `schedule`, `train`, `demo`.
"""
