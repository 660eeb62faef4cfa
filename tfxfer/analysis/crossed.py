"""How sure scores are, over test images and over seeds at once.

Every seed of every network is scored on the same test images: images and seeds are
crossed. As in a two-way random-effects model (of radiology's studies of readers and
cases: Obuchowski and Rockette 1995, Hillis 2007), the variance of a mean over both is
that of the images plus that of the seeds, without what of the second is the first's.
docs/statistics.md has the reasons and what simulations say.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special
from scipy import stats as scipy_stats

from tfxfer.analysis import stats


@dataclasses.dataclass(frozen=True, eq=False)
class Outcomes:
    """What k classifiers made of the same n test images.

    Attributes:
        right: of each classifier an array [seeds, n], 1 where an image is classified
            correctly, else 0. The seeds may differ in number.
        weight: [n] of the images in the score, of sum 1: 1 / n for accuracy, 1 /
            (classes x images of its class) for mean-per-class accuracy.
        stratum: [n] ints; images that are drawn apart, as the classes are where each
            counts the same. All 0 for accuracy.
        varies: [k] bools; False where another seed would change nothing.
        paired: whether equal rows of `right` were fitted on the same images, as with
            subsets that the seed draws: what they share is no difference.
    """

    right: Sequence[np.ndarray]
    weight: np.ndarray
    stratum: np.ndarray
    varies: Sequence[bool]
    paired: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """Variances of the scores of k classifiers.

    Attributes:
        score: [k], means over seeds, 0-1.
        images: [k, k], covariance of the scores that stems from the test images.
        own: [k], variance of each mean over seeds that stems from seeds, without what
            all classifiers share.
        shared: variance that seeds give to all alike; 0 unless paired.
        freedom: [k], degrees of freedom of `own`; inf where there is no such variance.
        n: test images.
        grain: the least that two scores can differ.
    """

    score: np.ndarray
    images: np.ndarray
    own: np.ndarray
    shared: float
    freedom: np.ndarray
    n: int
    grain: float

    @property
    def covariance(self) -> np.ndarray:
        """[k, k], of the scores, from images and seeds."""
        return self.images + np.diag(self.own) + self.shared

    @property
    def proportion(self) -> np.ndarray:
        """[k] scores with half an image added to right and wrong: never 0 or 1."""
        return (self.n * self.score + 0.5) / (self.n + 1)

    @property
    def binomial(self) -> np.ndarray:
        """[k], p (1 - p) of each `proportion`: never 0."""
        return self.proportion * (1 - self.proportion)


def spread(outcomes: Outcomes) -> Spread:
    """The Spread of Outcomes.

    Variances over seeds are small numbers of few seeds, so they borrow from each other:
    each, in units of p (1 - p), is moderated towards that of all as much as they are
    alike (Smyth 2004, section 6).
    """
    n = len(outcomes.weight)
    parts = [_parts(right, outcomes) for right in outcomes.right]
    # Sums of the same weights in another order must be the same score.
    score = np.array([part.by_seed.mean() for part in parts]).round(12)
    images = np.array([part.deviation for part in parts])
    found = Spread(
        score,
        images @ images.T,
        np.zeros(len(parts)),
        0.0,
        np.full(len(parts), np.inf),
        n,
        float(outcomes.weight.min()) / max(map(len, outcomes.right)),
    )
    several = [
        i
        for i, right in enumerate(outcomes.right)
        if outcomes.varies[i] and len(right) > 1
    ]
    if not several:
        return found
    by_seed = [parts[i].by_seed for i in several]
    residual = np.array([parts[i].residual for i in several])
    counts = np.array([len(scores) for scores in by_seed])
    scale = found.binomial[several]
    own, freedom = _own(by_seed, scale, paired=False)
    alone = np.maximum(own - residual, 0) / counts
    if outcomes.paired and len(several) > 1 and len(set(counts)) == 1:
        own, freedom = _own(by_seed, scale, paired=True)
        apart = np.maximum(own - residual, 0) / counts
        found = dataclasses.replace(
            found, shared=max(0.0, float(np.mean(alone - apart)))
        )
        alone = apart
    found.own[several], found.freedom[several] = alone, freedom
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Parts:
    """Of one classifier.

    by_seed [seeds]: scores. deviation [n]: of images; the sum of its squares is the
    variance of the score. residual: variance of one seed's score that stems from the
    images, beside what all seeds share.
    """

    by_seed: np.ndarray
    deviation: np.ndarray
    residual: float


def _parts(right, outcomes):
    """The _Parts of `right` [seeds, n]."""
    weight, stratum = outcomes.weight, outcomes.stratum
    right = np.asarray(right, float)
    by_seed = right @ weight
    mean = right.mean(axis=0)
    counts = np.bincount(stratum)[stratum]
    # n / (n - 1) of each stratum; of one image its distance from the whole mean.
    unbiased = np.sqrt(np.where(counts > 1, counts / np.maximum(counts - 1, 1), 1))
    centre = np.where(counts > 1, _means(mean, stratum), mean @ weight)
    deviation = weight * (mean - centre) * unbiased
    residual = 0.0
    if len(right) > 1:
        rest = right - mean
        rest -= [np.where(counts > 1, _means(row, stratum), 0) for row in rest]
        residual = float(((weight * unbiased * rest) ** 2).sum() / (len(right) - 1))
    return _Parts(by_seed, deviation, residual)


def _means(values, stratum):
    """Mean of each value's stratum [n]."""
    sums = np.bincount(stratum, weights=values)
    return (sums / np.maximum(np.bincount(stratum), 1))[stratum]


def _own(by_seed, scale, *, paired):
    """(moderated variance of one seed's score [k], degrees of freedom [k])."""
    freedom = np.array([len(scores) - 1.0 for scores in by_seed])
    most = freedom.sum()
    if paired:
        table = np.array(by_seed)
        k = len(table)
        table = (table - table.mean(axis=0)) * np.sqrt(k / (k - 1))
        variance, most = table.var(axis=1, ddof=1), freedom[0] * (k - 1)
    else:
        variance = np.array([scores.var(ddof=1) for scores in by_seed])
    moderated, freedom = moderate(variance / scale, freedom)
    return moderated * scale, np.minimum(freedom, most)


def moderate(
    variance: np.ndarray, freedom: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Moderated variances [k] and their degrees of freedom [k].

    Empirical Bayes with a scaled inverse chi-squared prior, whose two parameters are
    fitted to the logarithms of the variances (Smyth 2004, equations 8 and 9). Where
    those differ no more than chance makes them, all get their mean.

    Args:
        variance: [k], of samples.
        freedom: [k], their degrees of freedom.
    """
    if not np.any(variance > 0):
        return variance, freedom
    pooled = float(np.average(variance, weights=freedom))
    # One of exactly 0 has no logarithm: of few images two seeds may agree by chance.
    logs = np.log(np.maximum(variance, 1e-3 * pooled))
    excess = logs - special.digamma(freedom / 2) + np.log(freedom / 2)
    beyond = 0.0
    if len(variance) > 1:
        chance = float(special.polygamma(1, freedom / 2).mean())
        beyond = float(excess.var(ddof=1)) - chance
    if beyond <= 0:
        return np.full(len(variance), pooled), np.full(len(variance), freedom.sum())
    prior = 2 * _trigamma_inverse(beyond)
    level = np.exp(excess.mean() + special.digamma(prior / 2) - np.log(prior / 2))
    mixed = (prior * level + freedom * variance) / (prior + freedom)
    return mixed, np.minimum(prior + freedom, freedom.sum())


def _trigamma_inverse(value):
    """x with trigamma(x) = value > 0."""
    if value < 1e-6:
        return 1 / value
    return optimize.brentq(lambda x: special.polygamma(1, x) - value, 1e-6, 1e7)


def effective_variance(found: Spread, level: float = stats.LEVEL) -> np.ndarray:
    """[k] variances whose normal intervals are as wide as they should be.

    Images have the normal quantile, seeds that of Student's t with their degrees of
    freedom (Cochran and Cox's rule for a sum of two variances).
    """
    z = scipy_stats.norm.isf((1 - level) / 2)
    t = scipy_stats.t.isf((1 - level) / 2, found.freedom)
    return np.diag(found.images) + (t / z) ** 2 * (found.own + found.shared)


def intervals(
    found: Spread, level: float = stats.LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of each score: (low [k], high [k]), 0-1.

    Wilson's, of as many images as would give this variance: where seeds change nothing
    it is Wilson's of the n images.
    """
    n, p = found.n, found.score
    # The estimate of p (1 - p) / n has n - 1 below; Wilson's own has n.
    variance = effective_variance(found, level) * (n - 1) / n if n > 1 else 0 * p
    known = (variance > 0) & (p > 0) & (p < 1)
    count = np.where(known, p * (1 - p) / np.where(known, variance, 1), n)
    count = np.maximum(count, 1)
    return stats.wilson(p * count, count, level)


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs a < b of k classifiers, one row each.

    Attributes:
        a, b: [pairs], which classifiers.
        difference: score of a minus score of b.
        p: two-sided, of each pair alone.
        adjusted: p of the largest difference among all pairs of k equal classifiers;
            right whichever pair was picked after looking at them.
    """

    a: np.ndarray
    b: np.ndarray
    difference: np.ndarray
    p: np.ndarray
    adjusted: np.ndarray


def pairs(found: Spread, *, samples: int = 4000, seed: int = 0) -> Pairs:
    """Tests that two classifiers are equally good, for all Pairs.

    t-tests over images and seeds; to the images one is added on which the two differ
    (as in McNemar's test with a correction), so that few differences say little. They
    are adjusted by the distribution of the smallest p of all pairs, sampled from
    normal scores with the covariance of these (Westfall and Young's single step): as
    the classifiers err on the same images, that is less than Bonferroni's factor.
    """
    a, b = np.triu_indices(len(found.score), 1)
    difference = found.score[a] - found.score[b]
    images = _of_difference(found.images, a, b) + found.n**-2.0
    seeds = found.own[a] + found.own[b]
    freedom = max(found.n - 1, 1), _freedom(found, a, b)
    p = _p(np.abs(difference), images, seeds, freedom)
    largest = _largest(found, np.sqrt(images + seeds), samples, seed)
    beyond = samples - np.searchsorted(largest, scipy_stats.norm.isf(p / 2))
    sampled = (beyond + 1) / (samples + 1)
    # Beyond what sampling can tell, Bonferroni's bound is the smaller.
    adjusted = np.maximum(p, np.minimum(sampled, np.minimum(1, p * len(p))))
    return Pairs(a, b, difference, p, adjusted)


def _of_difference(covariance, a, b):
    variance = np.diag(covariance)
    return np.maximum(variance[a] + variance[b] - 2 * covariance[a, b], 0)


def _freedom(found, a, b):
    """Of the variance that seeds give to a difference."""
    return np.minimum(np.minimum(found.freedom[a], found.freedom[b]), 1e12)


def _p(distance, images, seeds, freedom):
    """Two-sided p of a distance whose variance has two parts.

    The p at which distance^2 = t^2 images + t'^2 seeds, with the quantiles of Student's
    t of the two degrees of freedom (Cochran and Cox 1957, section 4.14): found by
    bisection on the normal quantile of p.
    """
    low, high = np.zeros(len(distance)), np.full(len(distance), 38.0)
    for _ in range(40):
        middle = (low + high) / 2
        t, s = (-special.stdtrit(f, special.ndtr(-middle)) for f in freedom)
        s = np.where(seeds > 0, s, 0)  # Infinite for a p of 0.
        wide = t**2 * images + s**2 * seeds >= distance**2
        high, low = np.where(wide, middle, high), np.where(wide, low, middle)
    return 2 * scipy_stats.norm.sf((low + high) / 2)


def _largest(found, error, samples, seed):
    """Sorted [samples]: the largest |difference| / error of all pairs of equals."""
    a, b = np.triu_indices(len(found.score), 1)
    if not len(a):
        return np.zeros(samples)
    draws = _draws(found.images + np.diag(found.own), samples, seed)
    largest = np.empty(samples)
    for start in range(0, samples, 500):
        part = draws[start : start + 500]
        apart = np.abs(part[:, a] - part[:, b]) / error
        largest[start : start + 500] = apart.max(axis=1)
    return np.sort(largest)


def _draws(covariance, samples, seed):
    """Normal numbers [samples, k] of this covariance."""
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, len(covariance))) @ factor.T


@dataclasses.dataclass(frozen=True)
class Winner:
    """The best of k classifiers.

    index: which of them. low, high: interval of its score, 0-1, corrected for having
    been picked.
    """

    index: int
    low: float
    high: float


def winner(found: Spread, *, level: float = stats.LEVEL, seed: int = 0) -> Winner:
    """The Winner, the first of the highest scores.

    Its score is probably lucky, the more so the more classifiers there are and the
    closer they are. The interval is right given that it won: the hybrid one of Andrews,
    Kitagawa and McCloskey ("Inference on Winners", Quarterly Journal of Economics 139,
    2024, section 5), here on log odds. Scores are counts, so that half a grain lies
    between winning and losing.
    """
    scale = np.sqrt(effective_variance(found, level)) / np.sqrt(
        np.maximum(np.diag(found.covariance), 1e-300)
    )
    spreads = scale / found.binomial
    covariance = found.covariance * np.outer(spreads, spreads)
    # Half an image, as in `proportion`: a variance of 0 is of a score of 0 or 1.
    covariance[np.diag_indices(len(covariance))] += (
        0.25 / (found.n * found.binomial) ** 2
    )
    x, best = special.logit(found.proportion), int(np.argmax(found.score))
    half = found.grain / 2 / found.binomial[best]
    bounds = _bounds(x, covariance, best, half)
    largest = np.abs(_draws(covariance, 5000, seed) / np.sqrt(np.diag(covariance)))
    part = (1 - level) / 10
    widest = float(np.quantile(largest.max(axis=1), 1 - part))
    error = float(np.sqrt(covariance[best, best]))
    rest = ((1 - level) - part) / (1 - part)
    low, high = (
        _mean_at(quantile, float(x[best]), error, bounds, widest * error)
        for quantile in (1 - rest / 2, rest / 2)
    )
    return Winner(best, float(special.expit(low)), float(special.expit(high)))


def _bounds(x, covariance, best, half):
    """(least, most) that x[best] may be and still win, given the rest.

    The rest: what of x is independent of x[best]. Each x = rest + slope x[best].
    """
    slope = covariance[:, best] / covariance[best, best]
    rest = x - slope * x[best]
    # Of equals the first wins.
    sides = np.where(np.arange(len(x)) < best, half, -half)
    gap, steep = rest + sides, 1 - slope
    up, down = steep > 1e-9, steep < -1e-9
    least = np.max(gap[up] / steep[up], initial=-np.inf)
    most = np.min(gap[down] / steep[down], initial=np.inf)
    return float(least), float(most)


def _mean_at(quantile, x, error, bounds, reach):
    """The mean of the truncated normal distribution of which x is this quantile.

    Truncated to `bounds`, and to `reach` around the mean.
    """

    def excess(mean):
        least, most = max(bounds[0], mean - reach), min(bounds[1], mean + reach)
        if x <= least or most <= least:
            return (0.0 if mean > x - reach else 1.0) - quantile
        if x >= most:
            return 1.0 - quantile
        return _truncated((least - mean, most - mean, x - mean), error) - quantile

    low, high = x - reach, x + reach
    if excess(low) <= 0:
        return low
    if excess(high) >= 0:
        return high
    return optimize.brentq(excess, low, high, xtol=1e-10)


def _truncated(places, error):
    """P(X <= x | least <= X <= most) of a centred normal X; places: these three."""
    least, most, x = (place / error for place in places)
    if least > 0:  # On the side where the distribution function does not end at 1.
        return 1 - _truncated((-most, -least, -x), 1.0)
    below, above, at = scipy_stats.norm.cdf([least, most, x])
    return (at - below) / max(above - below, 1e-300)
