import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tfxfer import errors, results
from tfxfer.analysis import cells, paired_tests, stats


@pytest.fixture
def study(tmp_path):
    return made.write_study(tmp_path)


def read(folder):
    return cells.cells(cells.read(folder))


def test_predictions_of_another_score_are_refused(tmp_path):
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    results.write(tmp_path, record, made.predictions(84))
    (cell,) = read(tmp_path)
    with pytest.raises(errors.InputError, match=r'says 0.850000, .* give 0.840000'):
        paired_tests.predictions(cell.records[0], tmp_path)


def test_damaged_predictions_are_refused_by_name(tmp_path):
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 85)
    path = results.folder(tmp_path, record.run) / 'predictions.npz'
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(errors.InputError, match=record.run.id):
        paired_tests.predictions(record, tmp_path)


def test_wins_count_pairs_of_the_same_network_and_dataset(study):
    rows, notes = paired_tests.wins(read(study))
    assert notes == []
    # Finetune beats logistic in 3 of 3, on one dataset: a count without a test.
    assert rows[0] == ('finetune', 'logistic', 3, 0, 0, 1, None)
    assert [row[:4] for row in rows[1:]] == [
        ('finetune', 'scratch', 3, 0),
        ('logistic', 'scratch', 3, 0),
    ]


def test_ties_are_no_wins(tmp_path):
    for arch, right in zip(made.NETWORKS, (70, 70, 60), strict=True):
        made.write_cell(tmp_path, arch, 'logistic', 70)
        made.write_cell(tmp_path, arch, 'finetune', right)
    ((row,), _) = paired_tests.wins(read(tmp_path))
    assert row[:5] == ('finetune', 'logistic', 0, 1, 2)


def test_settings_are_tested_over_means_of_datasets(tmp_path):
    right = {'dtd': (50, 60, 70), 'flowers': (55, 70, 90), 'pets': (50, 65, 60)}
    for dataset, row in right.items():
        for arch, count in zip(made.NETWORKS, row, strict=True):
            made.write_cell(tmp_path, arch, 'logistic', count, dataset=dataset)
            better = count + {'dtd': 5, 'flowers': 2, 'pets': -3}[dataset]
            made.write_cell(tmp_path, arch, 'finetune', better, dataset=dataset)
    ((row,), _) = paired_tests.wins(read(tmp_path))
    assert row[:6] == ('finetune', 'logistic', 6, 3, 0, 3)
    odds = {
        shift: [
            np.mean([math.log((c + more) / (100 - c - more)) for c in right[name]])
            for name, more in zip(right, shift, strict=True)
        ]
        for shift in ((0, 0, 0), (5, 2, -3))
    }
    expected = scipy_stats.ttest_rel(odds[5, 2, -3], odds[0, 0, 0])
    assert row.test.p == pytest.approx(expected.pvalue)
    assert row.test.n == 3


def test_a_count_of_pairs_would_reject_what_is_true_and_means_of_datasets_do_not():
    # 12 networks x 6 datasets; a setting suits some datasets and not others, by chance.
    rng = np.random.default_rng(0)
    counted, tested = 0, 0
    for _ in range(400):
        change = 0.5 * rng.standard_normal((6, 1)) + 0.2 * rng.standard_normal((6, 12))
        won = int(np.sum(change > 0))
        counted += scipy_stats.binomtest(won, 72).pvalue <= 0.05
        mean = change.mean(axis=1)
        tested += stats.paired_t(mean, np.zeros(6)).p <= 0.05
    assert counted / 400 > 0.3
    assert 0.03 <= tested / 400 <= 0.07


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
