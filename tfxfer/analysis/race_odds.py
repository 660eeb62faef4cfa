"""How probably each network of a race would be best on all images.

A race measures networks on nested shares of the images. What a share says of the whole
is uncertain in two ways: the rest of the test images is not seen yet, and a classifier
that is trained on more images may gain more or less than the others do. Both are taken
for normal in log odds, and with them how networks differ at all, so that all scores of
a race are jointly normal and those on all images are known as far as the others say.
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
# Standard deviation of networks, in log odds, before the race has shown it, and of how
# many that counts as much as.
APART, APART_WEIGHT = 0.5, 3.0
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


def drift(stages: Sequence[Stage]) -> float:
    """Variance of what a doubling of the images changes between networks, log odds.

    From pairs of successive stages, less what other test images explain, shrunk
    towards DRIFT.
    """
    total, weight = DRIFT_WEIGHT * DRIFT**2, DRIFT_WEIGHT
    ordered = sorted(stages, key=lambda one: one.share)
    for small, large in zip(ordered, ordered[1:], strict=False):
        common = [name for name in small.networks if name in large.networks]
        k = len(common)
        if k < 2:
            continue
        a, b = ([one.networks.index(name) for name in common] for one in (small, large))
        change = large.x[b] - small.x[a]
        change = change - change.mean()
        doublings = np.log2(large.share / small.share)
        # The smaller share's images are among those of the larger.
        of_images = small.covariance[np.ix_(a, a)] * (1 - small.share / large.share)
        centred = of_images - of_images.mean(axis=0)
        found = (change**2).sum() - np.trace(centred)
        total += max(found, 0.0) / doublings
        weight += k - 1
    return float(total / weight)


def apart(stages: Sequence[Stage]) -> float:
    """Variance of networks, log odds, from the stage with the most of them.

    Less what test images explain, shrunk towards APART. Of the better half alone, as
    far as it lies above the median: a network that has learnt nothing says little of
    how the good ones differ.
    """
    one = max(stages, key=lambda one: (len(one.networks), one.share))
    above = np.sort(one.x)[len(one.x) // 2 :] - np.median(one.x)
    noise = np.trace(one.covariance - one.covariance.mean(axis=0)) / len(one.x)
    count = len(above)
    found = max((above**2).sum() - count * noise, 0.0) if len(one.x) > 2 else 0.0
    weight = APART_WEIGHT + (count if len(one.x) > 2 else 0)
    return float((APART_WEIGHT * APART**2 + found) / weight)


class Posterior(typing.NamedTuple):
    """Log odds on all images [k] of networks: normal, of this mean and covariance."""

    networks: tuple[str, ...]
    mean: np.ndarray
    covariance: np.ndarray


def posterior(stages: Sequence[Stage]) -> Posterior:
    """Log odds on all images, given those of all stages.

    With share s, doublings d(s) since the smallest share, and the test images' own
    covariance S on all of them, the prior covariance of networks i at s and j at t is

        COMMON^2 [s = t] + (apart + drift min(d(s), d(t))) [i = j] + S_ij / max(s, t):

    the mean of all at each share, how networks differ, how that changes, and the
    images, of which those of the smaller share are a part of the larger's.
    """
    ordered = sorted(stages, key=lambda one: one.share)
    networks = tuple(dict.fromkeys(n for one in ordered for n in one.networks))
    places = {name: i for i, name in enumerate(networks)}
    # The last rows are what is asked for.
    who = [places[n] for one in ordered for n in one.networks]
    who = np.array([*who, *range(len(networks))])
    share = [one.share for one in ordered for _ in one.networks]
    share = np.array([*share, *np.ones(len(networks))])
    x = np.concatenate([one.x for one in ordered])
    level = x.mean()

    doublings = np.log2(share / ordered[0].share)
    least, most = (f.outer(share, share) for f in (np.minimum, np.maximum))
    same = who[:, None] == who
    common = COMMON**2 * (share[:, None] == share)
    own = apart(ordered) + drift(ordered) * np.minimum.outer(doublings, doublings)
    images = _images(ordered, places)[np.ix_(who, who)] / most
    prior = common + own * same + images

    n = len(x)
    weights = np.linalg.solve(
        prior[:n, :n] + 1e-9 * np.eye(n), np.column_stack([x - level, prior[:n, n:]])
    )
    return Posterior(
        networks,
        level + prior[n:, :n] @ weights[:, 0],
        prior[n:, n:] - prior[n:, :n] @ weights[:, 1:],
    )


def _images(ordered: Sequence[Stage], places: Mapping[str, int]) -> np.ndarray:
    """[k, k], covariance of log odds on all of the test images, as they were drawn.

    Of each pair from the largest share that both were measured at.
    """
    k = len(places)
    deviation, correlation = np.zeros(k), np.eye(k)
    for one in ordered:
        at = [places[name] for name in one.networks]
        own = np.sqrt(np.diag(one.covariance))
        deviation[at] = own * np.sqrt(one.share)
        correlation[np.ix_(at, at)] = one.covariance / np.outer(own, own)
    values, vectors = np.linalg.eigh(correlation)
    # Pairs of several shares need not fit together.
    correlation = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    return correlation * np.outer(deviation, deviation)


def probabilities(stages: Sequence[Stage], *, seed: int = 0) -> dict[str, float]:
    """How probably each network would have the highest score on all images.

    Returns:
        {network: probability}, of sum 1, the most probable first; {} without stages.
    """
    if not stages:
        return {}
    networks, mean, covariance = posterior(stages)
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
