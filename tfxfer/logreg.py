"""L2-regularised logistic regression, solved at every l2 of a path.

The objective is the SUM over images of the cross-entropy plus l2/2 |w|^2 with a free
bias, so l2 is 1/C of scikit-learn. Labels y [n] are classes (softmax); labels
y [n, classes] are 1 present, 0 absent, -1 difficult, and then each class is a binary
problem of its own that leaves its difficult images out.

The method is Newton's, its steps by preconditioned conjugate gradients. Features are
centred and rotated once to the eigenvectors of their second moment, where the Hessian
is close to (mean curvature of the class) x (eigenvalue) + l2 and its inverse therefore
easy to approximate. Products are in float32, sums over images in float64.
"""

import numpy as np
import scipy.linalg
from absl import logging

# Solved means f - f* <= RTOL f* + ATOL n ln(classes); multi-label splits the absolute
# part evenly over the classes and asks it of every class. The absolute part is what
# ends the weakest l2s of separable data, where f* is all but 0.
RTOL, ATOL = 1e-4, 1e-7
_PASSES = 1000  # Passes over the images at one l2, before it is given up.
_ROWS = 2048  # Images to a block, which bounds the float64 temporaries.


def predict(w, x):
    """Scores [n, k] of features x [n, d] under w [d + 1, k], its last row the bias."""
    return x @ w[:-1] + w[-1]


def loss_and_grad(w, x, y, l2):
    """Cross-entropy summed over images, plus l2/2 |w|^2, and its gradient, in float64.

    w [d + 1, k], its last row the unpenalised bias; x [n, d]; y [n] ints, or [n, k]
    with 1 present, 0 absent, -1 left out.
    """
    w, x = np.asarray(w, np.float64), np.asarray(x, np.float64)
    losses, residual, _ = _cross_entropy(predict(w, x).T, np.asarray(y).T)
    grad = np.vstack([x.T @ residual.T + l2 * w[:-1], residual.sum(axis=1)])
    return losses.sum() + l2 / 2 * (w[:-1] ** 2).sum(), grad


def path(x, y, classes, l2s, trace=None):
    """Yields (l2, w) for every distinct l2, strongest first, each started from the last.

    Args:
        x: features [n, d]; may be a memory map.
        y: labels [n] in [0, classes), or [n, classes] of 1, 0 and -1 (left out).
        classes: the number of classes k.
        l2s: penalties in any order.
        trace: a list that gets a dict for each l2: l2, objective, iterations (passes
            over the images), gap (estimate of objective - f*, from above in practice),
            solved. An l2 that is not solved is also logged as a warning.

    Returns:
        An iterator over (l2, w); w is [d + 1, k] float32, its last row the bias.

    Raises:
        ValueError: at once, if the features, labels or l2s cannot give a solution.
    """
    x, y, l2s = np.asanyarray(x), np.asarray(y), list(l2s)
    _check(x, y, classes, l2s)
    return _path(x, y, classes, sorted(set(l2s), reverse=True), trace)


def fit(x, y, classes, l2, trace=None):
    """Solves one l2 and returns w; arguments and errors are those of `path`."""
    _check(np.asanyarray(x), np.asarray(y), classes, [l2])
    # Newton's method needs a start near the solution, and a path leads there.
    steps = max(int(np.ceil(np.log10(_STRONG * len(x) / l2))), 0)
    last = []
    for _, w in path(x, y, classes, l2 * 10.0 ** np.arange(steps + 1), last):
        pass
    if trace is not None:
        trace.append(last[-1])
    return w
