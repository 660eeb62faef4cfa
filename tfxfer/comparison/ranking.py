"""Networks and settings from the best to the worst, with intervals."""

import dataclasses
from collections.abc import Sequence

from tfxfer import number_format
from tfxfer.analysis import cells, verdicts
from tfxfer.report import columns, formats
from tfxfer.report.section import Study

BEST, ALIKE, LOWER = 'highest', 'not told apart', 'lower'
UNTESTED, DIVERGED = 'not tested', 'diverged'


@dataclasses.dataclass(frozen=True)
class Ranked:
    """One network in one setting on one task.

    Attributes:
        rank: on its task, from 1; equal scores have the same.
        network, setting: as in the report.
        recipe: in what it differs from others of the setting; '' if in nothing.
        image_size: side in pixels; None: the network's own.
        dataset, per_class: the task; per_class: training images per class, None: all.
        metric: of the score, a key of METRICS.
        score: mean over seeds, 0-1; None where a Run diverged.
        low, high: its 95 % interval, by itself; None where not known.
        verdict: 'highest', 'not told apart' (from the highest), 'lower', 'not tested',
            'diverged'.
        p: of the difference from the highest, corrected for all pairs; None: untested.
        seconds: of all Runs behind it; None where a trial is missing.
        run: id of its final Run, of the first seed.
    """

    rank: int
    network: str
    setting: str
    recipe: str
    image_size: int | None
    dataset: str
    per_class: int | None
    metric: str
    score: float | None
    low: float | None
    high: float | None
    verdict: str
    p: float | None
    seconds: float | None
    run: str


def ranked(study: Study) -> list[Ranked]:
    """All cells of a study, by task, the highest score first."""
    by_task = {verdict.best.task: verdict for verdict in study.judged}
    return [
        row
        for task, group in cells.tasks(study.cells).items()
        for row in _of_task(group, by_task.get(task))
    ]


def table(rows: Sequence[Ranked]) -> formats.Table:
    """The ranking as a table; several tasks one below the other."""
    dicts = [dataclasses.asdict(row) for row in rows]
    several = len({(row.dataset, row.per_class, row.metric) for row in rows}) > 1
    return formats.table(
        'ranking',
        'Ranking',
        dicts,
        {
            **(columns.texts('dataset', 'metric') if several else {}),
            'rank': columns.count('rank'),
            **columns.texts('network', 'setting', 'recipe'),
            **columns.SIZES,
            'score %': columns.percent('score'),
            '95 % interval': _interval,
            'against the highest': _against,
            'time': columns.duration('seconds'),
        },
        optional=columns.OPTIONAL,
        note='Each interval is of the number by itself. "Not told apart": the '
        'difference from the highest score may be chance.',
    )


def _of_task(
    group: Sequence[cells.Cell], verdict: verdicts.Verdict | None
) -> list[Ranked]:
    rows = {row.b.name: row for row in verdict.comparisons} if verdict else {}
    scores = [cell.score for cell in group if cell.score is not None]
    # A Verdict's cells are the same, but for their intervals.
    top = verdict.best if verdict else cells.best(group)
    best = top.name if top else None
    ordered = sorted(
        group,
        key=lambda cell: (
            cell.name != best,
            -(-1.0 if cell.score is None else cell.score),
            cell.name,
        ),
    )
    return [_ranked(cell, best, rows.get(cell.name), scores) for cell in ordered]


def _ranked(
    cell: cells.Cell,
    best: str | None,
    row: verdicts.Comparison | None,
    scores: Sequence[float],
) -> Ranked:
    low, high = cell.interval or (None, None)
    score = cell.score
    above = [one for one in scores if score is None or one > score]
    return Ranked(
        rank=1 + len(above),
        network=cell.network,
        setting=cell.setting,
        recipe=cell.recipe,
        image_size=cell.image_size,
        dataset=cell.dataset,
        per_class=cell.per_class,
        metric=cell.metric,
        score=score,
        low=low,
        high=high,
        verdict=_verdict(cell, best, row),
        p=row.p_adjusted if row else None,
        seconds=cell.seconds,
        run=cell.records[0].run.id,
    )


def _verdict(
    cell: cells.Cell, best: str | None, row: verdicts.Comparison | None
) -> str:
    if cell.score is None:
        return DIVERGED
    if cell.name == best:
        return BEST
    if row is None or row.p_adjusted is None:
        return UNTESTED
    return LOWER if row.significant else ALIKE


def _interval(row: formats.Row) -> str:
    return number_format.interval(row['low'], row['high'])


def _against(row: formats.Row) -> str:
    p = '' if row['p'] is None else f' (p = {number_format.p_value(row["p"])})'
    return row['verdict'] + p
