"""The objective: cross-entropy summed over images, plus l2/2 |w|^2 with a free bias.

docs/logistic_regression.md, "Objective" and "Newton's equation".
"""

import typing

import numpy as np


def predict(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Scores [n, k] of features x [n, d] under w [d + 1, k], its last row the bias."""
    return x @ w[:-1] + w[-1]


def loss_and_grad(
    w: np.ndarray, x: np.ndarray, y: np.ndarray, l2: float
) -> tuple[float, np.ndarray]:
    """Cross-entropy summed over images, plus l2/2 |w|^2, and its gradient, in float64.

    w [d + 1, k], its last row the unpenalised bias; x [n, d]; y [n] ints, or [n, k]
    of 1 present, 0 absent, -1 left out.
    """
    w, x = np.asarray(w, np.float64), np.asarray(x, np.float64)
    losses, residual, _ = cross_entropy(predict(w, x).T, np.asarray(y).T)
    grad = np.vstack([x.T @ residual.T + l2 * w[:-1], residual.sum(axis=1)])
    return losses.sum() + l2 / 2 * (w[:-1] ** 2).sum(), grad


class CrossEntropy(typing.NamedTuple):
    """Losses of images and what their derivatives in the scores need.

    All keep their relative accuracy where an image is all but certain.
    """

    losses: np.ndarray  # [n], or [k, n] if binary.
    residual: np.ndarray  # d loss / d score [k, n].
    curvature: np.ndarray  # Probabilities p [k, n], or p (1 - p) if binary.


def cross_entropy(scores: np.ndarray, y: np.ndarray) -> CrossEntropy:
    """Class-major: scores [k, n]; y [n] ints (softmax), or [k, n] of 1, 0, -1."""
    return (_binary if y.ndim == 2 else _softmax)(scores, y)


def _binary(scores, y):
    counts, sign = y >= 0, np.where(y == 1, 1, -1).astype(scores.dtype)
    margin = sign * scores
    tail = np.exp(-np.abs(margin))
    losses = (np.maximum(-margin, 0) + np.log1p(tail)) * counts
    wrong = np.where(margin > 0, tail, 1) / (1 + tail) * counts
    return CrossEntropy(losses, -sign * wrong, tail / (1 + tail) ** 2 * counts)


def _softmax(scores, y):
    labelled = y, np.arange(len(y))
    margin = scores - scores[labelled]
    top = margin.max(axis=0)
    p = np.exp(margin - top)
    p[labelled] = 0
    others, label = p.sum(axis=0), np.exp(-top)
    losses = top + np.log1p(others + np.expm1(-top))
    p /= others + label
    residual = p.copy()
    residual[labelled] = -others / (others + label)
    p[labelled] = label / (others + label)
    return CrossEntropy(losses, residual, p)


def curvature_product(
    a: np.ndarray, y: np.ndarray, curvature: np.ndarray
) -> np.ndarray:
    """The Hessian of the losses in the scores, times a [k, n].

    Softmax: p (a - sum p a) per image; binary: p (1 - p) a.
    """
    if y.ndim == 2:
        return a * curvature
    # Scores relative to that of the label: where its p is nearly 1, the difference
    # from the mean score would else be rounding.
    a = a - a[y, np.arange(len(y))]
    a -= (curvature * a).sum(axis=0)
    a *= curvature
    return a
