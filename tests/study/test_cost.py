import pytest

from tests.support import studies
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


def test_loads_of_a_share_by_hand():
    study = studies.one_cell(settings=('logistic',), share=0.25)
    assert loads(study)['logistic', 'final', 'mobilenet_v1'] == (1, 0, 0, 125 + 75)
