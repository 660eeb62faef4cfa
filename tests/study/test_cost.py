import pytest
from absl import flags

from tests.support import studies
from tfxfer.cli import run
from tfxfer.study import cost, planning

SIZES = {'digits': cost.Sizes(train=400, valid=100, test=300, classes=10)}


def loads(study):
    return cost.loads(tuple(planning.cells(study)), SIZES)


def test_loads_by_hand():
    study = studies.one_cell(
        settings=('logistic', 'finetune'), seeds=(0, 1), per_class=(10, 0),
        finetune={'lrs': (0.1, 0.01), 'wds': (0.0,), 'steps': 6, 'batch': 4},
    )  # fmt: skip
    found = loads(study)
    # 4 cells; 10 per class of 50 are a fifth of everything: 20 valid images, not 100.
    assert found['finetune', 'trial', 'mobilenet_v1'] == (
        4 * 2, 4 * 2 * 6, 4 * 2 * 6 * 4, 2 * 2 * (100 + 20)
    )  # fmt: skip
    assert found['finetune', 'final', 'mobilenet_v1'] == (4, 24, 96, 4 * 300)
    # Features once for all subsets and seeds; all images have one seed.
    assert found['logistic', 'final', 'mobilenet_v1'] == (3, 0, 0, 500 + 300)


def test_loads_of_halving_count_what_is_gone_on_from_once():
    found = loads(studies.one_cell(search='halving', eta=2))
    # 8 x 4 steps, 4 more x 4, 2 more x 8.
    assert found['finetune', 'trial', 'mobilenet_v1'][:2] == (14, 32 + 16 + 16)


def test_validations_on_the_way_are_counted():
    """Every 2,000 steps, but not at the last, which is scored anyway."""
    grid = {'lrs': (0.1, 0.01), 'wds': (0.0,), 'batch': 4}

    def seen(steps, **search):
        study = studies.one_cell(finetune={**grid, 'steps': steps}, **search)
        return loads(study)['finetune', 'trial', 'mobilenet_v1'].seen

    assert seen(2000) == 2 * 100
    assert seen(2001) == 2 * 2 * 100
    assert seen(5000) == 2 * 3 * 100
    # Both to 2,500, with one on the way; one of them on to 5,000, with one at 4,000.
    assert seen(5000, search='halving', eta=2, rungs=2) == 2 * 2 * 100 + 2 * 100
    given = run.define_flags(flags.FlagValues())
    given._parse(['run'])
    assert given.valid_every == cost.VALID_EVERY  # As sweeps start their Runs.


def test_finals_have_the_steps_of_their_trials():
    study = studies.one_cell(lengths=(10, 30), seeds=(0, 1, 2), choose='once')
    final = loads(study)['finetune', 'final', 'mobilenet_v1']
    assert (final.runs, final.steps) == (3 * 2, 3 * (10 + 30))
    grid = {'lrs': (0.1,), 'wds': (0.0,), 'steps': 40, 'batch': 16, 'epochs': 10}
    study = studies.one_cell(finetune=grid, per_class=(0, 5))
    study = studies.with_images(study, {'digits': 500})
    # 10 x 500 / 16 = 312.5; 10 x 50 / 16 is less than 40.
    assert loads(study)['finetune', 'final', 'mobilenet_v1'].steps == 313 + 40


def test_a_network_that_was_not_measured_is_like_the_nearest_by_cost():
    rates = {'mobilenet_v1': cost.Rate(30, 90), 'resnet_50': cost.Rate(10, 40)}
    # 11.0 G multiply-adds against 3.48 G of ResNet-50.
    rate = cost.estimated(rates, 'resnet_152', None)
    assert rate == pytest.approx((10 * 0.319, 40 * 0.319), rel=0.01)
    # 0.58 G against 0.57 G.
    near = cost.estimated(rates, 'mobilenet_v2_1.4', None)
    assert near == pytest.approx((30, 90), rel=0.03)
    # At 299 pixels a network of 224 costs 1.78 times as much, one of 299 the same.
    rate = cost.estimated({'resnet_50': cost.Rate(10, 40)}, 'inception_v3', 299)
    assert rate == pytest.approx((10 * 6.2 / 5.71, 40 * 6.2 / 5.71), rel=0.01)


def test_device_hours_by_hand():
    found = {
        cost.Kind('finetune', 'trial', 'a'): cost.Load(2, 10, 7200, 3600),
        cost.Kind('finetune', 'trial', 'b'): cost.Load(1, 5, 7200, 0),
        cost.Kind('finetune', 'final', 'b'): cost.Load(1, 1, 0, 360),
    }
    rates = {'a': cost.Rate(train=2, infer=10), 'b': cost.Rate(train=1, infer=1)}
    final, trial, whole = cost.planned(found, rates)
    assert (final.kind, trial.kind, whole.kind) == (
        'finetune final', 'finetune trial', 'all'
    )  # fmt: skip
    assert trial.load == (3, 15, 14400, 3600)
    # An hour of training and 6 minutes of scoring; 2 hours; and 6 minutes.
    assert (trial.hours, final.hours) == pytest.approx((1.1 + 2, 0.1))
    assert whole.load == (4, 16, 14400, 3960)
    assert whole.hours == pytest.approx(3.2)
