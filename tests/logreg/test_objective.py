import numpy as np
import pytest
import scipy.optimize
import scipy.special

from tests.support.logistic import present
from tfxfer import logreg


@pytest.mark.parametrize('y', [np.arange(7) % 3, present(7, 3)], ids=['softmax', 'ovr'])
def test_gradient_agrees_with_finite_differences(y):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((7, 4)), rng.standard_normal((5, 3))

    def loss(flat):
        return logreg.loss_and_grad(flat.reshape(5, 3), x, y, l2=0.7)[0]

    numeric = scipy.optimize.approx_fprime(w.ravel(), loss, 1e-7).reshape(5, 3)
    grad = logreg.loss_and_grad(w, x, y, l2=0.7)[1]
    np.testing.assert_allclose(grad, numeric, atol=1e-5)


def test_loss_is_the_sum_over_images_plus_half_l2_without_the_bias():
    x, y = np.array([[1.0], [3.0]]), np.array([0, 1])
    w = np.array([[2.0, 0.0], [0.0, 5.0]])  # Scores (2, 5) and (6, 5).
    expected = np.log(1 + np.exp(3)) + np.log(1 + np.exp(1)) + 10 / 2 * 2**2
    assert logreg.loss_and_grad(w, x, y, l2=10)[0] == pytest.approx(expected)


def test_a_difficult_label_adds_nothing_to_the_loss_of_its_class_only():
    x, w = np.array([[1.0]]), np.array([[2.0, 3.0], [0.0, 0.0]])
    loss, grad = logreg.loss_and_grad(w, x, np.array([[-1, 0]]), l2=1e-12)
    assert loss == pytest.approx(np.log(1 + np.exp(3)))
    assert grad[1].tolist() == pytest.approx([0, scipy.special.expit(3)])


@pytest.mark.parametrize('y', [[0], [[1, 0]]], ids=['softmax', 'ovr'])
def test_loss_of_a_certain_image_is_its_odds_not_rounded_to_zero(y):
    w = np.array([[20.0, -20.0], [0, 0]])
    expected = np.exp(-40.0) if np.ndim(y) == 1 else 2 * np.exp(-20.0)
    loss, grad = logreg.loss_and_grad(w, np.ones((1, 1)), np.array(y), l2=1e-30)
    assert loss == pytest.approx(expected, rel=1e-8, abs=0)
    gradient = 2 * np.exp(-40.0 / np.ndim(y))
    assert np.abs(grad[1]).sum() == pytest.approx(gradient, rel=1e-8, abs=0)


def test_predict_adds_the_last_row_to_every_image():
    w = np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]])
    assert logreg.predict(w, np.array([[1.0, 0.0], [1.0, 1.0]])).tolist() == [
        [11.0, 22.0],
        [14.0, 26.0],
    ]
