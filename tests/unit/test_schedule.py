"""The learning rate at each moment of training."""

import math

import pytest

from relact.train.optim import OptimConfig, rate


def test_a_cosine_climbs_then_falls_to_nothing():
    config = OptimConfig(lr=2.0, warmup_epochs=1, warmup_start=0.25)
    assert rate(config, 0, 9) == 0.5
    assert rate(config, 0.5, 9) == 1.25
    assert rate(config, 1, 9) == 2.0
    assert rate(config, 5, 9) == pytest.approx(1.0)
    assert rate(config, 9, 9) == pytest.approx(0.0)


def test_a_rate_that_is_held_falls_in_what_is_left():
    config = OptimConfig(lr=2.0, warmup_epochs=1, hold=0.75)
    assert [rate(config, epoch, 8) for epoch in (1, 3.5, 6)] == [2.0, 2.0, 2.0]
    assert rate(config, 7, 8) == pytest.approx(1.0)
    assert rate(config, 7.5, 8) == pytest.approx(1 + math.cos(math.pi * 0.75))
    assert rate(config, 8, 8) == pytest.approx(0.0)


def test_a_climb_that_is_longer_than_the_hold_is_not_cut():
    config = OptimConfig(lr=2.0, warmup_epochs=4, warmup_start=0, hold=0.25)
    assert rate(config, 2, 8) == 1.0
    assert rate(config, 4, 8) == 2.0
    assert rate(config, 6, 8) == pytest.approx(1.0)


def test_steps_divide_by_ten():
    config = OptimConfig(lr=2.0, schedule="step", milestones=(3, 4.5))
    assert [round(rate(config, epoch, 6), 6) for epoch in (0, 2.9, 3, 4.5)] == [2.0, 2.0, 0.2, 0.02]
    assert rate(OptimConfig(lr=2.0, schedule="constant"), 5.9, 6) == 2.0
