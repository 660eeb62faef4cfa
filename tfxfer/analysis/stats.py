"""Log odds, error bars, correlations and paired tests of the study.

Arrays in, numbers out. Every function refuses (ValueError) what it cannot answer:
a NaN, too few values, or networks that were not measured on the same datasets.
"""

import typing
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy import stats as scipy_stats

LEVEL = 0.95  # Of every interval here, unless another is asked for.
_SUBSETS = 16  # Networks or datasets, of whose subsets all 2^n are looked at.


def log_odds(p: ArrayLike, n: ArrayLike | None = None) -> np.ndarray:
    """ln(p / (1 - p)) of proportions p, 0-1; an array of p's shape.

    The plain logit, as in the paper, wherever it is finite. Where p is exactly 0 or 1
    the counts c = p n are corrected by a half: ln((c + 1/2) / (n - c + 1/2)).

    Args:
        p: scalar or array.
        n: how many each p is a proportion of; needed only where p is 0 or 1.

    Raises:
        ValueError: p outside 0-1 or not a number; p is 0 or 1 and n is not given.
    """
    p = np.asarray(p, float)
    _refuse(~((p >= 0) & (p <= 1)), p, 'Proportions must be from 0 to 1')
    ends = (p == 0) | (p == 1)
    if not ends.any():
        return special.logit(p)
    if n is None:
        raise ValueError(
            'The log odds of 0 and 1 are infinite; give n, the number of images, to '
            'correct the counts by 1/2.'
        )
    n = np.broadcast_to(np.asarray(n, float), p.shape)
    _refuse(ends & ~(n >= 1), n, 'Numbers of images must be at least 1')
    corrected = (p * n + 0.5) / ((1 - p) * n + 0.5)
    return np.where(ends, np.log(corrected), special.logit(np.where(ends, 0.5, p)))


def proportion(x: ArrayLike) -> np.ndarray:
    """The proportion, 0-1, whose log odds are x: the inverse of the plain logit."""
    return special.expit(np.asarray(x, float))


def wilson(
    correct: ArrayLike, n: ArrayLike, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion: (low, high), each 0-1.

    Args:
        correct: how many of n; need not be whole (a mean over seeds that were scored
            on the same images).
        n: number of images, at least 1.

    Raises:
        ValueError: not 0 <= correct <= n, or n < 1.
    """
    correct, n = np.broadcast_arrays(np.asarray(correct, float), np.asarray(n, float))
    _refuse(~(n >= 1), n, 'Numbers of images must be at least 1')
    _refuse(~((correct >= 0) & (correct <= n)), correct, 'Counts must be from 0 to n')
    z = scipy_stats.norm.isf((1 - level) / 2)
    p = correct / n
    centre = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low = (centre - half) / (1 + z**2 / n)
    high = (centre + half) / (1 + z**2 / n)
    # Exactly 0 and 1 in theory; rounding would put them just beside. It does with
    # statsmodels' function (which takes as long), whose log odds then are not infinite.
    return np.where(correct == 0, 0.0, low), np.where(correct == n, 1.0, high)


def adjusted(x: ArrayLike) -> np.ndarray:
    """Dataset-centred scores a[m, d] = x[m, d] - mean over networks of x[., d].

    x [networks, datasets]: log odds, every network on every dataset.

    Raises:
        ValueError: a missing cell; a mean over different networks would mislead.
    """
    x = np.asarray(x, float)
    if x.ndim != 2 or not x.size:
        raise ValueError(f'Takes scores [networks, datasets]; got shape {x.shape}.')
    missing = np.argwhere(~np.isfinite(x))
    if len(missing):
        raise ValueError(
            f'{len(missing)} of {x.size} (network, dataset) cells have no score, the '
            f'first at {tuple(missing[0].tolist())}; use the datasets that all '
            'networks have.'
        )
    return x - x.mean(axis=0)


class Common(typing.NamedTuple):
    """What of a table [networks, datasets] with gaps can be averaged over datasets.

    Attributes:
        measured: bools [networks, datasets], whether there is a score.
        missing: (network, dataset) pairs without a score, in the order of the table.
        datasets: those that all networks have; may be none.
        block: (networks, datasets) of the largest part without a gap, of at least 2
            networks; both empty where there is none.
        exact: whether no larger block exists; False where it was found by leaving out
            one network or dataset after the other.
    """

    measured: np.ndarray
    missing: tuple[tuple[str, str], ...]
    datasets: tuple[str, ...]
    block: tuple[tuple[str, ...], tuple[str, ...]]
    exact: bool


def common(x: ArrayLike, networks: Iterable[str], datasets: Iterable[str]) -> Common:
    """The two complete parts that a table with gaps offers: a Common.

    The largest block is exact where there are at most 16 networks or 16 datasets. Of
    equally large ones it is that of more networks, then of the earlier.

    Args:
        x: scores [networks, datasets], NaN where there is none.
        networks, datasets: their names.

    Raises:
        ValueError: x of another shape, an infinite score, or a name given twice.
    """
    x = np.asarray(x, float)
    networks, datasets = tuple(networks), tuple(datasets)
    if x.shape != (len(networks), len(datasets)):
        raise ValueError(
            f'Scores must be [networks, datasets]; got {x.shape} for {len(networks)} '
            f'networks and {len(datasets)} datasets.'
        )
    _refuse(np.isinf(x), x, 'Scores must be finite, or NaN where there is none')
    for kind, names in (('networks', networks), ('datasets', datasets)):
        if len(set(names)) < len(names):
            raise ValueError(f'Names of {kind} must differ; got {names}.')
    measured = ~np.isnan(x)
    exact = min(x.shape) <= _SUBSETS
    if not exact:
        rows, columns = _thinned(measured)
    elif x.shape[0] <= x.shape[1]:
        rows, columns = _largest(measured)
    else:
        columns, rows = _largest(measured.T, sideways=True)
    return Common(
        measured,
        tuple((networks[i], datasets[j]) for i, j in np.argwhere(~measured)),
        tuple(datasets[j] for j in np.flatnonzero(measured.all(axis=0))),
        (tuple(networks[i] for i in rows), tuple(datasets[j] for j in columns)),
        exact,
    )


def _largest(measured, *, sideways=False):
    """(rows, columns) of the largest block, of at least 2 networks.

    measured [n, m], n small: for every subset of rows, the columns that all of them
    have, as the bits of an integer. sideways: rows are datasets.
    """
    columns = [sum(1 << j for j in np.flatnonzero(row).tolist()) for row in measured]
    shared = [(1 << measured.shape[1]) - 1]
    most, block = (1, 0), (0, 0)  # A block of nothing is none.
    for subset in range(1, 1 << len(columns)):
        lowest = (subset & -subset).bit_length() - 1
        shared.append(shared[subset & (subset - 1)] & columns[lowest])
        sizes = subset.bit_count(), shared[subset].bit_count()
        networks = sizes[1] if sideways else sizes[0]
        if networks >= 2 and (sizes[0] * sizes[1], networks) > most:
            most, block = (sizes[0] * sizes[1], networks), (subset, shared[subset])
    return tuple(
        [i for i in range(bits.bit_length()) if bits >> i & 1] for bits in block
    )


def _thinned(measured):
    """(networks, datasets) of a block: the line with most gaps goes, again and again.

    By the share of gaps in a line; of equals a network goes, then the last.
    """
    rows, columns = np.arange(measured.shape[0]), np.arange(measured.shape[1])
    while not measured[np.ix_(rows, columns)].all():
        gaps = ~measured[np.ix_(rows, columns)]
        by_row, by_column = gaps.mean(axis=1), gaps.mean(axis=0)
        if by_row.max() >= by_column.max():
            rows = np.delete(rows, len(rows) - 1 - by_row[::-1].argmax())
        else:
            columns = np.delete(columns, len(columns) - 1 - by_column[::-1].argmax())
    if len(rows) < 2 or not len(columns):
        return [], []
    return rows.tolist(), columns.tolist()


def within_errors(x: ArrayLike) -> np.ndarray:
    """Morey's (2008) within-dataset standard error of each network's mean [networks].

    Standard error of a[m, .] (see `adjusted`) over datasets x sqrt(M / (M - 1)), M
    networks: what differs between datasets for all networks alike is left out.

    Raises:
        ValueError: fewer than 2 networks or datasets, or a missing cell.
    """
    centred = adjusted(x)
    networks, datasets = centred.shape
    if networks < 2 or datasets < 2:
        raise ValueError(
            'Within-dataset errors need at least 2 networks and 2 datasets; got '
            f'{networks} and {datasets}.'
        )
    error = centred.std(axis=1, ddof=1) / np.sqrt(datasets)
    return error * np.sqrt(networks / (networks - 1))


class Correlation(typing.NamedTuple):
    """Pearson's r of n pairs, its two-sided p and Fisher interval; Spearman's rho."""

    r: float
    p: float
    low: float
    high: float
    rho: float
    n: int


def correlate(x: ArrayLike, y: ArrayLike, level: float = LEVEL) -> Correlation:
    """Correlation of x [n] and y [n].

    The interval is Fisher's, tanh(arctanh r +- z / sqrt(n - 3)); of 3 pairs it is all
    of -1 to 1.

    Raises:
        ValueError: fewer than 3 pairs, one not finite, or x or y all the same.
    """
    x, y = _pairs(x, y, least=3)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError('One side of the pairs is constant: r is undefined.')
    r, p = scipy_stats.pearsonr(x, y)
    low, high = -1.0, 1.0
    if len(x) > 3:
        z = scipy_stats.norm.isf((1 - level) / 2) / np.sqrt(len(x) - 3)
        with np.errstate(divide='ignore'):  # r = 1: an interval of no width.
            low, high = np.tanh(np.arctanh(r) + np.array([-z, z]))
    rho = scipy_stats.spearmanr(x, y).statistic
    return Correlation(float(r), float(p), float(low), float(high), float(rho), len(x))


def line(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Least-squares line through n >= 2 points: (slope, intercept).

    Raises:
        ValueError: fewer than 2 points, one not finite, or x all the same.
    """
    x, y = _pairs(x, y, least=2)
    if np.ptp(x) == 0:
        raise ValueError(f'All points are at x = {x[0]}: the slope is undefined.')
    slope, intercept = _fit(x[None], y[None])
    return float(slope[0]), float(intercept[0])


def line_band(
    x: ArrayLike,
    y: ArrayLike,
    at: ArrayLike,
    *,
    samples: int = 2000,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap band of the least-squares line at `at` [k]: (low [k], high [k]).

    Networks are resampled with replacement; percentiles of the refitted lines. Samples
    whose points all have one x have no line and are replaced by others.

    Raises:
        ValueError: fewer than 3 points, one not finite, or x all the same.
    """
    x, y = _pairs(x, y, least=3)
    if np.ptp(x) == 0:
        raise ValueError(f'All points are at x = {x[0]}: the slope is undefined.')
    rng = np.random.default_rng(seed)
    chosen = np.empty((0, len(x)), int)
    while len(chosen) < samples:
        more = rng.integers(len(x), size=(samples, len(x)))
        chosen = np.concatenate([chosen, more[np.ptp(x[more], axis=1) > 0]])
    slope, intercept = _fit(x[chosen[:samples]], y[chosen[:samples]])
    lines = slope[:, None] * np.asarray(at, float) + intercept[:, None]
    low, high = np.quantile(lines, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


class Difference(typing.NamedTuple):
    """Mean of n paired differences, its interval and the paired t-test's p."""

    mean: float
    low: float
    high: float
    t: float
    p: float
    n: int


def paired_t(x: ArrayLike, y: ArrayLike, level: float = LEVEL) -> Difference:
    """Paired t-test of two networks' log odds x [n], y [n] on the same n datasets.

    Raises:
        ValueError: fewer than 2 datasets, one not finite, or the same difference on
            all, whose variance of 0 has no t.
    """
    x, y = _pairs(x, y, least=2)
    spread, size = np.ptp(x - y), np.abs([x, y]).max()
    if spread <= 1e-12 * size:
        raise ValueError('The difference is the same on all datasets: t is undefined.')
    test = scipy_stats.ttest_rel(x, y)
    low, high = test.confidence_interval(level)
    return Difference(
        mean=float(np.mean(x - y)),
        low=float(low),
        high=float(high),
        t=float(test.statistic),
        p=float(test.pvalue),
        n=len(x),
    )


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's adjusted p values [n], in the order given.

    One at most 0.05 is significant with all n comparisons taken together.

    Raises:
        ValueError: a p outside 0-1.
    """
    p = np.asarray(p, float)
    _refuse(~((p >= 0) & (p <= 1)), p, 'p values must be from 0 to 1')
    # statsmodels' multipletests gives the same bits, but each call runs gc.collect():
    # 140 ms for 47 values, and a report makes one call per task; this takes 20 us.
    order = np.argsort(p, kind='stable')
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(steps, 1)
    return result


def _fit(x, y):
    """Slopes and intercepts of lines through x, y [lines, points]."""
    dx = x - x.mean(axis=1, keepdims=True)
    slope = (dx * y).sum(axis=1) / (dx**2).sum(axis=1)
    return slope, y.mean(axis=1) - slope * x.mean(axis=1)


def _pairs(x: ArrayLike, y: ArrayLike, *, least: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f'Pairs must be two [n] arrays; got {x.shape} and {y.shape}.')
    if len(x) < least:
        raise ValueError(f'Needs at least {least} pairs; got {len(x)}.')
    _refuse(~np.isfinite(x), x, 'Values must be finite')
    _refuse(~np.isfinite(y), y, 'Values must be finite')
    return x, y


def _refuse(bad, values, rule):
    if np.any(bad):
        first = np.broadcast_to(values, np.shape(bad))[bad].flat[0]
        raise ValueError(f'{rule}; got {first}.')
