"""Does source accuracy predict transfer accuracy? As in the paper's figures 1 and 2."""

import collections
import math
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd

from tfxfer.analysis import cells, stats
from tfxfer.analysis.points import (
    Condition,
    Point,
    Scored,
    conditions,
    dataset_points,
    mean_points,
)
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study

NAME = 'correlations'
BAND_FROM = 5  # Networks; a bootstrap of fewer repeats the same few lines.
LINE_FROM = 3  # Networks; two have no correlation.

Group = Sequence[Scored]  # Of one Condition.


def _points(study: Study) -> tuple[list[tuple[Condition, Point]], list[str]]:
    """Points of each Condition, over all datasets and of each, and what is left out."""
    shown, notes = [], []
    for condition, group in conditions(study.cells).items():
        means, left_out = mean_points(group)
        # Of one dataset the mean is that dataset.
        means = [point for point in means if len(point.datasets) > 1]
        shown += [(condition, point) for point in (*means, *dataset_points(group))]
        notes += left_out
    return shown, notes


def _tables(study: Study) -> Iterable[formats.Table]:
    yield correlations(study.once(_points)[0])


def _notes(study: Study) -> Iterable[str]:
    return study.once(_points)[1]


def correlations(points: Iterable[tuple[Condition, Point]]) -> formats.Table:
    """Source accuracy against transfer accuracy.

    A row for each condition, setting and set of datasets of at least 3 networks.
    """
    groups = cells.grouped(
        points, lambda pair: (pair[0], pair[1].setting, pair[1].datasets)
    )
    rows = [
        _row(condition, setting, [point for _, point in pairs])
        for (condition, setting, _), pairs in groups.items()
    ]
    return formats.table(
        NAME,
        'Does source accuracy predict transfer accuracy?',
        [row for row in rows if row],
        {
            'source': columns.text('source'),
            **columns.SIZES,
            'setting': columns.text('setting'),
            'networks': columns.count('networks'),
            'datasets': columns.text('datasets'),
            **columns.CORRELATION,
        },
        optional=columns.OPTIONAL,
        note="Pearson's r between the log odds of source and transfer accuracy, the "
        "latter averaged over the datasets named. Interval: Fisher's transformation; "
        'for 3 networks it is not informative.',
    )


def _row(condition, setting, points):
    correlation = _correlate(points)
    return correlation and {
        **condition._asdict(),
        'setting': setting,
        'networks': correlation.n,
        'datasets': '; '.join(points[0].datasets),
        **columns.correlation(correlation),
    }


def _correlate(points):
    """stats.Correlation; None of fewer than 3 networks, or where all are alike."""
    try:
        return stats.correlate([p.x for p in points], [p.y for p in points])
    except ValueError:
        return None


# Figures.


def _drawings(study: Study) -> Iterator[style.Drawing]:
    """Of the Records; where there are none, of each file of published results."""
    groups: Iterable[Group] = [study.cells]
    if not study.cells:
        groups = cells.grouped(study.published, lambda p: p.label).values()
    for group in groups:
        for condition, members in _worth_drawing(conditions(group)):
            if not study.cells and not _enough_networks(members):
                continue  # Two networks of a paper are no trend.
            if mean_points(members)[0]:
                yield transfer(condition, members, study.styles)
            yield from per_dataset(condition, members, study.styles)


def _enough_networks(group):
    """Whether a setting of Published has the 3 networks of a correlation."""
    settings = cells.grouped(group, lambda p: p.setting).values()
    return any(len({p.network for p in group}) >= LINE_FROM for group in settings)


def _worth_drawing(by_condition):
    """Those of several networks; if there is none, the first."""
    items = list(by_condition.items())
    several = [item for item in items if len({cell.network for cell in item[1]}) > 1]
    return several or items[:1]


def transfer(
    condition: Condition, group: Group, styles: Mapping[str, dict]
) -> style.Drawing:
    """A panel per setting, as in the paper's figures 1 and 2.

    Both axes are log odds, labelled in percent. From 3 networks with the regression
    line and r, from 5 with the line's 95 % bootstrap band.

    Args:
        condition: of the group.
        group: its Cells or Published.
        styles: {network: colour and marker}.
    """
    points, notes = mean_points(group)
    settings = [s for s in cells.SETTINGS if any(p.setting == s for p in points)]
    rows = network_rows(points)
    networks = {p.network for p in points}
    styles, legend, more = style.legend(
        [cell for cell in group if cell.network in networks], styles
    )
    with matplotlib.rc_context(style.RC):
        fig, axes = style.panels(style.Layout(len(settings), 1, 2.3, 2.5), legend)
        frame_points(axes[0, 0], points)
        for panel, setting in zip(axes[0], settings, strict=True):
            shown = [point for point in points if point.setting == setting]
            panel.set_title(setting)
            rows += draw_fit(panel, setting, shown, {'setting': setting})
            draw_points(panel, shown, styles)
            panel.set_xlabel(f'Accuracy on {condition.source}, %')
        axes[0, 0].set_ylabel(f'Accuracy on {common_dataset(points)}, %')
    return style.Drawing(
        style.file_name('transfer', *condition),
        'transfer',
        'Transfer accuracy against source accuracy',
        fig,
        pd.DataFrame(rows),
        caption(condition, points, more + notes),
    )


def per_dataset(
    condition: Condition, group: Group, styles: Mapping[str, dict]
) -> Iterator[style.Drawing]:
    """A figure per setting, a panel per dataset, as in the paper's figure 2.

    Only of datasets that have several networks, and of several of these. Axes, line,
    band and r are as in `transfer`; every panel has y limits of its own.
    """
    all_points = dataset_points(group)
    for setting, points in cells.grouped(all_points, lambda p: p.setting).items():
        by_dataset = cells.grouped(points, lambda p: p.datasets[0])
        by_dataset = {
            name: shown for name, shown in by_dataset.items() if len(shown) > 1
        }
        if len(by_dataset) > 1:
            yield _datasets_figure(condition, group, styles, setting, by_dataset)


def _datasets_figure(condition, group, styles, setting, by_dataset):
    points = [point for shown in by_dataset.values() for point in shown]
    networks = {p.network for p in points}
    styles, legend, more = style.legend(
        [cell for cell in group if cell.network in networks], styles
    )
    rows = network_rows(points)
    across = min(len(by_dataset), 4)
    with matplotlib.rc_context({**style.RC, 'axes.titlesize': 9}):
        down = math.ceil(len(by_dataset) / across)
        layout = style.Layout(across, down, 2.1, 1.9, gaps=(0.45, 0.4))
        fig, axes = style.panels(layout, legend, sharey=False)
        style.hide_rest(axes, len(by_dataset))
        style.percent_axis(axes[0, 0].xaxis, [p.x for p in points], ticks=5)
        for panel, (name, shown) in zip(axes.flat, by_dataset.items(), strict=False):
            style.percent_axis(panel.yaxis, _ends(shown), ticks=5)
            panel.set_title(name)
            rows += draw_fit(panel, name, shown, {'setting': setting, 'datasets': name})
            draw_points(panel, shown, styles)
        style.label_axes(
            fig, axes, f'Accuracy on {condition.source}, %', f'Accuracy, {setting}, %'
        )
    return style.Drawing(
        style.file_name('transfer', setting, *condition),
        'transfer',
        f'Transfer accuracy against source accuracy, {setting}, by dataset',
        fig,
        pd.DataFrame(rows),
        caption(condition, points, more),
    )


# What figures of points share.


def network_rows(points: Iterable[Point]) -> list[dict[str, typing.Any]]:
    """The numbers of Points, for the frame of a figure."""
    return [
        {'kind': 'network', **p._asdict(), 'datasets': '; '.join(p.datasets)}
        for p in points
    ]


def common_dataset(points: Iterable[Point]) -> str:
    """What the y axis says it is the accuracy on."""
    names = {dataset for point in points for dataset in point.datasets}
    return names.pop() if len(names) == 1 else 'the datasets (mean)'


def _ends(points):
    ends = [value for p in points for value in (p.y, p.low, p.high)]
    return [value for value in ends if math.isfinite(value)]


def frame_points(panel: typing.Any, points: Sequence[Point]) -> None:
    """Limits and percentages of both axes, which all panels share."""
    style.percent_axis(panel.xaxis, [p.x for p in points], ticks=5)
    style.percent_axis(panel.yaxis, _ends(points), ticks=8)


def draw_points(
    panel: typing.Any, points: Sequence[Point], styles: Mapping[str, dict]
) -> None:
    """Draws markers and bars; styles: {network: colour and marker}."""
    low, high = panel.get_ylim()
    barred = [point for point in points if point.bars]
    if barred:
        panel.vlines(
            [p.x for p in barred],
            *np.clip([[p.low for p in barred], [p.high for p in barred]], low, high),
            colors=[styles[p.network]['color'] for p in barred],
            linewidth=1.2, alpha=0.8,
        )  # fmt: skip
    for point in points:
        panel.plot(
            point.x, point.y, markersize=7, markeredgecolor='white',
            markeredgewidth=0.8, linestyle='none', zorder=3, **styles[point.network],
        )  # fmt: skip


def draw_fit(
    panel: typing.Any,
    title: str,
    points: Sequence[Point],
    fields: Mapping[str, typing.Any],
) -> list[dict[str, typing.Any]]:
    """Draws line, band and r; returns the rows of their numbers, with `fields`."""
    correlation = _correlate(points)
    if correlation is None:
        return []
    x, y = [point.x for point in points], [point.y for point in points]
    slope, intercept = stats.line(x, y)
    places = np.linspace(min(x), max(x), 41)
    on_line = slope * places + intercept
    low = high = np.full(len(places), math.nan)
    if len(points) >= BAND_FROM:
        low, high = stats.line_band(x, y, places)
        panel.fill_between(places, low, high, color='0.6', alpha=0.25, linewidth=0)
    panel.plot(places, on_line, color='0.35', linewidth=1.2)
    panel.set_title(f'{title},  r = {correlation.r:.2f} (n = {correlation.n})')
    line = [
        {'kind': 'line', **fields, 'x': a, 'y': b, 'low': c, 'high': d}
        for a, b, c, d in zip(places, on_line, low, high, strict=True)
    ]
    row = {
        'kind': 'correlation',
        **fields,
        'r': correlation.r,
        'r_low': correlation.low,
        'r_high': correlation.high,
        'rho': correlation.rho,
    }
    return [row, *line]


BARS = {
    'interval': 'Bars: 95 % interval over test images and, where there are several, '
    'seeds.',
    'within': 'Bars: standard error within datasets (Morey 2008).',
    '': 'No bars where the score is not a proportion of images, or where there is '
    'one network.',
}


def caption(condition: Condition, points: Sequence[Point], notes: Iterable[str]) -> str:
    """What a reader must know of a figure of points."""
    parts = ['Both axes are log odds, labelled in percent.']
    if condition.per_class is not None:
        parts.append(f'Trained on {condition.per_class} images per class.')
    if condition.image_size is not None:
        parts.append(f'Image size: {condition.image_size} pixels.')
    names = {point.datasets for point in points}
    if len(names) == 1 and len(min(names)) > 1:
        parts.append(f'Mean log odds over {", ".join(min(names))}.')
    parts += [text for k, text in BARS.items() if any(p.bars == k for p in points)]
    counts = collections.Counter((p.setting, p.datasets) for p in points).values()
    most = max(counts, default=0)
    if most >= LINE_FROM:
        parts.append("Line: least squares; r: Pearson's, of log odds.")
    if most >= BAND_FROM:
        parts.append('Band: 95 %, bootstrap over networks.')
    if any(point.setting == 'scratch' for point in points):
        parts.append(
            'Training from scratch uses no source; it is drawn at the source accuracy '
            'of the same architecture.'
        )
    return ' '.join([*parts, *notes])


SECTION = Section(tables=_tables, drawings=_drawings, notes=_notes, names=(NAME,))
