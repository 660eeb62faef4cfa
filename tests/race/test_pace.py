import pytest

from tests.support import made_results as made
from tfxfer.race import pace
from tfxfer.study.cost import Sizes

SIZES = Sizes(640, 160, 800, 5)


def record(arch, seconds):
    run = made.run(arch, 'logistic', weights='slim')
    return made.record(run, 0.5, seconds=seconds)


def test_before_anything_is_measured_time_goes_with_multiply_adds():
    now = pace.Pace(SIZES, 2, {'mobilenet_v1': 100.0}, {})
    # 200 images at 100 a second on all of the machine, of which a job has half.
    assert now.seconds('mobilenet_v1', 1 / 8) == pytest.approx(10 + 2 * 200 / 100)
    # TF-Slim's ResNet-50 has 3.5 G multiply-adds, MobileNet v1 0.57 G.
    assert now.rate('resnet_50') == pytest.approx(100 * 0.57 / 3.5, rel=0.02)
    assert now.wall([('mobilenet_v1', 1 / 8)] * 2) == pytest.approx(14.0)


def test_a_run_that_is_done_says_how_long_the_next_takes():
    records = {('mobilenet_v1', 1 / 8): record('mobilenet_v1', 30.0)}
    now = pace.Pace(SIZES, 1, {'mobilenet_v1': 1.0}, records)
    assert now.seconds('mobilenet_v1', 1 / 8) == 0
    # 20 s of 200 images, and 200 more at 1/4.
    assert now.seconds('mobilenet_v1', 1 / 4) == pytest.approx(10 + 20)
    records['mobilenet_v1', 1 / 4] = record('mobilenet_v1', 50.0)
    now = pace.Pace(SIZES, 1, {}, records)
    # 40 s of the last 200 images, and 1,200 more on all.
    assert now.seconds('mobilenet_v1', 1) == pytest.approx(10 + 1200 * 40 / 200)


def test_a_run_that_took_less_than_the_overhead_lowers_it():
    records = {('mobilenet_v1', 1 / 8): record('mobilenet_v1', 4.0)}
    now = pace.Pace(SIZES, 1, {'mobilenet_v1': 100.0}, records)
    assert now.overhead == 4.0
    assert now.seconds('resnet_50', 1 / 8) > 4 + 200 / 100
