"""Which points of a grid are tried next, and how far.

grid: every point to its end, as in the paper. halving (Jamieson & Talwalkar 2016,
arXiv 1502.07943): all n points train for steps / eta**r, the best ceil(n / eta) of them
eta times as long, and so on to the end. asha (Li et al. 2020, arXiv 1810.05934): a
point also goes on as soon as it is among the best 1 / eta of those scored so far.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Iterator, Mapping, Sequence

from tfxfer import config, results
from tfxfer.study import axes
from tfxfer.study.study import Study

Records: typing.TypeAlias = Mapping[str, results.Record]  # By Run id.


class Tried(typing.NamedTuple):
    """Trials of a Grid so far."""

    runs: list[config.Run]  # Those done or ready, by the steps that they reach.
    more: int = 0  # How many more will come, at least.
    best: results.Record | None = None  # The chosen one, once that is settled.
    spent: tuple[str, ...] = ()  # Ids of those done whose checkpoint has no more use.


class Rung(typing.NamedTuple):
    """The trials of a Grid that reach one of its stops, by their point of the grid."""

    number: int
    runs: dict[int, config.Run]
    records: dict[int, results.Record]  # Of those that are done.
    complete: bool  # No other point can come here, and all that did are done.

    def ranked(self) -> list[int]:
        """Points by validation score, the best first."""
        return sorted(self.records, key=lambda i: _merit(self.records[i]), reverse=True)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Hyperparameters to choose among by trials, and how.

    Attributes:
        trials: every point, to its end; empty: there is nothing to choose.
        method, eta: Study.search and Study.eta.
        stops: steps after which trials are scored, the last one the end.
    """

    trials: tuple[config.Run, ...] = ()
    method: str = 'grid'
    eta: int = 4
    stops: tuple[int, ...] = ()

    def planned(self) -> list[int]:
        """How many trials reach each of `stops`, at least."""
        counts = [len(self.trials)] if self.trials else []
        while 0 < len(counts) < len(self.stops):
            counts.append(math.ceil(counts[-1] / self.eta))
        return counts

    def tried(self, done: Records) -> Tried:
        """What is to be tried, as far as the Records of Runs that are done say."""
        rungs = list(self._rungs(done))
        runs = [run for rung in rungs for run in rung.runs.values()]
        more = max(0, sum(self.planned()) - len(runs))
        spent = [
            rung.runs[point].id
            for rung in rungs[:-1]
            for point in self._spent(rung, done)
        ]
        return Tried(runs, more, _chosen(rungs), tuple(spent))

    def _rungs(self, done: Records) -> Iterator[Rung]:
        points, complete = list(range(len(self.trials))), True
        resume: dict[int, str] = {}  # Where each point goes on from.
        last = len(self.planned()) - 1
        for number in range(last + 1):
            runs = {i: self._trial(i, number, resume.get(i, '')) for i in points}
            records = {i: done[run.id] for i, run in runs.items() if run.id in done}
            complete = complete and len(records) == len(runs)
            rung = Rung(number, runs, records, complete)
            yield rung
            if number < last:
                points = sorted(self._going_on(rung, done))
                resume = {i: run.id for i, run in runs.items()}

    def _going_on(self, rung: Rung, done: Records) -> set[int]:
        """Points of a rung that go on to the next.

        halving: the best of all, once all are scored. asha: also those among the best
        of the ones scored so far, and for good, whatever comes in later.
        """
        ranked, chosen = rung.ranked(), set[int]()
        if rung.complete:
            chosen |= set(ranked[: self.planned()[rung.number + 1]])
        if self.method == 'asha':
            chosen |= set(ranked[: len(ranked) // self.eta])
            chosen |= self._ahead(rung, done)
        return chosen

    def _ahead(self, rung: Rung, done: Records) -> set[int]:
        """Points of a rung that are done at the next one too."""
        return {i for i in rung.records if self._trial(i, rung.number + 1).id in done}

    def _spent(self, rung: Rung, done: Records) -> list[int]:
        """Points of a rung from whose checkpoint no trial will go on."""
        spent = self._ahead(rung, done)
        if rung.complete:
            spent |= set(rung.records) - self._going_on(rung, done)
        return sorted(spent)

    def _trial(self, point: int, number: int, resume: str = '') -> config.Run:
        """The Run of a point at a rung."""
        if len(self.stops) == 1:
            return self.trials[point]
        return _trial(self.trials[point], self.stops[number], resume)


def grid_of(study: Study, trials: tuple[config.Run, ...], steps: int) -> Grid:
    """The Grid of trials of so many steps, searched as the study says."""
    stops = _stops(study, steps, len(trials))
    return Grid(trials, study.search, study.eta, stops)


def _stops(study: Study, steps: int, points: int) -> tuple[int, ...]:
    """Steps at which trials are scored, each eta times the one before; last `steps`.

    Where nobody would be left behind nobody is stopped.
    """
    if study.search == 'grid':
        return (steps,)
    every = {round(steps / study.eta**k) for k in range(study.rungs)} - {0}
    stops = []
    for stop in sorted(every - {steps}):
        if points > 1:
            stops.append(stop)
        points = math.ceil(points / study.eta)
    return (*stops, steps)


def _chosen(rungs: Sequence[Rung]) -> results.Record | None:
    """The best of the last rung, once nothing more can come there."""
    if not rungs or not rungs[-1].complete:
        return None
    return rungs[-1].records[rungs[-1].ranked()[0]]


@functools.cache  # Its id is asked for at every plan.
def _trial(run: config.Run, stop: int, resume: str) -> config.Run:
    until = None if stop == axes.training(run).steps else stop
    return dataclasses.replace(run, until=until, resume=resume)


def _merit(record: results.Record) -> tuple[float, float, float]:
    """Validation score; of a tie, stronger weight decay, then the smaller rate."""
    hparams = axes.training(record.run)
    assert record.valid_score is not None, record.run.id
    return record.valid_score, hparams.wd, -hparams.lr
