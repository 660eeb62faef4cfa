"""The course of a race under a time budget: who was in, who left it, and why."""

from collections.abc import Iterator

import matplotlib
import pandas as pd

from tfxfer import number_format
from tfxfer.analysis import races
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study

NAME = 'race'


def table(raced: races.Raced) -> formats.Table:
    """A row per network, the most probable best first."""
    last, out, unfit = raced.last, raced.out(), raced.unfit()
    names = [*raced.chance, *(n for n in (*last, *unfit) if n not in raced.chance)]
    rows = []
    for name in dict.fromkeys(names):
        cell = last.get(name)
        event = out.get(name) or unfit.get(name)
        rows.append(
            {
                'network': name,
                'share': None if cell is None else cell.share,
                'score': None if cell is None else cell.score,
                'test_images': None if cell is None else cell.test_images,
                'chance': raced.chance.get(name),
                'left': 'dropped' if name in out else '' if name in last else 'unfit',
                'minutes': None if event is None else event.elapsed / 60,
                'why': '' if event is None else event.why,
            }
        )
    return formats.table(
        NAME,
        'The race',
        rows,
        {
            **columns.texts('network'),
            'measured on': _share,
            'score %': columns.percent('score'),
            'test images': columns.count('test_images'),
            'best on all images': _chance,
            'left the race': _left,
            'why': columns.text('why'),
        },
        note='Each network by the largest share of the images that it was measured on. '
        '"Best on all images": how probably it would have the highest score, were all '
        'measured on all.',
    )


def _share(row: formats.Row) -> str:
    return '' if row['share'] is None else races.named(row['share'])


def _chance(row: formats.Row) -> str:
    p = row['chance']
    if p is None:
        return ''
    return '< 1 %' if p < 0.01 else f'{100 * p:.0f} %'


def _left(row: formats.Row) -> str:
    if not row['left'] or row['minutes'] is None:
        return ''
    return f'{row["left"]}, {number_format.duration(60 * row["minutes"])}'


def drawing(study: Study, raced: races.Raced) -> style.Drawing | None:
    """Scores against the share of the images; None of fewer than two shares."""
    if len(raced.by_share) < 2:
        return None
    out = raced.out()
    lines: dict[str, list] = {}
    for share, group in sorted(raced.by_share.items()):
        for cell in group:
            if cell.score is not None:
                lines.setdefault(cell.network, []).append((share, cell))
    rows = [
        {'network': name, 'share': share, 'score': cell.score, 'dropped': name in out}
        for name, line in lines.items()
        for share, cell in line
    ]
    styles = style.network_styles(set(lines) | set(study.styles))
    legend = {name: styles[name] for name in lines}
    with matplotlib.rc_context(style.RC):
        layout = style.Layout(1, 1, 3.4, 2.6, gaps=(0.5, 0.65), right=0.25)
        fig, axes = style.panels(layout, legend, sharex=False, sharey=False)
        (panel,) = axes.flat
        ys = []
        for name, line in lines.items():
            y = [cell.log_odds for _, cell in line]
            ys += y
            panel.plot([share for share, _ in line], y, **styles[name], linewidth=1.2)
            if name in out:
                panel.plot(line[-1][0], y[-1], marker='x', color='0.2', markersize=9)
        shares = sorted(raced.by_share)
        panel.set_xscale('log', base=2)
        panel.set_xticks(shares, [_tick(share) for share in shares])
        panel.set_xlabel('share of the images')
        metric = formats.METRICS[next(iter(lines.values()))[0][1].metric]
        panel.set_ylabel(f'{metric.capitalize()}, %')
        style.percent_axis(panel.yaxis, ys, ticks=5)
    return style.Drawing(
        NAME,
        'ranking',
        'The race',
        fig,
        pd.DataFrame(rows),
        'A line per network, on growing shares of the images; a cross: it was dropped.',
    )


def _tick(share: float) -> str:
    return 'all' if share >= 1 else f'1/{round(1 / share)}'


def _tables(study: Study) -> Iterator[formats.Table]:
    if study.race:
        yield table(study.race)


def _drawings(study: Study) -> Iterator[style.Drawing]:
    if study.race and (one := drawing(study, study.race)):
        yield one


SECTION = Section(_tables, _drawings, names=(NAME,))
