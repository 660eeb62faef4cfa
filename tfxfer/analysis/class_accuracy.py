"""Per-class accuracy, with intervals over test images and seeds."""

import os
import typing
from collections.abc import Sequence

import numpy as np

from tfxfer.analysis import cells, crossed, verdicts


class ClassAccuracy(typing.NamedTuple):
    """Of the test images of one class.

    Attributes:
        cell: whose predictions they are.
        number: of the class.
        images: test images of it.
        score: share of them that are right, 0-1, mean over seeds.
        low, high: 95 % interval of that, of one class by itself.
        other: number of the class that it is most often taken for, over all seeds; of
            several the lowest; None where all are right.
        to_other: share of the images that are, 0-1.
    """

    cell: cells.Cell
    number: int
    images: int
    score: float
    low: float
    high: float
    other: int | None
    to_other: float


def of_classes(
    best: cells.Cell, others: Sequence[cells.Cell], workdir: str | os.PathLike
) -> list[ClassAccuracy]:
    """Of each class that has test images, and in it of each Cell, the best first.

    Args:
        best: of a task; not of average precision, which has no value of an image.
        others: of the same task; left out where they were scored on other images.
        workdir: of the Runs. Without predictions of the best there is nothing: [].

    Raises:
        errors.InputError: predictions that are not those the record was scored on.
    """
    seen = verdicts.outcomes(best, others, workdir)
    if not seen:
        return []
    label = seen[0].label
    varies = [one.cell.varies for one in seen]
    paired = verdicts.paired([one.cell for one in seen])
    rows = []
    for number in np.unique(label):
        of = np.flatnonzero(label == number)
        found = crossed.spread(
            crossed.Outcomes(
                [one.right[:, of] for one in seen],
                np.full(len(of), 1 / len(of)),
                np.zeros(len(of), int),
                varies,
                paired=paired,
            )
        )
        low, high = crossed.intervals(found)
        for i, one in enumerate(seen):
            other, share = _other(one.predicted[:, of], number)
            rows.append(
                ClassAccuracy(
                    one.cell, int(number), len(of), float(found.score[i]),
                    float(low[i]), float(high[i]), other, share,
                )
            )  # fmt: skip
    return rows


def _other(predicted, number):
    """(commonest wrong class of predicted [seeds, n] or None, its share)."""
    wrong = predicted[predicted != number]
    if not len(wrong):
        return None, 0.0
    classes, counts = np.unique(wrong, return_counts=True)
    return int(classes[counts.argmax()]), float(counts.max() / predicted.size)
