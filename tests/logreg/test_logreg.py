import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import threadpoolctl
from sklearn import linear_model

from tests.conftest import ROOT
from tfxfer import config
from tfxfer.logreg import problem as logreg
from tools import bench_logreg

L2S = config.Logistic().l2s


@pytest.fixture(params=['exact', 'iterative'])
def method(request, monkeypatch):
    """Newton steps as small problems take them, and as large ones do."""
    if request.param == 'iterative':
        for name in ('_SMALL', '_DOUBLE', '_DENSE'):
            monkeypatch.setattr(logreg, name, 0)


def features(n, d, classes, apart, seed=0):
    """Correlated and non-negative, every class present; overlapping if apart < 1."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    hidden = rng.standard_normal((n, d))
    hidden += apart * rng.standard_normal((classes, d))[y]
    mixed = hidden @ rng.standard_normal((d, d)) / d**0.5
    return np.maximum(mixed + 0.5, 0).astype(np.float32), y


def present(n, classes, seed=0):
    """Labels 1, 0 and -1; the first two images hold and lack every class."""
    rng = np.random.default_rng(seed)
    y = rng.choice([1, 0, -1], (n, classes), p=[0.3, 0.6, 0.1])
    y[:2] = [[1], [0]]
    return y


class Reference:
    """scikit-learn in float64, taken only with a proof that it has solved the problem.

    y [n] is a softmax problem, y [n, 1] a binary one.
    """

    def __init__(self, x, y):
        self.x, self.y = x.astype(np.float64), y
        self.model = linear_model.LogisticRegression(
            solver='newton-cholesky', tol=1e-10, max_iter=1000, warm_start=True
        )
        # scikit-learn gives two classes one column u, softmax has -u / 2 and u / 2:
        # half the penalty.
        self.halves = y.ndim == 1 and y.max() == 1

    def solve(self, l2):
        self.model.set_params(C=(2 if self.halves else 1) / l2)
        with warnings.catch_warnings():
            # It may fall back on another solver; the proof below is what counts.
            warnings.simplefilter('ignore')
            self.model.fit(self.x, self.y.ravel())
        w = np.vstack([self.model.coef_.T, self.model.intercept_])
        return np.hstack([-w, w]) / 2 if self.halves else w

    def minimum(self, l2):
        """A lower bound of the objective's minimum, and next to it.

        The objective is l2-strongly convex once the bias is optimal, so
        f* >= f - |gradient|^2 / (2 l2).
        """
        f, grad = logreg.loss_and_grad(self.solve(l2), self.x, self.y, l2)
        below = (grad[:-1] ** 2).sum() / 2 / l2
        assert below < 0.01 * allowed(f, len(self.y), classes=2)
        assert np.abs(grad[-1]).max() < 1e-6
        return f - below


def allowed(f, n, classes):
    return 1e-4 * f + 1e-7 * n * np.log(classes)


def assert_solved(x, y, classes, l2s):
    reference, trace = Reference(x, y), []
    for l2, w in logreg.path(x, y, classes, l2s, trace):
        f, minimum = logreg.loss_and_grad(w, x, y, l2)[0], reference.minimum(l2)
        assert f - minimum <= allowed(minimum, len(y), classes), l2
    assert all(entry['solved'] for entry in trace)
    assert len(trace) == len(l2s)


# The objective.


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


# Solved, not stopped.


@pytest.mark.parametrize('apart', [0.5, 4], ids=['overlapping', 'separable'])
@pytest.mark.parametrize('n, d', [(300, 12), (60, 90)])
@pytest.mark.usefixtures('method')
def test_every_l2_of_the_protocol_is_solved(n, d, apart):
    assert_solved(*features(n, d, 4, apart), 4, L2S)


@pytest.mark.usefixtures('method')
def test_noisy_labels_are_solved_at_every_l2():
    x, y = features(400, 40, 5, apart=1)
    y[5:] = np.where(np.arange(395) % 10, y[5:], (y[5:] + 1) % 5)
    assert_solved(x, y, 5, L2S)


@pytest.mark.usefixtures('method')
def test_two_classes_are_solved_at_every_l2():
    assert_solved(*features(200, 30, 2, apart=0.5), 2, L2S)


@pytest.mark.slow
def test_a_problem_kept_in_float32_is_solved():
    x, y = features(11000, 100, 3, apart=0.2)
    assert x.size > logreg._DOUBLE
    assert_solved(x, y, 3, L2S)


@pytest.mark.usefixtures('method')
def test_l2s_far_apart_are_solved():
    x, y = features(300, 12, 4, apart=0.5)
    assert_solved(x, y, 4, [1e5, 99_999, 10, 1e-6])


@pytest.mark.slow
def test_gaps_do_not_add_up_along_the_path(tmp_path):
    # Directions of little curvature, that a few iterations do not see.
    bench_logreg.make(tmp_path, 4000, 128, 10, apart=1.2)
    x, y = np.load(tmp_path / 'x.npy'), np.load(tmp_path / 'y.npy')
    reference = Reference(x, y)
    for i, (l2, w) in enumerate(logreg.path(x, y, 10, L2S)):
        if i % 3 == 0:
            f, minimum = logreg.loss_and_grad(w, x, y, l2)[0], reference.minimum(l2)
            assert f - minimum <= allowed(minimum, 4000, 10), l2


@pytest.mark.usefixtures('method')
def test_few_features_for_many_classes_are_solved_at_every_l2():
    # The estimate of the gap needs its smallest eigenvalue here.
    assert_solved(*features(100, 4, 10, apart=1), 10, L2S)


@pytest.mark.usefixtures('method')
def test_a_step_too_long_is_shortened():
    x, y = features(100, 3, 2, apart=0.5)
    problem = logreg._Problem(x, y, 2)
    # So far out that the curvature is next to nothing and Newton's step overshoots.
    b = np.array([[0, -9.0, 9, 9], [0, 9, -9, -9]])
    at, _, _ = problem.descend(b, 0.1)
    w = problem.original(at.b)
    f, minimum = logreg.loss_and_grad(w, x, y, 0.1)[0], Reference(x, y).minimum(0.1)
    assert f - minimum <= allowed(minimum, 100, 2)


def test_hessian_is_accurate_where_images_are_certain(monkeypatch):
    monkeypatch.setattr(logreg, '_DOUBLE', 0)  # In float32, 1 - p would be 0.
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 20)
    x = np.eye(3)[y] + 0.1 * rng.standard_normal((60, 3))
    problem = logreg._Problem(x.astype(np.float32), y, 3)
    w, basis = 20 * np.eye(3), problem.turn_back(np.eye(3)).T
    problem.evaluate(np.hstack([w @ problem.mean[:, None], w @ basis]))
    v = rng.standard_normal((3, 4))
    v -= v.mean(axis=0)
    # Finite differences of the gradient, in float64 and the original coordinates.
    direction = np.vstack([basis @ v[:, 1:].T, v[:, 0]])
    direction[-1] -= problem.mean @ direction[:-1]
    start = np.vstack([w, np.zeros(3)])
    ahead, behind = (
        logreg.loss_and_grad(start + h * direction, x.astype(np.float32), y, 0)[1]
        for h in (1e-5, -1e-5)
    )
    change = (ahead - behind) / 2e-5
    change[:-1] -= problem.mean[:, None] * change[-1]
    expected = np.vstack([change[-1], basis.T @ change[:-1]]).T
    scale = np.abs(expected).max()
    assert 0 < scale < 1e-5
    product = problem.back(problem.curve(a, rows) for rows, a in problem.scores(v))
    np.testing.assert_allclose(product, expected, atol=1e-3 * scale)
    full = (problem.hessian()[0] @ v.ravel()).reshape(3, 4)
    np.testing.assert_allclose(full, expected, atol=1e-3 * scale)


@pytest.mark.usefixtures('method')
def test_a_rare_class_is_solved_at_every_l2():
    x, y = features(400, 20, 3, apart=0.5)
    y[3:] = 0
    assert_solved(x, y, 3, L2S)


@pytest.mark.usefixtures('method')
def test_one_image_a_class_is_solved():
    assert_solved(*features(10, 30, 10, apart=1), 10, L2S)


def test_features_of_very_different_scales_are_solved():
    x, y = features(300, 20, 4, apart=0.5)
    x *= np.logspace(-3, 3, 20, dtype=np.float32)
    assert_solved(x, y, 4, L2S)


def test_slow_conjugate_gradients_give_way_to_the_full_hessian(monkeypatch):
    monkeypatch.setattr(logreg, '_SMALL', 0)
    formed, hessian = [], logreg._Problem.hessian
    monkeypatch.setattr(
        logreg._Problem, 'hessian', lambda self: formed.append(1) or hessian(self)
    )
    x, y = features(200, 20, 12, apart=0.5)
    x *= np.logspace(-2, 2, 20, dtype=np.float32)
    assert_solved(x, y, 12, L2S)
    assert formed


@pytest.mark.usefixtures('method')
def test_multi_label_is_a_binary_problem_a_class_on_the_images_that_count():
    x, _ = features(150, 20, 2, apart=1)
    y = present(150, 4)
    kept = y.T >= 0
    binary = [Reference(x[kept[j]], y[kept[j], j : j + 1]) for j in range(4)]
    trace = []
    for l2, w in logreg.path(x, y, 4, L2S, trace):
        for j, reference in enumerate(binary):
            f = logreg.loss_and_grad(w[:, [j]], x, y[:, [j]], l2)[0]
            minimum = reference.minimum(l2)
            share = 1e-4 * minimum + 1e-7 * 150 * np.log(4) / 4
            assert f - minimum <= share, (l2, j)
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


@pytest.mark.usefixtures('method')
@pytest.mark.parametrize('multi_label', [False, True])
def test_a_constant_feature_has_no_weight_and_duplicates_share_theirs(multi_label):
    x, y = features(200, 10, 3, apart=0.5)
    y = present(200, 3) if multi_label else y
    x[:, 3], x[:, 5] = 7, x[:, 4]
    for l2, w in logreg.path(x, y, 3, [100, 1, 1e-3, 1e-6]):
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


@pytest.mark.usefixtures('method')
def test_softmax_weights_sum_to_zero_over_the_classes():
    w = logreg.fit(*features(200, 10, 3, apart=0.5), 3, 0.01)
    np.testing.assert_allclose(w.sum(axis=1), 0, atol=1e-5 * np.abs(w).max())


# The path.


def test_path_runs_from_the_strongest_l2_and_solves_each_once():
    x, y = features(50, 5, 2, apart=1)
    found = list(logreg.path(x, y, 2, [0.1, 100.0, 1e-3, 100.0]))
    assert [l2 for l2, _ in found] == [100.0, 0.1, 1e-3]
    assert all(w.shape == (6, 2) and w.dtype == np.float32 for _, w in found)


@pytest.mark.usefixtures('method')
def test_a_warm_start_saves_passes_over_the_images():
    x, y = features(300, 12, 4, apart=0.5)
    warm, cold = [], []
    list(logreg.path(x, y, 4, L2S, warm))
    list(logreg.path(x, y, 4, [0.1], cold))
    nearest = min(warm, key=lambda entry: abs(np.log(entry['l2'] / 0.1)))
    assert nearest['iterations'] < cold[0]['iterations'] / 2


@pytest.mark.usefixtures('method')
def test_l2s_far_apart_take_fewer_passes_than_all_between(monkeypatch):
    for name in ('_SMALL', '_DOUBLE', '_DENSE'):
        monkeypatch.setattr(logreg, name, 0)
    x, y = features(300, 40, 4, apart=1)
    passes = {}
    for every in (1, 8):
        trace = []
        list(logreg.path(x, y, 4, L2S[::every], trace))
        assert all(entry['solved'] for entry in trace)
        passes[every] = sum(entry['iterations'] for entry in trace)
    assert passes[8] <= passes[1]


def test_error_of_conjugate_gradients_is_bounded_from_above():
    # Textbook iterations on a problem whose solution is known.
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    matrix, solution = q @ np.diag(np.geomspace(0.01, 1, 30)) @ q.T, rng.random(30)
    x, r = np.zeros(30), matrix @ solution
    p, rho, gamma, ratios, plain = r, r @ r, 1 / 0.005, [], []
    for _ in range(20):
        alpha = rho / (p @ matrix @ p)
        x, r = x + alpha * p, r - alpha * matrix @ p
        beta = r @ r / rho
        p, rho = r + beta * p, r @ r
        gamma = logreg._radau(gamma, 0.005, alpha, beta)
        error = (x - solution) @ matrix @ (x - solution)
        assert error <= gamma * rho <= rho / 0.005
        ratios.append(gamma * rho / error)
        plain.append(rho / 0.005 / error)
    assert min(ratios) < 5
    assert np.median(ratios) < np.median(plain) / 2


def test_a_line_through_two_near_l2s_is_not_followed_far():
    x, y = features(300, 12, 4, apart=0.5)
    near, apart = [], []
    list(logreg.path(3 * x, y, 4, [1000, 990, 1e-6], near))
    list(logreg.path(3 * x, y, 4, [1000, 1e-6], apart))
    assert near[-1]['iterations'] <= 1.5 * apart[-1]['iterations']


@pytest.mark.usefixtures('method')
def test_fit_is_the_path_at_one_l2():
    x, y = features(300, 12, 4, apart=0.5)
    reference = Reference(x, y)
    for l2 in (1e4, 1.0, 1e-6):
        trace = []
        f = logreg.loss_and_grad(logreg.fit(x, y, 4, l2, trace), x, y, l2)[0]
        minimum = reference.minimum(l2)
        assert f - minimum <= allowed(minimum, 300, 4)
        assert [entry['l2'] for entry in trace] == [l2]


@pytest.mark.usefixtures('method')
def test_trace_tells_the_objective_and_how_far_it_can_be_from_the_minimum():
    x, y = features(300, 12, 4, apart=0.5)
    reference, trace = Reference(x, y), []
    for l2, w in logreg.path(x, y, 4, L2S, trace):
        entry, f = trace[-1], logreg.loss_and_grad(w, x, y, l2)[0]
        assert entry['l2'] == l2
        assert entry['objective'] == pytest.approx(f, rel=1e-5)
        assert entry['iterations'] > 0
        assert f - reference.minimum(l2) <= entry['gap'] + 1e-6 * f


def test_an_unsolved_l2_is_named_in_a_warning_and_not_called_solved(
    monkeypatch, caplog, method
):
    monkeypatch.setattr(logreg, '_PASSES', 2)
    trace = []
    with caplog.at_level('WARNING', logger='absl'):
        list(logreg.path(*features(300, 12, 4, apart=0.5), 4, [0.25], trace))
    assert [entry['solved'] for entry in trace] == [False]
    assert 'l2 0.25 is not solved' in caplog.text


def test_same_data_same_weights_to_the_last_bit():
    x, y = features(3000, 400, 5, apart=0.5)
    first, second = (logreg.fit(x, y, 5, 0.1) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.usefixtures('method')
@pytest.mark.parametrize('thrice', [0, 150, 300])
def test_images_in_blocks_are_images_at_once(monkeypatch, tmp_path, thrice):
    x, y = features(300, 12, 4, apart=0.5)
    whole = logreg.fit(x, y, 4, 0.1)
    monkeypatch.setattr(logreg, '_BLOCK', 41 * 16 * 4)  # 41 images of 4 classes.
    spare = thrice * 13 - x.size // 4 + logreg._WORK * 4 * 300
    monkeypatch.setattr(logreg, '_SPARE', spare)
    np.save(tmp_path / 'x.npy', x)
    mapped = np.load(tmp_path / 'x.npy', mmap_mode='r')
    np.testing.assert_allclose(
        logreg.fit(mapped, y, 4, 0.1), whole, atol=1e-4 * np.abs(whole).max()
    )


# Where it runs.


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize(('n', 'd', 'k'), [(1, 1, 1), (70, 33, 3), (1001, 130, 10)])
def test_compiled_products_are_numpys(n, d, k, flip):
    rng = np.random.default_rng(0)
    a, other = rng.standard_normal((2, k, d if flip else n), np.float32)
    z = rng.standard_normal((n, d), np.float32)
    expected = a @ (z.T if flip else z)
    for times in (
        logreg._compiled(k, z.shape, flip, z),
        lambda a: logreg._compiled(k, z.shape, flip)(a, z),
    ):
        times(other)
        np.testing.assert_allclose(times(a), expected, rtol=1e-5, atol=1e-4)


def test_blas_has_its_threads_back_after_each_solution():
    def threads():
        return [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]

    x, y = features(3000, 400, 5, apart=0.5)
    before = threads()
    assert x.size > logreg._DOUBLE
    for _ in logreg.path(x, y, 5, [1, 0.1]):
        assert threads() == before


@pytest.mark.usefixtures('method')
@pytest.mark.parametrize('multi_label', [False, True])
def test_products_by_tensorflow_give_the_same_minimum(monkeypatch, multi_label):
    tensorflow = pytest.importorskip('tensorflow')
    place = logreg._Device(tensorflow, '/CPU:0')
    monkeypatch.setattr(logreg, '_place', lambda: place)
    monkeypatch.setattr(logreg, '_BLOCK', 1000)  # 15 images of 4 classes, 31 of 2.
    x, y = features(300, 12, 4, apart=0.5)
    if not multi_label:
        assert_solved(x, y, 4, L2S)
        return
    y = present(300, 2)
    kept = y.T >= 0
    least = sum(
        Reference(x[kept[j]], y[kept[j], j : j + 1]).minimum(0.1) for j in range(2)
    )
    f = logreg.loss_and_grad(logreg.fit(x, y, 2, 0.1), x, y, 0.1)[0]
    assert f - least <= allowed(least, 300, 2)


def test_products_are_on_the_gpu_where_tensorflow_sees_one():
    tensorflow = pytest.importorskip('tensorflow')
    if not tensorflow.config.list_physical_devices('GPU'):
        pytest.skip('TensorFlow sees no GPU')
    x, y = features(11000, 100, 3, apart=0.2)
    assert 'GPU' in logreg._place().put(x).device
    assert_solved(x, y, 3, L2S)


def test_a_device_keeps_the_choice_of_tensor_float_32():
    tensorflow = pytest.importorskip('tensorflow')
    enabled = tensorflow.config.experimental.tensor_float_32_execution_enabled()
    ones = np.ones((2, 2), np.float32)
    product = logreg._Device(tensorflow, '/CPU:0').product(ones, ones, transpose_a=True)
    assert product.tolist() == [[2, 2], [2, 2]]
    assert tensorflow.config.experimental.tensor_float_32_execution_enabled() == enabled


def test_tensorflow_is_never_imported_for_a_path():
    code = (
        'import sys\nimport numpy as np\nfrom tfxfer import logreg\n'
        'logreg.fit(np.eye(4), np.arange(4) % 2, 2, 1.0)\n'
        'assert not {"tensorflow", "keras"} & set(sys.modules)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_largest_features_fit_in_the_memory_that_is_promised(tmp_path):
    # NASNet Large on Food-101, as a memory map of random numbers.
    shape, rng = (75_750, 4032), np.random.default_rng(0)
    x = np.lib.format.open_memmap(tmp_path / 'x.npy', 'w+', np.float32, shape)
    for i in range(0, len(x), 5000):
        x[i : i + 5000] = rng.random(x[i : i + 5000].shape, np.float32)
    x.flush()
    np.save(tmp_path / 'y.npy', np.arange(len(x)) % 101)
    code = (
        'import pathlib\nimport numpy as np\nfrom tfxfer import logreg\n'
        f'x = np.load({str(tmp_path / "x.npy")!r}, mmap_mode="r")\n'
        f'y = np.load({str(tmp_path / "y.npy")!r})\n'
        'list(logreg.path(x, y, 101, [1e5, 1e4, 1e3]))\n'
        # Not getrusage's, which begins with the peak of the process that made this one.
        'print(pathlib.Path("/proc/self/status").read_text())\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    peak = int(re.search(r'VmHWM:\s+(\d+) kB', done.stdout)[1]) * 1024
    assert x.nbytes < peak <= min(2.5 * x.nbytes + 500 * 2**20, 8 * 2**30)


# What has no solution.

X, Y = features(6, 2, 3, apart=1)
BAD = X.copy()
BAD[[1, 4], [0, 1]] = np.nan, np.inf


@pytest.mark.parametrize(
    'x, y, classes, l2, message',
    [
        (BAD, Y, 3, 1, r'2 of 6 images .* NaN or infinite, the first at \[1, 4\]'),
        (X, np.full(6, 3), 3, 1, r'Labels must be 0 to 2 .*found \[3\]'),
        (X, np.array([0, 1, 2, 0, 1, -1]), 3, 1, r'found \[-1\]'),
        (X, Y, 5, 1, r'Classes \[3, 4\] have no image'),
        (X, present(6, 3) + 1, 3, 1, r'Labels must be 1 \(present\).*found \[2\]'),
        (
            X,
            np.ones((6, 3), int),
            3,
            1,
            r'Classes \[0, 1, 2\] have no positive or no n',
        ),
        (X, np.full((6, 1), -1), 1, 1, r'Classes \[0\] have no positive or no neg'),
        (
            X,
            Y[:5],
            3,
            1,
            r'Labels have shape \(5,\), features \(6, 2\): expected \(6,\)',
        ),
        (
            X,
            present(6, 2),
            3,
            1,
            r'Labels have shape \(6, 2\).*\(6, 3\) of 1, 0 and -1',
        ),
        (X, Y + 0.5, 3, 1, 'Labels are float64; whole numbers were expected'),
        (X, np.zeros(6, int), 1, 1, 'needs 2 classes or more, not 1'),
        (
            X[0],
            Y,
            3,
            1,
            r'Features are float32 of shape \(2,\); numbers \[images, feat',
        ),
        (X[:0], Y[:0], 3, 1, r'shape \(0, 2\)'),
        (X[:, :0], Y, 3, 1, r'shape \(6, 0\)'),
        (X, Y, 3, 0, r'positive and finite, is needed; got \[0\]'),
        (X, Y, 3, -1.0, 'positive and finite'),
        (X, Y, 3, np.inf, 'positive and finite'),
        (X, Y, 3, np.nan, 'positive and finite'),
    ],
)
def test_what_has_no_solution_is_refused_at_once(x, y, classes, l2, message):
    for call in (
        lambda: logreg.path(x, y, classes, [l2]),
        lambda: logreg.fit(x, y, classes, l2),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_path_without_l2s_is_refused():
    with pytest.raises(ValueError, match='At least one l2'):
        logreg.path(X, Y, 3, [])
