"""Stages of the training radius."""

import pytest

from examples.provae.config import PRESETS
from examples.provae.schedule import Schedule, learning_rate_factor


def test_reads_what_it_writes():
    text = "5@0 2@0.01 3@0.01..0.1 2@0.1"
    assert str(Schedule.parse(text)) == text
    assert str(Schedule.parse("5@0, 1@1e-3")) == "5@0 1@0.001"


def test_radius_is_continuous_inside_a_ramp_and_holds_at_the_end():
    schedule = Schedule.parse("5@0 2@0.01 3@0.01..0.1 2@0.1")
    assert [schedule.radius(epoch) for epoch in (0, 4.9, 5, 6.9, 7)] == [0, 0, 0.01, 0.01, 0.01]
    assert schedule.radius(10) == schedule.radius(11.9) == schedule.radius(99) == 0.1
    radii = [schedule.radius(epoch / 50) for epoch in range(650)]
    assert radii == sorted(radii)
    assert schedule.locate(7.5) == (2, pytest.approx(1 / 6))


@pytest.mark.parametrize("text", ["", "5", "5@", "@0.1", "0@0.1", "5@-0.1", "5@0.1..", "x@1", "5@1e999", "5@0.1-0.2"])
def test_refuses_what_is_no_schedule(text):
    with pytest.raises(ValueError, match=r"stage|schedule"):
        Schedule.parse(text)


@pytest.mark.parametrize("dataset", PRESETS)
@pytest.mark.parametrize("eps", [0.0, 1e-7, 0.01, 0.1, 0.3])
def test_presets_start_at_zero_and_end_at_the_radius_asked_for(dataset, eps):
    schedule = PRESETS[dataset].schedule(eps)
    assert schedule.radius(0) == 0
    assert schedule.final_radius == eps
    assert max(stage.end for stage in schedule.stages) == eps


def test_learning_rate_drops_at_60_and_85_percent():
    assert [learning_rate_factor(p) for p in (0, 0.59, 0.6, 0.84, 0.85, 1)] == [1, 1, 0.3, 0.3, 0.1, 0.1]
