import dataclasses

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tests.support.experiments import (
    SEEDS,
    TWO_DATASETS,
    fixed,
    pretrained,
    scaled,
    switched,
    trained,
)
from tests.support.show import logit
from tfxfer.analysis import cells, option_effects, training_options


def effect_of(rows, field, setting='logistic'):
    (found,) = [row for row in rows if (row.field, row.setting) == (field, setting)]
    return found


def settings_and_effects(scores):
    records = pretrained(scores)
    found = training_options.trained_alike(records, cells.cells(records))
    return found, option_effects.effects(found)


def test_an_effect_is_paired_over_datasets_and_over_the_other_settings():
    scores = {
        (0.0, 0.0): {'pets': 0.8, 'dtd': 0.6},
        (0.1, 0.0): {'pets': 0.7, 'dtd': 0.5},
        (0.0, 0.2): {'pets': 0.9, 'dtd': 0.7},
        (0.1, 0.2): {'pets': 0.7, 'dtd': 0.65},
    }
    _, rows = settings_and_effects(scores)
    effect = effect_of(rows, 'label_smoothing')
    by_dataset = [
        np.mean([logit(scores[0.1, d][n]) - logit(scores[0.0, d][n]) for d in (0, 0.2)])
        for n in ('dtd', 'pets')
    ]
    assert effect.datasets == ('dtd', 'pets') and effect.pairs == 4
    assert effect.mean == pytest.approx(np.mean(by_dataset))
    assert effect.error == pytest.approx(scipy_stats.sem(by_dataset))
    assert effect.p == pytest.approx(scipy_stats.ttest_1samp(by_dataset, 0).pvalue)


def test_turning_scale_on_is_read_off_to_on_and_stands_beside_the_source():
    records = scaled(
        {(False, 0): (0.7, {'pets': 0.6}), (True, 0): (0.72, {'pets': 0.8})}
    )
    source, transfer = option_effects.effects(trained(records))
    assert [source.setting, transfer.setting] == ['source', 'logistic']
    assert (transfer.low, transfer.high) == (False, True)
    assert transfer.change == source.change == 'scale off to on'
    assert transfer.mean == pytest.approx(logit(0.8) - logit(0.6))
    assert source.mean == pytest.approx(logit(0.72) - logit(0.7))
    assert source.datasets == ('imagenet2012',)
    # One dataset and one seed have no error of either kind.
    errors = {(e.error, e.seed_error, e.p, e.seeds) for e in (source, transfer)}
    assert errors == {(None, None, None, 1)}


def test_the_error_over_seeds_is_of_each_seeds_own_mean_difference():
    source, transfer = option_effects.effects(trained(scaled(SEEDS)))

    def difference(seed, name):
        return logit(SEEDS[True, seed][1][name]) - logit(SEEDS[False, seed][1][name])

    names, seeds = ('dtd', 'pets'), range(3)
    by_seed = [np.mean([difference(s, n) for n in names]) for s in seeds]
    by_dataset = [np.mean([difference(s, n) for s in seeds]) for n in names]
    assert (transfer.pairs, transfer.seeds) == (2, 3)
    assert transfer.mean == pytest.approx(np.mean(by_seed))
    assert transfer.seed_error == pytest.approx(scipy_stats.sem(by_seed))
    assert transfer.error == pytest.approx(scipy_stats.sem(by_dataset))
    on_source = [logit(SEEDS[True, s][0]) - logit(SEEDS[False, s][0]) for s in seeds]
    assert (source.pairs, source.seeds) == (1, 3)
    assert source.mean == pytest.approx(np.mean(on_source))
    assert source.seed_error == pytest.approx(scipy_stats.sem(on_source))


def test_a_seed_that_has_one_end_alone_makes_no_pair():
    records = scaled(
        {
            (False, 0): (0.7, {'pets': 0.6}),
            (True, 0): (0.72, {'pets': 0.8}),
            (True, 1): (0.75, {'pets': 0.9}),
        }
    )
    source, transfer = option_effects.effects(trained(records))
    assert source.mean == pytest.approx(logit(0.72) - logit(0.7))
    assert transfer.mean == pytest.approx(logit(0.8) - logit(0.6))
    assert {(e.seeds, e.seed_error) for e in (source, transfer)} == {(1, None)}
    apart = scaled({(False, 0): (0.7, {'pets': 0.6}), (True, 1): (0.75, {'pets': 0.9})})
    assert option_effects.effects(trained(apart)) == []


def test_seeds_are_compared_over_the_datasets_that_they_share():
    scores = {
        (False, 0): (0.7, {'pets': 0.60, 'dtd': 0.50}),
        (True, 0): (0.7, {'pets': 0.80, 'dtd': 0.60}),
        (False, 1): (0.7, {'pets': 0.62}),
        (True, 1): (0.7, {'pets': 0.75}),
    }
    _, effect = option_effects.effects(trained(scaled(scores)))
    pets = [logit(0.80) - logit(0.60), logit(0.75) - logit(0.62)]
    # The mean has all there is; seed 1 was not measured on dtd.
    dtd = logit(0.60) - logit(0.50)
    assert effect.mean == pytest.approx((np.mean(pets) + dtd) / 2)
    assert effect.seed_error == pytest.approx(scipy_stats.sem(pets))
    assert (effect.pairs, effect.seeds) == (2, 2)


def test_effects_of_single_datasets():
    rows = option_effects.dataset_effects(trained(scaled(TWO_DATASETS)))
    assert {row.datasets: row.mean for row in rows} == {
        ('imagenet2012',): 0,
        ('dtd',): pytest.approx(logit(0.4)),
        ('pets',): pytest.approx(logit(0.8) - logit(0.6)),
    }
    assert all(row.error is row.p is None and row.pairs == 1 for row in rows)


def test_a_diverged_run_takes_its_pair_away():
    records = scaled(TWO_DATASETS)
    gone = next(r for r in records if r.run.dataset == 'dtd')
    left = [r for r in records if r is not gone]
    left.append(made.record(gone.run, 0.0, status='diverged'))
    _, effect = option_effects.effects(trained(left))
    assert effect.datasets == ('pets',) and effect.pairs == 1


def test_a_network_without_auxiliary_head_has_eight_combinations():
    def scores(way, seed):
        return None if way['aux'] else (0.7, fixed({'pets': 0.6 + 0.1 * way['scale']}))

    found = trained(made.ways(scores, arch='inception_v1'))
    assert len(found) == 8
    assert {tuple(t.values) for t in found} == {('scale', 'label_smoothing', 'dropout')}
    rows = option_effects.effects(found)
    assert {row.pairs for row in rows} == {4}
    assert {row.change: row.mean for row in rows if row.setting == 'logistic'} == {
        'scale off to on': pytest.approx(logit(0.7) - logit(0.6)),
        'label smoothing 0 to 0.1': pytest.approx(0),
        'dropout 0 to 0.2': pytest.approx(0),
    }


def test_switches_of_fine_tuning_are_settings_of_their_own():
    found = trained(made.ways(switched))
    assert len(found) == 8 * 4 + 8 * 2
    assert set(found[0].values) == {*made.WAYS, 'finetune dropout', 'finetune aux'}
    rows = option_effects.effects(found)
    # Networks with an auxiliary head: 4 with scale and 4 without, plain and dropout.
    aux = effect_of(rows, 'finetune aux', 'finetune')
    ends = ((0.3, 0.5), (0.4, 0.6), (0.4, 0.6), (0.5, 0.7))
    assert aux.pairs == 16
    assert aux.mean == pytest.approx(np.mean([logit(a) - logit(b) for a, b in ends]))
    # Of pretraining only what was fine-tuned alike is a pair.
    before = effect_of(rows, 'aux', 'finetune')
    assert (before.pairs, before.mean) == (16, pytest.approx(0))
    assert effect_of(rows, 'aux', 'source').pairs == 8
    assert {r.setting for r in rows if r.field in training_options.SWITCHES} == {
        'finetune'
    }


def test_recipes_that_differ_otherwise_are_no_pair():
    records = []
    for scale, steps in ((False, 100), (True, 200)):
        transfers = {('pets', 'finetune', (0.0, 0.0)): 0.6}
        source, tuned = made.one_way(
            'inception_v3', {'scale': scale}, 0, 0.7, transfers
        )
        hparams = dataclasses.replace(tuned.run.hparams, steps=steps)
        run = dataclasses.replace(tuned.run, hparams=hparams)
        records += [source, dataclasses.replace(tuned, run=run)]
    (effect,) = option_effects.effects(trained(records))
    assert effect.setting == 'source'


def test_pretraining_that_differs_otherwise_is_another_network():
    off, on = ({key: TWO_DATASETS[key]} for key in TWO_DATASETS)
    assert trained(scaled(off, steps=100) + scaled(on, steps=200)) == []
    both = [scaled(TWO_DATASETS, steps=steps) for steps in (100, 200)]
    found = trained(both[0] + both[1])
    names = ['inception_v3 (steps=100)', 'inception_v3 (steps=200)']
    assert [t.arch for t in found] == [names[0]] * 4 + [names[1]] * 4
    assert [e.arch for e in option_effects.effects(found)] == [
        name for name in names for _ in ('source', 'logistic')
    ]


def test_given_weights_fine_tuned_in_several_ways_are_compared_with_themselves():
    records = [
        made.final(arch, 'finetune', score, hparams={'dropout': dropout})
        for arch, dropout, score in (
            ('inception_v3', 0.0, 0.8),
            ('inception_v3', 0.2, 0.9),
            ('inception_v4', 0.0, 0.7),
        )
    ]
    records.append(made.final('inception_v3', 'logistic', 0.7))
    found = trained(records)
    assert [(t.arch, t.values) for t in found] == [
        ('inception_v3', {'finetune dropout': 0.0}),
        ('inception_v3', {'finetune dropout': 0.2}),
    ]
    (effect,) = option_effects.effects(found)
    assert effect.mean == pytest.approx(logit(0.9) - logit(0.8))


def test_training_settings_are_those_that_vary():
    found, (_, effect) = settings_and_effects(
        {(0.0, 0.2): {'pets': 0.8}, (0.1, 0.2): {'pets': 0.75}}
    )
    assert [t.values for t in found] == [
        {'label_smoothing': 0.0},
        {'label_smoothing': 0.1},
    ]
    assert effect.mean == pytest.approx(logit(0.75) - logit(0.8))
    assert (effect.low, effect.high, effect.error, effect.p) == (0, 0.1, None, None)


def test_networks_that_differ_otherwise_are_no_training_settings():
    found, rows = settings_and_effects({(0.0, 0.0): {'pets': 0.8}})
    assert found == rows == []
