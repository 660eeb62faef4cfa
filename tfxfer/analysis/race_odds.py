"""How probably each network of a race would be best on all images.

A race measures networks on nested shares of the images. What a share says of the whole
is uncertain in two ways: the rest of the test images is not seen yet, and a classifier
that is trained on more images may gain more or less than the others do. Both are taken
for normal in log odds. docs/racing.md has the derivation and what simulations say.
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
    spread = crossed.spread(verdicts.crossed_outcomes(seen))
    scale = np.outer(spread.binomial, spread.binomial)
    covariance = spread.covariance / scale
    # Of scores of 0 or 1 too something is not known: half an image.
    covariance[np.diag_indices(len(covariance))] += (
        0.25 / (spread.n * spread.binomial) ** 2
    )
    return Stage(
        share,
        tuple(one.cell.network for one in seen),
        special.logit(spread.proportion),
        covariance,
    )


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


def probabilities(stages: Sequence[Stage], *, seed: int = 0) -> dict[str, float]:
    """How probably each network would have the highest score on all images.

    A network is judged by the largest share that it was measured at, beside the leader
    of the largest of all.

    Returns:
        {network: probability}, of sum 1, the most probable first; {} without stages.
    """
    if not stages:
        return {}
    ordered = sorted(stages, key=lambda one: -one.share)
    last: dict[str, Stage] = {}
    for one in ordered:
        for name in one.networks:
            last.setdefault(name, one)
    variance = drift(ordered)
    top = ordered[0]
    leader = top.networks[int(np.argmax(top.x))]
    rng = np.random.default_rng(seed)
    ahead: dict[str, np.ndarray] = {}
    for one in ordered:
        mine = [name for name in one.networks if last[name] is one]
        if not mine or leader not in one.networks:
            continue
        draws = _drawn(one, variance, rng)
        lead = draws[:, one.networks.index(leader)]
        for name in mine:
            ahead[name] = draws[:, one.networks.index(name)] - lead
    names = list(ahead)
    best = np.argmax(np.array([ahead[name] for name in names]), axis=0)
    counts = np.bincount(best, minlength=len(names)) / SAMPLES
    pairs = zip(names, map(float, counts), strict=True)
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


def _drawn(one: Stage, variance: float, rng: np.random.Generator) -> np.ndarray:
    """Log odds on all images [SAMPLES, k], given those at a share."""
    unseen = one.covariance * (1 - one.share)
    doublings = -np.log2(one.share)
    unseen = unseen + np.eye(len(one.x)) * variance * doublings
    values, vectors = np.linalg.eigh(unseen)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    return one.x + rng.standard_normal((SAMPLES, len(one.x))) @ factor.T


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
