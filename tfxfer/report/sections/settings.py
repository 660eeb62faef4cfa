"""The settings side by side: which one wins, and by how much on each dataset."""

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence

import matplotlib
import pandas as pd

from tfxfer.analysis import cells, paired_tests, points
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study

NAME = 'wins'


def table(wins: Iterable[paired_tests.Wins]) -> formats.Table:
    """How often one setting beats another."""
    return formats.table(
        NAME,
        'Which setting is better? Over all networks and datasets',
        [_win(row) for row in wins],
        {
            **columns.texts('setting', 'against'),
            'better in': lambda row: (
                f'{row["wins"]} of {row["wins"] + row["losses"] + row["ties"]}'
            ),
            'equal in': columns.count('ties'),
            'datasets': columns.count('datasets'),
            'mean difference (log odds)': _difference,
            'p (t-test over datasets)': columns.p_value('p'),
        },
        note='Pairs of network and dataset are counted. They are not independent, so '
        'that the count has no p. Difference: mean over datasets of the mean over '
        'networks, with its 95 % interval; two-sided paired t-test of the means of '
        'datasets.',
    )


def _win(row):
    test = row.test
    return {
        'setting': row.a,
        'against': row.b,
        'wins': row.wins_a,
        'losses': row.wins_b,
        'ties': row.ties,
        'datasets': row.datasets,
        **{name: test and getattr(test, name) for name in ('mean', 'low', 'high', 'p')},
    }


def _difference(row):
    if row['mean'] is None:
        return ''
    return f'{row["mean"]:+.2f} ({row["low"]:+.2f} to {row["high"]:+.2f})'


def side_by_side(
    key: tuple, group: Sequence[points.Scored], styles: Mapping[str, dict]
) -> style.Drawing | None:
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
    rows, notes = _rows(group)
    settings = [s for s in cells.SETTINGS if any(r['setting'] == s for r in rows)]
    if len(settings) < 2:
        return None
    names = sorted({row['dataset'] for row in rows})
    networks = {row['network'] for row in rows}
    styles, shown, more = style.legend(
        [cell for cell in group if cell.network in networks], styles
    )
    legend = {s: {**style.SETTINGS[s], 'marker': '', 'linestyle': '-', 'linewidth': 4}
              for s in settings}  # fmt: skip
    legend |= {name: {**look, 'color': '0.3'} for name, look in shown.items()}
    with matplotlib.rc_context(style.RC):
        fig, panel = dataset_columns(names, [r['log_odds'] for r in rows], legend)
        lines = cells.grouped(rows, lambda row: (row['setting'], row['network']))
        for setting, network in sorted(
            lines, key=lambda line: (settings.index(line[0]), line[1])
        ):
            line = lines[setting, network]
            panel.plot(
                [place(names, settings, row) for row in line],
                [row['log_odds'] for row in line], linestyle='none', markersize=5,
                marker=styles[network]['marker'], alpha=0.8,
                color=style.SETTINGS[setting]['color'],
                markeredgecolor='white', markeredgewidth=0.4,
            )  # fmt: skip
    order = f'Log odds, labelled in percent. From left to right: {", ".join(settings)}.'
    return style.Drawing(
        style.file_name('settings', *key),
        'comparison',
        'The settings side by side',
        fig,
        pd.DataFrame(rows),
        ' '.join([order, *_subset(key), *more, *notes]),
    )


def _rows(group):
    """Scores of each setting's one recipe, and notes about the others."""
    rows, notes = [], []
    for setting in cells.SETTINGS:
        alike, note = points.one_recipe([c for c in group if c.setting == setting])
        notes += note
        rows += [
            {
                'dataset': cell.dataset,
                'setting': setting,
                'network': cell.network,
                'log_odds': cell.log_odds,
                'score': cell.score,
            }
            for cell in alike
            if cell.score is not None
        ]
    return rows, notes


def _subset(key):
    """The size of the subset, where the key of the figure names one."""
    if len(key) > 1 and key[0] is not None:
        yield f'Trained on {key[0]} images per class.'


def dataset_columns(
    names: Sequence[str], log_odds: Sequence[float], legend: Mapping[str, dict]
) -> tuple[typing.Any, typing.Any]:
    """(Figure, its panel) with a column per dataset."""
    layout = style.Layout(
        across=1,
        down=1,
        width=max(0.62 * len(names), 2.5),
        height=3.2,
        bottom=0.3 + 0.075 * max(map(len, names)),
    )
    fig, axes = style.panels(layout, legend)
    panel = axes[0, 0]
    style.percent_axis(panel.yaxis, log_odds, ticks=9)
    panel.set_xticks(range(len(names)), names, rotation=90)
    panel.set_xlim(-0.6, len(names) - 0.4)
    panel.grid(visible=False, axis='x')
    for edge in range(1, len(names)):
        panel.axvline(edge - 0.5, color='0.9', linewidth=0.6)
    panel.set_ylabel('Accuracy, %')
    return fig, panel


def place(
    names: Sequence[str], settings: Sequence[str], row: Mapping[str, typing.Any]
) -> float:
    """x of a row's dataset and setting among dataset_columns."""
    shift = settings.index(row['setting']) - (len(settings) - 1) / 2
    return names.index(row['dataset']) + 0.26 * shift


def _wins(study: Study) -> tuple[list[paired_tests.Wins], list[str]]:
    return paired_tests.wins(study.cells)


def _tables(study: Study) -> Iterable[formats.Table]:
    yield table(study.once(_wins)[0])


def _notes(study: Study) -> Iterable[str]:
    return study.once(_wins)[1]


def _drawings(study: Study) -> Iterator[style.Drawing]:
    groups: dict
    if study.cells:
        groups = cells.grouped(study.cells, lambda c: (c.per_class, c.image_size))
    else:
        groups = cells.grouped(study.published, lambda p: (p.label,))
    for key, group in groups.items():
        drawing = side_by_side(key, group, study.styles)
        if drawing:
            yield drawing


SECTION = Section(tables=_tables, drawings=_drawings, notes=_notes, names=(NAME,))
