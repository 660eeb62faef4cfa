import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tfxfer import errors, results
from tfxfer.analysis import cells, paired_tests


@pytest.fixture
def study(tmp_path):
    return made.write_study(tmp_path)


def read(folder):
    return cells.cells(cells.read(folder))


def test_the_best_is_tested_on_the_same_images(tmp_path):
    # Right: images 0-89 and 5-89 + 90-91; only one right: 5 and 2.
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 87, first=5)
    ((row,), notes) = paired_tests.compare(read(tmp_path), tmp_path)
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
    ((row,), _) = paired_tests.compare(read(tmp_path), tmp_path)
    assert (row.only_a, row.only_b) == (5, 0)


def test_p_values_are_corrected_for_all_comparisons_of_a_dataset(study):
    rows, _ = paired_tests.compare(read(study), study)
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
    ((row,), _) = paired_tests.compare(read(tmp_path), tmp_path)
    assert row.test == 'permutation'
    assert row.p == pytest.approx(2 / 2**5)  # All weights are equal: the sign test.


def test_other_test_images_are_not_compared(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    other = made.predictions(85)
    other['index'] += 1
    results.write(tmp_path, record, other)
    rows, (note,) = paired_tests.compare(read(tmp_path), tmp_path)
    assert rows == [] and 'different images' in note


def test_predictions_that_are_gone_are_said(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    (results.folder(tmp_path, record.run) / 'predictions.npz').unlink()
    rows, (note,) = paired_tests.compare(read(tmp_path), tmp_path)
    assert rows == [] and 'predictions.npz is missing' in note


def test_predictions_of_another_score_are_refused(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    results.write(tmp_path, record, made.predictions(84))
    with pytest.raises(errors.InputError, match=r'says 0.850000, .* give 0.840000'):
        paired_tests.compare(read(tmp_path), tmp_path)


def test_damaged_predictions_are_refused_by_name(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    path = results.folder(tmp_path, record.run) / 'predictions.npz'
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(errors.InputError, match=record.run.id):
        paired_tests.compare(read(tmp_path), tmp_path)


def test_wins_count_pairs_of_the_same_network_and_dataset(study):
    rows, notes = paired_tests.wins(read(study))
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
    ((row,), _) = paired_tests.wins(read(tmp_path))
    assert row == ('finetune', 'logistic', 0, 1, 2, 1.0)


def write_matrix(folder, right):
    """Logistic cells, {network number: right of 100 by dataset}; None: not measured."""
    for i, row in right.items():
        for dataset, count in zip(('dtd', 'flowers', 'pets'), row, strict=True):
            if count is not None:
                made.write_cell(
                    folder, made.NETWORKS[i], 'logistic', count, dataset=dataset
                )
    return paired_tests.network_pairs(read(folder))


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
