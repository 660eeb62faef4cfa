"""Records -> figures, each with a data frame of every number drawn.

Colours are Okabe and Ito's, which the colour-blind can tell apart; networks also differ
in the marker, so that the figures read in gray. No global state of Matplotlib is used.
"""

import collections
import dataclasses
import math
import typing

import matplotlib
import numpy as np
import pandas as pd

from tfxfer.analysis import cells, comparisons, experiments, stats
from tfxfer.report import choices, details, experiment_figures, plots

BAND_FROM = 5  # Networks; a bootstrap of fewer repeats the same few lines.

NAMED = 24  # Networks up to which a legend names each; beyond, their architectures.

# What programs need of plots.
Drawing, save, svg = plots.Drawing, plots.save, plots.svg


class Study(typing.NamedTuple):
    """What drawers draw: Records, their Cells, Published, the Runs' folder or None."""

    records: list
    found: list
    published: tuple
    workdir: str | None
    styles: dict  # {network: colour and marker}, the same in every figure.


def draw(records, published=(), workdir=None, found=None):
    """Every Drawing that is filled; names differ.

    Args:
        records: all Records; may be empty where results are published.
        published: published.Published, drawn beside the Records, or alone.
        workdir: the Runs' folder, for what needs predictions.npz; None: without that.
        found: the Records' Cells, if they are at hand.
    """
    found = cells.cells(records) if found is None else found
    networks = {cell.network for cell in found} or {p.network for p in published}
    study = Study(records, found, tuple(published), workdir, plots.styles(networks))
    drawings = [drawing for drawer in DRAWERS for drawing in drawer(study)]
    names = collections.Counter()
    for i, drawing in enumerate(drawings):
        names[drawing.name] += 1
        if names[drawing.name] > 1:
            name = f'{drawing.name}_{names[drawing.name]}'
            drawings[i] = dataclasses.replace(drawing, name=name)
    return drawings


def _transfers(study):
    """Of the Records; where there are none, of each file of published results."""
    groups = [study.found]
    if not study.found:
        groups = cells.grouped(study.published, lambda p: p.label).values()
    for group in groups:
        for condition, own in _worth_drawing(comparisons.conditions(group)):
            if not study.found and not _correlates(own):
                continue  # Two networks of a paper are no trend.
            if comparisons.points(own)[0]:
                yield transfer(condition, own, study.styles)
            yield from per_dataset(condition, own, study.styles)


def _public_and_own(study):
    return map(public_and_own, experiments.public_and_own(study.found))


def _legend(group, styles):
    """({network: style}, {label: style}, [sentence]) of Cells or Published."""
    names = sorted({cell.network for cell in group})
    if len(names) <= NAMED:
        return styles, {name: styles[name] for name in names}, []
    archs = {cell.network: getattr(cell, 'arch', cell.network) for cell in group}
    legend = plots.styles(archs.values())
    shared = {network: legend[arch] for network, arch in archs.items()}
    said = 'Markers: architectures; of some there are several networks.'
    return shared, legend, [said]


def _correlates(group):
    """Whether a setting of Published has the 3 networks of a correlation."""
    settings = cells.grouped(group, lambda p: p.setting).values()
    return any(len({p.network for p in own}) >= 3 for own in settings)


def _settings(study):
    if study.found:
        groups = cells.grouped(study.found, lambda c: (c.per_class, c.image_size))
    else:
        groups = cells.grouped(study.published, lambda p: (p.label,))
    for key, group in groups.items():
        drawing = side_by_side(key, group, study.styles)
        if drawing:
            yield drawing


def _published(study):
    if study.found and study.published:
        drawing = against_published(study.found, study.published)
        if drawing:
            yield drawing


def _experiments(study):
    return experiment_figures.draw(study.records, study.found)


def _choices(study):
    return choices.draw(study.found, study.styles)


def _details(study):
    return details.draw(study.found, study.workdir) if study.workdir else ()


# In the order of the report.
DRAWERS = (
    _transfers, _public_and_own, _settings, _published, _experiments, _choices,
    _details,
)  # fmt: skip


def _worth_drawing(conditions):
    """Those of several networks; if there is none, the first."""
    items = list(conditions.items())
    several = [item for item in items if len({cell.network for cell in item[1]}) > 1]
    return several or items[:1]


# Transfer accuracy against source accuracy.


def transfer(condition, group, styles):
    """A panel a setting, as in the paper's figures 1 and 2.

    Both axes are log odds, labelled in percent. From 3 networks with the regression
    line and r, from 5 with the line's 95 % bootstrap band.

    Args:
        condition: comparisons.Condition.
        group: its Cells.
        styles: {network: colour and marker}.
    """
    points, notes = comparisons.points(group)
    settings = [s for s in cells.SETTINGS if any(p.setting == s for p in points)]
    rows = [
        {'kind': 'network', **p._asdict(), 'datasets': '; '.join(p.datasets)}
        for p in points
    ]
    networks = {p.network for p in points}
    styles, shown, said = _legend([c for c in group if c.network in networks], styles)
    with matplotlib.rc_context(plots.STYLE):
        fig, axes = plots.panels(len(settings), 1, width=2.3, height=2.5, legend=shown)
        plots.percent_axis(axes[0, 0].xaxis, [p.x for p in points], ticks=5)
        ends = [v for p in points for v in (p.y, p.low, p.high) if math.isfinite(v)]
        plots.percent_axis(axes[0, 0].yaxis, ends, ticks=8)
        for panel, setting in zip(axes[0], settings, strict=True):
            own = [point for point in points if point.setting == setting]
            panel.set_title(setting)
            rows += _fit(panel, setting, own, setting=setting)
            _points(panel, own, styles)
            panel.set_xlabel(f'Accuracy on {condition.source}, %')
        axes[0, 0].set_ylabel(f'Accuracy on {_common_dataset(points)}, %')
    return plots.Drawing(
        plots.name('transfer', *condition),
        'transfer',
        'Transfer accuracy against source accuracy',
        fig,
        pd.DataFrame(rows),
        _transfer_caption(condition, points, said + notes),
    )


def per_dataset(condition, group, styles):
    """A figure a setting, a panel a dataset, as in the paper's figure 2.

    Only of datasets that have several networks, and of several of these. Axes, line,
    band and r are as in `transfer`; every panel has y limits of its own.
    """
    found = comparisons.dataset_points(group)
    for setting, points in cells.grouped(found, lambda p: p.setting).items():
        panels = cells.grouped(points, lambda p: p.datasets[0])
        panels = {name: own for name, own in panels.items() if len(own) > 1}
        points = [point for own in panels.values() for point in own]
        if len(panels) < 2:
            continue
        networks = {p.network for p in points}
        own = [cell for cell in group if cell.network in networks]
        markers, shown, said = _legend(own, styles)
        rows = [
            {'kind': 'network', **p._asdict(), 'datasets': p.datasets[0]}
            for p in points
        ]
        across = min(len(panels), 4)
        with matplotlib.rc_context({**plots.STYLE, 'axes.titlesize': 9}):
            fig, axes = plots.panels(
                across, math.ceil(len(panels) / across), width=2.1, height=1.9,
                legend=shown, gaps=(0.45, 0.4),
                sharey=False,
            )  # fmt: skip
            plots.hide_rest(axes, len(panels))
            plots.percent_axis(axes[0, 0].xaxis, [p.x for p in points], ticks=5)
            for panel, (name, own) in zip(axes.flat, panels.items(), strict=False):
                ends = [v for p in own for v in (p.y, p.low, p.high)]
                ends = [v for v in ends if math.isfinite(v)]
                plots.percent_axis(panel.yaxis, ends, ticks=5)
                panel.set_title(name)
                rows += _fit(panel, name, own, setting=setting, datasets=name)
                _points(panel, own, markers)
            plots.label_axes(
                fig, axes, f'Accuracy on {condition.source}, %',
                f'Accuracy, {setting}, %',
            )  # fmt: skip
        yield plots.Drawing(
            plots.name('transfer', setting, *condition),
            'transfer',
            f'Transfer accuracy against source accuracy, {setting}, by dataset',
            fig,
            pd.DataFrame(rows),
            _transfer_caption(condition, points, said),
        )


def _common_dataset(points):
    seen = {dataset for point in points for dataset in point.datasets}
    return seen.pop() if len(seen) == 1 else 'the datasets (mean)'


def _points(panel, points, styles):
    """Draws markers and bars."""
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


def _fit(panel, title, points, **facts):
    """Draws line, band and r; returns the rows of their numbers, with `facts`."""
    x, y = [point.x for point in points], [point.y for point in points]
    try:
        found = stats.correlate(x, y)
    except ValueError:  # Fewer than 3 networks, or all alike: there is no line.
        return []
    slope, intercept = stats.line(x, y)
    at = np.linspace(min(x), max(x), 41)
    on_line = slope * at + intercept
    low = high = np.full(len(at), math.nan)
    if len(points) >= BAND_FROM:
        low, high = stats.line_band(x, y, at)
        panel.fill_between(at, low, high, color='0.6', alpha=0.25, linewidth=0)
    panel.plot(at, on_line, color='0.35', linewidth=1.2)
    panel.set_title(f'{title},  r = {found.r:.2f} (n = {found.n})')
    line = [
        {'kind': 'line', **facts, 'x': a, 'y': b, 'low': c, 'high': d}
        for a, b, c, d in zip(at, on_line, low, high, strict=True)
    ]
    interval = {'r_low': found.low, 'r_high': found.high}
    row = {'kind': 'correlation', **facts, 'r': found.r, **interval, 'rho': found.rho}
    return [row, *line]


def _transfer_caption(condition, points, notes):
    parts = []
    if condition.per_class is not None:
        parts.append(f'Trained on {condition.per_class} images a class.')
    if condition.image_size is not None:
        parts.append(f'Images of {condition.image_size} pixels.')
    names = {point.datasets for point in points}
    if len(names) == 1 and len(min(names)) > 1:
        parts.append(f'Mean log odds over {", ".join(min(names))}.')
    bars = {
        'binomial': "Bars: Wilson's 95 % interval from the number of test images.",
        'within': 'Bars: standard error within datasets (Morey 2008).',
        '': 'No bars where the score is no proportion of images or there is one '
        'network.',
    }
    parts += [
        text for kind, text in bars.items() if any(p.bars == kind for p in points)
    ]
    counts = collections.Counter((p.setting, p.datasets) for p in points).values()
    if max(counts, default=0) >= 3:
        parts.append("Line: least squares; r: Pearson's, of log odds.")
    if max(counts, default=0) >= BAND_FROM:
        parts.append('Band: 95 %, bootstrap over networks.')
    if any(point.setting == 'scratch' for point in points):
        parts.append(
            'Scratch uses no source; it stands at the source accuracy of the same '
            'architecture.'
        )
    return ' '.join(['Both axes are log odds, labelled in percent.', *parts, *notes])


def public_and_own(sides):
    """Public checkpoints and networks trained here, side by side on the same axes.

    As in `transfer`, of logistic alone; beside r its 95 % interval and Spearman's rho.
    Markers tell architectures apart: the same one has the same in both panels.

    Args:
        sides: a pair of experiments.Sides.
    """
    styles = plots.styles(arch for side in sides for arch in side.archs.values())
    both = [point for side in sides for point in side.points]
    rows = [
        {
            'weights': side.kind,
            'kind': 'network',
            'arch': side.archs[point.network],
            **point._asdict(),
            'datasets': '; '.join(point.datasets),
        }
        for side in sides
        for point in side.points
    ]
    with matplotlib.rc_context(plots.STYLE):
        fig, axes = plots.panels(2, 1, width=2.8, height=2.7, legend=styles, top=0.55)
        plots.percent_axis(axes[0, 0].xaxis, [p.x for p in both], ticks=5)
        ends = [v for p in both for v in (p.y, p.low, p.high) if math.isfinite(v)]
        plots.percent_axis(axes[0, 0].yaxis, ends, ticks=8)
        for panel, side in zip(axes[0], sides, strict=True):
            panel.set_title(side.kind)
            rows += _fit(panel, side.kind, side.points, weights=side.kind)
            own = {network: styles[arch] for network, arch in side.archs.items()}
            _points(panel, side.points, own)
            panel.set_xlabel(f'Accuracy on {side.source}, %')
            found = side.correlation
            if found:
                panel.set_title(
                    f'{panel.get_title("left")}\n'
                    f'95 % {found.low:.2f} to {found.high:.2f}, '
                    f'Spearman {found.rho:.2f}',
                    size=9,
                )
        axes[0, 0].set_ylabel(f'Accuracy on {_common_dataset(both)}, %')
    return plots.Drawing(
        plots.name('public_and_own', sides[0].per_class),
        'transfer',
        'Public checkpoints and networks trained here',
        fig,
        pd.DataFrame(rows),
        _sides_caption(sides),
    )


def _sides_caption(sides):
    counts = ' and '.join(
        f'{len(side.points)} {words}'
        + (f' at {side.image_size} pixels' if side.image_size else '')
        for side, words in zip(
            sides, ('public checkpoints', 'networks trained here'), strict=True
        )
    )
    condition = comparisons.Condition('', sides[0].per_class, None)
    names = sides[0].datasets
    over = (
        f'on {names[0]}, the dataset'
        if len(names) == 1
        else f'over the {len(names)} datasets'
    )
    # A line or a band is said where the larger panel has it.
    points = max((side.points for side in sides), key=len)
    return (
        f'Logistic regression on the features of {counts}, {over} that all of them '
        f'have. Markers: architectures. {_transfer_caption(condition, points, [])}'
    )


# Settings beside one another.


def side_by_side(key, group, styles):
    """Every network in every setting, by dataset, as in the paper's figure 6.

    Of a dataset the settings stand from left to right in the order of the legend; they
    also differ in colour, the networks in the marker.

    Args:
        key: what tells the figure from others of its kind, for its name.
        group: Cells of one size of subset and image, or Published of one file.
        styles: {network: colour and marker}.

    Returns:
        Drawing; None where there is one setting.
    """
    rows, notes = [], []
    for setting in cells.SETTINGS:
        own, note = comparisons.one_recipe([c for c in group if c.setting == setting])
        notes += note
        rows += [
            {
                'dataset': cell.dataset,
                'setting': setting,
                'network': cell.network,
                'log_odds': cell.log_odds,
                'score': cell.score,
            }
            for cell in own
            if cell.score is not None
        ]
    settings = [s for s in cells.SETTINGS if any(r['setting'] == s for r in rows)]
    if len(settings) < 2:
        return None
    names = sorted({row['dataset'] for row in rows})
    networks = sorted({row['network'] for row in rows})
    legend = {s: {**plots.SETTINGS[s], 'marker': '', 'linestyle': '-', 'linewidth': 4}
              for s in settings}  # fmt: skip
    styles, shown, said = _legend([c for c in group if c.network in networks], styles)
    legend |= {name: {**style, 'color': '0.3'} for name, style in shown.items()}
    with matplotlib.rc_context(plots.STYLE):
        fig, ((panel,),) = _by_dataset(names, [r['log_odds'] for r in rows], legend)
        for setting in settings:
            for network in networks:
                own = [
                    row
                    for row in rows
                    if (row['setting'], row['network']) == (setting, network)
                ]
                panel.plot(
                    [_place(names, settings, row) for row in own],
                    [row['log_odds'] for row in own], linestyle='none', markersize=5,
                    marker=styles[network]['marker'], alpha=0.8,
                    color=plots.SETTINGS[setting]['color'],
                    markeredgecolor='white', markeredgewidth=0.4,
                )  # fmt: skip
    few = (
        ''
        if key[0] is None or len(key) < 2
        else f' Trained on {key[0]} images a class.'
    )
    return plots.Drawing(
        plots.name('settings', *key),
        'comparison',
        'The settings side by side',
        fig,
        pd.DataFrame(rows),
        ' '.join(
            [
                f'Log odds, labelled in percent. From left to right: '
                f'{", ".join(settings)}.{few}',
                *said,
                *notes,
            ]
        ),
    )


def _by_dataset(names, log_odds, legend):
    """A panel with a column a dataset."""
    fig, axes = plots.panels(
        1, 1, width=max(0.62 * len(names), 2.5), height=3.2, legend=legend,
        bottom=0.3 + 0.075 * max(map(len, names)),
    )  # fmt: skip
    panel = axes[0, 0]
    plots.percent_axis(panel.yaxis, log_odds, ticks=9)
    panel.set_xticks(range(len(names)), names, rotation=90)
    panel.set_xlim(-0.6, len(names) - 0.4)
    panel.grid(visible=False, axis='x')
    for edge in range(1, len(names)):
        panel.axvline(edge - 0.5, color='0.9', linewidth=0.6)
    panel.set_ylabel('Accuracy, %')
    return fig, axes


def _place(names, settings, row):
    shift = settings.index(row['setting']) - (len(settings) - 1) / 2
    return names.index(row['dataset']) + 0.26 * shift


def against_published(found, published):
    """The best of each setting, with lines of published results: the paper's figure 7.

    Full datasets only, since that is what others report.

    Args:
        found: Cells.
        published: published.Published.

    Returns:
        Drawing; None where no dataset has both.
    """
    rows = []
    own = [c for c in found if c.per_class is None and c.score is not None]
    for kind, group in (('study', own), ('published', published)):
        best = cells.grouped(group, lambda c: (c.dataset, c.setting))
        for (dataset, setting), members in sorted(best.items()):
            top = max(members, key=lambda c: c.score)
            rows.append(
                {
                    'kind': kind,
                    'dataset': dataset,
                    'setting': setting,
                    'network': top.network,
                    'log_odds': top.log_odds,
                    'score': top.score,
                    'from': getattr(top, 'label', ''),
                }
            )
    both = [
        {r['dataset'] for r in rows if r['kind'] == k} for k in ('study', 'published')
    ]
    names = sorted(both[0] & both[1])
    rows = [row for row in rows if row['dataset'] in names]
    if not rows:
        return None
    settings = [s for s in cells.SETTINGS if any(r['setting'] == s for r in rows)]
    legend = {s: {**plots.SETTINGS[s], 'linestyle': 'none'} for s in settings}
    legend['published best'] = {'color': 'black', 'linestyle': '-', 'marker': ''}
    with matplotlib.rc_context(plots.STYLE):
        fig, ((panel,),) = _by_dataset(names, [r['log_odds'] for r in rows], legend)
        for row in rows:
            x = _place(names, settings, row)
            if row['kind'] == 'study':
                panel.plot(x, row['log_odds'], markersize=6, **legend[row['setting']])
            else:
                panel.hlines(
                    row['log_odds'], x - 0.13, x + 0.13, color='black', linewidth=1.4
                )
    sources = sorted({row['from'] for row in rows if row['from']})
    return plots.Drawing(
        'best_against_published',
        'comparison',
        'The best of the study against published results',
        fig,
        pd.DataFrame(rows),
        'Log odds, labelled in percent. Markers: the best network of the study in each '
        f'setting. Lines: the best published in the same setting '
        f'({", ".join(sources)}). From left to right: {", ".join(settings)}. The '
        'best of many networks, picked by the test images, is favoured a little.',
    )
