import dataclasses

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from tests.support.logistic import (
    L2S,
    Reference,
    allowed,
    assert_binary_solved,
    assert_solved,
    both_methods,
    features,
    present,
)
from tfxfer import logreg
from tools import bench_logreg

# Solved, not stopped.


@pytest.mark.parametrize('apart', [0.5, 4], ids=['overlapping', 'separable'])
@pytest.mark.parametrize('n, d', [(300, 12), (60, 90)])
@both_methods
def test_every_l2_of_the_protocol_is_solved(n, d, apart, limits):
    assert_solved(*features(n, d, 4, apart), 4, L2S, limits)


@both_methods
def test_noisy_labels_are_solved_at_every_l2(limits):
    x, y = features(400, 40, 5, apart=1)
    y[5:] = np.where(np.arange(395) % 10, y[5:], (y[5:] + 1) % 5)
    assert_solved(x, y, 5, L2S, limits)


@both_methods
def test_two_classes_are_solved_at_every_l2(limits):
    assert_solved(*features(200, 30, 2, apart=0.5), 2, L2S, limits)


@pytest.mark.slow
def test_a_problem_in_float32_is_solved():
    x, y = features(11000, 100, 3, apart=0.2)
    assert x.size > logreg.Limits().float64_size
    assert_solved(x, y, 3, L2S)


@both_methods
def test_l2s_far_apart_are_solved(limits):
    x, y = features(300, 12, 4, apart=0.5)
    assert_solved(x, y, 4, [1e5, 99_999, 10, 1e-6], limits)


@pytest.mark.slow
def test_gaps_do_not_add_up_along_the_path(tmp_path):
    # Directions of little curvature, that a few iterations do not see.
    bench_logreg.make(tmp_path, 4000, 128, 10, apart=1.2)
    x, y = np.load(tmp_path / 'x.npy'), np.load(tmp_path / 'y.npy')
    reference = Reference(x, y)
    for i, (l2, w) in enumerate(logreg.path(x, y, 10, L2S)):
        if i % 6 == 0:
            f, minimum = logreg.loss_and_grad(w, x, y, l2)[0], reference.minimum(l2)
            assert f - minimum <= allowed(minimum, 4000, 10), l2


@both_methods
def test_few_features_for_many_classes_are_solved_at_every_l2(limits):
    # The estimate of the gap needs its smallest eigenvalue here.
    assert_solved(*features(100, 4, 10, apart=1), 10, L2S, limits)


@both_methods
def test_a_rare_class_is_solved_at_every_l2(limits):
    x, y = features(400, 20, 3, apart=0.5)
    y[3:] = 0
    assert_solved(x, y, 3, L2S, limits)


@both_methods
def test_one_image_per_class_is_solved(limits):
    assert_solved(*features(10, 30, 10, apart=1), 10, L2S, limits)


def test_features_of_very_different_scales_are_solved():
    x, y = features(300, 20, 4, apart=0.5)
    x *= np.logspace(-3, 3, 20, dtype=np.float32)
    assert_solved(x, y, 4, L2S)


@both_methods
def test_multi_label_is_one_binary_problem_per_class_on_its_labelled_images(limits):
    x, _ = features(150, 20, 2, apart=1)
    y = present(150, 4)
    trace = []
    assert_binary_solved(x, y, logreg.path(x, y, 4, L2S, trace, limits))
    assert all(entry['solved'] for entry in trace)


def test_probabilities_are_those_of_scikit_learn():
    x, y = features(300, 12, 4, apart=0.5)
    reference = Reference(x, y)
    for l2, w in logreg.path(x, y, 4, [100, 1, 0.01]):
        reference.solve(l2)
        expected = reference.model.predict_proba(x)
        actual = scipy.special.softmax(logreg.predict(w, x), axis=1)
        np.testing.assert_allclose(actual, expected, atol=0.02)


def test_the_minimum_is_that_of_scipy():
    x, y = features(100, 6, 3, apart=0.5)

    def loss(flat):
        f, grad = logreg.loss_and_grad(flat.reshape(7, 3), x, y, l2=0.1)
        return f, grad.ravel()

    best = scipy.optimize.minimize(
        loss, np.zeros(21), jac=True, method='BFGS', options={'gtol': 1e-6}
    )
    f = loss(logreg.fit(x, y, 3, 0.1).astype(np.float64).ravel())[0]
    assert best.fun - 1e-6 < f < best.fun * (1 + 1e-4)


# What the solution must be, whatever the solver.


def test_a_huge_l2_predicts_the_class_frequencies():
    x, _ = features(10, 5, 3, apart=1)
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    w = logreg.fit(x, y, 3, 1e12)
    probabilities = scipy.special.softmax(logreg.predict(w, x), axis=1)
    np.testing.assert_allclose(probabilities, np.tile([0.5, 0.3, 0.2], (10, 1)), 1e-5)


def test_a_huge_l2_predicts_the_share_of_positives_without_the_difficult():
    x, _ = features(6, 5, 2, apart=1)
    y = np.array([[1, 0], [0, 1], [0, 1], [0, 1], [-1, 1], [-1, 0]])
    shares = scipy.special.expit(logreg.predict(logreg.fit(x, y, 2, 1e12), x))
    np.testing.assert_allclose(shares, np.tile([1 / 4, 4 / 6], (6, 1)), 1e-5)


@both_methods
@pytest.mark.parametrize('multi_label', [False, True])
def test_a_constant_feature_has_no_weight_and_duplicates_share_theirs(
    multi_label, limits
):
    x, y = features(200, 10, 3, apart=0.5)
    y = present(200, 3) if multi_label else y
    x[:, 3], x[:, 5] = 7, x[:, 4]
    for l2, w in logreg.path(x, y, 3, [100, 1, 1e-3, 1e-6], limits=limits):
        scale = np.abs(w[4]).max()
        # Of features in float32 the directions without variance are rounding.
        assert np.abs(w[3]).max() <= 1e-3 * scale, l2
        np.testing.assert_allclose(w[4], w[5], atol=1e-3 * scale)


def test_the_bias_takes_up_a_shift_of_the_features():
    x, y = features(200, 10, 3, apart=0.5)
    shifted = logreg.predict(logreg.fit(x + 64, y, 3, 1.0), x + 64)
    np.testing.assert_allclose(
        shifted, logreg.predict(logreg.fit(x, y, 3, 1.0), x), atol=0.01
    )


@both_methods
def test_softmax_weights_sum_to_zero_over_the_classes(limits):
    w = logreg.fit(*features(200, 10, 3, apart=0.5), 3, 0.01, limits=limits)
    np.testing.assert_allclose(w.sum(axis=1), 0, atol=1e-5 * np.abs(w).max())


# The path.


def test_path_runs_from_the_strongest_l2_and_solves_each_once():
    x, y = features(50, 5, 2, apart=1)
    path = list(logreg.path(x, y, 2, [0.1, 100.0, 1e-3, 100.0]))
    assert [l2 for l2, _ in path] == [100.0, 0.1, 1e-3]
    assert all(w.shape == (6, 2) and w.dtype == np.float32 for _, w in path)


@both_methods
def test_fit_is_the_path_at_one_l2(limits):
    x, y = features(300, 12, 4, apart=0.5)
    reference = Reference(x, y)
    for l2 in (1e4, 1.0, 1e-6):
        trace = []
        w = logreg.fit(x, y, 4, l2, trace, limits)
        f, minimum = logreg.loss_and_grad(w, x, y, l2)[0], reference.minimum(l2)
        assert f - minimum <= allowed(minimum, 300, 4)
        assert [entry['l2'] for entry in trace] == [l2]


@both_methods
def test_trace_tells_the_objective_and_how_far_it_can_be_from_the_minimum(limits):
    x, y = features(300, 12, 4, apart=0.5)
    reference, trace = Reference(x, y), []
    for l2, w in logreg.path(x, y, 4, L2S, trace, limits):
        entry, f = trace[-1], logreg.loss_and_grad(w, x, y, l2)[0]
        assert entry['l2'] == l2
        assert entry['objective'] == pytest.approx(f, rel=1e-5)
        assert entry['iterations'] > 0
        assert f - reference.minimum(l2) <= entry['gap'] + 1e-6 * f


@both_methods
def test_an_unsolved_l2_is_named_in_a_warning_and_not_called_solved(caplog, limits):
    few, trace = dataclasses.replace(limits, passes=2), []
    with caplog.at_level('WARNING', logger='absl'):
        logreg.fit(*features(300, 12, 4, apart=0.5), 4, 0.25, trace, few)
    assert [entry['solved'] for entry in trace] == [False]
    assert 'l2 0.25 is not solved' in caplog.text


def test_same_data_same_weights_to_the_last_bit():
    x, y = features(3000, 400, 5, apart=0.5)
    first, second = (logreg.fit(x, y, 5, 0.1) for _ in range(2))
    assert first.tobytes() == second.tobytes()
