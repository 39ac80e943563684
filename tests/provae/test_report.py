"""Printed numbers."""

import math

from examples.provae import report


def test_bounds_are_rounded_to_the_safe_side():
    assert report.below(-54.361) == "-54.37"
    assert report.above(-54.369) == "-54.36"
    assert report.plain(-54.366) == "-54.37"
    assert report.below(-math.inf) == "-inf"


def test_table_lines_up():
    text = report.table(("model", "eps"), [("VAE", "0.1"), ("proVAE", "0.05")])
    assert text.splitlines() == ["model    eps", "------  ----", "VAE      0.1", "proVAE  0.05"]


def test_each_kind_of_statement_says_what_it_is():
    assert "real arithmetic" in report.fixed_noise_meaning(8, 0, "outward", True)
    assert "rounding" in report.fixed_noise_meaning(8, 0, "nearest", True)
    assert "not clipped" in report.fixed_noise_meaning(8, 0, "nearest", False)
    assert "99.9 %" in report.confidence_meaning(0.999, 1000)
