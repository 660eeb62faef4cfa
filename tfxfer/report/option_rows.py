"""Figures with a row per combination of training options, told by dots to the left."""

import typing
from collections.abc import Iterable, Mapping, Sequence

from tfxfer.analysis import stats
from tfxfer.analysis.training_options import Mean, Value, combination, level
from tfxfer.report import style

DOT = 0.28  # Inches, of a column of dots.

Options = tuple[tuple[str, Value], ...]  # ((name, value), ...), of one row.


def row_panels(
    rows: Sequence[Options], titles: Sequence[str], labels: Sequence[str] | None = None
) -> tuple[typing.Any, list]:
    """(Figure, [panel, ...]) with a line per row, its options as dots to the left.

    labels: of the rows, where they have no options.
    """
    names = [name for name, _ in rows[0]]
    left = 0.15 + DOT * len(names)
    if labels:
        left = 0.3 + 0.072 * max(map(len, labels))
    layout = style.Layout(
        across=len(titles),
        down=1,
        width=1.75,
        height=0.2 * len(rows) + 0.3,
        left=left,
        bottom=0.8,
        gaps=(0.2, 0.5),
    )
    fig, axes = style.panels(layout, sharex=False)
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title, size=9)
        panel.tick_params(axis='y', length=0)
    panels = list(axes[0])
    _stripes(panels + ([_dots(fig, panels[0], rows, names)] if names else []), rows)
    panels[0].set_yticks(range(len(rows)), labels or [''] * len(rows))
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    box, tall = panels[0].get_position(), fig.get_figheight()
    middle = (box.x0 + panels[-1].get_position().x1) / 2
    fig.text(middle, box.y0 - 0.5 / tall, 'Accuracy, %', ha='center', va='bottom')
    return fig, panels


def _stripes(panels, rows):
    for panel in panels:
        panel.grid(visible=False, axis='y')
        for i in range(0, len(rows), 2):
            panel.axhspan(i - 0.5, i + 0.5, color='0.96', linewidth=0, zorder=0)


def _dots(fig, beside, rows, names):
    """Dots left of a panel: full at the higher of two values, else the value."""
    box, wide = beside.get_position(), fig.get_figwidth()
    inches = DOT * len(names)
    matrix = fig.add_axes(
        (box.x0 - (inches + 0.05) / wide, box.y0, inches / wide, box.height)
    )
    for j, name in enumerate(names):
        _dot_column(matrix, j, [dict(row)[name] for row in rows])
    heads = [name.replace('_', '\n') for name in names]
    matrix.set_xticks(range(len(names)), heads, rotation=90, size=8)
    matrix.tick_params(length=0)
    matrix.set_yticks([])
    matrix.set_xlim(-0.5, len(names) - 0.5)
    matrix.set_ylim(len(rows) - 0.5, -0.5)
    matrix.spines[:].set_visible(False)
    return matrix


def _dot_column(matrix, j, values):
    levels = sorted(set(values))
    if len(levels) > 2:
        for i, value in enumerate(values):
            matrix.text(j, i, level(value), size=7, ha='center', va='center')
        return
    for value, face in zip(levels, ('white', 'black'), strict=False):
        lines = [i for i, v in enumerate(values) if v == value]
        matrix.plot(
            [j] * len(lines), lines, linestyle='none', marker='o', markersize=5,
            markerfacecolor=face, markeredgewidth=0.7,
            markeredgecolor='0.6' if face == 'white' else 'black',
        )  # fmt: skip


def dots_text(rows: Sequence[Options]) -> str:
    """What a dot of each option stands for; '' where none is a dot."""
    texts = []
    for name in dict(rows[0]):
        levels = sorted({dict(row)[name] for row in rows})
        if len(levels) == 2:
            low, high = map(level, levels)
            texts.append(f'{name.replace("_", " ")} {high} (ring: {low})')
    return f'Dots: {", ".join(texts)}.' if texts else ''


def same_span(panels: Iterable, values: Sequence[Sequence[float]]) -> None:
    """Axes of percent whose limits are equally far apart in log odds."""
    half = max((max(x) - min(x)) / 2 for x in values)
    for panel, x in zip(panels, values, strict=True):
        middle = (max(x) + min(x)) / 2
        style.percent_axis(panel.xaxis, [middle - half, middle + half], ticks=4)


def ends(means: Iterable[Mean]) -> list[float]:
    """Where the bars of Means end, as log odds."""
    return [m.log_odds + k * (m.error or 0) for m in means for k in (-1, 1)]


def draw_means(
    panel: typing.Any, means: Sequence[Mean], lines: Sequence[int], look: Mapping
) -> None:
    """Markers and bars of Means, each on its line."""
    panel.errorbar(
        [m.log_odds for m in means], lines, xerr=[m.error or 0 for m in means],
        markersize=4.5, elinewidth=1.1, **{**look, 'linestyle': 'none'},
    )  # fmt: skip


def mean_row(mean: Mean) -> dict[str, typing.Any]:
    """Numbers of a Mean, for a frame."""
    return {
        'settings': combination(mean.values),
        **{name: float(value) for name, value in mean.values.items()},
        'datasets': '; '.join(mean.datasets),
        'seeds': mean.seeds,
        'log_odds': mean.log_odds,
        'error': mean.error,
        'bars': mean.bars,
        'score': float(stats.proportion(mean.log_odds)),
    }


BARS = {
    'within': "Bars: standard error over datasets, after each dataset's mean is "
    'subtracted (Morey 2008).',
    'seeds': 'Bars where there is one dataset, as for the source: standard error over '
    'seeds.',
}


def bars_text(means: Iterable[Mean]) -> list[str]:
    """What the bars of Means are."""
    kinds = {m.bars for m in means}
    return [text for kind, text in BARS.items() if kind in kinds]
