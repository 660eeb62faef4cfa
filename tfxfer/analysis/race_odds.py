"""How probably each network of a race would be best on all images.

A race measures networks on nested shares of the images. What a share says of the whole
is uncertain in three ways: the rest of the test images is not seen yet, a classifier
that is trained anew errs on other images, and by more images it may gain more or less
than the others do. All are taken for normal in log odds, and with them how networks
differ at all, so that all scores of a race are jointly normal and those on all images
are known as far as the others say.
docs/racing.md has the derivation and what tools.bench_race says of it.
"""

import typing
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from tfxfer.analysis import cells, crossed, verdicts

# Standard deviation, in log odds, of what doubling the images changes in how a network
# stands to the others, before the race has shown any of it; and of how many networks
# that counts as much as. From tools.bench_race.
DRIFT, DRIFT_WEIGHT = 0.1, 6.0
# What log odds of a network's ImageNet accuracy say of its own here: mean and standard
# deviation of the slope over sets of images.
SLOPE, SLOPE_APART = 0.4, 0.3
# Standard deviation of networks beside that, in log odds, before the race has shown it,
# and of how many that counts as much as; and of those whose accuracy is not known.
APART, APART_WEIGHT, UNKNOWN = 0.25, 3.0, 1.0
# What is new in a network's own errors with other training images: variance, as a part
# of that of its errors which others do not share.
RETRAINED = 0.4
COMMON = 3.0  # Of what all gain by more images: as good as unknown.
SAMPLES = 20_000

Stages: typing.TypeAlias = Mapping[float, Sequence[cells.Cell]]  # By share.


class Stage(typing.NamedTuple):
    """What was measured at one share of the images.

    Attributes:
        share: of the images, above 0 and up to 1.
        networks: their names.
        x: log odds of their scores [k].
        covariance: of x [k, k], as the test images of this share were drawn.
    """

    share: float
    networks: tuple[str, ...]
    x: np.ndarray
    covariance: np.ndarray


def stage(share: float, measured: Sequence[cells.Cell], workdir: str) -> Stage | None:
    """The Stage of the Cells of one share; None where predictions are missing.

    Raises:
        errors.InputError: see verdicts.verdicts.
    """
    best = cells.best(measured)
    if best is None or best.metric == 'voc_map':
        return None
    scored = [cell for cell in measured if cell.score is not None]
    seen = verdicts.outcomes(best, scored, workdir)
    if not seen:
        return None
    networks = tuple(one.cell.network for one in seen)
    return of_outcomes(share, networks, verdicts.crossed_outcomes(seen))


def of_outcomes(
    share: float, networks: Sequence[str], outcomes: crossed.Outcomes
) -> Stage:
    """The Stage of what networks made of the test images of a share."""
    spread = crossed.spread(outcomes)
    scale = np.outer(spread.binomial, spread.binomial)
    covariance = spread.covariance / scale
    # Of scores of 0 or 1 too something is not known: half an image.
    covariance[np.diag_indices(len(covariance))] += (
        0.25 / (spread.n * spread.binomial) ** 2
    )
    x = special.logit(spread.proportion)
    return Stage(share, tuple(networks), x, covariance)


def imagenet(measured: Sequence[cells.Cell]) -> dict[str, float | None]:
    """{network: ImageNet accuracy 0-1, None where it is not known} of Cells."""
    return {
        cell.network: cell.source['score']
        if cell.source and cell.source['dataset'] == cells.IMAGENET
        else None
        for cell in measured
    }


def drift(stages: Sequence[Stage]) -> float:
    """Variance of what a doubling of the images changes between networks, log odds.

    From pairs of successive stages, less what other test images and other errors
    explain: each counts the less the more that is. Shrunk towards DRIFT.
    """
    total, weight = DRIFT_WEIGHT * DRIFT**2, DRIFT_WEIGHT
    ordered = sorted(stages, key=lambda one: one.share)
    for small, large in zip(ordered, ordered[1:], strict=False):
        common = [name for name in small.networks if name in large.networks]
        if len(common) < 2:
            continue
        a, b = ([one.networks.index(name) for name in common] for one in (small, large))
        change = large.x[b] - small.x[a]
        freedom = len(common) - 1
        # The smaller share's images are among those of the larger.
        of_images = small.covariance[np.ix_(a, a)] * (1 - small.share / large.share)
        noise = np.trace(of_images - of_images.mean(axis=0))
        noise += RETRAINED * _own(small.covariance)[a].sum() * freedom / len(common)
        noise += RETRAINED * _own(large.covariance)[b].sum() * freedom / len(common)
        doublings = np.log2(large.share / small.share)
        expected = DRIFT**2 * doublings
        clear = (expected / (expected + noise / freedom)) ** 2
        found = ((change - change.mean()) ** 2).sum() - noise
        total += clear * found / doublings
        weight += clear * freedom
    return float(max(total / weight, 0.0))


def apart(stages: Sequence[Stage], source: Mapping[str, float | None]) -> float:
    """Variance of networks beside their ImageNet accuracy's, in log odds.

    From the stage with the most of them, less what test images explain, shrunk towards
    APART. Of the better half alone, as far as it lies above the median: a network that
    has learnt nothing says little of how the good ones differ.
    """
    total, weight = APART_WEIGHT * APART**2, APART_WEIGHT
    one = max(stages, key=lambda one: (len(one.networks), one.share), default=None)
    if one is not None and len(one.networks) > 2:
        x = one.x - SLOPE * _known(one.networks, source)[0]
        above = np.sort(x)[len(x) // 2 :] - np.median(x)
        weight += len(above)
        noise = len(above) * (1 + RETRAINED) * _own(one.covariance).mean()
        total += max((above**2).sum() - noise, 0.0)
    return float(total / weight)


class Posterior(typing.NamedTuple):
    """Log odds on all images [k] of networks: normal, of this mean and covariance."""

    networks: tuple[str, ...]
    mean: np.ndarray
    covariance: np.ndarray


def posterior(stages: Sequence[Stage], source: Mapping[str, float | None]) -> Posterior:
    """Log odds on all images, given those of all stages.

    With share s, doublings d(s) since the smallest share, z log odds of ImageNet
    accuracy, and the test images' own covariance S on all of them, the prior covariance
    of networks i at s and j at t is

        COMMON^2 [s = t] + SLOPE_APART^2 z_i z_j
        + (apart + drift min(d(s), d(t))) [i = j] + S_ij / max(s, t)
        + RETRAINED own(S)_i / s [s = t] [i = j]:

    the mean of all at each share, how much ImageNet accuracy says here, how networks
    differ, how that changes, the images, of which those of the smaller share are a part
    of the larger's, and what each classifier errs anew. The prior mean is SLOPE z.

    source: ImageNet accuracy, 0-1; also of networks that were not measured.
    """
    ordered = sorted(stages, key=lambda one: one.share)
    measured = (name for one in ordered for name in one.networks)
    networks = tuple(dict.fromkeys([*measured, *source]))
    places = {name: i for i, name in enumerate(networks)}
    # The last rows are what is asked for.
    seen = [(places[n], one.share) for one in ordered for n in one.networks]
    asked = [(place, 1.0) for place in range(len(networks))]
    who = np.array([place for place, _ in (*seen, *asked)], int)
    share = np.array([share for _, share in (*seen, *asked)], float)

    z, unknown = _known(networks, source)
    covariance = _images(ordered, places)
    same_share, same = share[:, None] == share, who[:, None] == who
    doublings = np.log2(share / share.min(initial=1.0))
    own = apart(ordered, source) + UNKNOWN**2 * unknown[who]
    own = own + drift(ordered) * np.minimum.outer(doublings, doublings)
    own += RETRAINED * _own(covariance)[who] / share * same_share
    prior = COMMON**2 * same_share + SLOPE_APART**2 * np.outer(z[who], z[who])
    prior += own * same
    prior += covariance[np.ix_(who, who)] / np.maximum.outer(share, share)

    mean = SLOPE * z[who]
    n = len(seen)
    x = np.concatenate([*(one.x for one in ordered), np.zeros(0)]) - mean[:n]
    level = x.mean() if n else 0.0
    weights = np.linalg.solve(
        prior[:n, :n] + 1e-9 * np.eye(n), np.column_stack([x - level, prior[:n, n:]])
    )
    return Posterior(
        networks,
        level + mean[n:] + prior[n:, :n] @ weights[:, 0],
        prior[n:, n:] - prior[n:, :n] @ weights[:, 1:],
    )


def _known(
    networks: Sequence[str], source: Mapping[str, float | None]
) -> tuple[np.ndarray, np.ndarray]:
    """(log odds of ImageNet accuracy, from those of 70 %; where it is unknown)."""
    values = [source.get(name) for name in networks]
    unknown = np.array([value is None for value in values], bool)
    known = [0.7 if value is None else min(max(value, 0.01), 0.99) for value in values]
    return special.logit(known) - special.logit(0.7), unknown


def _own(covariance: np.ndarray) -> np.ndarray:
    """[k], of the variance of each what it does not share with the mean of others."""
    k = len(covariance)
    variance = np.diag(covariance)
    shared = (covariance.sum(axis=1) - variance) / max(k - 1, 1)
    return np.maximum(variance - shared, 0.0)


def _images(ordered: Sequence[Stage], places: Mapping[str, int]) -> np.ndarray:
    """[k, k], covariance of log odds on all of the test images, as they were drawn.

    Of each pair from the largest share that both were measured at.
    """
    k = len(places)
    deviation, correlation = np.full(k, np.nan), np.full((k, k), np.nan)
    for one in ordered:
        at = [places[name] for name in one.networks]
        own = np.sqrt(np.diag(one.covariance))
        deviation[at] = own * np.sqrt(one.share)
        correlation[np.ix_(at, at)] = one.covariance / np.outer(own, own)
    # What was not measured is like the rest.
    apart = correlation[~np.eye(k, dtype=bool)]
    usual = np.nanmean(apart) if np.isfinite(apart).any() else 0.5
    correlation = np.where(np.isfinite(correlation), correlation, usual)
    correlation[np.diag_indices(k)] = 1
    usual = np.nanmean(deviation) if np.isfinite(deviation).any() else 0.0
    deviation = np.where(np.isfinite(deviation), deviation, usual)
    values, vectors = np.linalg.eigh(correlation)
    # Pairs of several shares need not fit together.
    correlation = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    return correlation * np.outer(deviation, deviation)


def probabilities(
    stages: Sequence[Stage],
    source: Mapping[str, float | None] | None = None,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """How probably each network would have the highest score on all images.

    source: ImageNet accuracy, 0-1, where it is known; networks in it that were not
        measured are among those compared.

    Returns:
        {network: probability}, of sum 1, the most probable first; {} without networks.
    """
    networks, mean, covariance = posterior(stages, source or {})
    if not networks:
        return {}
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    rng = np.random.default_rng(seed)
    drawn = mean + rng.standard_normal((SAMPLES, len(mean))) @ factor.T
    counts = np.bincount(np.argmax(drawn, axis=1), minlength=len(mean)) / SAMPLES
    pairs = zip(networks, map(float, counts), mean, strict=True)
    ordered = sorted(pairs, key=lambda one: (-one[1], -one[2]))
    return {name: value for name, value, _ in ordered}


def likely(found: Mapping[str, float], least: float = 0.9) -> tuple[list[str], float]:
    """The fewest networks that hold the best with this probability, and with which.

    found: as `probabilities` returns it.
    """
    names: list[str] = []
    total = 0.0
    for name, value in found.items():
        if total >= least:
            break
        names.append(name)
        total += value
    return names, min(total, 1.0)
