"""Which networks to fine-tune: the fewest that hold the best with a stated probability.

Networks are ranked by z(log odds of probe accuracy) + z(log odds of source accuracy).
How sure the ranking is has two parts: the probe was scored on so many test images, and
fine-tuning follows the score only so closely (see relation.py). Both are simulated.
"""

import dataclasses
import typing
from collections.abc import Sequence

import numpy as np
from scipy import special

from tfxfer.analysis import crossed
from tfxfer.ranking import relation

LEVEL = 0.8  # Probability that the shortlist holds the best.
AT_MOST = 0.95  # Probability that no more is lost.


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of k networks on one task before any is fine-tuned.

    Attributes:
        networks: their names.
        probe: [k], log odds of probe accuracy.
        covariance: [k, k], of `probe`, from the images that it was scored on; zeros
            where these are many.
        source: [k], log odds of source accuracy.
    """

    networks: tuple[str, ...]
    probe: np.ndarray
    covariance: np.ndarray
    source: np.ndarray

    def __post_init__(self) -> None:
        k = len(self.networks)
        shapes = [np.shape(x) for x in (self.probe, self.covariance, self.source)]
        if shapes != [(k,), (k, k), (k,)] or k < 2:
            raise ValueError(
                f'Takes at least 2 networks, each with both accuracies; got {k} names '
                f'and shapes {shapes}.'
            )
        for x in (self.probe, self.covariance, self.source):
            if not np.isfinite(x).all():
                raise ValueError('Log odds and their covariance must be finite.')


def evidence(
    networks: Sequence[str], right: np.ndarray, source: np.ndarray
) -> Evidence:
    """The Evidence of predictions of the same images.

    The covariance is that to which a bootstrap of the images comes: networks that err
    on the same images differ more surely than their intervals say.

    Args:
        networks: k names.
        right: [k, n], 1 where the probe of a network is right about an image, else 0.
        source: [k], log odds of source accuracy.
    """
    n = right.shape[1]
    seen = crossed.Outcomes(
        [row[None] for row in np.asarray(right, float)],
        np.full(n, 1 / n),
        np.zeros(n, int),
        [False] * len(right),
    )
    return of_spread(networks, crossed.spread(seen), source)


def of_spread(
    networks: Sequence[str], found: crossed.Spread, source: np.ndarray
) -> Evidence:
    """The Evidence of scores whose Spread over images is known; see `evidence`."""
    return Evidence(
        tuple(networks),
        special.logit(found.proportion),
        found.images / np.outer(found.binomial, found.binomial),
        np.asarray(source, float),
    )


class Shortlist(typing.NamedTuple):
    """Which networks to fine-tune.

    Attributes:
        score: [k], z(probe) + z(source) as measured.
        chance: [k], probability that a network is the best once all are fine-tuned.
        chosen: indices of the fewest that hold the best with the asked probability,
            the likeliest first.
        probability: that they hold it, at least what was asked.
        loss: what fine-tuning only them loses on average, in percentage points.
        most: what it loses at most, with 95 % probability.
    """

    score: np.ndarray
    chance: np.ndarray
    chosen: tuple[int, ...]
    probability: float
    loss: float
    most: float


def shortlist(
    known: Evidence,
    *,
    level: float = LEVEL,
    following: relation.Relation = relation.RELATION,
    samples: int = 20_000,
    seed: int = 0,
) -> Shortlist:
    """The Shortlist of these networks.

    Args:
        known: what is known of them.
        level: probability with which it holds the best, above 0 and below 1.
        following: how fine-tuned accuracy follows from the score.
        samples: number of simulated outcomes of fine-tuning.
        seed: of the simulation.

    Raises:
        ValueError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f'The probability must be between 0 and 1; got {level}.')
    rng = np.random.default_rng(seed)
    finetuned = simulated(known, following, samples, rng)
    best = finetuned.argmax(axis=1)
    chance = np.bincount(best, minlength=len(known.networks)) / samples
    measured = relation.score(known.probe, known.source)
    order = np.lexsort((-measured, -chance))
    count = int(np.searchsorted(np.cumsum(chance[order]), level - 1e-9)) + 1
    chosen = order[:count]
    lost = 100 * (
        special.expit(finetuned.max(axis=1))
        - special.expit(finetuned[:, chosen].max(axis=1))
    )
    return Shortlist(
        measured,
        chance,
        tuple(chosen.tolist()),
        float(chance[chosen].sum()),
        float(lost.mean()),
        float(np.quantile(lost, AT_MOST)),
    )


def simulated(
    known: Evidence,
    following: relation.Relation,
    samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Fine-tuned log odds as they may come out: [samples, k]."""
    probe = true_probes(known, samples, rng)
    scores = relation.score(probe, known.source)
    apart = following.slope * scores
    apart += following.spread * rng.standard_normal(apart.shape)
    return apart + known.probe.mean() + following.gain


def true_probes(known: Evidence, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Log odds that the probes may have on endlessly many images: [samples, k].

    Around their mean, which the score does not see. What was measured, x, is further
    spread than the truth, by the images. With the covariance S of the images and a
    truth that is normal around the mean with variance w (of x, less S), the truth given
    x is normal with mean w (w + S)^-1 x and covariance w - w (w + S)^-1 w: empirical
    Bayes.
    """
    k = len(known.networks)
    centred = np.eye(k) - 1 / k
    x = centred @ known.probe
    noise = centred @ known.covariance @ centred
    if not noise.any():
        return np.broadcast_to(x, (samples, k))
    expected = float(np.trace(noise))
    w = max(float(x @ x) - expected, 1e-6 * expected) / (k - 1)
    gain = w * np.linalg.pinv(w * centred + noise, hermitian=True)
    covariance = w * centred - w * gain
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    return gain @ x + rng.standard_normal((samples, k)) @ factor.T
