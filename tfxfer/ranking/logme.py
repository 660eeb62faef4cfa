"""LogME: the evidence of linear models from features to classes (You et al. 2021)."""

import typing

import numpy as np
from scipy import linalg

from tfxfer.ranking import labelled

_GRID = np.linspace(-30.0, 30.0, 121)  # ln(alpha / beta), beside the mean eigenvalue.
_STEPS = 50  # Of golden-section search; each leaves 0.618 of the interval.


def logme(f: np.ndarray, y: np.ndarray, classes: int) -> float:
    """Mean over classes of the largest log evidence per image of its one-hot target.

    The target t [n] of a class, 1 for its images and else 0, is modelled as normal with
    mean 0 and covariance I / beta + f f' / alpha: Bayesian linear regression, of which
    alpha and beta are those that make the target most likely. As the authors', it has
    no intercept: a constant added to all features changes it.

    With r = alpha / beta and the eigenvalues s of f f', the best beta of a given r is
    n / q(r), q = t' (I + f f' / r)^-1 t, and the log evidence is
    -n/2 (ln(2 pi q / n) + 1) - 1/2 sum ln(1 + s / r): a function of r alone, which is
    searched on a grid, then refined. It may rise for ever towards one end, where the
    features say nothing, or everything; the value there is taken.

    Args:
        f: [n, d], features.
        y: i [n], labels.
        classes: number of classes.

    Returns:
        Nats per image.

    Raises:
        ValueError: see labelled.check; or all features are 0.
    """
    labelled.check(f, y, classes)
    spectrum = _spectrum(f, y, classes)
    scale = np.log(spectrum.s.mean())
    table = _evidence(spectrum, scale + np.repeat(_GRID[:, None], classes, axis=1))
    best = table.argmax(axis=0)
    step = _GRID[1] - _GRID[0]
    low = np.maximum(_GRID[best] - step, _GRID[0]) + scale
    high = np.minimum(_GRID[best] + step, _GRID[-1]) + scale
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(_STEPS):
        span = golden * (high - low)
        a, b = high - span, low + span
        left = _evidence(spectrum, a[None])[0] >= _evidence(spectrum, b[None])[0]
        low, high = np.where(left, low, a), np.where(left, b, high)
    refined = _evidence(spectrum, ((low + high) / 2)[None])[0]
    return float(np.maximum(refined, table.max(axis=0)).mean())


class _Spectrum(typing.NamedTuple):
    """What of features and targets the evidence depends on.

    s [k]: eigenvalues of f f' that are not 0. inside [k, classes]: squared parts of
    the targets along their eigenvectors. outside [classes]: squared part of each
    target that no eigenvector has. n: images.
    """

    s: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    n: int


def _spectrum(f, y, classes):
    """The _Spectrum, by the smaller of f f' and f' f."""
    f = np.asarray(f, float)
    n, d = f.shape
    if d <= n:
        s, v = _eigen(f.T @ f)
        along = v.T @ labelled.class_sums(f, y, classes).T
    else:
        s, v = _eigen(f @ f.T)
        along = labelled.class_sums(v, y, classes).T
    kept = s > max(n, d) * np.finfo(float).eps * s[-1]
    if not kept.any():
        raise ValueError('All features are 0: LogME is undefined.')
    s, along = s[kept], along[kept]
    inside = along**2 / (s[:, None] if d <= n else 1)
    counts = np.bincount(y, minlength=classes)
    outside = np.maximum(counts - inside.sum(axis=0), 0)
    # Of as many eigenvectors as images nothing is left but rounding.
    outside[outside < 1e-9 * counts] = 0
    return _Spectrum(s, inside, outside, n)


def _eigen(square):
    """Eigenvalues and eigenvectors, by divide and conquer: the fastest for all."""
    return linalg.eigh(square, overwrite_a=True, check_finite=False, driver='evd')


def _evidence(spectrum, log_r):
    """Log evidence per image at ln r [m, classes]: [m, classes]."""
    s, inside, outside, n = spectrum
    result = np.empty(log_r.shape)
    for row, r in zip(result, np.exp(log_r), strict=True):
        shrunk = r / (r + s[:, None])  # [k, classes]
        q = outside + (inside * shrunk).sum(axis=0)
        row[:] = -0.5 * (np.log(2 * np.pi * q / n) + 1)
        row += 0.5 * np.log(shrunk).sum(axis=0) / n
    return result
