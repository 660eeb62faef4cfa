import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import cells, class_accuracy


def write(folder, predicted, label, *, setting='logistic', **fields):
    """A Run of 3 classes whose predictions are these."""
    logits = np.eye(3, dtype=np.float32)[predicted]
    weights = '' if setting == 'scratch' else 'slim'
    given = {'arch': 'net', 'dataset': 'pets', 'weights': weights, **fields}
    run = made.run(setting=setting, **given)
    score = float(np.mean(np.equal(predicted, label)))
    record = made.record(run, score, n=len(label), classes=('cat', 'dog', 'owl'))
    arrays = {'index': np.arange(len(label)), 'label': np.array(label, np.int32)}
    results.write(folder, record, {**arrays, 'logits': logits})


LABEL = [0] * 5 + [1] * 3 + [2]
PREDICTED = [0, 0, 0, 2, 2, 1, 1, 1, 0]  # 3 of 5 right, 3 of 3, 0 of 1.


def rows(folder, others=()):
    found = cells.cells(cells.read(folder))
    best = cells.best(found)
    assert best is not None
    return class_accuracy.of_classes(
        best, [cell for cell in found if cell.network in others], folder
    )


def test_each_class_is_counted_and_has_wilsons_interval(tmp_path):
    write(tmp_path, PREDICTED, LABEL)
    found = rows(tmp_path)
    assert [row.number for row in found] == [0, 1, 2]
    for row, (right, of) in zip(found, [(3, 5), (3, 3), (0, 1)], strict=True):
        test = scipy_stats.binomtest(right, of).proportion_ci(method='wilson')
        assert (row.images, row.score) == (of, pytest.approx(right / of))
        assert (row.low, row.high) == pytest.approx(tuple(test))
    assert [row.other for row in found] == [2, None, 0]
    assert [row.to_other for row in found] == pytest.approx([2 / 5, 0, 1])


def test_seeds_are_averaged_and_widen_the_interval(tmp_path):
    label = [0] * 40 + [1] * 40
    sure, low = np.array(label), np.array(label)
    low[:20] = 1
    for seed, predicted in enumerate((sure, low)):
        write(tmp_path, predicted, label, setting='scratch', seed=seed)
    first, second = rows(tmp_path)
    assert (first.score, second.score) == (0.75, 1)
    wilson = scipy_stats.binomtest(30, 40).proportion_ci(method='wilson')
    assert first.low < wilson.low and first.high > wilson.high
    assert (first.other, first.to_other) == (1, 0.25)


def test_others_are_beside_the_best_in_each_class(tmp_path):
    write(tmp_path, LABEL, LABEL)
    write(tmp_path, PREDICTED, LABEL, arch='second')
    found = rows(tmp_path, others=('second',))
    assert [(row.cell.network, row.number) for row in found] == [
        (name, number) for number in range(3) for name in ('net', 'second')
    ]
    assert [row.score for row in found[::2]] == [1, 1, 1]
    assert [row.score for row in found[1::2]] == pytest.approx([3 / 5, 1, 0])


def test_without_predictions_there_is_nothing(tmp_path):
    write(tmp_path, LABEL, LABEL)
    (path,) = tmp_path.glob('*/predictions.npz')
    path.unlink()
    assert rows(tmp_path) == []
