import dataclasses
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tfxfer.analysis import cells, experiments


def logit(p):
    return math.log(p / (1 - p))


def sizes(records):
    return experiments.sizes(cells.cells(records))


def test_sizes_are_the_mean_log_odds_over_draws_with_their_standard_error():
    records = [made.final('a', 'scratch', 0.5, per_class=10)]
    records += [
        made.final('a', 'scratch', score, per_class=20, seed=seed)
        for seed, score in enumerate((0.6, 0.7, 0.8))
    ]
    (few, many), notes = sizes(records)
    assert notes == []
    assert (few.images, few.log_odds, few.error, few.draws) == (10, 0, None, 1)
    x = [logit(p) for p in (0.6, 0.7, 0.8)]
    assert many.log_odds == pytest.approx(sum(x) / 3)
    assert many.error == pytest.approx(scipy_stats.sem(x))
    assert many.score == pytest.approx(1 / (1 + math.exp(-sum(x) / 3)))
    assert many.draws == 3


def test_all_images_stand_at_their_mean_number_a_class():
    records = [
        made.final('a', 'scratch', 0.5, per_class=4),
        made.final('a', 'scratch', 0.6),  # 40 in train, 10 in valid, 5 classes.
    ]
    found, _ = sizes(records)
    assert [s.images for s in found] == [4, 10]


def test_one_size_is_no_experiment_nor_are_sizes_of_different_datasets():
    records = [
        made.final('a', 'scratch', 0.5, per_class=4),
        made.final('a', 'logistic', 0.5, per_class=4),
        made.final('a', 'scratch', 0.6, per_class=8, dataset='dtd'),
    ]
    assert sizes(records) == ([], [])


def test_a_diverged_size_is_left_out():
    records = [made.final('a', 'scratch', 0.5, per_class=n) for n in (4, 8)]
    run = made.final('a', 'scratch', 0.0, per_class=16).run
    records.append(made.record(run, 0.0, status='diverged'))
    assert [s.images for s in sizes(records)[0]] == [4, 8]


def test_scratch_catches_up_where_a_hand_drawn_graph_says():
    # Fine-tuning on half as many: 0 at 20, 1 at 40, 2 at 80. Scratch: -1 at 20, 1.5 at
    # 40 in steps of log2: the gap is -1 at 20 and 0.5 at 40, so 2/3 of the doubling.
    finetune, scratch = {10: 0.0, 20: 1.0, 40: 2.0}, {20: -1.0, 40: 1.5, 80: 1.8}
    answer = experiments.catches_up(finetune, scratch)
    assert answer.value == pytest.approx(20 * 2 ** (2 / 3))
    assert answer.words == '31.7'


def test_knots_of_both_curves_count():
    # Fine-tuning has a knee that stands at 40 for scratch, where scratch has no point.
    finetune, scratch = {10: 0.0, 20: 0.0, 40: 4.0}, {20: -1.0, 80: 3.0}
    answer = experiments.catches_up(finetune, scratch)
    # Scratch is linear in log2 from -1 at 20 to 3 at 80, so 0 at 20 * 2^(1/2).
    assert answer.value == pytest.approx(20 * 2**0.5)


@pytest.mark.parametrize(
    ('finetune', 'scratch', 'words'),
    [
        ({10: 0.0, 20: 1.0}, {20: -2.0, 40: -1.0}, 'not up to 40 images a class'),
        ({10: 0.0, 20: 1.0}, {20: 0.5, 40: 2.0}, 'from the fewest that compare, 20'),
        ({10: 0.0, 20: 1.0}, {5: 0.0, 10: 1.0}, 'do not overlap'),
        ({10: 0.0, 20: 1.0}, {5: -2.0, 20: -1.0}, 'not up to 20 images a class'),
        ({10: 0.0, 20: 1.0}, {5: -1.0, 20: 0.0}, 'from the fewest that compare, 20'),
        ({10: 0.0}, {5: 0.0, 10: 1.0}, 'fewer than 2 sizes'),
    ],
)
def test_nothing_is_assumed_outside_the_sizes_measured(finetune, scratch, words):
    answer = experiments.catches_up(finetune, scratch)
    assert answer.value is None and words in answer.words


def test_crossings_are_per_network_and_dataset():
    records = []
    for dataset, gain in (('pets', 0.0), ('dtd', 0.3)):
        for per_class, f, s in ((10, 0.5, 0.3), (20, 0.6, 0.35 + gain)):
            fields = {'per_class': per_class, 'dataset': dataset}
            records += [made.final('a', 'finetune', f, **fields)]
            records += [made.final('a', 'scratch', s, **fields)]
    records += [made.final('a', 'scratch', 0.66, per_class=40, dataset='dtd')]
    rows = experiments.crossings(sizes(records)[0])
    assert [key for key, _ in rows] == [('a', 'dtd', None), ('a', 'pets', None)]
    # dtd: at 20 scratch has 0.65, fine-tuning on 10 had 0.5.
    assert 'from the fewest' in rows[0][1].words
    assert 'not up to 20 images' in rows[1][1].words


def lengths(scores, setting='scratch', **fields):
    """Records of one network on pets trained for {steps: score}."""
    images = {'train': 2944, 'valid': 736, 'test': 3669}
    return [
        made.final(
            'a', setting, score, hparams={'steps': steps}, images=images, **fields
        )
        for steps, score in scores.items()
    ]


def test_lengths_are_by_steps_with_epochs_over_train_and_valid():
    (series,) = experiments.lengths(cells.cells(lengths({1000: 0.8, 100: 0.5})))
    assert [s.steps for s in series] == [100, 1000]
    assert [s.odds for s in series] == pytest.approx([1, 4])
    # 100 x 256 / (2944 + 736).
    assert series[0].epochs == pytest.approx(25600 / 3680)


def test_steps_to_ninety_percent_of_the_best_odds_by_hand():
    # 0.9 x 10 = 9 lies half-way between 8 and 10, and so between 1,000 and 4,000 at
    # 2,000, which is half-way in the logarithm.
    answer = experiments.steps_to(0.9, [100, 1000, 4000], [1.0, 8.0, 10.0])
    assert answer.value == pytest.approx(2000)
    assert answer.words == '2000'


def test_the_first_length_that_has_it_counts_where_odds_fall_again():
    answer = experiments.steps_to(0.9, [10, 100, 1000], [1.0, 10.0, 5.0])
    # 9 of 1 to 10: 8 / 9 of the decade.
    assert answer.value == pytest.approx(10 ** (1 + 8 / 9))


def test_the_shortest_that_has_it_is_a_bound_not_a_number():
    answer = experiments.steps_to(0.9, [100, 1000], [9.5, 10.0])
    assert answer == (None, '<= 100')


def test_a_network_that_differs_in_more_than_steps_is_no_series():
    records = [
        made.final('a', 'scratch', 0.5, hparams={'steps': 100, 'batch': 64}),
        made.final('a', 'scratch', 0.6, hparams={'steps': 1000, 'batch': 256}),
    ]
    assert experiments.lengths(cells.cells(records)) == []


def test_scratch_takes_so_many_times_the_steps_of_fine_tuning():
    records = lengths({100: 0.5, 1000: 8 / 9, 4000: 10 / 11}, 'finetune')
    records += lengths({1000: 0.5, 10_000: 8 / 9, 40_000: 10 / 11})
    speeds = experiments.speeds(experiments.lengths(cells.cells(records)))
    assert [s.best.setting for s in speeds] == ['finetune', 'scratch']
    assert [s.steps.value for s in speeds] == pytest.approx([2000, 20_000])
    assert speeds[0].epochs.value == pytest.approx(2000 * 256 / 3680)
    assert experiments.slower(speeds[1], speeds).value == pytest.approx(10)
    assert experiments.slower(speeds[0], speeds) == (None, '')


def test_no_ratio_to_a_bound():
    records = lengths({100: 0.5, 1000: 0.5}, 'finetune')
    records += lengths({1000: 0.5, 10_000: 0.9})
    speeds = experiments.speeds(experiments.lengths(cells.cells(records)))
    assert speeds[0].steps == (None, '<= 100')
    assert speeds[0].epochs.words == '<= 6.96'  # 25,600 / 3,680
    assert experiments.slower(speeds[1], speeds) == (None, 'not bracketed')


def pretrained(scores):
    """Records of {(label_smoothing, dropout): {dataset: transfer score}}."""
    records = []
    for (smoothing, dropout), by_dataset in scores.items():
        hparams = {'label_smoothing': smoothing, 'dropout': dropout}
        source = made.final(
            'inception_v1', 'pretrain', 0.7, dataset='imagenet2012', hparams=hparams
        )
        records.append(source)
        records += [
            made.final(
                'inception_v1', 'logistic', score, dataset=dataset,
                weights=f'run:{source.run.id}',
            )
            for dataset, score in by_dataset.items()
        ]  # fmt: skip
    return records


def effect_of(rows, field, setting='logistic'):
    (found,) = [row for row in rows if (row.field, row.setting) == (field, setting)]
    return found


def settings_and_effects(scores):
    records = pretrained(scores)
    found = experiments.training_settings(records, cells.cells(records))
    return found, experiments.effects(found)


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


def test_networks_that_differ_otherwise_are_no_training_settings():
    found, rows = settings_and_effects({(0.0, 0.0): {'pets': 0.8}})
    assert found == rows == []


def trained(records):
    return experiments.training_settings(records, cells.cells(records))


def fixed(scores):
    """{(dataset, setting, None): score} of logistic."""
    return {(dataset, 'logistic', None): score for dataset, score in scores.items()}


def scaled(scores, **fields):
    """Records of {(scale, seed): (source score, {dataset: score})}, all else off."""

    def one(way, seed):
        off = not (way['label_smoothing'] or way['dropout'] or way['aux'])
        found = scores.get((way['scale'], seed)) if off else None
        return found and (found[0], fixed(found[1]))

    return made.ways(one, seeds=sorted({seed for _, seed in scores}), **fields)


def test_turning_scale_on_is_read_off_to_on_and_stands_beside_the_source():
    records = scaled(
        {(False, 0): (0.7, {'pets': 0.6}), (True, 0): (0.72, {'pets': 0.8})}
    )
    source, transfer = experiments.effects(trained(records))
    assert [source.setting, transfer.setting] == ['source', 'logistic']
    assert (transfer.low, transfer.high) == (False, True)
    assert transfer.change == source.change == 'scale off to on'
    assert transfer.mean == pytest.approx(logit(0.8) - logit(0.6))
    assert source.mean == pytest.approx(logit(0.72) - logit(0.7))
    assert source.datasets == ('imagenet2012',)
    # One dataset and one seed have no error of either kind.
    errors = {(e.error, e.seed_error, e.p, e.seeds) for e in (source, transfer)}
    assert errors == {(None, None, None, 1)}


# Of {(scale, seed): (source, transfer)}.
SEEDS = {
    (False, 0): (0.70, {'pets': 0.60, 'dtd': 0.50}),
    (True, 0): (0.72, {'pets': 0.80, 'dtd': 0.60}),
    (False, 1): (0.71, {'pets': 0.62, 'dtd': 0.48}),
    (True, 1): (0.70, {'pets': 0.75, 'dtd': 0.65}),
    (False, 2): (0.69, {'pets': 0.58, 'dtd': 0.52}),
    (True, 2): (0.73, {'pets': 0.70, 'dtd': 0.55}),
}


def test_the_error_over_seeds_is_of_each_seeds_own_mean_difference():
    source, transfer = experiments.effects(trained(scaled(SEEDS)))

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
    source, transfer = experiments.effects(trained(records))
    assert source.mean == pytest.approx(logit(0.72) - logit(0.7))
    assert transfer.mean == pytest.approx(logit(0.8) - logit(0.6))
    assert {(e.seeds, e.seed_error) for e in (source, transfer)} == {(1, None)}
    apart = scaled({(False, 0): (0.7, {'pets': 0.6}), (True, 1): (0.75, {'pets': 0.9})})
    assert experiments.effects(trained(apart)) == []


def test_seeds_are_compared_over_the_datasets_that_they_share():
    scores = {
        (False, 0): (0.7, {'pets': 0.60, 'dtd': 0.50}),
        (True, 0): (0.7, {'pets': 0.80, 'dtd': 0.60}),
        (False, 1): (0.7, {'pets': 0.62}),
        (True, 1): (0.7, {'pets': 0.75}),
    }
    _, effect = experiments.effects(trained(scaled(scores)))
    pets = [logit(0.80) - logit(0.60), logit(0.75) - logit(0.62)]
    # The mean has all there is; seed 1 was not measured on dtd.
    dtd = logit(0.60) - logit(0.50)
    assert effect.mean == pytest.approx((np.mean(pets) + dtd) / 2)
    assert effect.seed_error == pytest.approx(scipy_stats.sem(pets))
    assert (effect.pairs, effect.seeds) == (2, 2)


TWO_DATASETS = {
    (False, 0): (0.7, {'pets': 0.6, 'dtd': 0.5}),
    (True, 0): (0.7, {'pets': 0.8, 'dtd': 0.4}),
}


def test_effects_of_single_datasets():
    rows = experiments.dataset_effects(trained(scaled(TWO_DATASETS)))
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
    _, effect = experiments.effects(trained(left))
    assert effect.datasets == ('pets',) and effect.pairs == 1


def test_what_came_of_diverged_pretraining_is_left_out():
    first, *records = scaled(TWO_DATASETS)
    assert first.run.setting == 'pretrain'
    records.append(made.record(first.run, 0.0, status='diverged'))
    assert trained(records) == []


def test_a_network_without_auxiliary_head_has_eight_combinations():
    def scores(way, seed):
        return None if way['aux'] else (0.7, fixed({'pets': 0.6 + 0.1 * way['scale']}))

    found = trained(made.ways(scores, arch='inception_v1'))
    assert len(found) == 8
    assert {tuple(t.values) for t in found} == {('scale', 'label_smoothing', 'dropout')}
    rows = experiments.effects(found)
    assert {row.pairs for row in rows} == {4}
    assert {row.change: row.mean for row in rows if row.setting == 'logistic'} == {
        'scale off to on': pytest.approx(logit(0.7) - logit(0.6)),
        'label smoothing 0 to 0.1': pytest.approx(0),
        'dropout 0 to 0.2': pytest.approx(0),
    }


def switched(way, seed):
    """Every network fine-tuned plainly, with dropout, and with aux if it has one."""
    auxes = (0.0, 0.4) if way['aux'] else (0.0,)
    x = 0.5 + 0.1 * way['scale']
    return 0.7, {
        ('pets', 'finetune', (dropout, aux)): x + 0.1 * (dropout > 0) - 0.2 * (aux > 0)
        for dropout in (0.0, 0.2)
        for aux in auxes
    }


def test_switches_of_fine_tuning_are_settings_of_their_own():
    found = trained(made.ways(switched))
    assert len(found) == 8 * 4 + 8 * 2
    assert set(found[0].values) == {*made.WAYS, 'finetune dropout', 'finetune aux'}
    rows = experiments.effects(found)
    # Networks with an auxiliary head: 4 with scale and 4 without, plain and dropout.
    aux = effect_of(rows, 'finetune aux', 'finetune')
    ends = ((0.3, 0.5), (0.4, 0.6), (0.4, 0.6), (0.5, 0.7))
    assert aux.pairs == 16
    assert aux.mean == pytest.approx(np.mean([logit(a) - logit(b) for a, b in ends]))
    # Of pretraining only what was fine-tuned alike is a pair.
    before = effect_of(rows, 'aux', 'finetune')
    assert (before.pairs, before.mean) == (16, pytest.approx(0))
    assert effect_of(rows, 'aux', 'source').pairs == 8
    assert {r.setting for r in rows if r.field in experiments.SWITCHES} == {'finetune'}


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
    (effect,) = experiments.effects(trained(records))
    assert effect.setting == 'source'


def test_pretraining_that_differs_otherwise_is_another_network():
    off, on = ({key: TWO_DATASETS[key]} for key in TWO_DATASETS)
    assert trained(scaled(off, steps=100) + scaled(on, steps=200)) == []
    both = [scaled(TWO_DATASETS, steps=steps) for steps in (100, 200)]
    found = trained(both[0] + both[1])
    names = ['inception_v3 (steps=100)', 'inception_v3 (steps=200)']
    assert [t.arch for t in found] == [names[0]] * 4 + [names[1]] * 4
    assert [e.arch for e in experiments.effects(found)] == [
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
    (effect,) = experiments.effects(found)
    assert effect.mean == pytest.approx(logit(0.9) - logit(0.8))


def test_means_take_seeds_first_and_have_moreys_errors_over_datasets():
    found = trained(scaled(SEEDS))
    means, notes = experiments.means(found)
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
    for m, scale in zip(experiments.sources(found), (False, True), strict=True):
        own = [logit(SEEDS[scale, seed][0]) for seed in range(3)]
        assert m.log_odds == pytest.approx(np.mean(own))
        assert (m.bars, m.error) == ('seeds', pytest.approx(scipy_stats.sem(own)))


def test_means_of_one_dataset_have_errors_over_seeds():
    scores = {
        (scale, seed): (0.7, {'pets': 0.6 + 0.1 * scale + 0.02 * seed})
        for scale in (False, True)
        for seed in (0, 1)
    }
    means, _ = experiments.means(trained(scaled(scores)))
    assert [m.bars for m in means] == ['seeds', 'seeds']
    assert means[0].error == pytest.approx(scipy_stats.sem([logit(0.6), logit(0.62)]))


def test_means_leave_out_what_would_compare_datasets_and_say_so():
    def scores(way, seed):
        if way['aux'] or way['dropout']:
            return None
        few = way['scale'] and way['label_smoothing']
        names = ('pets',) if few else ('pets', 'dtd', 'cars')
        return 0.7, fixed(dict.fromkeys(names, 0.6))

    means, notes = experiments.means(trained(made.ways(scores)))
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


# Public checkpoints and networks trained here.

# {network: (source, pets, dtd)}.
PUBLIC = {
    'k': (0.70, 0.80, 0.50),
    'l': (0.75, 0.70, 0.55),
    'm': (0.80, 0.82, 0.52),
    'n': (0.72, 0.78, 0.45),
}
OWN = {'k': (0.60, 0.70, 0.40), 'l': (0.65, 0.74, 0.46), 'o': (0.70, 0.79, 0.5)}


def public_and_own(public=PUBLIC, own=OWN, names=('pets', 'dtd')):
    """Records of {network: (source score, scores on `names`)} of both kinds."""
    records = []
    for arch, (top, *scores) in public.items():
        records += [
            made.final(arch, 'logistic', score, dataset=name, source_score=top)
            for name, score in zip(names, scores, strict=False)
        ]
    for arch, (top, *scores) in own.items():
        transfers = fixed(dict(zip(names, scores, strict=False)))
        records += made.one_way(arch, {}, 0, top, transfers)
    return records


def sides(records):
    return experiments.public_and_own(cells.cells(records))


def test_both_kinds_have_pearsons_r_of_the_mean_log_odds():
    (pair,) = sides(public_and_own())
    for side, kind, given in zip(pair, ('public', 'own'), (PUBLIC, OWN), strict=True):
        assert (side.kind, side.source) == (kind, 'imagenet2012')
        assert side.datasets == ('dtd', 'pets')
        x = [logit(top) for top, *_ in given.values()]
        y = [np.mean([logit(p) for p in scores]) for _, *scores in given.values()]
        assert side.correlation.r == pytest.approx(scipy_stats.pearsonr(x, y).statistic)
        assert side.correlation.n == len(given)


def test_both_kinds_stand_on_the_datasets_that_all_their_networks_have():
    ((public, own),) = sides(public_and_own(own=OWN | {'o': (0.7, 0.79)}))
    assert public.datasets == own.datasets == ('pets',)
    assert [p.y for p in public.points] == pytest.approx(
        [logit(pets) for _, pets, _ in PUBLIC.values()]
    )


def test_with_one_kind_or_too_few_networks_nothing_is_compared():
    few = {name: OWN[name] for name in 'kl'}
    for public, own in (({}, OWN), (PUBLIC, {}), (PUBLIC, few), (few, OWN)):
        assert sides(public_and_own(public, own)) == []


def test_kinds_that_share_no_dataset_are_not_compared():
    records = public_and_own(own={}, names=('pets', 'dtd'))
    records += public_and_own(public={}, names=('cars', 'flowers'))
    assert sides(records) == []


def test_seeds_of_an_own_network_count_once_and_ways_to_train_it_each():
    again = made.one_way('k', {}, 1, 0.62, fixed({'pets': 0.71, 'dtd': 0.42}))
    way = made.one_way('k', {'scale': False}, 0, 0.5, fixed({'pets': 0.6, 'dtd': 0.3}))
    ((_, own),) = sides(public_and_own() + again + way)
    assert [p.network for p in own.points if own.archs[p.network] == 'k'] == [
        'k (from imagenet2012, defaults)',
        'k (from imagenet2012, scale=False)',
    ]
    assert len(own.points) == 4
