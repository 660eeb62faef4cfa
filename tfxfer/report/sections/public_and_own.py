"""Public checkpoints and networks trained here: does source accuracy predict alike?"""

from collections.abc import Iterable

import matplotlib
import pandas as pd

from tfxfer.analysis import public_and_own as numbers
from tfxfer.analysis.points import Condition
from tfxfer.analysis.public_and_own import Side
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study
from tfxfer.report.sections import transfer

NAME = 'public_and_own'


def table(pairs: Iterable[tuple[Side, Side]]) -> formats.Table:
    """r of public checkpoints and of the study's own networks, a row each."""
    return formats.table(
        NAME,
        'Does source accuracy predict transfer among public checkpoints, and among '
        'networks trained here?',
        [_row(side) for pair in pairs for side in pair],
        {
            'weights': columns.text('kind'),
            'source': columns.text('source'),
            **columns.SIZES,
            'networks': columns.count('networks'),
            'datasets': columns.text('datasets'),
            **columns.CORRELATION,
        },
        optional=columns.OPTIONAL,
        note='Logistic regression, over the datasets that all networks of both kinds '
        "have. Pearson's r of log odds. Interval: Fisher's transformation; for 3 "
        'networks it is not informative. No r where all networks have the same '
        'accuracy.',
    )


def _row(side):
    return {
        'kind': side.kind,
        'source': side.source,
        'per_class': side.per_class,
        'image_size': side.image_size,
        'networks': len(side.points),
        'datasets': '; '.join(side.datasets),
        **columns.correlation(side.correlation),
    }


def draw(sides: tuple[Side, Side]) -> style.Drawing:
    """Public checkpoints and networks trained here, side by side on the same axes.

    As the transfer figure, of logistic alone; beside r its 95 % interval and Spearman's
    rho. Markers tell architectures apart: the same one has the same in both panels.
    """
    styles = style.network_styles(
        arch for side in sides for arch in side.archs.values()
    )
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
    with matplotlib.rc_context(style.RC):
        fig, axes = style.panels(style.Layout(2, 1, 2.8, 2.7, top=0.55), styles)
        transfer.frame_points(axes[0, 0], both)
        for panel, side in zip(axes[0], sides, strict=True):
            panel.set_title(side.kind)
            rows += transfer.draw_fit(
                panel, side.kind, side.points, {'weights': side.kind}
            )
            by_network = {name: styles[arch] for name, arch in side.archs.items()}
            transfer.draw_points(panel, side.points, by_network)
            panel.set_xlabel(f'Accuracy on {side.source}, %')
            _say_correlation(panel, side.correlation)
        axes[0, 0].set_ylabel(f'Accuracy on {transfer.common_dataset(both)}, %')
    return style.Drawing(
        style.file_name(NAME, sides[0].per_class),
        'transfer',
        'Public checkpoints and networks trained here',
        fig,
        pd.DataFrame(rows),
        _caption(sides),
    )


def _say_correlation(panel, correlation):
    """Adds interval and Spearman's rho to the title, which has r."""
    if correlation:
        panel.set_title(
            f'{panel.get_title("left")}\n'
            f'95 % {correlation.low:.2f} to {correlation.high:.2f}, '
            f'Spearman {correlation.rho:.2f}',
            size=9,
        )


def _caption(sides):
    counts = ' and '.join(
        f'{len(side.points)} {words}'
        + (f' at {side.image_size} pixels' if side.image_size else '')
        for side, words in zip(
            sides, ('public checkpoints', 'networks trained here'), strict=True
        )
    )
    condition = Condition('', sides[0].per_class, None)
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
        f'have. Markers: architectures. {transfer.caption(condition, points, [])}'
    )


def _pairs(study: Study) -> list[tuple[Side, Side]]:
    return numbers.public_and_own(study.cells)


def _tables(study: Study) -> Iterable[formats.Table]:
    yield table(study.once(_pairs))


def _drawings(study: Study) -> Iterable[style.Drawing]:
    return map(draw, study.once(_pairs))


SECTION = Section(tables=_tables, drawings=_drawings, names=(NAME,))
