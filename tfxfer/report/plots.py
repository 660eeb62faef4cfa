"""What every figure shares: style, axes of log odds, legend, files.

Colours are Okabe and Ito's, which the colour-blind can tell apart; networks also differ
in the marker, so that the figures read in gray. No global state of Matplotlib is used.
"""

import contextlib
import dataclasses
import io
import math
import multiprocessing
import os
import pathlib
import re
import sys
import threading

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import backend_bases, figure, lines, ticker
from matplotlib.backends import backend_agg, backend_pdf
from PIL import Image

from tfxfer import storage
from tfxfer.analysis import stats

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
# Of the three settings: colour, marker and dashes differ.
SETTINGS = {
    'logistic': {'color': COLOURS[0], 'marker': 'o', 'linestyle': '-'},
    'finetune': {'color': COLOURS[1], 'marker': 's', 'linestyle': '--'},
    'scratch': {'color': COLOURS[2], 'marker': '^', 'linestyle': ':'},
}
# And of the source, on whose own test images a network is shown beside them.
WITH_SOURCE = {
    'source': {'color': 'black', 'marker': 'D', 'linestyle': '-'},
    **SETTINGS,
}
DPI = 200  # Of .png files.
ACROSS = 4  # Panels of lines.
RASTER = {'choice': 120, 'detail': 120}  # Subjects whose .pdf is the .png, and dpi.
LINE = 0.18  # Inches, of a line of a legend.
NAMED = 24  # Networks up to which a legend names each; beyond, their architectures.


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: of its files.
        subject: 'transfer' (accuracy), 'comparison' (of settings, with published
            results), 'experiment' (dataset size, convergence, training settings),
            'choice' (of hyperparameters) or 'detail' (which class is taken for which).
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


def network_styles(networks):
    """{network: colour and marker}, the same in every figure of a study."""
    return {
        network: {
            'color': COLOURS[i % len(COLOURS)],
            'marker': MARKERS[i % len(MARKERS)],
        }
        for i, network in enumerate(sorted(set(networks)))
    }


def legend(group, styles):
    """({network: style}, {label: style}, [sentence]) of Cells or Published.

    Of very many networks the legend names the architectures.
    """
    names = sorted({cell.network for cell in group})
    if len(names) <= NAMED:
        return styles, {name: styles[name] for name in names}, []
    archs = {cell.network: getattr(cell, 'arch', cell.network) for cell in group}
    labels = network_styles(archs.values())
    shared = {network: labels[arch] for network, arch in archs.items()}
    return shared, labels, ['Markers: architectures; some have several networks.']


def percent_axis(axis, values, *, ticks):
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


def panels(
    across, down, *, width, height, legend=None, left=0.75, bottom=0.6, right=0.15,
    top=0.35, gaps=(0.2, 0.55), sharex=True, sharey=True,
):  # fmt: skip
    """(Figure, axes [down, across]), laid out by hand with room for a legend below.

    Matplotlib's own layouts draw the figure several times to find what is known here.

    Args:
        width, height: of a panel, in inches, as are all lengths.
        legend: {label: style}, drawn once for all panels, or None.
        gaps: between panels, across and down.
        sharex, sharey: whether panels share that axis; then the outer are labelled.
    """
    total = left + across * width + (across - 1) * gaps[0] + right
    columns = _legend_columns(legend or (), total)
    under = LINE * math.ceil(len(legend or ()) / columns) + 0.05 if legend else 0
    tall = top + down * height + (down - 1) * gaps[1] + bottom + under
    fig = figure.Figure((total, tall))
    fig.subplots_adjust(
        left=left / total, right=1 - right / total, top=1 - top / tall,
        bottom=(bottom + under) / tall, wspace=gaps[0] / width, hspace=gaps[1] / height,
    )  # fmt: skip
    axes = fig.subplots(down, across, squeeze=False, sharex=sharex, sharey=sharey)
    for panel in axes.flat:
        panel.grid(color='0.9', linewidth=0.6)
        panel.set_axisbelow(True)
    if legend:
        _legend(fig, legend, columns)
    return fig, axes


def line_panels(count, settings):
    """(Figure, axes [down, across]) of `count` panels that share no axis.

    settings: names of those that occur, for the legend.
    """
    across = min(count, ACROSS)
    fig, axes = panels(
        across, math.ceil(count / across), width=2.3, height=1.9,
        legend={s: style for s, style in SETTINGS.items() if s in settings},
        gaps=(0.5, 0.65), sharex=False, sharey=False, right=0.25,
    )  # fmt: skip
    for panel in axes.flat[count:]:
        panel.set_visible(False)
    return fig, axes


def count_axis(axis, counts):
    """A log x axis of counts, labelled at some that occur."""
    axis.axes.set_xscale('log')
    marks = []
    apart = (math.log(max(counts)) - math.log(min(counts))) / 6
    for count in sorted(set(counts)):
        if not marks or math.log(count / marks[-1]) >= apart:
            marks.append(count)
    axis.set_major_locator(ticker.FixedLocator(marks))
    axis.set_major_formatter(ticker.FixedFormatter([_short(n) for n in marks]))
    axis.set_minor_locator(ticker.NullLocator())


def _short(count):
    return f'{count / 1000:g}k' if count >= 1000 else f'{count:.3g}'


def task_title(point):
    """Network and dataset, and the image size where it is not the network's own."""
    size = f'{point.image_size} px' if point.image_size else ''
    return ', '.join(filter(None, (point.network, point.dataset, size)))


def label_axes(fig, axes, x, y):
    """One label for the x axes of all panels and one for the y axes."""
    box = axes[-1, 0].get_position()
    middle = (box.x0 + axes[-1, -1].get_position().x1) / 2
    tall = (box.y0 + axes[0, 0].get_position().y1) / 2
    wide, high = fig.get_size_inches()
    fig.text(middle, box.y0 - 0.5 / high, x, ha='center', va='bottom')
    fig.text(0.08 / wide, tall, y, rotation=90, ha='left', va='center')


def hide_rest(axes, used):
    """Hides the panels after the first `used`; each column's lowest is labelled."""
    across = axes.shape[1]
    for i, panel in enumerate(axes.flat):
        panel.set_visible(i < used)
        panel.tick_params(labelbottom=i + across >= used)


def _legend_columns(labels, wide):
    longest = max(map(len, labels), default=1)
    columns = max(1, int(wide / (0.45 + 0.075 * longest)))
    return min(columns, max(len(labels), 1))


def _legend(fig, styles, columns):
    """One legend for all panels, below them."""
    handles = [
        lines.Line2D([], [], label=label, markersize=6,
                     **{'linestyle': 'none', 'marker': '', **style})
        for label, style in styles.items()
    ]  # fmt: skip
    fig.legend(
        handles=handles, loc='lower center', ncols=columns, fontsize=8,
        handletextpad=0.4, columnspacing=1.2, borderpad=0.2, borderaxespad=0.1,
        labelspacing=0.35,
    )  # fmt: skip


def name(*parts):
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
    """Writes each as <name>.png, .pdf and .csv; returns the paths.

    Of the subjects in RASTER, of which a study has dozens, the .pdf holds the pixels of
    the .png: drawing them again would double the time of a report.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Every n-th, as neighbours take the same time.
    count = min(len(drawings) // 8, len(os.sched_getaffinity(0)))
    shares = [drawings[i::count] for i in range(count)] if _may_fork() else []
    others = [
        multiprocessing.get_context('fork').Process(target=_save, args=(share, folder))
        for share in shares[1:]
    ]
    for process in others:
        process.start()
    _save(shares[0] if shares else drawings, folder)
    for process, share in zip(others, shares[1:], strict=True):
        process.join()
        if process.exitcode:  # What went wrong there is said here.
            _save(share, folder)
    return [
        folder / f'{drawing.name}.{suffix}'
        for drawing in drawings
        for suffix in _WRITERS
    ]


def _may_fork():
    """Whether this process has no threads, whose locks a copy of it could not open."""
    return threading.active_count() == 1 and 'tensorflow' not in sys.modules


def _save(drawings, folder):
    for drawing in drawings:
        image = _pixels(drawing)
        for suffix, write in _WRITERS.items():
            with storage.replacing(folder / f'{drawing.name}.{suffix}') as aside:
                write(drawing, image, aside)


# Figure.savefig draws twice, the first time to lay out what is laid out already; the
# canvases' own functions draw once.


def _pixels(drawing):
    with _canvas(drawing, backend_agg.FigureCanvasAgg) as canvas:
        canvas.draw()
        return Image.fromarray(np.array(canvas.buffer_rgba())).convert('RGB')


def _png(drawing, image, path):
    # Twice as fast as the default level, and hardly larger.
    dpi = _dpi(drawing)
    image.save(path, format='PNG', compress_level=4, dpi=(dpi, dpi))


def _pdf(drawing, image, path):
    if drawing.subject in RASTER:
        image.save(
            path, format='PDF', resolution=_dpi(drawing), quality=95,
            title=drawing.title, creationDate=None, modDate=None,
        )  # fmt: skip
        return
    with _canvas(drawing, backend_pdf.FigureCanvasPdf) as canvas:
        canvas.print_pdf(path, metadata={'CreationDate': None})


def _csv(drawing, image, path):
    del image
    drawing.frame.to_csv(path, index=False, lineterminator='\n')


_WRITERS = {'png': _png, 'pdf': _pdf, 'csv': _csv}


def _dpi(drawing):
    return RASTER.get(drawing.subject, DPI)


@contextlib.contextmanager
def _canvas(drawing, kind):
    """A canvas of the figure, which lets go of its megabytes of pixels afterwards."""
    fig = drawing.figure
    old, fig.dpi = fig.dpi, _dpi(drawing)
    try:
        with matplotlib.rc_context(STYLE):
            yield kind(fig)
    finally:
        fig.dpi = old
        backend_bases.FigureCanvasBase(fig)
