"""Which networks and settings are best on each task, and how sure that is."""

import dataclasses
import functools
import os
import typing
from collections.abc import Sequence

import numpy as np

from tfxfer.analysis import cells, crossed, paired_tests

SIGNIFICANT = 0.05  # Of an adjusted p.


class Comparison(typing.NamedTuple):
    """Best Cell `a` against Cell `b` of the same task, on the same test images.

    Attributes:
        difference: of the two scores, 0-1.
        only_a, only_b: images that only one of them has right, mean over all pairs of
            their seeds.
        p: two-sided, over images and seeds; None where the training noise of one of
            them was not measured.
        p_adjusted: for all pairs of the task, of which this one was picked.
    """

    a: cells.Cell
    b: cells.Cell
    difference: float
    only_a: float
    only_b: float
    p: float | None
    p_adjusted: float | None

    @property
    def significant(self) -> bool:
        """Whether `a` is better by more than chance."""
        return self.p_adjusted is not None and self.p_adjusted <= SIGNIFICANT


class Verdict(typing.NamedTuple):
    """What is known of the Cells of one task.

    Attributes:
        best: of the highest score.
        low, high: 95 % interval of its score, 0-1, corrected for having been picked as
            the highest.
        comparisons: of the best with all others, the next best first.
        intervals: {Cell.name: (low, high)}, each of one Cell that was not picked.
    """

    best: cells.Cell
    low: float
    high: float
    comparisons: tuple[Comparison, ...]
    intervals: dict[str, tuple[float, float]]

    @property
    def close(self) -> list[cells.Cell]:
        """Cells that are not told apart from the best, the next best first."""
        return [row.b for row in self.comparisons if not row.significant]


def verdicts(
    all_cells: Sequence[cells.Cell], workdir: str | os.PathLike
) -> tuple[list[Verdict], list[str]]:
    """The Verdict of each task that has predictions, in the order of cells.tasks.

    Average precision has no value of an image, and so no Verdict.

    Returns:
        ([Verdict, ...], [sentence about what could not be compared, ...]).

    Raises:
        errors.InputError: predictions that are not those the record was scored on.
    """
    made, notes = [], []
    read = functools.partial(paired_tests.predictions, workdir=workdir)
    for group in cells.tasks(all_cells).values():
        scored = [cell for cell in group if cell.score is not None]
        best = cells.best(scored)
        if best is None or best.metric == 'voc_map':
            continue
        seen, lacking = _read(best, scored, read)
        notes += lacking
        if seen:
            made.append(_verdict(best, seen))
    return made, notes


def with_intervals(
    all_cells: Sequence[cells.Cell], judged: Sequence[Verdict]
) -> list[cells.Cell]:
    """The Cells, those of a Verdict with the interval that it found (Cell.covered)."""
    known = {verdict.best.task: verdict.intervals for verdict in judged}
    return [
        dataclasses.replace(cell, covered=known.get(cell.task, {}).get(cell.name))
        for cell in all_cells
    ]


class Seen(typing.NamedTuple):
    """A Cell, and what its Runs made of the test images.

    label [n] and predicted [seeds, n] are classes; right [seeds, n]: where they agree.
    """

    cell: cells.Cell
    label: np.ndarray
    predicted: np.ndarray
    right: np.ndarray


def outcomes(
    best: cells.Cell, others: Sequence[cells.Cell], workdir: str | os.PathLike
) -> list[Seen]:
    """What the best and others of its task made of the same test images, best first.

    Without those that have no predictions, or of other images; [] if the best has none.

    Raises:
        errors.InputError: see verdicts.
    """
    read = functools.partial(paired_tests.predictions, workdir=workdir)
    return _read(best, others, read)[0]


def _read(best, scored, read):
    """([Seen, ...] of the Cells on the same images as the best, sentences)."""
    seen, notes, images = [], [], None
    for cell in (best, *(cell for cell in scored if cell is not best)):
        records = cell.records if cell.varies else cell.records[:1]
        try:
            predictions = [read(record) for record in records]
        except FileNotFoundError:
            notes.append(_lacking(best, cell, 'predictions.npz is missing'))
            if cell is best:
                return [], notes
            continue
        images = images or predictions[0]
        if any(_differ(images, one) for one in predictions):
            notes.append(_lacking(best, cell, 'they were scored on different images'))
            if cell is best:
                return [], notes
            continue
        predicted = np.array([one.predicted for one in predictions])
        right = predicted == images.label
        seen.append(Seen(cell, images.label, predicted, right))
    return seen, notes


def _lacking(best, cell, reason):
    if cell is best:
        return f'{best.dataset}: {best.name} is not compared: {reason}.'
    return f'{best.dataset}: {best.name} is not compared with {cell.name}: {reason}.'


def _differ(one, other):
    return not (
        np.array_equal(one.image, other.image)
        and np.array_equal(one.label, other.label)
    )


def crossed_outcomes(seen: Sequence[Seen]) -> crossed.Outcomes:
    """What the Cells of one task made of the same images, weighted as in its metric."""
    label = seen[0].label
    n, stratum = len(label), np.zeros(len(label), int)
    weight = np.full(n, 1 / n)
    if seen[0].cell.metric == 'mean_per_class':
        names, stratum, counts = np.unique(
            label, return_inverse=True, return_counts=True
        )
        weight = 1 / (len(names) * counts[stratum])
    return crossed.Outcomes(
        [one.right for one in seen],
        weight,
        stratum,
        [one.cell.varies for one in seen],
        paired=paired([one.cell for one in seen]),
    )


def spread(seen: Sequence[Seen]) -> crossed.Spread:
    """How sure the scores of Seen are, all of one task and of the same test images."""
    return crossed.spread(crossed_outcomes(seen))


def _verdict(best, seen):
    """The Verdict of Seen, the best first."""
    found = spread(seen)
    low, high = crossed.intervals(found)
    won = crossed.winner(found)
    rows = _compared(seen, crossed.pairs(found))
    return Verdict(
        best,
        won.low,
        won.high,
        tuple(sorted(rows, key=lambda row: row.difference)),
        {one.cell.name: (float(low[i]), float(high[i])) for i, one in enumerate(seen)},
    )


def paired(group: Sequence[cells.Cell]) -> bool:
    """Whether a seed draws the same training images in all Cells that vary."""
    seeds = {tuple(r.run.seed for r in cell.records) for cell in group if cell.varies}
    return group[0].per_class is not None and len(seeds) == 1


def _compared(seen, tests):
    """Comparisons of the first with all others; tests: crossed.Pairs."""
    best = seen[0]
    mean = best.right.mean(axis=0)
    for i, other in enumerate(seen[1:]):
        theirs = other.right.mean(axis=0)
        known = best.cell.noise_covered and other.cell.noise_covered
        yield Comparison(
            a=best.cell,
            b=other.cell,
            difference=float(tests.difference[i]),
            only_a=float(np.sum(mean * (1 - theirs))),
            only_b=float(np.sum(theirs * (1 - mean))),
            p=float(tests.p[i]) if known else None,
            p_adjusted=float(tests.adjusted[i]) if known else None,
        )
