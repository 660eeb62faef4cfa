"""A study as Runs: which there are, which can start now. Touches no files."""

import dataclasses
import functools
import typing
from collections.abc import Iterable, Iterator

from tfxfer import config
from tfxfer.study import axes, search
from tfxfer.study.study import Study


class Plan(typing.NamedTuple):
    """A study's Runs by id: those that can start, and those that are done."""

    ready: dict[str, config.Run]
    done: dict[str, config.Run]
    waiting: int  # How many more there will be, when those are done.
    spent: list[str]  # Ids of trials whose checkpoints nothing will go on from.

    @property
    def total(self) -> int:
        return len(self.ready) + len(self.done) + self.waiting


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of the study: the Runs that lead to it.

    Attributes:
        base: the final Run, but for the hyperparameters that trials choose.
        grid: those trials; none for logistic, which chooses within its Run.
        source: the pretrain Run whose weights it takes, if any.
        follows: the trials are those of another Cell, of the first seed.
    """

    base: config.Run
    grid: search.Grid = search.Grid()
    source: config.Run | None = None
    follows: bool = False

    @property
    def runs(self) -> int:
        """How many Runs it takes at least, but for the pretrain Run."""
        return 1 if self.follows else sum(self.grid.planned()) + 1

    def final(self, tried: search.Tried) -> config.Run | None:
        """The final Run, given the trials; None: they have not settled it yet."""
        if not self.grid.trials:
            return self.base
        if tried.best is None:
            return None
        return dataclasses.replace(
            self.base,
            hparams=tried.best.run.hparams,
            trials=tuple(run.id for run in tried.runs),
            search=self.grid.method,
        )


def cells(study: Study) -> Iterator[Cell]:
    """Every Cell of a study, in the order of its axes."""
    # Each is built once: most Cells have the same.
    hparams = functools.cache(functools.partial(axes.hparams_of, study))
    grid = functools.cache(functools.partial(axes.grid, study))
    grids: dict[tuple[axes.Combination, int], search.Grid] = {}
    for combination in axes.combinations(study):
        kind = combination.setting, combination.switches
        base = axes.base_run(study, combination, hparams(*kind))
        if combination.setting == 'logistic':
            yield Cell(base, source=combination.source)
            continue
        first = axes.chooser(study, combination)
        for steps, length in axes.lengths(study, base):
            base = dataclasses.replace(
                base, hparams=hparams(*kind, steps=steps), length=length
            )
            if first == combination:
                trials = tuple(
                    dataclasses.replace(base, phase='trial', hparams=point)
                    for point in grid(*kind, steps)
                )
                grids[first, steps] = search.grid_of(study, trials, steps)
            follows = first != combination
            yield Cell(base, grids[first, steps], combination.source, follows)


def plan(study_cells: Iterable[Cell], done: search.Records) -> Plan:
    """What can start now, and what waits for it.

    Trials start at once, or when the pretrain Run that makes their weights is done; a
    cell's final Run when the trials that choose for it are in, with the values that
    scored best on validation (a tie goes to the stronger weight decay, then to the
    smaller rate).
    """
    ready: dict[str, config.Run] = {}
    finished: dict[str, config.Run] = {}
    spent: list[str] = []
    waiting = 0

    def place(run: config.Run) -> bool:
        (finished if run.id in done else ready)[run.id] = run
        return run.id in done

    for cell in study_cells:
        if cell.source and not place(cell.source):
            waiting += cell.runs
            continue
        tried = cell.grid.tried(done)
        if not cell.follows:
            for trial in tried.runs:
                place(trial)
            waiting += tried.more
            spent.extend(tried.spent)
        if final := cell.final(tried):
            place(final)
        else:
            waiting += 1
    return Plan(ready, finished, waiting, spent)
