import math

import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tests.support.show import logit
from tfxfer.analysis import cells, dataset_size


def sizes(records):
    return dataset_size.sizes(cells.cells(records))


def test_sizes_are_the_mean_log_odds_over_seeds_with_their_standard_error():
    records = [made.final('a', 'scratch', 0.5, per_class=10)]
    records += [
        made.final('a', 'scratch', score, per_class=20, seed=seed)
        for seed, score in enumerate((0.6, 0.7, 0.8))
    ]
    (few, many), notes = sizes(records)
    assert notes == []
    assert (few.images, few.log_odds, few.error, few.seeds) == (10, 0, None, 1)
    x = [logit(p) for p in (0.6, 0.7, 0.8)]
    assert many.log_odds == pytest.approx(sum(x) / 3)
    assert many.error == pytest.approx(scipy_stats.sem(x))
    assert many.score == pytest.approx(1 / (1 + math.exp(-sum(x) / 3)))
    assert many.seeds == 3


def test_all_images_stand_at_their_mean_number_a_class():
    records = [
        made.final('a', 'scratch', 0.5, per_class=4),
        made.final('a', 'scratch', 0.6),  # 40 in train, 10 in valid, 5 classes.
    ]
    found, _ = sizes(records)
    assert [s.images for s in found] == [4, 10]


def test_the_number_of_images_is_that_used_not_that_asked_for():
    """As where 20 per class are asked for of classes of 14."""
    used = {'train': 50, 'valid': 20, 'test': 100, 'skipped': 0}  # Of 5 classes.
    records = [
        made.final('a', 'scratch', 0.5, per_class=4),
        made.final('a', 'scratch', 0.6, per_class=20, images=used),
    ]
    found, notes = sizes(records)
    assert [(s.per_class, s.images) for s in found] == [(4, 4), (20, 14)]
    (note,) = notes
    assert '20 images per class were asked for; there are 14 ' in note


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
    answer = dataset_size.catches_up(finetune, scratch)
    assert answer.value == pytest.approx(20 * 2 ** (2 / 3))
    assert answer.words == '31.7'


def test_knots_of_both_curves_count():
    # Fine-tuning has a knee that stands at 40 for scratch, where scratch has no point.
    finetune, scratch = {10: 0.0, 20: 0.0, 40: 4.0}, {20: -1.0, 80: 3.0}
    answer = dataset_size.catches_up(finetune, scratch)
    # Scratch is linear in log2 from -1 at 20 to 3 at 80, so 0 at 20 * 2^(1/2).
    assert answer.value == pytest.approx(20 * 2**0.5)


@pytest.mark.parametrize(
    ('finetune', 'scratch', 'words'),
    [
        ({10: 0.0, 20: 1.0}, {20: -2.0, 40: -1.0}, 'not up to 40 images per class'),
        ({10: 0.0, 20: 1.0}, {20: 0.5, 40: 2.0}, 'at 20 images per class, the fewest'),
        ({10: 0.0, 20: 1.0}, {5: 0.0, 10: 1.0}, 'do not overlap'),
        ({10: 0.0, 20: 1.0}, {5: -2.0, 20: -1.0}, 'not up to 20 images per class'),
        ({10: 0.0, 20: 1.0}, {5: -1.0, 20: 0.0}, 'at 20 images per class, the fewest'),
        ({10: 0.0}, {5: 0.0, 10: 1.0}, 'fewer than 2 sizes'),
    ],
)
def test_nothing_is_assumed_outside_the_sizes_measured(finetune, scratch, words):
    answer = dataset_size.catches_up(finetune, scratch)
    assert answer.value is None and words in answer.words


def test_crossings_are_per_network_and_dataset():
    records = []
    for dataset, gain in (('pets', 0.0), ('dtd', 0.3)):
        for per_class, f, s in ((10, 0.5, 0.3), (20, 0.6, 0.35 + gain)):
            fields = {'per_class': per_class, 'dataset': dataset}
            records += [made.final('a', 'finetune', f, **fields)]
            records += [made.final('a', 'scratch', s, **fields)]
    records += [made.final('a', 'scratch', 0.66, per_class=40, dataset='dtd')]
    rows = dataset_size.crossings(sizes(records)[0])
    assert [key for key, _ in rows] == [('a', 'dtd', None), ('a', 'pets', None)]
    # dtd: at 20 scratch has 0.65, fine-tuning on 10 had 0.5.
    assert 'the fewest' in rows[0][1].words
    assert 'not up to 20 images' in rows[1][1].words
