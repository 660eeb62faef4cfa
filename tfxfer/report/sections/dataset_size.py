"""Accuracy against training images per class, and where scratch catches up."""

from collections.abc import Iterable, Iterator, Sequence

import matplotlib
import pandas as pd

from tfxfer import number_format
from tfxfer.analysis import cells, dataset_size, stats
from tfxfer.analysis.dataset_size import Size
from tfxfer.analysis.estimate import plain
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study

NAMES = ('dataset_size', 'crossings')
TRAINING_IMAGES = 'training images per class'


def table(sizes: Sequence[Size]) -> formats.Table:
    """Score of each setting by training images per class."""
    groups = cells.grouped(
        sizes, lambda s: (s.network, s.dataset, s.image_size, s.images, s.per_class)
    )
    occur = [s for s in cells.SETTINGS if any(size.setting == s for size in sizes)]
    rows = [
        _row(key, group, occur)
        for key, group in sorted(groups.items(), key=lambda item: _order(item[0]))
    ]
    return formats.table(
        NAMES[0],
        'Scores by training images per class',
        rows,
        {
            **columns.texts('network', 'dataset'),
            columns.IMAGE_SIZE: columns.count('image_size'),
            TRAINING_IMAGES: _images_text,
            **{f'{setting} %': _score_column(setting) for setting in occur},
            'seeds': lambda row: ' / '.join(str(row[f'{s}.draws'] or 0) for s in occur),
        },
        optional=columns.OPTIONAL,
        note='Log odds are averaged over seeds, each with a subset of its own, and '
        'shown as a score; in parentheses: one standard error of that mean to each '
        'side. Training images: train + valid, which the final fit uses. The seeds of '
        f'{" / ".join(occur)} are counted.',
    )


def _row(key, group, settings):
    network, dataset, image_size, images, per_class = key
    row = {
        'network': network,
        'dataset': dataset,
        'image_size': image_size,
        'images': images,
        'per_class': per_class,
    }
    by_setting = {size.setting: size for size in group}
    for setting in settings:
        size = by_setting.get(setting)
        numbers = {} if size is None else _numbers_of(size)
        for name in ('score', 'log_odds', 'error', 'draws'):
            row[f'{setting}.{name}'] = numbers.get(name)
    return row


def _numbers_of(size):
    """Its fields; the seeds as the .csv files have always called them."""
    numbers = size._asdict()
    return {'draws' if name == 'seeds' else name: v for name, v in numbers.items()}


def _order(key):
    network, dataset, size, images, _ = key
    return network, dataset, cells.sortable((size,)), images


def _images_text(row):
    return plain(row['images']) + (' (all)' if row['per_class'] is None else '')


def _score_column(setting: str) -> columns.Column:
    return lambda row: _score_text(row, setting)


def _score_text(row, setting):
    text = number_format.percent(row[f'{setting}.score'])
    error = row[f'{setting}.error']
    if error is None:
        return text
    x = row[f'{setting}.log_odds']
    low, high = stats.proportion([x - error, x + error])
    return f'{text} ({number_format.interval(low, high)})'


def crossings(sizes: Sequence[Size]) -> formats.Table:
    """Where scratch equals fine-tuning on half the images."""
    rows = [
        {
            'network': network,
            'dataset': dataset,
            'image_size': image_size,
            'images': estimate.value,
            'said': estimate.words,
        }
        for (network, dataset, image_size), estimate in dataset_size.crossings(sizes)
    ]
    return formats.table(
        NAMES[1],
        'From how many images per class does training from scratch equal fine-tuning '
        'on half as many?',
        rows,
        {
            **columns.texts('network', 'dataset'),
            columns.IMAGE_SIZE: columns.count('image_size'),
            TRAINING_IMAGES: columns.text('said'),
        },
        optional=columns.OPTIONAL,
        note='Between the sizes measured, log odds are taken as linear in the '
        'logarithm of the images; outside them nothing is assumed.',
    )


def draw(sizes: Sequence[Size]) -> style.Drawing:
    """Accuracy against training images per class, as in the paper's figure 9.

    A panel per network and dataset, a line per setting; y is log odds, labelled in
    percent.
    """
    groups = cells.grouped(sizes, lambda s: (s.network, s.dataset, s.image_size))
    with matplotlib.rc_context(style.RC):
        fig, axes = style.line_panels(len(groups), {size.setting for size in sizes})
        for panel, shown in zip(axes.flat, groups.values(), strict=False):
            ends = [s.log_odds + k * (s.error or 0) for s in shown for k in (-1, 1)]
            style.count_axis(panel.xaxis, [s.images for s in shown])
            style.percent_axis(panel.yaxis, ends, ticks=5)
            panel.set_title(style.task_title(shown[0]), size=9)
            for setting, line in cells.grouped(shown, lambda s: s.setting).items():
                panel.errorbar(
                    [s.images for s in line], [s.log_odds for s in line],
                    yerr=[s.error or 0 for s in line], markersize=4, linewidth=1.2,
                    elinewidth=1, **style.SETTINGS[setting],
                )  # fmt: skip
        style.label_axes(fig, axes, 'Training images per class', 'Accuracy, %')
    return style.Drawing(
        NAMES[0],
        'experiment',
        'Accuracy against training images per class',
        fig,
        pd.DataFrame([_numbers_of(size) for size in sizes]),
        _caption(sizes),
    )


def _caption(sizes):
    parts = [
        'Accuracy as log odds, labelled in percent and averaged over seeds. Training '
        'images: train + valid, which the final fit uses; where all images are used, '
        'their mean number per class.'
    ]
    if any(s.error is not None for s in sizes):
        parts.append('Bars: standard error of the mean log odds over seeds.')
    if any(s.error is None for s in sizes):
        parts.append('No bars where there is one seed.')
    return ' '.join(parts)


def _sizes(study: Study) -> tuple[list[Size], list[str]]:
    return dataset_size.sizes(study.cells)


def _tables(study: Study) -> Iterator[formats.Table]:
    sizes, _ = study.once(_sizes)
    yield table(sizes)
    yield crossings(sizes)


def _drawings(study: Study) -> Iterator[style.Drawing]:
    sizes, _ = study.once(_sizes)
    if sizes:
        yield draw(sizes)


def _notes(study: Study) -> Iterable[str]:
    return study.once(_sizes)[1]


SECTION = Section(tables=_tables, drawings=_drawings, notes=_notes, names=NAMES)
