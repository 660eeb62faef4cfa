import numpy as np
import pytest
from sklearn import metrics as reference

from tfxfer import metrics


def scores_of(labels, classes):
    return np.eye(classes)[labels]


def test_top1_is_the_share_of_hits():
    assert metrics.top1(np.array([0, 1, 2, 0]), scores_of([0, 1, 0, 0], 3)) == 0.75


def test_mean_per_class_gives_a_rare_class_equal_weight():
    y = np.array([0] * 9 + [1])
    assert metrics.mean_per_class(y, scores_of([0] * 10, 2)) == 0.5


def test_mean_per_class_equals_scikit_learn():
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 5, 200), rng.normal(size=(200, 5))
    expected = reference.balanced_accuracy_score(y, scores.argmax(1))
    assert metrics.mean_per_class(y, scores) == pytest.approx(expected, abs=1e-12)


def test_mean_per_class_refuses_a_class_without_images():
    with pytest.raises(ValueError, match=r'Classes \[2\] have no image'):
        metrics.mean_per_class(np.array([0, 1]), scores_of([0, 1], 3))


def test_voc_map_by_hand():
    # Ranked: hit, miss, hit. Precision at the hits 1 and 2/3, recall 1/2 and 1: the 6
    # recalls 0 to 0.5 have precision 1, the 5 above 2/3.
    y = np.array([[1], [0], [1]])
    scores = np.array([[3.0], [2.0], [1.0]])
    assert metrics.voc_map(y, scores) == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_voc_map_leaves_difficult_images_out_of_their_class():
    y = np.array([[1, 1], [-1, 0], [0, 1]])
    scores = np.array([[1.0, 5.0], [9.0, 1.0], [0.5, 4.0]])
    assert metrics.voc_map(y, scores) == 1.0


def test_voc_map_equals_the_development_kits_definition():
    rng = np.random.default_rng(1)
    y, scores = rng.integers(0, 2, (60, 3)), rng.normal(size=(60, 3))
    expected = []
    for c in range(3):
        precision, recall, _ = reference.precision_recall_curve(y[:, c], scores[:, c])
        points = [precision[:-1][recall[:-1] >= t / 10 - 1e-9].max() for t in range(11)]
        expected.append(np.mean(points))
    assert metrics.voc_map(y, scores) == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize('name', ['top1', 'mean_per_class'])
def test_perfect_predictions_score_one(name):
    y = np.array([0, 1, 2, 1])
    assert metrics.METRICS[name](y, scores_of(y, 3)) == 1.0


def test_voc_map_of_perfect_predictions_is_one():
    y = np.array([[1, 0], [0, 1], [1, 1]])
    assert metrics.METRICS['voc_map'](y, y * 2.0 - 1) == 1.0


@pytest.mark.parametrize(
    'y, scores, message',
    [
        ([0, 1], [[1.0, np.nan], [0.0, 1.0]], 'not finite'),
        ([0, 3], [[1.0, 0.0], [0.0, 1.0]], 'row 1 has 3'),
        ([0], [[1.0, 0.0], [0.0, 1.0]], '1 labels and 2 predictions'),
        ([], np.zeros((0, 2)), 'at least one'),
    ],
)
def test_what_cannot_be_scored_is_refused(y, scores, message):
    with pytest.raises(ValueError, match=message):
        metrics.top1(np.array(y, int), np.array(scores))


def test_voc_map_refuses_a_class_without_positives():
    with pytest.raises(ValueError, match='Class 1 has no positive'):
        metrics.voc_map(np.array([[1, 0], [0, -1]]), np.ones((2, 2)))


def test_top5_equals_scikit_learn_and_ties_go_to_the_lower_class():
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 20, 200), rng.normal(size=(200, 20))
    expected = reference.top_k_accuracy_score(y, scores, k=5, labels=range(20))
    assert metrics.top5(y, scores) == expected
    assert metrics.top5(np.array([4, 5]), np.zeros((2, 8))) == 0.5
