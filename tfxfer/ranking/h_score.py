"""The regularised H-score of features (Ibrahim et al. 2022)."""

import numpy as np
from scipy import linalg

from tfxfer.ranking import labelled


def regularised_h_score(f: np.ndarray, y: np.ndarray, classes: int) -> float:
    """trace(C^-1 (1 - a) G): variance between classes, in units of all variance.

    C = (1 - a) S + a m I is the covariance of the features, shrunk as Ledoit and Wolf
    (2004) do: S is the covariance (divided by n), m the mean of its diagonal, a the
    shrinkage. G is the covariance of what is left when each image gets the mean
    features of its class (divided by n - 1, as in the authors' code). The plain H-score
    (Bao et al. 2019) has a = 0, and grows with d on noise.

    G = M' M with a row per class, so the trace is that of M C^-1 M'. Where d > n, C^-1
    is taken in n dimensions:
    C^-1 = (I - x' (n a m / (1 - a) I + x x')^-1 x) / (a m), x the centred features.

    Args:
        f: [n, d], features.
        y: i [n], labels.
        classes: number of classes.

    Returns:
        0 to `classes` - 1 (nearly); higher is better.

    Raises:
        ValueError: see labelled.check; or the features do not vary.
    """
    labelled.check(f, y, classes)
    x = np.asarray(f, float)
    x = x - x.mean(axis=0)
    n, d = x.shape
    small = x.T @ x if d <= n else x @ x.T  # Their traces and norms are the same.
    mean = float(np.trace(small)) / n / d
    if mean <= 0:
        raise ValueError('The features do not vary: the H-score is undefined.')
    a = shrinkage(x, small)
    counts = np.bincount(y, minlength=classes)[:, None]
    sums = labelled.class_sums(x, y, classes)
    m = sums / np.sqrt(counts * (n - 1.0))
    if a == 1:
        return 0.0
    if a == 0:
        inverse = linalg.pinvh(x.T @ x / n)
        return float((m @ inverse * m).sum())
    ridge = n * a * mean / (1 - a)
    small[np.diag_indices(len(small))] += ridge
    factor = linalg.cho_factor(small, overwrite_a=True, check_finite=False)
    if d <= n:
        return float(n * (m * linalg.cho_solve(factor, m.T).T).sum())
    along = x @ m.T
    rest = (m**2).sum() - (along * linalg.cho_solve(factor, along)).sum()
    return float((1 - a) * rest / (a * mean))


def shrinkage(x: np.ndarray, small: np.ndarray) -> float:
    """Ledoit and Wolf's (2004) share a of the scaled identity, 0-1.

    Args:
        x: [n, d], centred features.
        small: x' x or x x'.
    """
    n, d = x.shape
    size = (x**2).sum(axis=1)  # Of each image.
    total = float(size.sum()) / n
    squares = float((small**2).sum()) / n**2  # Of all entries of the covariance.
    apart = squares - total**2 / d  # From the scaled identity.
    noise = (float((size**2).sum()) / n - squares) / n
    if apart <= 0:
        return 1.0 if noise > 0 else 0.0
    return float(np.clip(noise / apart, 0, 1))
