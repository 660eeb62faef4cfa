"""What every figure shares: colours, panels, axes of log odds, the legend.

Colours are Okabe and Ito's, which the colour-blind can tell apart; networks also differ
in the marker, so that the figures read in gray. No global state of Matplotlib is used.
"""

import dataclasses
import hashlib
import io
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import figure, lines, ticker

from tfxfer.analysis import points, stats

Look = dict[str, typing.Any]  # Arguments of Matplotlib's lines: colour, marker, ...

COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#000000', '#56B4E9', '#E69F00')
# As many as the paper has networks; (k, 1, 0) is a star of k points.
MARKERS = (
    'o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', 'p', '*', 'd', 'h',
    (4, 1, 0), (8, 1, 0), (3, 1, 0),
)  # fmt: skip
LONGEST = 150  # Bytes of a file's name; most systems take 255, with what is added.
DASHES = ('-', '--', ':', '-.')
RC = {
    'font.family': 'DejaVu Sans',  # Comes with Matplotlib.
    'font.size': 9,
    'axes.titlesize': 10,
    'axes.titlelocation': 'left',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.frameon': False,
    # Names of classes and datasets are no mathematics, whatever signs they have.
    'text.parse_math': False,
    'text.usetex': False,
    'axes.formatter.use_mathtext': False,
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
ACROSS = 4  # Panels of lines.
LINE = 0.18  # Inches, of a line of a legend.
NAMED = 24  # Networks up to which a legend names each; beyond, their architectures.


class Figure(figure.Figure):
    """Matplotlib's, as a notebook shows it: of itself those of pyplot alone."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        with matplotlib.rc_context(RC):
            self.savefig(out, format='png')
        return out.getvalue()


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: of its files.
        subject: 'ranking', 'cost' or 'classes' (of a task; 'rankings', 'costs' or
            'class accuracies' where there are many), 'transfer' (accuracy),
            'comparison' (of settings, with published results), 'experiment' (dataset
            size, convergence, training options), 'choice' (of hyperparameters) or
            'detail' (predicted against true classes).
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


def network_styles(networks: Iterable[str]) -> dict[str, Look]:
    """{network: colour and marker}, the same in every figure of a study."""
    return {
        network: {
            'color': COLOURS[i % len(COLOURS)],
            'marker': MARKERS[i % len(MARKERS)],
        }
        for i, network in enumerate(sorted(set(networks)))
    }


def legend(
    group: Iterable[points.Scored], styles: Mapping[str, Look]
) -> tuple[Mapping[str, Look], dict[str, Look], list[str]]:
    """Looks by network, looks by label of the legend, and sentences about it.

    Of very many networks the legend names the architectures.
    """
    names = sorted({cell.network for cell in group})
    if len(names) <= NAMED:
        return styles, {name: styles[name] for name in names}, []
    archs = {cell.network: getattr(cell, 'arch', cell.network) for cell in group}
    labels = network_styles(archs.values())
    shared = {network: labels[arch] for network, arch in archs.items()}
    return shared, labels, ['Markers: architectures; some have several networks.']


def percent_axis(axis: typing.Any, values: Iterable[float], *, ticks: int) -> None:
    """Limits around values, log odds, and round percentages as ticks."""
    values = list(values)
    low, high = min(values), max(values)
    pad = max(0.08 * (high - low), 0.05)
    low, high = low - pad, high + pad
    (axis.axes.set_xlim if axis.axis_name == 'x' else axis.axes.set_ylim)(low, high)
    shares = percent_ticks(low, high, ticks)
    odds = stats.log_odds(np.array(shares) / 100)
    axis.set_major_locator(ticker.FixedLocator(odds.tolist()))
    axis.set_major_formatter(ticker.FixedFormatter([f'{share:g}' for share in shares]))


def percent_ticks(low: float, high: float, most: int) -> list[float]:
    """About `most` round percentages between the log odds low and high.

    Evenly spaced in percent where that leaves them apart, else denser in the middle.
    """
    apart = (high - low) / most
    return _even_ticks(low, high, apart) or _uneven_ticks(low, high, apart)


def _multiples(low, high, step):
    """Multiples of step, percent, between the log odds low and high."""
    first, last = 100 * stats.proportion([low, high])
    whole = range(math.ceil(first / step), math.floor(last / step) + 1)
    shares = [round(i * step, 6) for i in whole]
    return [share for share in shares if 0 < share < 100]


def _even_ticks(low, high, apart):
    """At least 4 multiples of one step that lie about `apart`; none if none do."""
    for step in (20, 10, 5, 2, 1, 0.5, 0.2, 0.1):
        even = _multiples(low, high, step)
        if len(even) >= 4:
            odds = stats.log_odds(np.array(even) / 100)
            gaps = np.diff([low, *odds, high])
            if gaps[1:-1].min() >= 0.6 * apart and gaps.max() <= 2.2 * apart:
                return even
    return []


def _uneven_ticks(low, high, apart):
    """The roundest percentages that are at least `apart` from one another."""
    tails = [10.0**-i for i in range(1, 5)] + [1.0]
    tails += [round(100 - tail, 6) for tail in tails]

    def between(step):
        return _multiples(low, high, step)

    chosen: list[float] = []
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


@dataclasses.dataclass(frozen=True)
class Layout:
    """Panels of a figure, all lengths in inches.

    Attributes:
        across, down: numbers of panels.
        width, height: of one panel.
        left, bottom, right, top: margins around all of them.
        gaps: between panels, across and down.
    """

    across: int
    down: int
    width: float
    height: float
    left: float = 0.75
    bottom: float = 0.6
    right: float = 0.15
    top: float = 0.35
    gaps: tuple[float, float] = (0.2, 0.55)

    @property
    def total_width(self) -> float:
        gaps = (self.across - 1) * self.gaps[0]
        return self.left + self.across * self.width + gaps + self.right

    def total_height(self, legend: float) -> float:
        """legend: height of what is below the panels and the bottom margin."""
        gaps = (self.down - 1) * self.gaps[1]
        return self.top + self.down * self.height + gaps + self.bottom + legend


def panels(
    layout: Layout,
    legend: Mapping[str, Look] | None = None,
    *,
    sharex: bool = True,
    sharey: bool = True,
) -> tuple[figure.Figure, np.ndarray]:
    """(Figure, axes [down, across]), laid out by hand with room for a legend below.

    Matplotlib's own layouts draw the figure several times to find what is known here.

    Args:
        layout: without the legend.
        legend: {label: look}, drawn once for all panels, or None.
        sharex, sharey: whether panels share that axis; then the outer are labelled.
    """
    wide = layout.total_width
    columns = _legend_columns(legend or (), wide)
    under = LINE * math.ceil(len(legend or ()) / columns) + 0.05 if legend else 0
    tall = layout.total_height(under)
    fig = Figure((wide, tall))
    fig.subplots_adjust(
        left=layout.left / wide,
        right=1 - layout.right / wide,
        top=1 - layout.top / tall,
        bottom=(layout.bottom + under) / tall,
        wspace=layout.gaps[0] / layout.width,
        hspace=layout.gaps[1] / layout.height,
    )
    axes = fig.subplots(
        layout.down, layout.across, squeeze=False, sharex=sharex, sharey=sharey
    )
    for panel in axes.flat:
        panel.grid(color='0.9', linewidth=0.6)
        panel.set_axisbelow(True)
    if legend:
        _legend(fig, legend, columns)
    return fig, axes


def line_panels(
    count: int, settings: Iterable[str]
) -> tuple[figure.Figure, np.ndarray]:
    """(Figure, axes [down, across]) of `count` panels that share no axis.

    settings: names of those that occur, for the legend.
    """
    across = min(count, ACROSS)
    layout = Layout(
        across, math.ceil(count / across), 2.3, 1.9, gaps=(0.5, 0.65), right=0.25
    )
    occurring = set(settings)
    looks = {name: look for name, look in SETTINGS.items() if name in occurring}
    fig, axes = panels(layout, looks, sharex=False, sharey=False)
    for panel in axes.flat[count:]:
        panel.set_visible(False)
    return fig, axes


def count_axis(axis: typing.Any, counts: Sequence[float]) -> None:
    """A log x axis of counts, labelled at some that occur."""
    axis.axes.set_xscale('log')
    marks: list[float] = []
    apart = (math.log(max(counts)) - math.log(min(counts))) / 6
    for count in sorted(set(counts)):
        if not marks or math.log(count / marks[-1]) >= apart:
            marks.append(count)
    axis.set_major_locator(ticker.FixedLocator(marks))
    axis.set_major_formatter(ticker.FixedFormatter([_short(n) for n in marks]))
    axis.set_minor_locator(ticker.NullLocator())


def _short(count):
    return f'{count / 1000:g}k' if count >= 1000 else f'{count:.3g}'


ROW = 0.34  # Inches, of a row of dots: its label above, its line below.


def dot_rows(
    count: int, legend: Mapping[str, Look], label: str
) -> tuple[figure.Figure, typing.Any]:
    """(Figure, its panel) for `count` rows of `dot` and `row_label`, from the top.

    Labels stand above the lines, so that the figure is as narrow as a phone. The x
    axis, of percent, is `label`.
    """
    layout = Layout(1, 1, 4.1, ROW * count, left=0.15, right=0.15, top=0.1, bottom=0.5)
    fig, ((panel,),) = panels(layout, legend)
    panel.set_ylim(count - 0.55, -0.7)
    panel.set_yticks([])
    panel.spines['left'].set_visible(False)
    panel.set_xlabel(label)
    panel.margins(x=0.03)
    return fig, panel


def dot(
    panel: typing.Any, place: float, values: Sequence[float | None], look: Look
) -> None:
    """A dot and its interval in a row; values: score, low, high, 0-1."""
    score, low, high = (None if v is None else 100 * v for v in values)
    edge = look['color'] if 'markerfacecolor' in look else 'white'  # Hollow or filled.
    if low is not None:
        panel.hlines(place, low, high, colors=look['color'], linewidth=1.6)
    panel.plot(
        score, place, markersize=6, markeredgewidth=0.8,
        **{'markeredgecolor': edge, **look, 'linestyle': 'none'},
    )  # fmt: skip


def row_label(panel: typing.Any, place: float, left: str, right: str) -> None:
    """Texts above the line of a row, at both ends of the panel."""
    longest = 58 - len(right)
    left = left if len(left) <= longest else f'{left[: longest - 1]}…'
    across = panel.get_yaxis_transform()  # x in the panel, y in rows.
    panel.text(0, place - 0.2, left, transform=across, size=8, va='bottom')
    panel.text(1, place - 0.2, right, transform=across, size=8, va='bottom', ha='right')


def task_title(point: typing.Any) -> str:
    """Network and dataset, and the image size where it is not the network's own."""
    size = f'{point.image_size} px' if point.image_size else ''
    return ', '.join(filter(None, (point.network, point.dataset, size)))


def label_axes(fig: figure.Figure, axes: np.ndarray, x: str, y: str) -> None:
    """One label for the x axes of all panels and one for the y axes."""
    box = axes[-1, 0].get_position()
    middle = (box.x0 + axes[-1, -1].get_position().x1) / 2
    tall = (box.y0 + axes[0, 0].get_position().y1) / 2
    wide, high = fig.get_size_inches()
    fig.text(middle, box.y0 - 0.5 / high, x, ha='center', va='bottom')
    fig.text(0.08 / wide, tall, y, rotation=90, ha='left', va='center')


def hide_rest(axes: np.ndarray, used: int) -> None:
    """Hides the panels after the first `used`; each column's lowest is labelled."""
    across = axes.shape[1]
    for i, panel in enumerate(axes.flat):
        panel.set_visible(i < used)
        panel.tick_params(labelbottom=i + across >= used)


def _legend_columns(labels, wide):
    longest = max(map(len, labels), default=1)
    columns = max(1, int(wide / (0.45 + 0.075 * longest)))
    return min(columns, max(len(labels), 1))


def _legend(fig, looks, columns):
    """One legend for all panels, below them."""
    handles = [
        lines.Line2D([], [], label=label, markersize=6,
                     **{'linestyle': 'none', 'marker': '', **look})
        for label, look in looks.items()
    ]  # fmt: skip
    fig.legend(
        handles=handles, loc='lower center', ncols=columns, fontsize=8,
        handletextpad=0.4, columnspacing=1.2, borderpad=0.2, borderaxespad=0.1,
        labelspacing=0.35,
    )  # fmt: skip


def file_name(*parts: typing.Any) -> str:
    """A file name of the parts that are not None, of at most LONGEST characters."""
    text = '_'.join(str(part) for part in parts if part is not None)
    name = re.sub(r'[^\w.-]+', '_', text)
    if len(name.encode()) <= LONGEST:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return name.encode()[: LONGEST - 9].decode(errors='ignore') + f'_{digest}'
