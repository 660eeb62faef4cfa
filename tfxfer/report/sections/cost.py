"""Accuracy against what it costs: seconds of all Runs, and parameters."""

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence

import matplotlib
import pandas as pd
from matplotlib import ticker

from tfxfer import architectures, number_format
from tfxfer.analysis import cells
from tfxfer.report import formats, style
from tfxfer.report.section import Section, Study, task_title

TICKS = 4  # At most, on an axis.
_HOUR, _DAY = 3600, 86400
# Where durations have their ticks, in seconds.
_DURATIONS = (
    *(0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800),
    *(_HOUR, 3 * _HOUR, 10 * _HOUR, _DAY, 3 * _DAY, 10 * _DAY, 30 * _DAY, 100 * _DAY),
)
_COUNTS = tuple(m * 10**k for k in range(3, 10) for m in (1, 2, 5))


class _Axis(typing.NamedTuple):
    column: str
    label: str
    ticks: Sequence[float]
    text: Callable[[float], str]


def _duration(seconds):
    for size, unit in ((_DAY, 'd'), (_HOUR, 'h'), (60, 'min')):
        if seconds >= size:
            return f'{seconds / size:.3g} {unit}'
    return f'{seconds:.3g} s'


_AXES = (
    _Axis('seconds', 'Time of all Runs', _DURATIONS, _duration),
    _Axis(
        'parameters', 'Parameters', _COUNTS, lambda n: number_format.magnitude(int(n))
    ),
)


def cost(
    group: Sequence[cells.Cell], styles: Mapping[str, style.Look], subject: str
) -> style.Drawing | None:
    """A panel per kind of cost in which the Cells of one task differ; None of none.

    Args:
        group: the task's Cells.
        styles: {network: marker}.
        subject: of the Drawing.
    """
    scored = [cell for cell in group if cell.score is not None]
    rows = [_row(cell) for cell in scored]
    axes = [axis for axis in _AXES if len({r[axis.column] for r in rows} - {None}) > 1]
    if not axes:
        return None
    styles, shown, more = style.legend(scored, styles)
    settings = {cell.setting for cell in scored}
    legend = {name: {**style.SETTINGS[name], 'marker': '', 'linestyle': '-',
                     'linewidth': 4}
              for name in cells.SETTINGS if name in settings}  # fmt: skip
    legend |= {name: {**look, 'color': '0.3'} for name, look in shown.items()}
    with matplotlib.rc_context(style.RC):
        layout = style.Layout(len(axes), 1, 1.75, 2.2, left=0.6, gaps=(0.15, 0))
        fig, ((*panels,),) = style.panels(layout, legend, sharex=False)
        for panel, axis in zip(panels, axes, strict=True):
            _panel(panel, axis, rows, styles)
        metric = formats.METRICS[group[0].metric]
        panels[0].set_ylabel(f'{metric.capitalize()}, %')
    return style.Drawing(
        style.file_name('cost', *group[0].task[:2]),
        subject,
        f'Accuracy against cost, {task_title(group[0])}',
        fig,
        pd.DataFrame(rows),
        ' '.join([*_caption(axes, rows), *more]),
    )


def _row(cell):
    arch = architectures.known(cell.records[0].run.arch)
    low, high = cell.interval or (None, None)
    return {
        'network': cell.network,
        'setting': cell.setting,
        'recipe': cell.recipe,
        'image_size': cell.image_size,
        'seconds': cell.seconds or None,
        # What a model file has is not read for a report.
        'parameters': (arch and arch.parameters) or None,
        'score': cell.score,
        'low': low,
        'high': high,
    }


def _panel(panel, axis, rows, styles):
    known = [row for row in rows if row[axis.column] is not None]
    for row in known:
        look = {
            'marker': styles[row['network']]['marker'],
            'color': style.SETTINGS[row['setting']]['color'],
        }
        x = row[axis.column]
        if row['low'] is not None:
            panel.vlines(
                x, 100 * row['low'], 100 * row['high'], colors=look['color'],
                linewidth=1, alpha=0.6,
            )  # fmt: skip
        panel.plot(
            x, 100 * row['score'], linestyle='none', markersize=6,
            markeredgecolor='white', markeredgewidth=0.6, **look,
        )  # fmt: skip
    costs = [row[axis.column] for row in known]
    _log_axis(panel.xaxis, costs, axis)
    panel.set_xlabel(axis.label)


def _log_axis(x, values, axis):
    """A log axis around the values, with ticks that leave room for their texts."""
    pad = 1.2 * (max(values) / min(values)) ** 0.08
    low, high = min(values) / pad, max(values) * pad
    x.axes.set_xscale('log')
    x.axes.set_xlim(low, high)
    apart = (high / low) ** (1 / TICKS)
    marks: list[float] = []
    for tick in axis.ticks:
        if low <= tick <= high and (not marks or tick >= apart * marks[-1]):
            marks.append(tick)
    if len(marks) < 2:
        marks = [min(values), max(values)]
    x.set_major_locator(ticker.FixedLocator(marks))
    x.set_major_formatter(ticker.FixedFormatter([axis.text(mark) for mark in marks]))
    x.set_minor_locator(ticker.NullLocator())


def _caption(axes, rows):
    yield 'Upper left is better.'
    if any(row['low'] is not None for row in rows):
        yield 'Lines: 95 % intervals.'
    if axes[0].column == 'seconds':
        yield (
            'Time: of the final Runs of all seeds and of the trials that chose their '
            'hyperparameters, one after the other, on the machines they ran on.'
        )
    if axes[-1].column == 'parameters':
        yield 'Parameters: of the network without its classifier.'


def _drawings(study: Study) -> Iterator[style.Drawing]:
    subject = 'cost' if study.few else 'costs'
    for group in study.main_tasks.values():
        drawing = cost(group, study.styles, subject)
        if drawing:
            yield drawing


SECTION = Section(drawings=_drawings)
