import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tfxfer.training import losses


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_softmax_loss_equals_scipy(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = (
        rng.normal(size=(5, 4)).astype(np.float32),
        np.array([0, 3, 1, 1, 2]),
    )
    target = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    expected = -(target * special.log_softmax(logits, axis=1)).sum(1)
    got = losses.cross_entropy(
        tf.constant(labels, tf.int32), tf.constant(logits), smoothing
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_sigmoid_loss_leaves_difficult_classes_out():
    logits = np.array([[1.0, -2.0, 3.0]], np.float32)
    expected = -special.log_expit(1.0) - special.log_expit(-3.0)
    got = losses.cross_entropy(tf.constant([[1, -1, 0]]), tf.constant(logits))
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


@pytest.mark.parametrize(
    'labels, logits, expected',
    [
        ([0, 1, 1], [[2.0, 1], [0, 1], [1, 0]], 2),
        # All labels of an image count together; a difficult one does not count.
        ([[1, 0], [1, 0], [1, -1]], [[1.0, -1], [1, 1], [1, 1]], 2),
    ],
)
def test_hits_by_hand(labels, logits, expected):
    assert losses.hits(tf.constant(labels), tf.constant(logits)) == expected


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.3])
def test_smoothed_labels_are_those_of_tensorflows_loss(smoothing):
    logits = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    labels = np.array([0, 4, 2, 2, 1, 3, 0], np.int32)
    expected = tf.compat.v1.losses.softmax_cross_entropy(
        np.eye(5)[labels], logits, label_smoothing=smoothing, reduction='none'
    )
    ours = losses.cross_entropy(tf.constant(labels), tf.constant(logits), smoothing)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
