import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tests.support.experiments import SEEDS, TWO_DATASETS, fixed, scaled, trained
from tests.support.show import logit
from tfxfer.analysis import training_options


def test_what_came_of_diverged_pretraining_is_left_out():
    first, *records = scaled(TWO_DATASETS)
    assert first.run.setting == 'pretrain'
    records.append(made.record(first.run, 0.0, status='diverged'))
    assert trained(records) == []


def test_means_take_seeds_first_and_have_moreys_errors_over_datasets():
    found = trained(scaled(SEEDS))
    means, notes = training_options.means(found)
    assert notes == []

    def mean(scale, name):
        return np.mean([logit(SEEDS[scale, seed][1][name]) for seed in range(3)])

    x = np.array([[mean(s, name) for name in ('dtd', 'pets')] for s in (False, True)])
    assert [m.values for m in means] == [{'scale': False}, {'scale': True}]
    assert [m.log_odds for m in means] == pytest.approx(x.mean(axis=1))
    # Less each dataset's mean; of 2 networks times sqrt(2 / 1).
    errors = scipy_stats.sem(x - x.mean(axis=0), axis=1) * math.sqrt(2)
    assert [m.error for m in means] == pytest.approx(errors)
    assert {(m.bars, m.seeds) for m in means} == {('within', 3)}
    for m, scale in zip(training_options.sources(found), (False, True), strict=True):
        own = [logit(SEEDS[scale, seed][0]) for seed in range(3)]
        assert m.log_odds == pytest.approx(np.mean(own))
        assert (m.bars, m.error) == ('seeds', pytest.approx(scipy_stats.sem(own)))


def test_means_of_one_dataset_have_errors_over_seeds():
    scores = {
        (scale, seed): (0.7, {'pets': 0.6 + 0.1 * scale + 0.02 * seed})
        for scale in (False, True)
        for seed in (0, 1)
    }
    means, _ = training_options.means(trained(scaled(scores)))
    assert [m.bars for m in means] == ['seeds', 'seeds']
    assert means[0].error == pytest.approx(scipy_stats.sem([logit(0.6), logit(0.62)]))


def test_means_leave_out_what_would_compare_datasets_and_say_so():
    def scores(way, seed):
        if way['aux'] or way['dropout']:
            return None
        few = way['scale'] and way['label_smoothing']
        names = ('pets',) if few else ('pets', 'dtd', 'cars')
        return 0.7, fixed(dict.fromkeys(names, 0.6))

    means, notes = training_options.means(trained(made.ways(scores)))
    assert [m.values for m in means] == [
        {'scale': False, 'label_smoothing': 0.0},
        {'scale': False, 'label_smoothing': 0.1},
        {'scale': True, 'label_smoothing': 0.0},
    ]
    assert means[0].datasets == ('cars', 'dtd', 'pets')
    assert notes == [
        'logistic: left out, as not all have the same datasets: scale on, '
        'label_smoothing 0.1.'
    ]
