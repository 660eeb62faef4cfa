"""What a section of the report is given, a Study, and what it is: a Section."""

import dataclasses
import functools
import math
import pathlib
import typing
from collections.abc import Callable, Iterable, Sequence

from tfxfer import results
from tfxfer.analysis import cells as study_cells
from tfxfer.analysis import races, verdicts
from tfxfer.analysis.cells import Cell, Missing
from tfxfer.analysis.published import Published
from tfxfer.report import formats, style

T = typing.TypeVar('T')
TASKS = 12  # With figures of their own, as many as the paper has datasets.
FEW = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """What the sections show; `of` makes one.

    What several sections share is computed when first asked for, and once.

    Attributes:
        records: all Records; may be empty where results are published.
        cells: the Records' Cells.
        published: drawn beside the Records, or alone.
        folder: of the Runs, for what needs predictions.npz; None: without that.
        judged: which cells are best, by task.
        untested: sentences about what has no Verdict.
    """

    records: Sequence[results.Record]
    cells: Sequence[Cell]
    published: tuple[Published, ...] = ()
    folder: str | pathlib.Path | None = None
    judged: Sequence[verdicts.Verdict] = ()
    untested: Sequence[str] = ()
    _computed: dict = dataclasses.field(default_factory=dict, repr=False)

    @functools.cached_property
    def styles(self) -> dict[str, dict]:
        """{network: colour and marker}, the same in every figure."""
        networks = {cell.network for cell in self.cells}
        return style.network_styles(networks or {one.network for one in self.published})

    @functools.cached_property
    def race(self) -> races.Raced | None:
        """The race in the folder; None: there was none."""
        return races.read(self.folder) if self.folder else None

    @functools.cached_property
    def missing(self) -> list[Missing]:
        """Cells that the others lead one to expect and that have no final Run."""
        return study_cells.missing(self.records)

    @functools.cached_property
    def main_tasks(self) -> dict[tuple[str, int | None, str], list[Cell]]:
        """Cells of the tasks that have figures of their own, at most TASKS of them.

        One of each dataset, that of most training images.
        """
        groups = study_cells.grouped(
            study_cells.tasks(self.cells), lambda task: task[0]
        )
        chosen = [
            max(tasks, key=lambda task: math.inf if task[1] is None else task[1])
            for tasks in groups.values()
        ]
        found = study_cells.tasks(self.cells)
        return {task: found[task] for task in chosen[:TASKS]}

    @property
    def few(self) -> bool:
        """Whether these figures are few enough to be shown one after the other."""
        return len(self.main_tasks) <= FEW

    def once(self, compute: Callable[['Study'], T]) -> T:
        """compute(study), which is computed once."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        return self._computed[compute]


def of(
    records: Sequence[results.Record],
    published: Iterable[Published] = (),
    folder: str | pathlib.Path | None = None,
) -> Study:
    """The Study of these Records and of what others have published.

    Raises:
        errors.InputError: predictions that are not those that were scored.
    """
    found = study_cells.cells(records)
    judged, untested = verdicts.verdicts(found, folder) if folder else ([], [])
    found = verdicts.with_intervals(found, judged)
    return Study(records, found, tuple(published), folder, judged, untested)


def task_title(cell: Cell) -> str:
    """The task of a Cell: the dataset, and how much of it was trained on."""
    few = '' if cell.per_class is None else f', {cell.per_class} images per class'
    return f'{cell.dataset}{few}'


def nothing(study: Study) -> tuple[()]:
    """What a section gives that has no table, no figure or no note."""
    del study
    return ()


@dataclasses.dataclass(frozen=True)
class Section:
    """Tables and figures that belong together.

    Attributes:
        tables: of a Study; a table without rows is left out.
        drawings: of a Study; those that have nothing to show are not made.
        notes: of a Study; sentences about what both leave out.
        names: of all its tables, filled or not, in their order.
    """

    tables: Callable[[Study], Iterable[formats.Table]] = nothing
    drawings: Callable[[Study], Iterable[style.Drawing]] = nothing
    notes: Callable[[Study], Iterable[str]] = nothing
    names: tuple[str, ...] = ()
