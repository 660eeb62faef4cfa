"""Races and what they are compared with, on what was measured of a resampled set."""

import collections
import typing
from collections.abc import Iterable, Mapping

import numpy as np

from tfxfer.analysis import crossed, race_odds
from tfxfer.race import rules
from tools.race_bench.measure import Resampled


class Board:
    """What one strategy has measured, and what that took.

    Costs are image forwards times multiply-adds. Features of a smaller share are known
    at a larger one.

    Attributes:
        race: on what.
        room: of the budget, what is left.
        at: {share: networks measured there}.
    """

    def __init__(self, race: Resampled, budget: float) -> None:
        """budget: share of what all networks take on all images."""
        self.race = race
        self.work = {name: one.work for name, one in race.networks.items()}
        self.room = budget * sum(self.work.values()) * race.images[1.0]
        self.at: dict[float, list[str]] = collections.defaultdict(list)

    def need(self, network: str, share: float) -> float:
        """What a network still takes to be measured at a share."""
        done = [one for one in self.at if network in self.at[one]]
        before = self.race.images[max(done)] if done else 0
        return max(self.race.images[share] - before, 0) * self.work[network]

    def measure(self, network: str, share: float) -> bool:
        """Measures it there if that fits the budget; whether it does."""
        need = self.need(network, share)
        if need > self.room:
            return False
        self.room -= need
        self.at[share].append(network)
        return True

    def score(self, network: str, share: float = 1.0) -> float:
        return float(self.race.right[share, network].mean())

    def stages(self) -> list[race_odds.Stage]:
        """What was measured, as race_odds takes it."""
        found = []
        for share, names in sorted(self.at.items()):
            right = [self.race.right[share, n][None].astype(float) for n in names]
            n = len(self.race.index[share])
            outcomes = crossed.Outcomes(
                right, np.full(n, 1 / n), np.zeros(n, int), [False] * len(names)
            )
            found.append(race_odds.of_outcomes(share, names, outcomes))
        return found


def raced(race: Resampled, budget: float) -> dict[str, float]:
    """The race's own rules: {network: probability}, the most probable first.

    Of the networks that it has measured.
    """
    board, out = Board(race, budget), set()
    source = {name: one.imagenet for name, one in race.networks.items()}
    chance = race_odds.probabilities([], source)
    for share in race.shares:
        needs = {
            name: rules.Need(board.need(name, share), board.need(name, 1.0))
            for name in race.networks
            if name not in out
        }
        if len(needs) == 1 and share < 1:
            continue
        order = rules.order(chance, needs)
        first = share == race.shares[0] and share < 1
        for name in rules.fitting(order, needs, board.room, first=first):
            board.measure(name, share)
        chance = race_odds.probabilities(board.stages(), source)
        out |= set(rules.leaving(chance))
    measured = {name for names in board.at.values() for name in names}
    return race_odds.probabilities(
        board.stages(), {name: source[name] for name in source if name in measured}
    )


def one_by_one(race: Resampled, budget: float, order: Iterable[str]) -> str:
    """Networks on all images, in their order, as long as they fit: the best of them."""
    board = Board(race, budget)
    for name in order:
        board.measure(name, 1.0)
    done = board.at[1.0] or list(race.networks)[:1]
    return max(done, key=board.score)


def at_random(race: Resampled, budget: float, seed: int) -> str:
    """One by one, in a random order."""
    rng = np.random.default_rng(seed)
    return one_by_one(race, budget, rng.permutation(sorted(race.networks)))


def by_source(race: Resampled, budget: float) -> str:
    """One by one, those first that had the highest accuracy on what they learnt."""
    order = sorted(race.networks, key=lambda name: -(race.networks[name].source or 0))
    return one_by_one(race, budget, order)


def halved(race: Resampled, budget: float) -> str:
    """Successive halving: the better half of a share's networks goes on to the next.

    The cheapest first, so that as many as can be are measured.
    """
    board, names, best = Board(race, budget), list(race.networks), ''
    for share in race.shares:
        measured = [
            name
            for name in sorted(names, key=board.work.__getitem__)
            if board.measure(name, share)
        ]
        if not measured:
            break
        measured.sort(key=lambda name: -board.score(name, share))
        best, names = measured[0], measured[: max(1, len(measured) // 2)]
    return best


class Replayed(typing.NamedTuple):
    """What became of one simulated race.

    Attributes:
        race: its number, which is its seed.
        name: of the set.
        regret: by strategy, what its pick scores less than the best, 0-1.
        error: by strategy, the paired standard error of that difference, 0-1.
        chance: {network: probability} that the race stated.
        best: of all networks those of the highest score on all images.
        best_measured: the same of the networks that the race has measured.
    """

    race: int
    name: str
    regret: dict[str, float]
    error: dict[str, float]
    chance: dict[str, float]
    best: tuple[str, ...]
    best_measured: tuple[str, ...]


def replayed(number: int, race: Resampled, budget: float) -> Replayed:
    """All strategies on the same images."""
    chance = raced(race, budget)
    picks = {
        'race': next(iter(chance)),
        'random order': at_random(race, budget, number),
        "source accuracy's order": by_source(race, budget),
        'successive halving': halved(race, budget),
    }
    full = {name: race.right[1.0, name].astype(float) for name in race.networks}
    score = {name: right.mean() for name, right in full.items()}
    best, best_measured = _highest(score, score), _highest(score, chance)
    regret, error = {}, {}
    for strategy, pick in picks.items():
        difference = full[best[0]] - full[pick]
        regret[strategy] = float(difference.mean())
        error[strategy] = float(difference.std(ddof=1) / len(difference) ** 0.5)
    return Replayed(number, race.name, regret, error, chance, best, best_measured)


def _highest(score: Mapping[str, float], names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that have the highest score of them."""
    found = list(names)
    top = max(score[name] for name in found)
    return tuple(name for name in found if score[name] >= top - 1e-12)
