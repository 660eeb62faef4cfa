"""How fine-tuned accuracy follows from the score of the shortlist: learned from tables.

On one task, with h the log odds of probe accuracy and t those of source accuracy of k
networks, the score is z(h) + z(t), z over these networks. Fine-tuned log odds are
modelled as c + slope x score + spread x a normal number of each network, c of the task.

The probability that a network is the best depends on slope / spread alone. It is fitted
to which network was the best (a probit model of first choice), over resampled tasks: a
task of the table with a random part of its networks. The spread of all residuals would
be that of the weak networks, which vary most and compete for nothing: with it, sets
said to hold the best in 80 % held it in 98 %.
"""

import typing
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import special

from tfxfer.analysis import stats

LEAST = 4  # Networks of a resampled task.
RATIOS = np.geomspace(0.1, 10, 93)  # Of slope to spread, among which is searched.
_GRID = np.linspace(-6.0, 6.0, 41)  # Of a normal number, for its integral.


class Relation(typing.NamedTuple):
    """From scores to fine-tuned log odds.

    Attributes:
        slope: log odds per unit of the score.
        spread: standard deviation, in log odds, of networks that compete for the best.
        gain: mean of fine-tuned minus mean of probe log odds of a task.
    """

    slope: float
    spread: float
    gain: float


# Of 11 ImageNet networks of torchvision, fine-tuned on 11 datasets:
# python -m tools.bench_ranking --table=eleven_networks_finetuned_and_head.csv
RELATION = Relation(slope=0.0935, spread=0.0693, gain=0.834)


class Task(typing.NamedTuple):
    """One dataset of a table, k networks: accuracies 0-1, neither end."""

    name: str
    networks: tuple[str, ...]
    source: np.ndarray
    probe: np.ndarray
    finetuned: np.ndarray

    def part(self, index: Sequence[int] | np.ndarray) -> 'Task':
        """The task with some of its networks."""
        index = np.asarray(index)
        return Task(
            self.name,
            tuple(self.networks[i] for i in index),
            *(values[index] for values in self[2:]),
        )


def score(probe: np.ndarray, source: np.ndarray) -> np.ndarray:
    """z(probe) + z(source), z over the last axis: [..., k].

    Args:
        probe: [..., k], log odds of probe accuracy.
        source: [..., k], log odds of source accuracy.
    """
    return _z(probe) + _z(source)


def _z(x):
    """In standard deviations from the mean; 0 where all are the same."""
    x = np.asarray(x, float)
    apart = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((apart**2).mean(axis=-1, keepdims=True))
    alike = deviation <= 1e-12 * (1 + np.abs(x).max(axis=-1, keepdims=True))
    return np.where(alike, 0.0, apart / np.where(alike, 1, deviation))


def resampled(task: Task, count: int, seed: int = 0) -> list[Task]:
    """The task with random networks: `count` of each number of networks from 4 on."""
    k = len(task.networks)
    if k < LEAST:
        raise ValueError(f'{task.name} has {k} networks; it takes {LEAST}.')
    rng = np.random.default_rng(seed)
    return [
        task.part(rng.permutation(k)[:size])
        for size in range(LEAST, k + 1)
        for _ in range(count)
    ]


class Profile(typing.NamedTuple):
    """What one task says of the Relation, mean over resampled tasks.

    Attributes:
        likelihood: [len(RATIOS)], log of the probability of the best.
        products, squares: of score and centred fine-tuned log odds, of the score.
        total: squares of centred fine-tuned log odds.
        freedom: their degrees of freedom.
        gain: as in Relation.
    """

    likelihood: np.ndarray
    products: float
    squares: float
    total: float
    freedom: float
    gain: float


def profile(task: Task, count: int = 50, seed: int = 0) -> Profile:
    """The Profile of a task, from `count` resampled ones of each number of networks."""
    likelihood, sums = np.zeros(len(RATIOS)), np.zeros(4)
    tasks = resampled(task, count, seed)
    for one in tasks:
        s = score(stats.log_odds(one.probe), stats.log_odds(one.source))
        y = stats.log_odds(one.finetuned)
        likelihood += _log_chance(s, int(y.argmax())) / len(tasks)
        y -= y.mean()
        sums += np.array([s @ y, s @ s, y @ y, len(y) - 1]) / len(tasks)
    gain = np.mean(stats.log_odds(task.finetuned)) - np.mean(stats.log_odds(task.probe))
    products, squares, total, freedom = map(float, sums)
    return Profile(likelihood, products, squares, total, freedom, float(gain))


def _log_chance(s, best):
    """Log probability that ratio x s + normal is largest at `best`: [len(RATIOS)].

    The integral over the best's normal number x of the probability that all others
    stay below.
    """
    ahead = RATIOS[:, None] * np.delete(s[best] - s, best)
    below = special.log_ndtr(_GRID[:, None, None] + ahead).sum(axis=2)
    density = -(_GRID**2) / 2
    return special.logsumexp(density[:, None] + below, axis=0) - special.logsumexp(
        density
    )


def learn(profiles: Iterable[Profile]) -> Relation:
    """The Relation that makes the best of all tasks most likely, each task as much."""
    profiles = list(profiles)
    total = np.sum([one.likelihood for one in profiles], axis=0)
    products = sum(one.products for one in profiles)
    slope = products / sum(one.squares for one in profiles)
    if slope <= 0:
        raise ValueError(
            f'On these {len(profiles)} tasks the score says nothing of fine-tuned '
            f'accuracy: its slope is {slope:.3g}.'
        )
    gain = float(np.mean([one.gain for one in profiles]))
    return Relation(slope, slope / float(RATIOS[total.argmax()]), gain)


def residual_spread(profiles: Iterable[Profile]) -> float:
    """Standard deviation of all residuals from the line of the score, in log odds.

    That of weak networks, mostly; see the module's docstring.
    """
    _, products, squares, total, freedom, _ = zip(*profiles, strict=True)
    left = sum(total) - sum(products) ** 2 / sum(squares)
    return float(np.sqrt(left / (sum(freedom) - 1)))
