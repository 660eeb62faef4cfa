import numpy as np
import pytest
import scipy.special

from tests.support.logistic import ITERATIVE, L2S, both_methods, features, present
from tfxfer import logreg
from tfxfer.logreg import warm_start
from tfxfer.logreg.problem import prepare


@both_methods
def test_a_warm_start_saves_passes_over_the_images(limits):
    x, y = features(300, 12, 4, apart=0.5)
    warm, cold = [], []
    list(logreg.path(x, y, 4, L2S, warm, limits))
    list(logreg.path(x, y, 4, [0.1], cold, limits))
    nearest = min(warm, key=lambda entry: abs(np.log(entry['l2'] / 0.1)))
    assert nearest['iterations'] < cold[0]['iterations'] / 2


def test_l2s_far_apart_take_fewer_passes_than_all_between():
    x, y = features(300, 40, 4, apart=1)
    passes = {}
    for every in (1, 8):
        trace = []
        list(logreg.path(x, y, 4, L2S[::every], trace, ITERATIVE))
        assert all(entry['solved'] for entry in trace)
        passes[every] = sum(entry['iterations'] for entry in trace)
    assert passes[8] <= passes[1]


def test_a_line_through_two_near_l2s_is_not_followed_far():
    x, y = features(300, 12, 4, apart=0.5)
    near, apart = [], []
    list(logreg.path(3 * x, y, 4, [1000, 990, 1e-6], near))
    list(logreg.path(3 * x, y, 4, [1000, 1e-6], apart))
    assert near[-1]['iterations'] <= 1.5 * apart[-1]['iterations']


def test_l2s_between_fall_by_equal_factors_below_two():
    between = warm_start.intermediate_l2s(1000.0, 100.0)
    ratios = np.array([1000.0, *between]) / [*between, 100.0]
    np.testing.assert_allclose(ratios, 10 ** (1 / 4))
    assert warm_start.intermediate_l2s(1000.0, 600.0) == []


def test_the_minimum_of_a_quadratic_in_the_plane_is_that_of_linear_algebra():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 2, 2))
    curvature, slope = root @ root.swapaxes(1, 2), rng.standard_normal((3, 2))
    c = warm_start.plane_minimum(slope, curvature)
    expected = -np.linalg.solve(curvature, slope[..., None])[..., 0]
    np.testing.assert_allclose(c, expected)


def test_two_equal_moves_are_one_direction():
    c = warm_start.plane_minimum(np.array([[-6.0, -6.0]]), np.full((1, 2, 2), 3.0))
    np.testing.assert_allclose(c, [[1, 1]])


@pytest.mark.parametrize('multi_label', [False, True])
def test_without_weights_the_scores_are_the_log_odds_of_the_classes(multi_label):
    x, y = features(100, 5, 3, apart=0.5)
    y = present(100, 3) if multi_label else y
    b = warm_start.weightless(prepare(x, y, 3))
    assert not b[:, 1:].any()
    if multi_label:
        shares = (y == 1).sum(axis=0) / (y >= 0).sum(axis=0)
        np.testing.assert_allclose(scipy.special.expit(b[:, 0]), shares)
    else:
        shares = np.bincount(y) / 100
        np.testing.assert_allclose(scipy.special.softmax(b[:, 0]), shares)
