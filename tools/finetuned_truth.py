"""What fine-tuning came to, in a results folder, beside what was known before it."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from tfxfer import errors
from tfxfer.analysis import cells, verdicts
from tfxfer.comparison import scores
from tfxfer.ranking import relation

NEAR = 0.5  # Points: no more is lost by a pick that is as good as the best.


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """Networks of one dataset that were both probed and fine-tuned.

    Attributes:
        dataset: its name.
        rows: [k], what `tfxfer scores` says of each network, the likeliest best first.
        finetuned: [k], test accuracy, mean over seeds, 0-1.
        error: [k, k], standard error of its differences, over test images and seeds.
        seeds: the fewest that a network was fine-tuned with.
    """

    dataset: str
    rows: Sequence[scores.Row]
    finetuned: np.ndarray
    error: np.ndarray
    seeds: int

    @property
    def task(self) -> relation.Task:
        """The same as a line of a table has it."""
        known = [(row.source_score, row.score) for row in self.rows]
        source, probe = np.array(known, float).T
        names = tuple(row.network for row in self.rows)
        return relation.Task(self.dataset, names, source, probe, self.finetuned)

    def lost(self, chosen: Sequence[int]) -> tuple[float, float]:
        """Points that fine-tuning only some loses, and their standard error.

        Args:
            chosen: indices of the networks that are fine-tuned.
        """
        best = int(self.finetuned.argmax())
        pick = max(chosen, key=lambda i: self.finetuned[i])
        difference = self.finetuned[best] - self.finetuned[pick]
        return 100 * float(difference), 100 * float(self.error[best, pick])


def picks(truth: Truth) -> dict[str, list[int]]:
    """Which networks are fine-tuned, {by what: indices}."""
    task = truth.task
    score = [row.shortlist for row in truth.rows]
    return {
        'ImageNet top-1': [int(task.source.argmax())],
        'probe': [int(task.probe.argmax())],
        'shortlist score': [int(np.argmax(score))],
        'its first two': np.argsort(score)[:-3:-1].tolist(),
        'shortlist': [i for i, row in enumerate(truth.rows) if row.chosen],
    }


def read(workdir: str | os.PathLike) -> list[Truth]:
    """The Truth of every dataset of a results folder.

    Raises:
        errors.InputError: a dataset without a shortlist, a network of it that was not
            fine-tuned or in several ways, or predictions that are missing.
    """
    found = cells.cells(cells.read(workdir))
    tuned = [one for one in found if one.setting == 'finetune']
    datasets = dict.fromkeys(one.dataset for one in tuned)
    if not datasets:
        raise errors.InputError(f'{workdir} has no finished Run of fine-tuning.')
    return [_truth(name, tuned, workdir) for name in datasets]


def _truth(dataset, tuned, workdir):
    group = scores.probed(workdir, dataset)
    ranked = scores.rank(group, workdir, lambda cell: {})
    rows = [row for row in ranked.rows if row.shortlist is not None]
    if len(rows) < relation.LEAST:
        raise errors.InputError(
            f'{dataset} has a shortlist of {len(rows)} networks; it takes '
            f'{relation.LEAST}. {" ".join(ranked.sentences)}'
        )
    ours = [
        _only(row, [one for one in tuned if one.dataset == dataset]) for row in rows
    ]
    best = max(ours, key=lambda cell: cell.score)
    seen = verdicts.outcomes(best, [one for one in ours if one is not best], workdir)
    if len(seen) < len(ours):
        raise errors.InputError(f'Predictions of fine-tuning on {dataset} are missing.')
    places = [[one.cell.name for one in seen].index(cell.name) for cell in ours]
    covariance = verdicts.spread(seen).covariance[np.ix_(places, places)]
    variance = np.diag(covariance)
    difference = np.add.outer(variance, variance) - 2 * covariance
    return Truth(
        dataset,
        rows,
        np.array([cell.score for cell in ours]),
        np.sqrt(np.maximum(difference, 0)),
        min(len(cell.records) for cell in ours),
    )


def _only(row, tuned):
    """The one Cell of a Row's network that was fine-tuned."""
    own = [
        one
        for one in tuned
        if (one.network, one.image_size) == (row.network, row.image_size)
    ]
    if len(own) != 1 or own[0].score is None:
        raise errors.InputError(
            f'{row.network} has {len(own)} results of fine-tuning where the shortlist '
            'has one network: it takes one that did not diverge.'
        )
    return own[0]
