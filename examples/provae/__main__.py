"""`python -m examples.provae`."""

from examples.provae.cli import main

main(prog_name="python -m examples.provae")
