import math

import numpy as np
import pytest

from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import mistakes


def written(folder, logits, label, index=None):
    run = made.run('net', 'scratch', dataset='pets')
    index = np.arange(len(label)) if index is None else index
    arrays = {'index': index, 'label': np.array(label, np.int32)}
    arrays['logits'] = np.array(logits, np.float32)
    return results.write(folder, made.record(run, 0.5), arrays)


def test_the_surest_come_first_with_their_softmax(tmp_path):
    logits = [[9, 0], [1, 0], [0, 3], [2, 0]]
    record = written(tmp_path, logits, [0, 1, 0, 1], np.array([7, 5, 3, 1]))
    found = mistakes.most_confident(record, tmp_path, 10)
    # Softmax of two is the logistic function of their difference.
    assert found.image.tolist() == [3, 1, 5]
    assert found.confidence == pytest.approx(
        [1 / (1 + math.exp(-d)) for d in (3, 2, 1)]
    )
    assert (found.label.tolist(), found.predicted.tolist()) == ([0, 1, 1], [1, 0, 0])
    assert mistakes.most_confident(record, tmp_path, 2).image.tolist() == [3, 1]


def test_equally_sure_ones_stand_in_the_order_of_the_dataset(tmp_path):
    record = written(tmp_path, [[1, 0]] * 3, [1] * 3, np.array([30, 10, 20]))
    assert mistakes.most_confident(record, tmp_path, 3).image.tolist() == [10, 20, 30]


def test_where_all_is_right_there_are_none(tmp_path):
    record = written(tmp_path, [[1, 0]] * 3, [0] * 3)
    assert len(mistakes.most_confident(record, tmp_path, 3).image) == 0
