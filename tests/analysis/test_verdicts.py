import numpy as np
import pytest

from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import cells, verdicts


def judged(folder):
    return verdicts.verdicts(cells.cells(cells.read(folder)), folder)


def write(folder, network, right, setting='logistic', **fields):
    """Cells of seeds 0, 1, ... in which so many of 100 images are right."""
    for seed, count in enumerate(np.atleast_1d(right)):
        made.write_cell(
            folder, made.NETWORKS[network], setting, int(count), seed=seed, **fields
        )


def test_the_best_is_compared_on_the_same_images(tmp_path):
    # Right: images 0-89 and 5-89 + 90-91; only one right: 5 and 2.
    write(tmp_path, 0, 90)
    made.write_cell(tmp_path, made.NETWORKS[1], 'logistic', 87, first=5)
    ((verdict,), notes) = judged(tmp_path)
    (row,) = verdict.comparisons
    assert notes == []
    assert (row.a.network, row.b.network) == made.NETWORKS[:2]
    assert (row.only_a, row.only_b) == (5, 2)
    assert row.difference == pytest.approx(0.03)
    assert 0.2 < row.p < 58 / 128  # The exact test of 5 against 2.
    assert verdict.close == [row.b] and not row.significant


def test_images_are_paired_by_index_not_by_row(tmp_path):
    write(tmp_path, 0, 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'logistic', 85)
    shuffled = np.random.default_rng(0).permutation(100)
    rows = {k: v[shuffled] for k, v in made.predictions(85).items()}
    results.write(tmp_path, record, rows)
    ((verdict,), _) = judged(tmp_path)
    (row,) = verdict.comparisons
    assert (row.only_a, row.only_b) == (5, 0)


def test_of_one_seed_nothing_that_was_trained_is_significant(tmp_path):
    write(tmp_path, 0, 95, 'scratch')
    write(tmp_path, 1, 20, 'scratch')
    write(tmp_path, 2, 10)
    ((verdict,), _) = judged(tmp_path)
    assert [row.p for row in verdict.comparisons] == [None, None]
    assert len(verdict.close) == 2


def test_fixed_features_need_no_seeds_and_several_are_no_more_evidence(tmp_path):
    write(tmp_path, 0, 95)
    write(tmp_path, 1, [60, 60, 60])
    ((verdict,), _) = judged(tmp_path)
    (row,) = verdict.comparisons
    assert row.significant and row.p < 1e-6
    low, high = verdict.intervals[row.b.name]
    assert (low, high) == pytest.approx((0.502, 0.691), abs=1e-3)  # Wilson's of 100.


def test_seeds_that_disagree_are_no_evidence(tmp_path):
    write(tmp_path, 0, [76, 90, 90], 'scratch')
    write(tmp_path, 1, [84, 80, 80], 'scratch')
    ((verdict,), _) = judged(tmp_path)
    (row,) = verdict.comparisons
    assert row.a.network == made.NETWORKS[0]
    assert row.difference == pytest.approx(4 / 100) and row.p > 0.3
    # Means over all pairs of seeds, by hand: of 76 against 84, 80, 80 none and so on.
    assert row.only_a == pytest.approx((0 + 0 + 0 + 2 * (6 + 10 + 10)) / 9)
    assert row.only_b == pytest.approx((8 + 4 + 4) / 9)


def test_seeds_that_agree_are_evidence(tmp_path):
    write(tmp_path, 0, [90, 91, 90], 'scratch')
    write(tmp_path, 1, [60, 62, 61], 'scratch')
    ((verdict,), _) = judged(tmp_path)
    assert verdict.close == [] and verdict.comparisons[0].p_adjusted < 0.001


def test_the_score_of_the_best_of_many_close_ones_is_corrected_down(tmp_path):
    for i, arch in enumerate(('a', 'b', 'c', 'd', 'e')):
        made.write_cell(tmp_path, arch, 'logistic', 80, first=11 * i, weights='slim')
    ((verdict,), _) = judged(tmp_path)
    assert verdict.low < 0.7 < verdict.high < 0.84


def test_cells_have_the_interval_of_their_verdict(tmp_path):
    write(tmp_path, 0, [70, 80, 90], 'scratch')
    (cell,) = cells.cells(cells.read(tmp_path))
    (verdict,), _ = verdicts.verdicts([cell], tmp_path)
    (found,) = verdicts.with_intervals([cell], [verdict])
    assert found.interval == verdict.intervals[cell.name]
    # Without predictions it is no narrower.
    assert cell.interval[0] <= found.interval[0] + 1e-3


def test_other_test_images_are_not_compared(tmp_path):
    write(tmp_path, 0, 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'logistic', 85)
    other = made.predictions(85)
    other['index'] += 1
    results.write(tmp_path, record, other)
    ((verdict,), (note,)) = judged(tmp_path)
    assert verdict.comparisons == () and 'different images' in note


def test_predictions_that_are_gone_are_said(tmp_path):
    write(tmp_path, 0, 90)
    record = made.write_cell(tmp_path, made.NETWORKS[1], 'logistic', 85)
    (results.folder(tmp_path, record.run) / 'predictions.npz').unlink()
    ((verdict,), (note,)) = judged(tmp_path)
    assert verdict.comparisons == () and 'predictions.npz is missing' in note


def test_mean_per_class_is_judged_by_its_own_values(tmp_path):
    # 5 classes of 20; the rivals differ in images 80-84, one of each class.
    for arch, right in zip(made.NETWORKS, (85, 80), strict=False):
        run = made.run(arch, 'logistic')
        record = made.record(run, right / 100, metric='mean_per_class')
        results.write(tmp_path, record, made.predictions(right))
    ((verdict,), _) = judged(tmp_path)
    (row,) = verdict.comparisons
    assert row.difference == pytest.approx(0.05)
    assert 0.02 < row.p < 2 / 2**5  # Beside the sign test's.


def test_average_precision_has_no_verdict(tmp_path):
    found = [made.record(made.run(name, 'logistic'), 0.5, metric='voc_map')
             for name in made.NETWORKS]  # fmt: skip
    assert verdicts.verdicts(cells.cells(found), tmp_path) == ([], [])
