"""How long networks take, by hand."""

import pytest

from tests.support import made_results as made
from tfxfer.race import pace
from tfxfer.study.cost import Sizes

SIZES = Sizes(480, 120, 200, 5)  # 800 images.


def paces(rates, records=(), jobs=2):
    return pace.Pace(SIZES, jobs, dict(rates), dict(records))


def record(arch, seconds):
    return made.record(made.run(arch, 'logistic'), 0.5, seconds=seconds)


def test_of_one_job_by_the_rate_of_the_machine():
    now = paces({'mobilenet_v1': 100.0})
    # 100 images at 100 / 2 images per second, and what a Run takes anyway.
    assert now.seconds('mobilenet_v1', 1 / 8) == pytest.approx(2 + pace.OVERHEAD)
    both = [('mobilenet_v1', 1 / 8), ('mobilenet_v1', 1.0)]
    assert now.wall(both) == pytest.approx((2 + 16 + 2 * pace.OVERHEAD) / 2)


def test_a_network_that_was_not_timed_is_by_its_multiply_adds():
    now = paces({'mobilenet_v1': 100.0})
    # 567,716,352 and 2,833,137,664 multiply-adds.
    assert now.rate('densenet_121') == pytest.approx(100 / 4.990, rel=1e-3)
    assert paces({}).rate('densenet_121') is None


def test_what_was_measured_counts_more_and_is_not_done_again():
    measured = {('mobilenet_v1', 1 / 4): record('mobilenet_v1', 45.0)}
    now = paces({'mobilenet_v1': 1000.0}, measured)
    assert now.seconds('mobilenet_v1', 1 / 4) == 0
    # 200 images took 35 seconds beside the overhead; 200 more.
    assert now.overhead == pace.OVERHEAD
    assert now.seconds('mobilenet_v1', 1 / 2) == pytest.approx(35 + pace.OVERHEAD)
