"""The cells of a task from the best on, each with its interval."""

import typing
from collections.abc import Iterator, Sequence

import matplotlib
import pandas as pd

from tfxfer.analysis import cells, verdicts
from tfxfer.report import formats, style
from tfxfer.report.section import Section, Study, task_title

SHOWN = 20  # Cells in one figure.
BAND = '#dcebf7'  # Behind the cells that are not told apart.
_GROUP = 'not told apart from the best'
_CORRECTED = 'interval of the best, corrected for having been picked'


def ranking(
    group: Sequence[cells.Cell], verdict: verdicts.Verdict | None, subject: str
) -> style.Drawing | None:
    """A row per Cell of one task, the best first; None where fewer than 2 have a score.

    Args:
        group: the task's Cells.
        verdict: the task's, which says what is not told apart; None: nothing is marked.
        subject: of the Drawing.
    """
    scored = [cell for cell in group if cell.score is not None]
    if len(scored) < 2:
        return None
    ranked = sorted(scored, key=lambda cell: -(cell.score or 0))
    decided = verdict is not None and verdict.best.noise_covered
    rows = [_row(cell, verdict if decided else None) for cell in ranked[:SHOWN]]
    with matplotlib.rc_context(style.RC):
        fig = _figure(rows, formats.METRICS[group[0].metric])
    return style.Drawing(
        style.file_name('ranking', *group[0].task[:2]),
        subject,
        f'Ranking, {task_title(group[0])}',
        fig,
        pd.DataFrame(rows).drop(columns='name'),
        _caption(len(ranked), rows, decided=decided),
    )


def _row(cell, verdict):
    low, high = cell.interval or (None, None)
    best = verdict is not None and cell.name == verdict.best.name
    close = verdict is not None and any(cell.name == c.name for c in verdict.close)
    corrected = verdict if best and verdict.comparisons else None
    return {
        'name': cell.name,
        'network': cell.network,
        'setting': cell.setting,
        'recipe': cell.recipe,
        'image_size': cell.image_size,
        'score': cell.score,
        'low': low,
        'high': high,
        'not_told_apart': None if verdict is None else best or close,
        'corrected_low': corrected and corrected.low,
        'corrected_high': corrected and corrected.high,
    }


def _figure(rows, metric):
    settings = {row['setting'] for row in rows}
    legend: dict[str, style.Look] = {
        name: {**look, 'linestyle': '-'}
        for name, look in style.SETTINGS.items()
        if name in settings
    }
    if any(row['not_told_apart'] for row in rows):
        legend[_GROUP] = {'color': BAND, 'linestyle': '-', 'linewidth': 8}
    if any(row['corrected_low'] is not None for row in rows):
        legend[_CORRECTED] = _LINE
    fig, panel = style.dot_rows(len(rows), legend, f'{metric.capitalize()}, %')
    for place, row in enumerate(rows):
        look = style.SETTINGS[row['setting']]
        if row['not_told_apart']:
            panel.axhspan(place - 0.62, place + 0.38, color=BAND, linewidth=0, zorder=0)
        style.dot(panel, place, [row[k] for k in ('score', 'low', 'high')], look)
        if row['corrected_low'] is not None:
            ends = 100 * row['corrected_low'], 100 * row['corrected_high']
            panel.hlines(place + 0.22, *ends, colors=_LINE['color'], linewidth=1.6)
        style.row_label(panel, place, row['name'], f'{100 * row["score"]:.1f} %')
    return fig


_LINE = {'color': '0.25', 'linestyle': '-', 'linewidth': 1.6}


def _caption(count, rows, *, decided):
    parts = []
    if any(row['low'] is not None for row in rows):
        parts.append('Lines: 95 % interval of each number by itself.')
    if decided:
        parts.append('Shaded: the best, and those that are not told apart from it.')
    else:
        parts.append('Nothing is shaded: whether the best is better was not tested.')
    if any(row['corrected_low'] is not None for row in rows):
        parts.append(
            'The highest of several scores is partly luck: the gray line allows for it.'
        )
    if count > len(rows):
        parts.append(f'The best {len(rows)} of {count} cells; the table has all.')
    return ' '.join(parts)


def _drawings(study: Study) -> Iterator[style.Drawing]:
    by_task: dict[typing.Any, verdicts.Verdict] = {
        verdict.best.task: verdict for verdict in study.judged
    }
    subject = 'ranking' if study.few else 'rankings'
    for task, group in study.main_tasks.items():
        drawing = ranking(group, by_task.get(task), subject)
        if drawing:
            yield drawing


def _notes(study: Study) -> Iterator[str]:
    left = len(cells.tasks(study.cells)) - len(study.main_tasks)
    if left > 0:
        yield (
            f'Figures of single tasks show the {len(study.main_tasks)} of most '
            f'training images per class, one per dataset; tables have the other {left}.'
        )


SECTION = Section(drawings=_drawings, notes=_notes)
