import numpy as np
import pytest

from tfxfer.ranking import source_labels

# Two source classes, four images: three of class 0, one of class 1.
P = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
Y = np.array([0, 0, 1, 0])


def test_leep_by_hand():
    # Sums of the columns: 2.4 and 1.6; of class 0: 2.0 and 1.0; of class 1: .4 and .6.
    zero, one = (2.0 / 2.4, 1.0 / 1.6), (0.4 / 2.4, 0.6 / 1.6)
    expected = [
        0.9 * zero[0] + 0.1 * zero[1],
        0.8 * zero[0] + 0.2 * zero[1],
        0.4 * one[0] + 0.6 * one[1],
        0.3 * zero[0] + 0.7 * zero[1],
    ]
    assert source_labels.leep(P, Y, 2) == pytest.approx(np.mean(np.log(expected)))


def test_nce_by_hand():
    # Source class 0 has labels 0, 0; source class 1 has labels 1, 0: one bit each.
    assert source_labels.nce(P, Y, 2) == pytest.approx(-np.log(2) / 2)


def test_of_a_certain_source_classifier_leep_is_nce():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 4
    certain = np.eye(6)[(y + rng.integers(0, 2, 60)) % 6]
    leep, nce = (f(certain, y, 4) for f in (source_labels.leep, source_labels.nce))
    assert leep == pytest.approx(nce) and leep < 0


def test_source_classes_that_are_the_labels_have_the_highest_score():
    y = np.arange(9) % 3
    assert source_labels.leep(np.eye(3)[y], y, 3) == 0
    assert source_labels.nce(np.eye(3)[y], y, 3) == 0


def test_source_classes_that_do_not_occur_change_nothing():
    wide = np.concatenate([P, np.zeros((4, 3))], axis=1)
    for function in (source_labels.leep, source_labels.nce):
        assert function(wide, Y, 2) == pytest.approx(function(P, Y, 2))


def test_probabilities_are_the_softmax_of_a_linear_layer():
    rng = np.random.default_rng(0)
    f, kernel, bias = (
        rng.standard_normal((5, 3)),
        rng.standard_normal((3, 4)),
        [1e3] * 4,
    )
    logits = f @ kernel
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    made = source_labels.probabilities(f, kernel, np.array(bias))
    np.testing.assert_allclose(made, expected, rtol=1e-9)


def test_logits_are_not_taken_for_probabilities():
    with pytest.raises(ValueError, match='softmax'):
        source_labels.leep(10 * P - 2, Y, 2)
