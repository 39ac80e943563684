"""Rounding: what a program asks of its bounds, the error budgets, and what must hold for them to be true."""
