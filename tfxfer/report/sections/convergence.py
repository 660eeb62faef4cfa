"""Accuracy against steps of training, and how many steps each setting needs."""

from collections.abc import Iterator, Sequence

import matplotlib
import pandas as pd

from tfxfer.analysis import cells, convergence
from tfxfer.analysis.convergence import Length, Speed
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study

NAME = 'convergence'
RATIO = 'scratch / finetune'

Series = Sequence[Sequence[Length]]  # Of convergence.lengths.


def table(series: Series) -> formats.Table:
    """Steps to 90 % of the best odds."""
    speeds = convergence.speeds(series)
    share = f'{100 * convergence.SHARE:g} %'
    return formats.table(
        NAME,
        f'Steps of training to {share} of the best odds',
        [_row(speed, speeds) for speed in speeds],
        {
            **columns.texts('network', 'dataset'),
            **columns.SIZES,
            **columns.texts('setting', 'recipe'),
            'best odds': lambda row: f'{row["best_odds"]:.3g}',
            'best %': columns.percent('best_score'),
            'best at steps': _best_steps_text,
            f'steps to {share}': columns.text('steps_said'),
            f'epochs to {share}': columns.text('epochs_said'),
            RATIO: columns.text('ratio_said'),
        },
        optional=(*columns.OPTIONAL, RATIO),
        note='Odds: p / (1 - p). Each length is a training run of its own; between two '
        'lengths odds are taken as linear in log steps. <=: the shortest training '
        'reaches it already. Where the longest is the best, a longer one may be better '
        'and need more steps. Epochs are over train + validation.',
    )


def _row(speed: Speed, speeds: Sequence[Speed]) -> dict:
    ratio, best = convergence.slower(speed, speeds), speed.best
    return {
        'network': best.network,
        'dataset': best.dataset,
        'per_class': best.per_class,
        'image_size': best.image_size,
        'setting': best.setting,
        'recipe': best.recipe,
        'best_odds': best.odds,
        'best_score': best.score,
        'best_steps': best.steps,
        'longest_steps': speed.last.steps,
        'steps': speed.steps.value,
        'steps_said': speed.steps.words,
        'epochs': speed.epochs.value,
        'epochs_said': speed.epochs.words,
        'ratio': ratio.value,
        'ratio_said': ratio.words,
    }


def _best_steps_text(row):
    longest = row['best_steps'] == row['longest_steps']
    return str(row['best_steps']) + (' (the longest)' if longest else '')


def draw(series: Series) -> style.Drawing:
    """Accuracy against the length of training, as in the paper's figure 8."""
    groups = cells.grouped(series, lambda line: line[0].task)
    with matplotlib.rc_context(style.RC):
        fig, axes = style.line_panels(len(groups), {line[0].setting for line in series})
        for panel, shown in zip(axes.flat, groups.values(), strict=False):
            points = [length for line in shown for length in line]
            style.count_axis(panel.xaxis, [p.steps for p in points])
            style.percent_axis(panel.yaxis, [p.log_odds for p in points], ticks=5)
            panel.set_title(style.task_title(points[0]), size=9)
            for line in shown:
                panel.plot(
                    [p.steps for p in line], [p.log_odds for p in line],
                    markersize=4, linewidth=1.2, **style.SETTINGS[line[0].setting],
                )  # fmt: skip
        style.label_axes(fig, axes, 'Steps of training', 'Accuracy, %')
    return style.Drawing(
        NAME,
        'experiment',
        'Accuracy against steps of training',
        fig,
        pd.DataFrame([length._asdict() for line in series for length in line]),
        'Accuracy as log odds, labelled in percent. Every point is a training run of '
        'its own, whose learning rate falls to 0 over just these steps.',
    )


def _series(study: Study) -> list[list[Length]]:
    return convergence.lengths(study.cells)


def _tables(study: Study) -> Iterator[formats.Table]:
    yield table(study.once(_series))


def _drawings(study: Study) -> Iterator[style.Drawing]:
    series = study.once(_series)
    if series:
        yield draw(series)


SECTION = Section(tables=_tables, drawings=_drawings, names=(NAME,))
