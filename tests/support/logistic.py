"""Made problems of logistic regression, and their solutions by scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn import linear_model

from tfxfer import config, logreg
from tfxfer.logreg import problem, regularization_path

L2S = config.Logistic().l2s
# Newton steps as large problems take them: by conjugate gradients, in float32.
ITERATIVE = logreg.Limits(exact_unknowns=0, float64_size=0, hessian_size=0)
both_methods = pytest.mark.parametrize(
    'limits', [logreg.Limits(), ITERATIVE], ids=['exact', 'iterative']
)


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


def assert_solved(x, y, classes, l2s, limits=None, backend=None):
    """Every l2 is solved within the tolerance; on a backend, if one is given."""
    reference, trace = Reference(x, y), []
    if backend:
        prepared = problem.prepare(x, y, classes, limits, backend)
        path = regularization_path.solutions(prepared, l2s, trace)
    else:
        path = logreg.path(x, y, classes, l2s, trace, limits)
    for l2, w in path:
        f, minimum = logreg.loss_and_grad(w, x, y, l2)[0], reference.minimum(l2)
        assert f - minimum <= allowed(minimum, len(y), classes), l2
    assert all(entry['solved'] for entry in trace)
    assert len(trace) == len(l2s)


def assert_binary_solved(x, y, path):
    """That each (l2, w) of a path solves the binary problem of each class of y [n, k].

    Each of its labelled images alone.
    """
    (n, k), labelled = y.shape, y.T >= 0
    binary = [Reference(x[labelled[j]], y[labelled[j], j : j + 1]) for j in range(k)]
    for l2, w in path:
        for j, reference in enumerate(binary):
            f = logreg.loss_and_grad(w[:, [j]], x, y[:, [j]], l2)[0]
            minimum = reference.minimum(l2)
            share = 1e-4 * minimum + 1e-7 * n * np.log(k) / k
            assert f - minimum <= share, (l2, j)
