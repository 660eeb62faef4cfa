"""Per-class accuracy, of the best cell and of those not told apart from it."""

from collections.abc import Iterator, Sequence

import matplotlib
import pandas as pd

from tfxfer import number_format
from tfxfer.analysis import cells, class_accuracy
from tfxfer.analysis.class_accuracy import ClassAccuracy
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study, task_title

NAME = 'classes'
CELLS = 3  # The best, and the next of those that are not told apart from it.
SHOWN = 24  # Classes; of more the worst and the best.
_LOOKS = tuple(
    {'color': colour, 'marker': marker}
    for colour, marker in zip(style.COLOURS, style.MARKERS, strict=False)
)


def _accuracies(study: Study) -> list[list[list[ClassAccuracy]]]:
    """By task and class, the best cell's worst class first."""
    if study.folder is None:
        return []
    close = {verdict.best.task: verdict.close for verdict in study.judged}
    found = []
    for task, group in study.main_tasks.items():
        best = cells.best(group)
        if best is None or best.metric == 'voc_map':
            continue
        names = (
            [cell.name for cell in close.get(task, ())] if best.noise_covered else []
        )
        of_name = {cell.name: cell for cell in group}
        others = [of_name[name] for name in names[: CELLS - 1]]
        rows = class_accuracy.of_classes(best, others, study.folder)
        by_class = cells.grouped(rows, lambda row: row.number).values()
        found.append(sorted(by_class, key=lambda of: (of[0].score, of[0].number)))
    return [task for task in found if task]


def _ends(by_class):
    """All classes, or of many as many of the worst as of the best."""
    if len(by_class) <= SHOWN:
        return by_class
    return [*by_class[: SHOWN // 2], *by_class[-SHOWN // 2 :]]


def _row(one):
    names = one.cell.records[0].classes
    return {
        'dataset': one.cell.dataset,
        'per_class': one.cell.per_class,
        'cell': one.cell.name,
        'class': names[one.number],
        'images': one.images,
        'score': one.score,
        'low': one.low,
        'high': one.high,
        'taken_for': None if one.other is None else names[one.other],
        'share_taken_for': one.to_other,
    }


def table(tasks: Sequence[Sequence[Sequence[ClassAccuracy]]]) -> formats.Table:
    """The best cell's classes, the worst first; the .csv has all classes and cells."""
    made = formats.table(
        NAME,
        'Classes, the worst first',
        [_row(of[0]) for by_class in tasks for of in _ends(by_class)],
        {
            'dataset': columns.text('dataset'),
            columns.PER_CLASS: columns.count('per_class'),
            'class': columns.text('class'),
            'test images': columns.count('images'),
            'accuracy %': columns.percent('score'),
            '95 % interval': lambda row: number_format.interval(
                row['low'], row['high']
            ),
            'most often taken for': columns.text('taken_for'),
            'of its images, %': lambda row: (
                number_format.percent(row['share_taken_for'])
                if row['taken_for']
                else ''
            ),
        },
        optional=columns.OPTIONAL,
        note='Of the best cell of each dataset, the worst class first; of more than '
        f'{SHOWN} classes the {SHOWN // 2} worst and best. Intervals: of one class by '
        'itself. The .csv has all classes, and the cells that are not told apart from '
        'the best.',
    )
    every = [_row(one) for task in tasks for of in task for one in of]
    return made.with_numbers(every)


def drawing(by_class: Sequence[Sequence[ClassAccuracy]], subject: str) -> style.Drawing:
    """A row per class of one task, the worst first.

    Args:
        by_class: a ClassAccuracy for each cell, by class.
        subject: of the Drawing.
    """
    shown = _ends(by_class)
    group = [one.cell for one in shown[0]]
    legend = {
        cell.name: {**look, 'linestyle': '-'}
        for cell, look in zip(group, _LOOKS, strict=False)
    }
    with matplotlib.rc_context(style.RC):
        fig, panel = style.dot_rows(len(shown), legend, 'Per-class accuracy, %')
        for place, of in enumerate(shown):
            for i, one in enumerate(of):
                values = one.score, one.low, one.high
                style.dot(panel, place + 0.13 * i, values, _LOOKS[i])
            name = group[0].records[0].classes[of[0].number]
            images = f'{of[0].images} image{"" if of[0].images == 1 else "s"}'
            style.row_label(panel, place, name, images)
        if len(shown) < len(by_class):
            panel.axhline(SHOWN / 2 - 0.65, color='0.5', linewidth=0.8, linestyle=':')
    return style.Drawing(
        style.file_name('classes', *group[0].task[:2]),
        subject,
        f'Per-class accuracy, {task_title(group[0])}',
        fig,
        pd.DataFrame([_row(one) for of in shown for one in of]),
        ' '.join(_caption(len(by_class), group)),
    )


def _caption(classes, group):
    seeds = any(len(cell.records) > 1 for cell in group if cell.varies)
    over = 'its test images and seeds' if seeds else 'its test images'
    yield f'Lines: 95 % interval of one class by itself, over {over}.'
    if len(group) > 1:
        yield 'The best cell and the next that are not told apart from it.'
    if classes > SHOWN:
        yield f'The {SHOWN // 2} worst and best of {classes} classes.'


def _tables(study: Study) -> Iterator[formats.Table]:
    yield table(study.once(_accuracies))


def _drawings(study: Study) -> Iterator[style.Drawing]:
    subject = 'classes' if study.few else 'class accuracies'
    for by_class in study.once(_accuracies):
        yield drawing(by_class, subject)


SECTION = Section(tables=_tables, drawings=_drawings, names=(NAME,))
