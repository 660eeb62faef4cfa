"""Records -> figures, each with a data frame of every number drawn.

Colours are Okabe and Ito's, which the colour-blind can tell apart; networks also differ
in the marker, so that the figures read in gray. No global state of Matplotlib is used.
"""

import collections
import dataclasses
import io
import math
import pathlib
import re

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import cm, colors, figure, lines, patches, ticker

from tfxfer import cells, comparisons, formats, results, stats

COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#000000', '#56B4E9', '#E69F00')
# As many as the paper has networks; (k, 1, 0) is a star of k points.
MARKERS = (
    'o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', 'p', '*', 'd', 'h',
    (4, 1, 0), (8, 1, 0), (3, 1, 0),
)  # fmt: skip
DASHES = ('-', '--', ':', '-.')
STYLE = {
    'font.family': 'DejaVu Sans',  # Comes with Matplotlib.
    'font.size': 9,
    'axes.titlesize': 10,
    'axes.titlelocation': 'left',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.frameon': False,
    'svg.hashsalt': 'tfxfer',  # The same figure gives the same bytes.
}
WRITTEN = 250  # Scores in one figure of heat maps; more would not be read.
BAND_FROM = 5  # Networks; a bootstrap of fewer repeats the same few lines.


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: of its files.
        subject: 'transfer' (accuracy) or 'choice' (of hyperparameters).
        title: one line.
        figure: as drawn and laid out.
        frame: every number drawn.
        caption: what a reader must know to read it right.
    """

    name: str
    subject: str
    title: str
    figure: figure.Figure
    frame: pd.DataFrame
    caption: str


def draw(records):
    """Every Drawing that the Records fill; names differ."""
    found = cells.cells(records)
    styles = _styles(found)
    drawings = [
        transfer(condition, group, styles)
        for condition, group in _worth_drawing(comparisons.conditions(found))
        if comparisons.points(group)[0]
    ]
    for group in cells.tasks(found).values():
        for setting in cells.SETTINGS:
            own = [c for c in group if c.setting == setting and _first(c).curve]
            if own:
                kind = l2_curves if setting == 'logistic' else grids
                drawings.append(kind(own, styles))
    names = collections.Counter()
    for i, drawing in enumerate(drawings):
        names[drawing.name] += 1
        if names[drawing.name] > 1:
            name = f'{drawing.name}_{names[drawing.name]}'
            drawings[i] = dataclasses.replace(drawing, name=name)
    return drawings


def _worth_drawing(conditions):
    """Those of several networks; if there is none, the first."""
    items = list(conditions.items())
    several = [item for item in items if len({cell.network for cell in item[1]}) > 1]
    return several or items[:1]


def _styles(found):
    """{network: colour and marker}, the same in every figure of a study."""
    networks = sorted({cell.network for cell in found})
    return {
        network: {
            'color': COLOURS[i % len(COLOURS)],
            'marker': MARKERS[i % len(MARKERS)],
        }
        for i, network in enumerate(networks)
    }


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
    with matplotlib.rc_context(STYLE):
        fig = figure.Figure((1.6 + 2.5 * len(settings), 3.9), layout='constrained')
        panels = fig.subplots(1, len(settings), sharex=True, sharey=True, squeeze=False)
        _percent_axis(panels[0, 0].xaxis, [p.x for p in points], ticks=5)
        ends = [v for p in points for v in (p.y, p.low, p.high) if math.isfinite(v)]
        _percent_axis(panels[0, 0].yaxis, ends, ticks=8)
        for panel, setting in zip(panels[0], settings, strict=True):
            own = [point for point in points if point.setting == setting]
            panel.grid(color='0.9', linewidth=0.6)
            panel.set_axisbelow(True)
            panel.set_title(setting)
            rows += _fit(panel, setting, own)
            for point in own:
                _point(panel, point, styles[point.network])
            panel.set_xlabel(f'Accuracy on {condition.source}, %')
        panels[0, 0].set_ylabel(f'Accuracy on {_common_dataset(points)}, %')
        _legend(fig, {n: styles[n] for n in sorted({p.network for p in points})})
        _lay_out(fig)
    return Drawing(
        _name('transfer', *condition),
        'transfer',
        'Transfer accuracy against source accuracy',
        fig,
        pd.DataFrame(rows),
        _transfer_caption(condition, points, notes),
    )


def _common_dataset(points):
    seen = {dataset for point in points for dataset in point.datasets}
    return seen.pop() if len(seen) == 1 else 'the datasets (mean)'


def _point(panel, point, style):
    low, high = panel.get_ylim()
    ends = np.clip([point.low, point.high], low, high)
    if point.bars:
        panel.vlines(point.x, *ends, color=style['color'], linewidth=1.2, alpha=0.8)
    panel.plot(
        point.x, point.y, markersize=7, markeredgecolor='white', markeredgewidth=0.8,
        linestyle='none', zorder=3, **style,
    )  # fmt: skip


def _fit(panel, setting, points):
    """Draws line, band and r; returns the rows of their numbers."""
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
    panel.set_title(f'{setting},  r = {found.r:.2f} (n = {found.n})')
    line = [
        {'kind': 'line', 'setting': setting, 'x': a, 'y': b, 'low': c, 'high': d}
        for a, b, c, d in zip(at, on_line, low, high, strict=True)
    ]
    return [{'kind': 'correlation', 'setting': setting, 'r': found.r}, *line]


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
    counts = collections.Counter(point.setting for point in points).values()
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


def _percent_axis(axis, values, *, ticks):
    """Limits around values, log odds, and round percentages as ticks."""
    low, high = min(values), max(values)
    pad = max(0.08 * (high - low), 0.05)
    low, high = low - pad, high + pad
    (axis.axes.set_xlim if axis.axis_name == 'x' else axis.axes.set_ylim)(low, high)
    shares = percent_ticks(low, high, ticks)
    axis.set_major_locator(ticker.FixedLocator(stats.log_odds(np.array(shares) / 100)))
    axis.set_major_formatter(ticker.FixedFormatter([f'{share:g}' for share in shares]))


def percent_ticks(low, high, most):
    """About `most` round percentages between the log odds low and high.

    Evenly spaced in percent where that leaves them apart, else denser in the middle.
    """
    first, last = 100 * stats.proportion([low, high])
    apart = (high - low) / most

    def between(step):
        whole = range(math.ceil(first / step), math.floor(last / step) + 1)
        shares = [round(i * step, 6) for i in whole]
        return [share for share in shares if 0 < share < 100]

    for step in (20, 10, 5, 2, 1, 0.5, 0.2, 0.1):
        even = between(step)
        if len(even) >= 4:
            odds = stats.log_odds(np.array(even) / 100)
            gaps = np.diff([low, *odds, high])
            if gaps[1:-1].min() >= 0.6 * apart and gaps.max() <= 2.2 * apart:
                return even
    tails = [10.0**-i for i in range(1, 5)] + [1.0]
    tails += [round(100 - tail, 6) for tail in tails]
    chosen = []
    coarse = [between(50), between(10), tails, between(5), [2, 98]]
    for level in (*coarse, between(2), between(1), between(0.5), between(0.1)):
        if level not in coarse and len(chosen) >= 4:
            break  # Odd numbers would only fill the last gaps.
        for share in level:
            x = stats.log_odds(share / 100)
            near = [abs(x - stats.log_odds(other / 100)) for other in chosen]
            if low <= x <= high and min(near, default=math.inf) >= apart:
                chosen.append(share)
    return sorted(chosen)


def _lay_out(fig):
    """Places everything once, rather than again for every file format."""
    fig.draw_without_rendering()
    fig.set_layout_engine('none')


def _legend(fig, styles, **options):
    """One legend for all panels, below them."""
    handles = [
        lines.Line2D([], [], linestyle=style.get('linestyle', 'none'), label=label,
                     markersize=6, **{k: style[k] for k in ('color', 'marker')})
        for label, style in styles.items()
    ]  # fmt: skip
    longest = max(map(len, styles), default=1)
    columns = max(1, int(fig.get_figwidth() / (0.45 + 0.075 * longest)))
    fig.legend(
        handles=handles, loc='outside lower center', ncols=min(columns, len(handles)),
        fontsize=8, handletextpad=0.4, columnspacing=1.2, **options,
    )  # fmt: skip


# How the hyperparameters of a cell were chosen.


def _first(cell):
    """The Record of a Cell's lowest seed, whose curve is drawn."""
    return cell.records[0]


def _label(cell):
    return cell.name.replace(f', {cell.setting}', '', 1)


def l2_curves(group, styles):
    """Validation score against l2 of each network; group: logistic Cells of one task.

    The chosen l2 is ringed; points where the solver stopped early are hollow.
    """
    drawn, rows, uses = {}, [], collections.Counter()
    with matplotlib.rc_context(STYLE):
        fig = figure.Figure((6.4, 4), layout='constrained')
        panel = fig.subplots()
        panel.set_xscale('log')
        panel.grid(color='0.9', linewidth=0.6)
        for cell in group:
            style = {
                **styles[cell.network],
                'linestyle': DASHES[uses[cell.network] % 4],
            }
            uses[cell.network] += 1
            drawn[_label(cell)] = style
            rows += _l2_curve(panel, cell, style)
        panel.set_title(_task_title(group[0]))
        panel.set_xlabel('l2, the penalty on the weights')
        panel.set_ylabel(f'Validation {formats.METRICS[group[0].metric]}, %')
        _legend(fig, drawn)
        _lay_out(fig)
    return Drawing(
        _name('l2', *group[0].task),
        'choice',
        f'Choice of l2, logistic, {_task_title(group[0])}',
        fig,
        pd.DataFrame(rows),
        'Ring: chosen, the best on validation images (of equals the strongest penalty).'
        ' Hollow: the solver stopped before it had converged.' + _seed_note(group),
    )


def _l2_curve(panel, cell, style):
    record = _first(cell)
    curve = sorted(record.curve, key=lambda point: point['l2'])
    l2s = [point['l2'] for point in curve]
    scores = [100 * point['valid_score'] for point in curve]
    panel.plot(l2s, scores, color=style['color'], linestyle=style['linestyle'], lw=1.2)
    for solved, face in ((True, style['color']), (False, 'white')):
        own = [k for k, point in enumerate(curve) if point['solved'] == solved]
        panel.plot(
            [l2s[k] for k in own], [scores[k] for k in own], linestyle='none',
            marker=style['marker'], color=style['color'], markersize=3.5,
            markerfacecolor=face, markeredgewidth=0.8,
        )  # fmt: skip
    best = l2s.index(record.chosen['l2'])
    panel.plot(
        l2s[best], scores[best], 'o', markersize=11, markerfacecolor='none',
        markeredgecolor=style['color'], markeredgewidth=1.4,
    )  # fmt: skip
    return [
        {
            'network': cell.network,
            'recipe': cell.recipe,
            'image_size': cell.image_size,
            'seed': record.run.seed,
            'l2': point['l2'],
            'valid_score': point['valid_score'],
            'solved': point['solved'],
            'chosen': point['l2'] == record.chosen['l2'],
        }
        for point in curve
    ]


def grids(group, styles):
    """Heat maps of the validation score over (lr, wd), a panel a network.

    group: Cells of one task and one setting that trials chose for. The chosen point is
    framed; a cross is a trial that diverged.
    """
    del styles  # Panels are told apart by their titles.
    points = [point for cell in group for point in _first(cell).curve]
    lrs = sorted({point['lr'] for point in points})
    wds = sorted({point['wd'] for point in points})
    done = [point['valid_score'] for point in points if point['status'] == 'done']
    scale = cm.ScalarMappable(
        colors.Normalize(100 * min(done, default=0), 100 * max(done, default=1)),
        'cividis',
    )
    columns = min(len(group), 3 if len(points) <= WRITTEN else 4)
    down = math.ceil(len(group) / columns)
    cell_size = (0.44, 0.3) if len(points) <= WRITTEN else (0.24, 0.17)
    width = columns * (0.2 + cell_size[0] * max(len(lrs), 3))
    height = down * (0.4 + cell_size[1] * max(len(wds), 4))
    rows = []
    with matplotlib.rc_context({**STYLE, 'axes.titlesize': 9, 'font.size': 8}):
        fig = figure.Figure((2 + width, 0.8 + height), layout='constrained')
        panels = fig.subplots(down, columns, squeeze=False, sharex=True, sharey=True)
        for panel, cell in zip(panels.flat, group, strict=False):
            written = len(points) <= WRITTEN
            rows += _grid(panel, cell, lrs, wds, scale, written=written)
            panel.set_title(_label(cell))
        for i, panel in enumerate(panels.flat):
            panel.set_visible(i < len(group))
            # The lowest of each column has the labels.
            panel.tick_params(labelbottom=i + columns >= len(group))
        fig.supxlabel('learning rate', size=9)
        fig.supylabel('weight decay', size=9)
        bar = fig.colorbar(scale, ax=panels, shrink=0.9, aspect=30, pad=0.01)
        bar.set_label(f'Validation\n{formats.METRICS[group[0].metric]}, %')
        bar.outline.set_visible(False)
        _lay_out(fig)
    title = _task_title(group[0])
    return Drawing(
        _name('grid', group[0].setting, *group[0].task),
        'choice',
        f'Choice of learning rate and weight decay, {group[0].setting}, {title}',
        fig,
        pd.DataFrame(rows),
        f'{title}, {group[0].setting}. Frame: chosen, the best on validation images. '
        'x: the trial diverged. Weight decay is the grid value, which the gradient '
        'gets divided by the learning rate.' + _seed_note(group),
    )


def _grid(panel, cell, lrs, wds, scale, *, written):
    """Draws one heat map, with the scores written in it, and returns its rows."""
    record = _first(cell)
    image = np.zeros((len(wds), len(lrs), 4))  # Transparent where nothing was tried.
    rows = []
    for point in record.curve:
        i, j = wds.index(point['wd']), lrs.index(point['lr'])
        chosen = all(point[name] == record.chosen[name] for name in cells.TRIED)
        done = point['status'] == 'done'
        score = 100 * point['valid_score']
        image[i, j] = scale.to_rgba(score) if done else (0.9, 0.9, 0.9, 1)
        if written or not done:
            panel.text(
                j, i, f'{score:.1f}' if done else 'x', ha='center', va='center', size=7,
                color='black' if _light(image[i, j]) else 'white',
                weight='bold' if chosen else 'normal',
            )  # fmt: skip
        if chosen:
            frame = patches.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False)
            frame.set(edgecolor='#D55E00', linewidth=2)
            panel.add_patch(frame)
        rows.append(
            {
                'network': cell.network,
                'recipe': cell.recipe,
                'image_size': cell.image_size,
                'seed': record.run.seed,
                'lr': point['lr'],
                'wd': point['wd'],
                'valid_score': point['valid_score'] if done else None,
                'status': point['status'],
                'chosen': chosen,
            }
        )
    panel.imshow(image, origin='lower', aspect='auto')
    panel.set_xticks(range(len(lrs)), [f'{lr:.2g}' for lr in lrs], rotation=90)
    panel.set_yticks(range(len(wds)), [f'{wd:.2g}' for wd in wds])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return rows


def _light(colour):
    """Whether black reads better on it than white (relative luminance)."""
    return np.dot(colour[:3], (0.2126, 0.7152, 0.0722)) > 0.45


def _task_title(cell):
    few = '' if cell.per_class is None else f', {cell.per_class} images a class'
    return f'{cell.dataset}{few}'


def _seed_note(group):
    if all(len(cell.records) == 1 for cell in group):
        return ''
    return ' Of several seeds the lowest is drawn.'


def _name(*parts):
    """A file name of the parts that are not None."""
    text = '_'.join(str(part) for part in parts if part is not None)
    return re.sub(r'[^\w.-]+', '_', text)


# Files.


def svg(drawing):
    """The figure as SVG text, the same for the same numbers."""
    out = io.StringIO()
    with matplotlib.rc_context(STYLE):
        drawing.figure.savefig(out, format='svg', metadata={'Date': None})
    return out.getvalue()


def save(drawings, folder):
    """Writes each as <name>.png, .pdf and .csv; returns the paths."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for drawing in drawings:
        for suffix, dated in (('png', None), ('pdf', {'CreationDate': None})):
            paths.append(folder / f'{drawing.name}.{suffix}')
            with results.replacing(paths[-1]) as aside, matplotlib.rc_context(STYLE):
                drawing.figure.savefig(aside, dpi=200, metadata=dated)
        paths.append(folder / f'{drawing.name}.csv')
        with results.replacing(paths[-1]) as aside:
            drawing.frame.to_csv(aside, index=False, lineterminator='\n')
    return paths
