"""Published results beside the best of the study, as in the paper's figure 7."""

import typing
from collections.abc import Iterable, Iterator, Sequence

import matplotlib
import pandas as pd

from tfxfer.analysis import cells, points
from tfxfer.analysis import published as published_results
from tfxfer.analysis.published import Published
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study
from tfxfer.report.sections import settings as settings_section

NAME = 'published'
DIFFERENCE = 'difference (percentage points)'


def table(
    all_cells: Sequence[cells.Cell], published: Iterable[Published]
) -> formats.Table:
    """Each published result of a dataset that the Records have, and our best.

    Of our Cells only those on all training images are laid beside it. Without any Cell
    every published result.
    """
    ours = published_results.best(_full(all_cells))
    pairs = [(one, ours.get((one.dataset, one.setting))) for one in published]
    return formats.table(
        NAME,
        'Our best beside published results' if all_cells else 'Published results',
        [_row(one, cell) for one, cell in pairs if cell is not None or not all_cells],
        {
            **columns.texts('dataset', 'setting'),
            'published network': columns.text('network'),
            'published %': columns.percent('score'),
            'from': columns.text('from'),
            'our best': columns.text('our_network'),
            'our metric': lambda row: (row['our_metric'] or '').replace('_', ' '),
            'our %': columns.percent('our_score'),
            DIFFERENCE: columns.points('difference'),
        },
        optional=('our best', 'our metric', 'our %', DIFFERENCE),
        note='Difference: ours minus the published. Our best was picked among our '
        'networks by the same test images, which favours it slightly. The published '
        'result may have used other splits or another metric.'
        if all_cells
        else '',
    )


def _full(all_cells):
    """Cells with a score on all training images, since that is what others report."""
    return [c for c in all_cells if c.score is not None and c.per_class is None]


def _row(one, cell):
    return {
        'dataset': one.dataset,
        'setting': one.setting,
        'network': one.network,
        'score': one.score,
        'source_score': one.source_score,
        'from': one.label,
        'our_network': cell and cell.name,
        'our_score': cell and cell.score,
        'our_metric': cell and cell.metric,
        'difference': cell and cell.score - one.score,
    }


def draw(
    all_cells: Iterable[cells.Cell], published: Iterable[Published]
) -> style.Drawing | None:
    """The best of each setting, with lines of published results.

    Full datasets only, since that is what others report.

    Returns:
        Drawing; None where no dataset has both.
    """
    rows = _best_rows('study', _full(all_cells)) + _best_rows('published', published)
    both = [
        {r['dataset'] for r in rows if r['kind'] == k} for k in ('study', 'published')
    ]
    names = sorted(both[0] & both[1])
    rows = [row for row in rows if row['dataset'] in names]
    if not rows:
        return None
    settings = [s for s in cells.SETTINGS if any(r['setting'] == s for r in rows)]
    legend = {s: {**style.SETTINGS[s], 'linestyle': 'none'} for s in settings}
    legend['published best'] = {'color': 'black', 'linestyle': '-', 'marker': ''}
    with matplotlib.rc_context(style.RC):
        fig, panel = settings_section.dataset_columns(
            names, [r['log_odds'] for r in rows], legend
        )
        for row in rows:
            x = settings_section.place(names, settings, row)
            if row['kind'] == 'study':
                panel.plot(x, row['log_odds'], markersize=6, **legend[row['setting']])
            else:
                panel.hlines(
                    row['log_odds'], x - 0.13, x + 0.13, color='black', linewidth=1.4
                )
    sources = sorted({row['from'] for row in rows if row['from']})
    return style.Drawing(
        'best_against_published',
        'comparison',
        'The best of the study against published results',
        fig,
        pd.DataFrame(rows),
        'Log odds, labelled in percent. Markers: the best network of the study in each '
        f'setting. Lines: the best published in the same setting '
        f'({", ".join(sources)}). From left to right: {", ".join(settings)}. The '
        'best network was picked by the test images, which favours it slightly.',
    )


def _best_rows(
    kind: str, group: Iterable[points.Scored]
) -> list[dict[str, typing.Any]]:
    """The best of each dataset and setting; kind: 'study' or 'published'."""
    by_task = cells.grouped(group, lambda c: (c.dataset, c.setting))
    rows = []
    for (dataset, setting), members in sorted(by_task.items()):
        top = max(members, key=_score)
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
    return rows


def _score(cell: points.Scored) -> float:
    return cell.score or 0


def _tables(study: Study) -> Iterable[formats.Table]:
    yield table(study.cells, study.published)


def _drawings(study: Study) -> Iterator[style.Drawing]:
    if study.cells and study.published:
        drawing = draw(study.cells, study.published)
        if drawing:
            yield drawing


def _notes(study: Study) -> Iterator[str]:
    for one in study.published:
        yield from one.notes


SECTION = Section(tables=_tables, drawings=_drawings, notes=_notes, names=(NAME,))
