"""The most confident mistakes of the best cell of each task."""

import typing
from collections.abc import Iterator

from tfxfer import results, storage
from tfxfer.analysis import cells, mistakes
from tfxfer.report import columns, formats
from tfxfer.report.section import Section, Study

NAME = 'mistakes'
SHOWN = 24  # Of each task.


class Confident(typing.NamedTuple):
    """Mistakes of one task's best Cell.

    record: of its lowest seed. names: of the images, where they have any.
    """

    cell: cells.Cell
    record: results.Record
    wrong: mistakes.Mistakes
    names: tuple[str, ...]


def most_confident(study: Study) -> list[Confident]:
    """Of each of the study's main tasks that has predictions and a mistake.

    Raises:
        errors.InputError: predictions that are not those of the record.
    """
    if study.folder is None:
        return []
    found = []
    for group in study.main_tasks.values():
        best = cells.best(group)
        if best is None or best.metric == 'voc_map':
            continue
        record = best.records[0]
        try:
            wrong = mistakes.most_confident(record, study.folder, SHOWN)
        except FileNotFoundError:
            continue
        if len(wrong.image):
            found.append(Confident(best, record, wrong, _names(study, record, wrong)))
    return found


def _names(study, record, wrong):
    path = f'{study.folder}/splits/{record.splits}.npz'
    arrays = storage.arrays_if_sound(path) if record.splits else None
    names = () if arrays is None else arrays.get('names', ())
    if wrong.image.max() >= len(names):
        return ('',) * len(wrong.image)
    return tuple(str(names[i]) for i in wrong.image)


def rows(one: Confident) -> list[dict[str, typing.Any]]:
    """The numbers of each mistake, the most confident first."""
    classes = one.record.classes
    return [
        {
            'dataset': one.cell.dataset,
            'per_class': one.cell.per_class,
            'cell': one.cell.name,
            'run': one.record.run.id,
            'index': int(one.wrong.image[i]),
            'image': one.names[i],
            'class': classes[one.wrong.label[i]],
            'taken_for': classes[one.wrong.predicted[i]],
            'confidence': float(one.wrong.confidence[i]),
        }
        for i in range(len(one.wrong.image))
    ]


def _tables(study: Study) -> Iterator[formats.Table]:
    yield formats.table(
        NAME,
        'Most confident mistakes of the best',
        [row for one in study.once(most_confident) for row in rows(one)],
        {
            'dataset': columns.text('dataset'),
            columns.PER_CLASS: columns.count('per_class'),
            'cell': columns.text('cell'),
            'number of the image': columns.count('index'),
            'image': columns.text('image'),
            'class': columns.text('class'),
            'taken for': columns.text('taken_for'),
            'confidence %': columns.percent('confidence'),
        },
        optional=(*columns.OPTIONAL, 'image'),
        note='Test images, of the lowest seed. Confidence: the probability that the '
        'classifier gives the class it predicts (softmax); it is not calibrated.',
    )


SECTION = Section(tables=_tables, names=(NAME,))
