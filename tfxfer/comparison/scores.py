"""Scores of a study's networks, and which of them to fine-tune."""

import dataclasses
import os
import typing
from collections.abc import Callable, Sequence

import numpy as np
from absl import logging

from tfxfer import errors
from tfxfer.analysis import cells, stats, verdicts
from tfxfer.ranking import scores, shortlist, source_labels
from tfxfer.report import columns, formats
from tfxfer.transfer.options import ExecutionOptions

SETTING = 'logistic'  # Whose features are scored, and whose accuracy is the probe's.
IMAGENET = 50_000  # Validation images, of which top-1 is a share.


@dataclasses.dataclass(frozen=True)
class Row:
    """One network on the task. What is not known, or not asked for, is None.

    Attributes:
        network, image_size, recipe: of the study, see cells.Cell.
        source_score: what its weights reach on the task they were trained for, 0-1.
        score: test accuracy of logistic regression on its features, 0-1.
        shortlist: z(log odds of score) + z(log odds of source_score).
        chance: probability that it is the best of the networks once all are fine-tuned.
        chosen: whether it is on the shortlist.
        knn, ncm, logme, h_score, leep, nce: see ranking.scores.
    """

    network: str
    image_size: int | None
    recipe: str
    source_score: float | None
    score: float | None
    shortlist: float | None = None
    chance: float | None = None
    chosen: bool = False
    knn: float | None = None
    ncm: float | None = None
    logme: float | None = None
    h_score: float | None = None
    leep: float | None = None
    nce: float | None = None


class Found(typing.NamedTuple):
    """The Rows of a task, the likeliest best first, and sentences about them."""

    rows: list[Row]
    sentences: list[str]


Measure = Callable[[cells.Cell], dict[str, typing.Any]]


def probed(workdir: str | os.PathLike, dataset: str | None = None) -> list[cells.Cell]:
    """The Cells of logistic regression on one task of a results folder.

    Of several numbers of training images they are those of the largest.

    Args:
        workdir: of the Runs.
        dataset: its name in the report; None: the only one.

    Raises:
        errors.InputError: no such folder or dataset, several of them, no finished Run
            of logistic regression, or a task of several labels per image.
    """
    found = [
        cell
        for cell in cells.cells(cells.read(workdir))
        if cell.setting == SETTING and cell.score is not None
    ]
    if not found:
        raise errors.InputError(
            f'{str(workdir)!r} holds no finished Run of the setting {SETTING}, whose '
            'features are scored. Make some: tfxfer compare my/images '
            f'--settings={SETTING} --workdir={workdir}'
        )
    by_dataset = cells.grouped(found, lambda cell: cell.dataset)
    if dataset is None and len(by_dataset) > 1:
        raise errors.InputError(
            f'{str(workdir)!r} has results of several datasets. Say which: --dataset='
            f'{"|".join(by_dataset)}'
        )
    name = dataset or next(iter(by_dataset))
    tasks = cells.tasks(errors.find('dataset of the study', by_dataset, name))
    # None, all images, counts as the most.
    most = max(tasks, key=lambda task: (task[1] is None, task[1] or 0))
    if most[2] == 'voc_map':
        raise errors.InputError(
            f'{name} has several labels per image, for which these scores are not '
            'defined.'
        )
    return tasks[most]


def of_features(options: ExecutionOptions, *, source_head: bool = False) -> Measure:
    """What measures a Cell, by the features that its Run cached.

    Features that are no longer cached are computed anew. Training images are learned
    from, validation images are scored; test images are not looked at.

    Args:
        options: of its Runs.
        source_head: whether LEEP and NCE are measured, where the weights have a
            classifier; it is applied to the features.
    """
    from tfxfer import models  # TensorFlow.
    from tfxfer.models import float32
    from tfxfer.transfer import resolve
    from tfxfer.transfer.task import Task

    float32.allow_tf32(False)

    def measure(cell: cells.Cell) -> dict[str, float | None]:
        resolved = resolve.resolve(cell.records[0].run, options)
        task = Task(resolved, options)
        (f, y), (g, v) = task.features('train'), task.features('valid')
        logging.info('%s: %d images, %d features', cell.network, *f.shape)
        p = None
        if source_head:
            head = models.source_classifier(resolved.arch, resolved.weights)
            p = source_labels.probabilities(f, *head) if head else None
        dataset = resolved.dataset
        try:
            return scores.measure(
                scores.Sample(f, y, g, v, dataset.classes, dataset.metric, p)
            )
        except ValueError as error:
            raise errors.InputError(f'{cell.network}: {error}') from error

    return measure


def rank(
    group: Sequence[cells.Cell],
    workdir: str | os.PathLike,
    measure: Measure,
    *,
    level: float = shortlist.LEVEL,
) -> Found:
    """Every score of every Cell, and the shortlist for fine-tuning.

    Args:
        group: as `probed` gives them.
        workdir: of the Runs.
        measure: a Cell's scores by name, of its features.
        level: probability with which the shortlist holds the best.

    Raises:
        errors.InputError: predictions that are not those that were scored.
    """
    listed, sentences = _shortlisted(group, workdir, level)
    rows = [
        Row(
            cell.network,
            cell.image_size,
            cell.recipe,
            cell.source['score'] if cell.source else None,
            cell.score,
            **listed.get(cell.name, {}),
            **measure(cell),
        )
        for cell in group
    ]
    rows.sort(key=lambda row: (row.chance or 0, row.shortlist or 0, row.score or 0))
    return Found(rows[::-1], sentences)


def _shortlisted(
    group: Sequence[cells.Cell], workdir: str | os.PathLike, level: float
) -> tuple[dict[str, dict[str, typing.Any]], list[str]]:
    """({name of a Cell: fields of its Row}, sentences)."""
    source = {
        cell.name: float(
            stats.log_odds(cell.source['score'], cell.source['images'] or IMAGENET)
        )
        for cell in group
        if cell.source and cell.source['score'] is not None
    }
    known = [cell for cell in group if cell.name in source]
    sources = {cell.source['dataset'] for cell in known if cell.source}
    if len(sources) > 1:
        return {}, [
            'No shortlist: the networks were trained for different tasks '
            f'({", ".join(sorted(sources))}), whose accuracies do not compare.'
        ]
    best = cells.best(known)
    rest = [cell for cell in known if cell is not best]
    seen = verdicts.outcomes(best, rest, workdir) if best else []
    sentences = [
        *_left_out('source accuracy', group, known),
        *_left_out('predictions of these test images', known, [s.cell for s in seen]),
    ]
    if len(seen) < 2:
        return {}, [
            'No shortlist: it takes 2 networks, or more, of which both are known.',
            *sentences,
        ]
    evidence = shortlist.of_spread(
        [one.cell.name for one in seen],
        verdicts.spread(seen),
        np.array([source[one.cell.name] for one in seen]),
    )
    found = shortlist.shortlist(evidence, level=level)
    listed = {
        name: {
            'shortlist': float(found.score[i]),
            'chance': float(found.chance[i]),
            'chosen': i in found.chosen,
        }
        for i, name in enumerate(evidence.networks)
    }
    names = [seen[i].cell.network for i in found.chosen]
    return listed, [_answer(names, len(seen), found), *sentences]


def _left_out(what, group, rest):
    names = [cell.network for cell in group if cell not in rest]
    if names:
        yield f'Not considered, as their {what} are not known: {", ".join(names)}.'


def _answer(names, count, found):
    if len(names) == count:
        return (
            f'Fine-tune all {count} networks: no fewer hold the best with the '
            'probability that is asked for.'
        )
    which = ' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))
    percent = 100 * found.probability
    sure = f'{percent:.0f} %' if percent < 99.5 else 'more than 99 %'
    return (
        f'Fine-tune {which}: the best of these {count} networks, once fine-tuned, is '
        f'among them with a probability of {sure}. '
        f'Fine-tuning no others loses {found.loss:.2f} percentage points on average, '
        f'and at most {found.most:.1f} with a probability of '
        f'{100 * shortlist.AT_MOST:.0f} %.'
    )


def table(found: Found) -> formats.Table:
    """The Rows as a table; its text leaves out scores that none of them has."""
    measured = {
        one.title: columns.percent(name) if one.percent else _number(name)
        for name, one in scores.SCORES.items()
    }
    listed: dict[str, formats.Column] = {
        'shortlist': _number('shortlist'),
        'best %': lambda row: (
            '' if row['chance'] is None else f'{100 * row["chance"]:.0f}'
        ),
        'fine-tune': lambda row: 'yes' if row['chosen'] else '',
    }
    return formats.table(
        'scores',
        'Scores of networks',
        [dataclasses.asdict(row) for row in found.rows],
        {
            'network': columns.text('network'),
            columns.IMAGE_SIZE: columns.count('image_size'),
            'recipe': columns.text('recipe'),
            'source %': columns.percent('source_score'),
            'logistic %': columns.percent('score'),
            **listed,
            **measured,
        },
        optional=(*columns.OPTIONAL, *listed, *measured),
        note='Higher is better in every column.',
    )


def _number(name: str) -> formats.Column:
    return lambda row: '' if row[name] is None else f'{row[name]:.3f}'
