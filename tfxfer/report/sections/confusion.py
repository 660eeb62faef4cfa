"""Which class is predicted for which, for the best network of each task."""

from collections.abc import Iterator

import matplotlib
import numpy as np
import pandas as pd

from tfxfer.analysis import cells, paired_tests
from tfxfer.report import style
from tfxfer.report.section import Section, Study

NAMED = 100  # Classes; names of more could not be read.


def _drawings(study: Study) -> Iterator[style.Drawing]:
    """The confusion matrix of each task's best Cell; needs its predictions.npz.

    Of several seeds the lowest is taken. Multi-label tasks have no such matrix, and
    one whose predictions are gone is left out.

    Raises:
        errors.InputError: predictions that are not those the record was scored on.
    """
    if study.folder is None:
        return
    for group in cells.tasks(study.cells).values():
        best = cells.best(group)
        if best is None or best.metric == 'voc_map':
            continue
        record = best.records[0]
        try:
            seen = paired_tests.predictions(record, study.folder)
        except FileNotFoundError:
            continue
        yield confusion(best, seen.label, seen.predicted)


def confusion(
    cell: cells.Cell, label: np.ndarray, predicted: np.ndarray
) -> style.Drawing:
    """Shares of each true class's test images by predicted class.

    Args:
        cell: whose predictions they are.
        label, predicted: [n] class numbers.
    """
    names = list(cell.records[0].classes)
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (label, predicted), 1)
    totals = counts.sum(axis=1)
    shares = np.divide(
        counts,
        totals[:, None],
        where=totals[:, None] > 0,
        out=np.full(counts.shape, np.nan),
    )
    title = f'{cell.name}, {cell.dataset}'
    with matplotlib.rc_context({**style.RC, 'font.size': 8}):
        fig = _matrix_figure(names, shares, title)
    true, taken = np.nonzero(counts)
    frame = pd.DataFrame(
        {
            'true': [names[i] for i in true],
            'taken_for': [names[j] for j in taken],
            'images': counts[true, taken],
            'share': shares[true, taken],
        }
    )
    seeds = (
        ' Where there are several seeds, the lowest is shown.'
        if len(cell.records) > 1
        else ''
    )
    return style.Drawing(
        style.file_name('confusion', *cell.task[:2]),
        'detail',
        f'Predicted against true classes: {title}',
        fig,
        frame,
        f'The best cell of the dataset, {int(totals.sum())} test images. Each row adds '
        f'up to 100 %. The .csv lists the pairs that occur.{seeds}',
    )


def _matrix_figure(names, shares, title):
    named = len(names) <= NAMED
    longest = min(max(map(len, names)), 24) if named else 6
    side = min(max(0.16 * len(names), 2.4), 12.0)
    margin = 0.45 + 0.075 * longest
    width, height = side + margin + 0.9, side + margin + 0.4
    fig = style.Figure((width, height))
    panel = fig.add_axes((margin / width, margin / height, side / width, side / height))
    image = panel.imshow(
        100 * shares, cmap='cividis', vmin=0, vmax=100, interpolation='nearest'
    )
    if named:
        size = min(7.0, 72 * 0.9 * side / len(names))
        short = [name if len(name) <= 24 else f'{name[:23]}…' for name in names]
        panel.set_xticks(range(len(names)), short, rotation=90, size=size)
        panel.set_yticks(range(len(names)), short, size=size)
        panel.tick_params(length=0)
    panel.set_title(title, size=9)
    middle = margin + side / 2
    fig.text(middle / width, 0.06 / height, 'Predicted class', ha='center', size=9)
    fig.text(
        0.06 / width, middle / height, 'True class', rotation=90, va='center', size=9
    )
    bar_axes = fig.add_axes(
        ((margin + side + 0.12) / width, margin / height, 0.12 / width, side / height)
    )
    fig.colorbar(image, cax=bar_axes).set_label("Share of the class's images, %")
    return fig


SECTION = Section(drawings=_drawings)
