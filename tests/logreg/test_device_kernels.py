import numpy as np
import pytest
import tensorflow as tf

from tests.support.logistic import present
from tfxfer.logreg import device_kernels, objective
from tfxfer.logreg.device_kernels import Kernels


def labelled(multi_label, k=4, n=50):
    """Labels as NumPy has them and as Kernels wants them."""
    if multi_label:
        y = present(n, k).T
        return y, tf.constant(y, tf.float64)
    y = np.arange(n) % k
    return y, tf.constant(y == np.arange(k)[:, None])


@pytest.mark.parametrize('multi_label', [False, True])
@pytest.mark.parametrize('scale', [1.0, 300.0])
def test_loss_and_derivatives_are_those_of_the_objective(multi_label, scale):
    y, labels = labelled(multi_label)
    scores = scale * np.random.default_rng(0).standard_normal((4, 50))
    expected = objective.cross_entropy(scores, y)
    actual = device_kernels.cross_entropy(tf.constant(scores), labels)
    losses = np.reshape(expected.losses.sum(axis=-1), (-1, 1))
    for a, b in zip(actual, (losses, *expected[1:]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize('multi_label', [False, True])
def test_the_hessian_in_the_scores_is_that_of_the_objective(multi_label):
    y, labels = labelled(multi_label)
    a, scores = np.random.default_rng(0).standard_normal((2, 4, 50))
    curvature = objective.cross_entropy(scores, y).curvature
    expected = objective.curvature_product(a, y, curvature)
    actual = device_kernels.curvature_product(tf.constant(a), labels, curvature)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def test_a_graph_serves_arrays_of_every_size_and_keeps_none_of_them():
    kernels = Kernels('/CPU:0', False, False)
    for n in (3, 4, 5):
        a, z = np.full((2, n), 1.0), np.full((n, 3), 2.0)
        sums = kernels.image_sums(tf.constant(a), tf.constant(z))
        np.testing.assert_array_equal(sums, np.full((2, 3), 2.0 * n))
    assert len(kernels.graphs) == 1


def test_one_and_two_moves_are_two_graphs():
    kernels = Kernels('/CPU:0', False, False)
    one = tf.ones((2, 3), tf.float64)
    for coefficients, parts in (([[2.0]], 3), ([[2.0, 3.0]], 1)):
        moves = ((one, (one,) * parts),) * len(coefficients[0])
        b, scores = kernels.combined(tf.constant(coefficients, tf.float64), moves)
        assert len(scores) == parts
        for part in (b, *scores):
            np.testing.assert_array_equal(part, np.sum(coefficients) * np.ones((2, 3)))


@pytest.mark.slow
@pytest.mark.parametrize('multi_label', [False, True])
def test_xla_gives_the_same(multi_label):
    _, labels = labelled(multi_label)
    rng = np.random.default_rng(0)
    b, z = tf.constant(rng.random((4, 6))), tf.constant(rng.random((50, 6)))
    plain, compiled = (
        Kernels('/CPU:0', multi_label, jit).evaluate_block(b, z, labels)
        for jit in (False, True)
    )
    for expected, actual in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)
