import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tfxfer import errors, results
from tfxfer.analysis import cells, comparisons, stats


@pytest.fixture
def study(tmp_path):
    return made.write_study(tmp_path)


def read(folder):
    return cells.cells(cells.read(folder))


def test_points_of_one_dataset_have_binomial_bars(study):
    ((condition, group),) = comparisons.conditions(read(study)).items()
    assert condition == ('digits_0_4', None, None)
    points, notes = comparisons.points(group)
    assert notes == [] and len(points) == 9
    point = next(p for p in points if p[:2] == ('finetune', 'mobilenet_v1_0.5'))
    assert (point.score, point.source_score) == (0.94, 0.95)
    assert point.x == pytest.approx(math.log(19))
    assert point.y == pytest.approx(math.log(94 / 6))
    bars = stats.proportion([point.low, point.high]).round(4).tolist()
    assert (point.bars, bars) == ('binomial', [0.8752, 0.9722])


def write_scores(folder, scores):
    """Writes logistic cells: {(network number, dataset): right of 100}."""
    made.write_sources(folder)
    for (i, dataset), right in scores.items():
        made.write_cell(folder, made.NETWORKS[i], 'logistic', right, dataset=dataset)
    ((_, group),) = comparisons.conditions(read(folder)).items()
    return comparisons.points(group)


def test_points_of_several_datasets_have_bars_within_datasets(tmp_path):
    right = {(0, 'digits'): 50, (1, 'digits'): 80, (0, 'pets'): 50, (1, 'pets'): 60}
    points, notes = write_scores(tmp_path, right)
    assert notes == [] and {p.bars for p in points} == {'within'}
    # Network 0 is at log odds 0 on both; network 1 at ln 4 and ln 1.5.
    a, b = points
    assert (a.y, b.y) == pytest.approx((0, (math.log(4) + math.log(1.5)) / 2))
    # Differences d = ln 4, ln 1.5: of two networks the bar is sem(d) / sqrt 2.
    bar = abs(math.log(4) - math.log(1.5)) / 2 / math.sqrt(2)
    for point in points:
        assert point.high - point.y == pytest.approx(bar)
        assert point.y - point.low == pytest.approx(bar)
        assert point.datasets == ('digits', 'pets')


def test_only_datasets_that_all_networks_have_are_averaged(tmp_path):
    right = {(0, 'digits'): 50, (1, 'digits'): 80, (2, 'digits'): 70, (0, 'pets'): 99}
    points, (note,) = write_scores(tmp_path, right)
    assert {point.datasets for point in points} == {('digits',)}
    assert points[0].score == 0.5
    assert 'left out: pets' in note


def test_a_setting_without_a_common_dataset_has_no_points(tmp_path):
    points, (note,) = write_scores(tmp_path, {(0, 'digits'): 50, (1, 'pets'): 80})
    assert points == []
    assert 'only the 0 datasets' in note


def test_a_perfect_score_is_drawn_at_its_corrected_counts(tmp_path):
    points, _ = write_scores(tmp_path, {(0, 'digits'): 100, (1, 'digits'): 80})
    assert points[0].score == 1
    assert points[0].y == pytest.approx(math.log(100.5 / 0.5))
    assert points[0].high == math.inf and math.isfinite(points[0].low)


def test_subsets_are_conditions_of_their_own(tmp_path):
    made.write_sources(tmp_path)
    for per_class in (10, None):
        for arch in made.NETWORKS:
            made.write_cell(tmp_path, arch, 'logistic', 60, per_class=per_class)
    found = comparisons.conditions(read(tmp_path))
    assert [condition.per_class for condition in found] == [None, 10]
    assert all(len(group) == 3 for group in found.values())


def write_lengths(folder, lengths):
    """Writes scratch Runs, {steps: number of networks}, that score steps / 1000."""
    for steps, count in lengths.items():
        for i in range(count):
            run = made.run(f'network_{i}', 'scratch', hparams={'steps': steps})
            origin = {'dataset': 'imagenet2012', 'score': 0.7, 'images': None}
            record = made.record(run, steps / 1000, source=origin)
            results.write(folder, record, made.predictions(steps // 10))
    ((_, group),) = comparisons.conditions(read(folder)).items()
    return comparisons.points(group)


def test_of_several_lengths_the_longest_is_drawn_and_the_others_named(tmp_path):
    points, (note,) = write_lengths(tmp_path, {50: 3, 100: 3, 500: 2})
    assert [point.score for point in points] == [0.5] * 2
    assert (
        note == 'scratch: drawn with steps=500; in the tables also steps=100, steps=50.'
    )


def test_one_network_trained_longer_does_not_stand_for_all(tmp_path):
    points, _ = write_lengths(tmp_path, {50: 4, 500: 1})
    assert [point.score for point in points] == [0.05] * 4


def test_the_best_is_tested_on_the_same_images(tmp_path):
    # Right: images 0-89 and 5-89 + 90-91; only one right: 5 and 2.
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 87, first=5)
    ((row,), notes) = comparisons.compare(read(tmp_path), tmp_path)
    assert notes == []
    assert (row.a.network, row.b.network) == made.NETWORKS[:2]
    assert (row.only_a, row.only_b) == (5, 2)
    assert row.difference == pytest.approx(0.03)
    # 2 (C(7,0) + C(7,1) + C(7,2)) / 2^7 = 58 / 128.
    assert row.p == row.p_holm == pytest.approx(58 / 128)
    assert row.test == 'exact McNemar'


def test_images_are_paired_by_index_not_by_row(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    shuffled = np.random.default_rng(0).permutation(100)
    rows = {k: v[shuffled] for k, v in made.predictions(85).items()}
    results.write(tmp_path, record, rows)
    ((row,), _) = comparisons.compare(read(tmp_path), tmp_path)
    assert (row.only_a, row.only_b) == (5, 0)


def test_p_values_are_corrected_for_all_comparisons_of_a_dataset(study):
    rows, _ = comparisons.compare(read(study), study)
    assert len(rows) == 8
    # The two largest p: 2 of 2 discordant, 2 / 4; 4 of 4, 2 / 16, Holm x 2.
    assert [row.b.score for row in rows[:2]] == [0.92, 0.9]
    assert [row.p for row in rows[:2]] == pytest.approx([0.5, 0.125])
    assert [row.p_holm for row in rows[:2]] == pytest.approx([0.5, 0.25])


def test_mean_per_class_is_tested_by_permutation_of_its_own_values(tmp_path):
    # 5 classes of 20; the rivals differ in images 80-84, one of each class.
    for arch, right in zip(made.NETWORKS, (85, 80), strict=False):
        run = made.run(arch, 'scratch')
        record = made.record(run, right / 100, metric='mean_per_class')
        results.write(tmp_path, record, made.predictions(right))
    ((row,), _) = comparisons.compare(read(tmp_path), tmp_path)
    assert row.test == 'permutation'
    assert row.p == pytest.approx(2 / 2**5)  # All weights are equal: the sign test.


def test_other_test_images_are_not_compared(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    other = made.predictions(85)
    other['index'] += 1
    results.write(tmp_path, record, other)
    rows, (note,) = comparisons.compare(read(tmp_path), tmp_path)
    assert rows == [] and 'different images' in note


def test_predictions_that_are_gone_are_said(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    (results.folder(tmp_path, record.run) / 'predictions.npz').unlink()
    rows, (note,) = comparisons.compare(read(tmp_path), tmp_path)
    assert rows == [] and 'predictions.npz is gone' in note


def test_predictions_of_another_score_are_refused(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    results.write(tmp_path, record, made.predictions(84))
    with pytest.raises(errors.InputError, match=r'says 0.850000, .* give 0.840000'):
        comparisons.compare(read(tmp_path), tmp_path)


def test_damaged_predictions_are_refused_by_name(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    path = results.folder(tmp_path, record.run) / 'predictions.npz'
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(errors.InputError, match=record.run.id):
        comparisons.compare(read(tmp_path), tmp_path)


def test_wins_count_pairs_of_the_same_network_and_dataset(study):
    rows, notes = comparisons.wins(read(study))
    assert notes == []
    # Finetune beats logistic in 3 of 3: p = 2 / 2^3.
    assert rows[0] == ('finetune', 'logistic', 3, 0, 0, pytest.approx(0.25))
    assert [row[:4] for row in rows[1:]] == [
        ('finetune', 'scratch', 3, 0),
        ('logistic', 'scratch', 3, 0),
    ]


def test_ties_are_no_wins(tmp_path):
    for arch, right in zip(made.NETWORKS, (70, 70, 60), strict=True):
        made.write_cell(tmp_path, arch, 'logistic', 70)
        made.write_cell(tmp_path, arch, 'finetune', right)
    ((row,), _) = comparisons.wins(read(tmp_path))
    assert row == ('finetune', 'logistic', 0, 1, 2, 1.0)


def test_points_of_each_dataset_have_its_own_networks(tmp_path):
    made.write_sources(tmp_path)
    for i, dataset in ((0, 'digits'), (1, 'digits'), (1, 'pets')):
        made.write_cell(tmp_path, made.NETWORKS[i], 'logistic', 80, dataset=dataset)
    ((_, group),) = comparisons.conditions(read(tmp_path)).items()
    points = comparisons.dataset_points(group)
    assert [(p.datasets, p.network) for p in points] == [
        (('digits',), made.NETWORKS[0]),
        (('digits',), made.NETWORKS[1]),
        (('pets',), made.NETWORKS[1]),
    ]
    assert {p.bars for p in points} == {'binomial'}


def write_matrix(folder, right):
    """Logistic cells, {network number: right of 100 by dataset}; None: not measured."""
    for i, row in right.items():
        for dataset, count in zip(('dtd', 'flowers', 'pets'), row, strict=True):
            if count is not None:
                made.write_cell(
                    folder, made.NETWORKS[i], 'logistic', count, dataset=dataset
                )
    return comparisons.network_pairs(read(folder))


def test_networks_are_tested_over_datasets_as_scipy_does_it(tmp_path):
    right = {0: (50, 60, 70), 1: (55, 70, 90), 2: (50, 65, 60)}
    rows, notes = write_matrix(tmp_path, right)
    assert notes == []
    odds = {i: [math.log(c / (100 - c)) for c in row] for i, row in right.items()}
    p = [scipy_stats.ttest_rel(odds[a], odds[b]).pvalue for a, b in
         ((0, 1), (0, 2), (1, 2))]  # fmt: skip
    assert [row.test.p for row in rows] == pytest.approx(p)
    assert [(row.a, row.b) for row in rows] == [
        (made.NETWORKS[a], made.NETWORKS[b]) for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    # Holm by hand: the smallest times 3, the next times 2, never falling.
    order = np.argsort(p)
    by_hand = np.maximum.accumulate(np.array(p)[order] * [3, 2, 1]).clip(max=1)
    assert [rows[i].p_holm for i in order] == pytest.approx(by_hand)


def test_a_network_without_all_datasets_is_named_not_tested(tmp_path):
    right = {0: (50, 60, 70), 1: (55, 70, 90), 2: (50, None, 60)}
    rows, (note,) = write_matrix(tmp_path, right)
    assert [(row.a, row.b) for row in rows] == [made.NETWORKS[:2]]
    assert made.NETWORKS[2] in note and '3 datasets' in note


def test_equal_differences_have_no_test_and_that_is_said(tmp_path):
    rows, (note,) = write_matrix(tmp_path, {0: (50, 60, 70), 1: (50, 60, 70)})
    assert rows == [] and 'the same log odds' in note
