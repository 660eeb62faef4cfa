import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests import made_results as made
from tfxfer import cells, experiments


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


def settings_and_effects(scores):
    records = pretrained(scores)
    found = experiments.training_settings(records, cells.cells(records))
    return found, experiments.effects(found)


def test_training_settings_are_those_that_vary():
    found, (effect,) = settings_and_effects(
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
    effect = next(row for row in rows if row.field == 'label_smoothing')
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
