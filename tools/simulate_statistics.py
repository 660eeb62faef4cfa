"""Are tests and intervals of a report right? Simulated studies whose truth is known.

    python -m tools.simulate_statistics --studies=1000

k classifiers that are equally good classify the same images, some of which are hard for
all of them. Printed is how often a study calls its best significantly better than
another (should be 5 %), how often the interval of the best holds the truth (95 %), and
what both were without a correction for picking the best.
"""

import dataclasses
import sys
import typing

import numpy as np
from absl import flags
from scipy import special

from tfxfer.analysis import crossed
from tfxfer.cli import app

COUNTS = (2, 6, 9, 18, 48)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Equal classifiers, by a probit model.

    An image is classified correctly where `level` + what it is for all + for this
    classifier + for this seed + for this seed and image exceeds 0; each is normal, of
    the standard deviations below.

    Attributes:
        name: what the table calls it.
        seeds: Runs of each classifier.
        training: of a seed; 0.1 is about 1.5, 0.3 about 4.5 percentage points.
        unlike: standard deviation of the logarithm of `training` among classifiers.
        subset: of a seed, for all classifiers alike, as of subsets that it draws.
        images: number of test images.
    """

    name: str
    seeds: int = 3
    training: float = 0.1
    unlike: float = 0.0
    subset: float = 0.0
    images: int = 450
    level: float = 1.6
    hard_for_all: float = 1.0
    hard_for_one: float = 0.5
    hard_for_seed: float = 0.5

    @property
    def accuracy(self) -> float:
        """Of every classifier, over all images and seeds."""
        return float(special.ndtr(self.level / np.sqrt(self._variance(self.training))))

    def _variance(self, training):
        parts = self.hard_for_all, self.hard_for_one, self.hard_for_seed, self.subset
        return 1e-12 + sum(part**2 for part in parts) + training**2

    def outcomes(self, count: int, rng: np.random.Generator) -> crossed.Outcomes:
        """Those of `count` classifiers."""
        n = self.images
        training = self.training * np.exp(self.unlike * rng.standard_normal(count))
        # The same accuracy, whatever the noise.
        level = special.ndtri(self.accuracy) * np.sqrt(self._variance(training))
        common = self.hard_for_all * rng.standard_normal(n)
        subset = self.subset * rng.standard_normal((self.seeds, 1))
        right = [
            level[i]
            + common
            + subset
            + self.hard_for_one * rng.standard_normal(n)
            + training[i] * rng.standard_normal((self.seeds, 1))
            + self.hard_for_seed * rng.standard_normal((self.seeds, n))
            > 0
            for i in range(count)
        ]
        return crossed.Outcomes(
            right,
            np.full(n, 1 / n),
            np.zeros(n, int),
            [self.seeds > 1] * count,
            paired=self.subset > 0,
        )


SCENARIOS = (
    Scenario('nothing random but the images', seeds=1, training=0.0),
    Scenario('3 seeds, 1.5 points', training=0.1),
    Scenario('3 seeds, 4.5 points', training=0.3),
    Scenario('3 seeds, subsets drawn by the seed', training=0.15, subset=0.3),
    Scenario('3 seeds, networks of unlike noise', training=0.2, unlike=0.5),
)


class Rates(typing.NamedTuple):
    """Shares of simulated studies.

    Attributes:
        significant: whose best is called better than another, at 5 %.
        plain: the same by the smallest p, not adjusted.
        covered: whose interval of the best holds its accuracy, at 95 %.
        naive: the same by the interval of a classifier that was not picked.
    """

    significant: float
    plain: float
    covered: float
    naive: float


def simulate(scenario: Scenario, count: int, studies: int, seed: int = 0) -> Rates:
    """The Rates of so many studies of `count` classifiers each."""
    rng = np.random.default_rng([seed, count])
    rows = [_study(scenario, count, rng) for _ in range(studies)]
    return Rates(*np.mean(rows, axis=0))


def _study(scenario, count, rng):
    """The four answers of Rates for one study."""
    found = crossed.spread(scenario.outcomes(count, rng))
    best = crossed.winner(found)
    tests = crossed.pairs(found)
    of_best = (tests.a == best.index) | (tests.b == best.index)
    low, high = (end[best.index] for end in crossed.intervals(found))
    return (
        bool(np.any(tests.adjusted[of_best] <= 0.05)),
        bool(np.any(tests.p[of_best] <= 0.05)),
        best.low <= scenario.accuracy <= best.high,
        low <= scenario.accuracy <= high,
    )


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.integer('studies', 1000, 'Studies of each row.', least=1)
    define.integer('largest', COUNTS[-1], 'Most classifiers of a study.', least=2)
    return define.given


def main(given: typing.Any) -> None:
    heads = ('k', 'significant', 'unadjusted', 'covered', 'uncorrected')
    for scenario in SCENARIOS:
        print(f'\n{scenario.name}; {scenario.images} test images')
        print(' | '.join(f'{head:>11}' for head in heads))
        for count in (count for count in COUNTS if count <= given.largest):
            rates = simulate(scenario, count, given.studies)
            shares = ' | '.join(f'{100 * rate:9.1f} %' for rate in rates)
            print(f'{count:11d} | {shares}', flush=True)


if __name__ == '__main__':
    app.run(sys.modules[__name__])
