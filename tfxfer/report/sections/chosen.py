"""How the hyperparameters of each cell were chosen, from how much, and at what cost."""

import collections
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import cm, colors, ticker
from matplotlib import collections as artists

from tfxfer import number_format
from tfxfer.analysis import cells, naming
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study, task_title

NAME = 'runs'
WRITTEN = 250  # Scores in one figure of heat maps; more would not be read.
CHOSEN = '#D55E00'  # Of the frame; cividis has no such colour.


def table(all_cells: Sequence[cells.Cell]) -> formats.Table:
    """One row a final Run: what validation chose, from how much, at what cost."""
    return formats.table(
        NAME,
        'Chosen hyperparameters and cost, a row per final Run',
        [_run_row(cell, record) for cell in all_cells for record in cell.records],
        {
            **columns.texts('network', 'dataset', 'setting', 'recipe'),
            **columns.SIZES,
            'seed': columns.count('seed'),
            'chosen': _chosen_text,
            'chosen from': _tried_text,
            'validation %': columns.percent('valid_score'),
            'test %': lambda row: (
                number_format.percent(row['score']) or row['status'].replace('done', '')
            ),
            columns.IMAGES: columns.images_text,
            'Runs': columns.count('runs'),
            'time': columns.duration('seconds_with_trials'),
        },
        optional=columns.OPTIONAL,
        note='Chosen on validation images alone; the final Run then fits train + '
        'validation. wd is the grid value; the gradient gets it divided by lr. Time: '
        'wall-clock of the final Run and its trials, one after the other.',
    )


def _chosen_text(row):
    return ' '.join(
        f'{name}={row[name]:.3g}'
        for name in ('l2', *naming.TRIED)
        if row[name] is not None
    )


def _tried_text(row):
    if not row['tried']:
        return 'fixed'
    how = row['search'] if row['search'] not in ('', 'grid') else ''
    return f'{row["tried"]} values' + (f' by {how}' if how else '')


def _run_row(cell, record):
    hparams = record.run.hparams
    # Of a search by halving a point of the grid has several trials.
    points = hparams.l2s if cell.setting == 'logistic' else record.curve
    names = set(record.run.trials)
    trials = tuple(t for t in cell.trials if t.run.id in names)
    alone = dataclasses.replace(cell, records=(record,), trials=trials)
    return {
        'run': record.run.id,
        'search': record.run.search,
        'network': cell.network,
        'dataset': cell.dataset,
        'setting': cell.setting,
        'recipe': cell.recipe,
        'per_class': cell.per_class,
        'image_size': cell.image_size,
        'seed': record.run.seed,
        **{name: record.chosen.get(name) for name in ('l2', *naming.TRIED)},
        'tried': len(points),
        'steps': getattr(hparams, 'steps', None),
        'batch': getattr(hparams, 'batch', None),
        **columns.images(record.images),
        'valid_score': record.valid_score,
        'score': alone.score,
        'status': record.status,
        'runs': alone.runs,
        'seconds': record.seconds.get('total'),
        'seconds_with_trials': alone.seconds,
    }


# Figures, one for each task and setting whose Cells have a curve.


def _drawings(study: Study) -> Iterator[style.Drawing]:
    for group in cells.tasks(study.cells).values():
        for setting in cells.SETTINGS:
            shown = [c for c in group if c.setting == setting and _first(c).curve]
            if shown and setting == 'logistic':
                yield l2_curves(shown, study.styles)
            elif shown:
                yield grids(shown)


def _first(cell):
    """The Record of a Cell's lowest seed, whose curve is drawn."""
    return cell.records[0]


def _label(cell):
    return cell.name.replace(f', {cell.setting}', '', 1)


def l2_curves(group: Sequence[cells.Cell], styles: Mapping[str, dict]) -> style.Drawing:
    """Validation score against l2 of each network; group: logistic Cells of one task.

    The chosen l2 is ringed; points where the solver stopped early are hollow.
    """
    drawn, rows = {}, []
    uses: collections.Counter = collections.Counter()
    for cell in group:
        dashes = style.DASHES[uses[cell.network] % 4]
        uses[cell.network] += 1
        drawn[_label(cell)] = {**styles[cell.network], 'linestyle': dashes}
    with matplotlib.rc_context(style.RC):
        fig, ((panel,),) = style.panels(style.Layout(1, 1, 5.5, 2.9), drawn)
        panel.set_xscale('log')
        # Powers set as mathematics cost as much as all else that is drawn.
        panel.xaxis.set_major_formatter('{x:g}')
        panel.xaxis.set_minor_formatter(ticker.LogFormatter())
        for cell in group:
            rows += _l2_curve(panel, cell, drawn[_label(cell)])
        panel.set_title(task_title(group[0]))
        panel.set_xlabel('l2, the penalty on the weights')
        panel.set_ylabel(f'Validation {formats.METRICS[group[0].metric]}, %')
    return style.Drawing(
        style.file_name('l2', *group[0].task[:2]),
        'choice',
        f'Choice of l2, logistic, {task_title(group[0])}',
        fig,
        pd.DataFrame(rows),
        'Ring: the chosen l2, the best on validation images; of ties, the strongest '
        'penalty. Hollow: the solver stopped before it had converged.'
        + _seed_note(group),
    )


def _l2_curve(panel, cell, look):
    record = _first(cell)
    curve = sorted(record.curve, key=lambda point: point['l2'])
    l2s = [point['l2'] for point in curve]
    scores = [100 * point['valid_score'] for point in curve]
    solved = [k for k, point in enumerate(curve) if point['solved']]
    early = [k for k, point in enumerate(curve) if not point['solved']]
    panel.plot(
        l2s, scores, linewidth=1.2, markersize=3.5, markeredgewidth=0.8,
        markevery=solved, **look,
    )  # fmt: skip
    if early:
        panel.plot(
            [l2s[k] for k in early], [scores[k] for k in early], linestyle='none',
            marker=look['marker'], color=look['color'], markersize=3.5,
            markerfacecolor='white', markeredgewidth=0.8,
        )  # fmt: skip
    best = l2s.index(record.chosen['l2'])
    panel.plot(
        l2s[best], scores[best], 'o', markersize=11, markerfacecolor='none',
        markeredgecolor=look['color'], markeredgewidth=1.4,
    )  # fmt: skip
    return [
        {
            'network': cell.network,
            'recipe': cell.recipe,
            'image_size': cell.image_size,
            'seed': record.run.seed,
            'l2': point['l2'],
            'valid_score': point['valid_score'],
            'solved': point['solved'],
            'chosen': point['l2'] == record.chosen['l2'],
        }
        for point in curve
    ]


def grids(group: Sequence[cells.Cell]) -> style.Drawing:
    """Heat maps of the validation score over (lr, wd), one a network, in one image.

    group: Cells of one task and one setting that trials chose for. The chosen point is
    framed; a cross is a trial that diverged. Where a search stopped trials early, those
    that went to the end have a score: one after fewer steps is no score of the same
    thing. One image and a few artists, whatever the
    number of networks: with axes of its own for each the figure takes a second.
    """
    rows = [row for cell in group for row in _grid_rows(cell)]
    lrs = sorted({row['lr'] for row in rows})
    wds = sorted({row['wd'] for row in rows})
    across = min(len(group), 3 if len(rows) <= WRITTEN else 4)
    tiles = _Tiles(lrs, wds, across, math.ceil(len(group) / across))
    with matplotlib.rc_context({**style.RC, 'font.size': 8}):
        fig = _grid_figure(group, rows, tiles)
    title = task_title(group[0])
    return style.Drawing(
        style.file_name('grid', group[0].setting, *group[0].task[:2]),
        'choice',
        f'Choice of learning rate and weight decay, {group[0].setting}, {title}',
        fig,
        pd.DataFrame(rows).drop(columns=['tile', 'complete']),
        f'{title}, {group[0].setting}. Frame: the chosen values, the best on '
        'validation images. '
        'x: the trial diverged. Weight decay is the grid value; the gradient gets it '
        'divided by the learning rate.' + _stopped_note(rows) + _seed_note(group),
    )


def _stopped_note(rows):
    """What the grey tiles are, where there are any."""
    stopped = [row['steps'] for row in rows if not row['complete']]
    if not stopped:
        return ''
    steps = sorted({row['steps'] for row in rows if row['complete']})
    return (
        f' Scores are after all {" or ".join(map(str, steps))} steps. Grey: the search '
        f'stopped the trial earlier, after {min(stopped)} to {max(stopped)} steps.'
    )


def _grid_figure(group, rows, tiles):
    """Laid out by hand, since all sizes are known."""
    titles = [_label(cell) for cell in group]
    written = len(rows) <= WRITTEN
    wide, high = (0.44, 0.3) if written else (0.24, 0.17)  # Inches of one trial.
    wide = max(wide, 0.085 * max(map(len, titles)) / len(tiles.lrs))
    width, height = wide * tiles.width, high * tiles.height
    fig = style.Figure((width + 1.9, height + 1.1))
    size = fig.get_size_inches()
    panel = fig.add_axes(
        (0.85 / size[0], 0.8 / size[1], width / size[0], height / size[1])
    )
    scale = _scale(rows)
    _grid_panel(panel, rows, tiles, scale, written=written)
    for i, title in enumerate(titles):
        x, y = tiles.place(i, 0, len(tiles.wds))
        panel.text(x - 0.5, y - 0.3, title, size=9, va='bottom')
    fig.text(0.85 / size[0], 0.12 / size[1], 'learning rate', size=9)
    fig.text(
        0.08 / size[0], (0.8 + height / 2) / size[1], 'weight decay', size=9,
        rotation=90, va='center',
    )  # fmt: skip
    bar_axes = fig.add_axes(
        ((1.0 + width) / size[0], 0.8 / size[1], 0.12 / size[0], height / size[1])
    )
    bar = fig.colorbar(scale, cax=bar_axes)
    bar.set_label(f'Validation\n{formats.METRICS[group[0].metric]}, %')
    bar.outline.set_visible(False)
    return fig


def _scale(rows):
    """Colours of the scores that occur, in percent."""
    done = [100 * row['valid_score'] for row in rows if _scored(row)]
    limits = colors.Normalize(min(done, default=0), max(done, default=100))
    return cm.ScalarMappable(limits, 'cividis')


def _scored(row):
    """Whether a trial has a score that may be laid beside others."""
    return row['complete'] and row['valid_score'] is not None


@dataclasses.dataclass(frozen=True)
class _Tiles:
    """Where the heat maps stand in one image, in trials; row 0 is the lowest."""

    lrs: Sequence[float]
    wds: Sequence[float]
    across: int
    down: int

    @property
    def step(self) -> tuple[int, int]:
        """From a tile to the next: between them is a gap, above it room for a title."""
        return len(self.lrs) + 1, len(self.wds) + 2

    @property
    def width(self) -> int:
        return self.across * self.step[0] - 1

    @property
    def height(self) -> int:
        return self.down * self.step[1]

    def place(self, tile: int, lr: int = 0, wd: int = 0) -> tuple[int, int]:
        """(x, y) of a trial: tiles read from the upper left, as text."""
        row, column = divmod(tile, self.across)
        return column * self.step[0] + lr, (self.down - 1 - row) * self.step[1] + wd


def _grid_rows(cell):
    record = _first(cell)
    for point in record.curve:
        done = point['status'] == 'done'
        # Records of before there were other searches do not say it.
        steps = point.get('steps', record.run.hparams.steps)
        yield {
            'tile': cell,
            'network': cell.network,
            'recipe': cell.recipe,
            'image_size': cell.image_size,
            'seed': record.run.seed,
            'lr': point['lr'],
            'wd': point['wd'],
            'steps': steps,
            'complete': steps == record.run.hparams.steps,
            'valid_score': point['valid_score'] if done else None,
            'status': point['status'],
            'chosen': all(point[n] == record.chosen[n] for n in naming.TRIED),
        }


def _grid_panel(panel, rows, tiles, scale, *, written):
    """Draws image, frames, crosses and, where asked, the scores."""
    image = np.zeros((tiles.height, tiles.width, 4))  # Transparent: nothing was tried.
    order = {id(cell): i for i, cell in enumerate(_distinct(r['tile'] for r in rows))}
    lr_index = {lr: i for i, lr in enumerate(tiles.lrs)}
    wd_index = {wd: i for i, wd in enumerate(tiles.wds)}
    frames, crosses = [], []
    shades = scale.to_rgba([100 * (row['valid_score'] or 0) for row in rows])
    for row, shade in zip(rows, shades, strict=True):
        tile = order[id(row['tile'])]
        x, y = tiles.place(tile, lr_index[row['lr']], wd_index[row['wd']])
        if row['valid_score'] is None:
            image[y, x] = 0.9, 0.9, 0.9, 1
            crosses.append((x, y))
        elif not row['complete']:
            image[y, x] = 0.9, 0.9, 0.9, 1
        else:
            image[y, x] = shade
            if written:
                _write_score(panel, x, y, row, shade)
        if row['chosen']:
            corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
            frames.append([(x + 0.46 * a, y + 0.46 * b) for a, b in corners])
    panel.imshow(image, origin='lower', aspect='auto', interpolation='nearest')
    panel.add_collection(
        artists.PolyCollection(
            frames, facecolors='none', edgecolors=CHOSEN, linewidths=2
        )
    )
    if crosses:
        panel.plot(*zip(*crosses, strict=True), 'x', color='0.2', markersize=4)
    _grid_ticks(panel, tiles, every=1 if written else 2)


def _write_score(panel, x, y, row, shade):
    panel.text(
        x, y, f'{100 * row["valid_score"]:.1f}', ha='center', va='center', size=7,
        color='black' if _light(shade) else 'white',
        weight='bold' if row['chosen'] else 'normal',
    )  # fmt: skip


def _grid_ticks(panel, tiles, *, every):
    """Labels of every n-th trial; of small tiles the others lie between."""
    across = [tiles.place(column)[0] for column in range(tiles.across)]
    up = [tiles.place(row * tiles.across)[1] for row in range(tiles.down)]
    panel.set_xticks(
        [x + i for x in across for i in range(0, len(tiles.lrs), every)],
        [f'{lr:.2g}' for lr in tiles.lrs[::every]] * len(across),
        rotation=90,
    )
    panel.set_yticks(
        [y + i for y in up for i in range(0, len(tiles.wds), every)],
        [f'{wd:.2g}' for wd in tiles.wds[::every]] * len(up),
    )
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)


def _distinct(items):
    """Each object once, in the order given."""
    return {id(item): item for item in items}.values()


def _light(colour):
    """Whether black reads better on it than white (relative luminance)."""
    return np.dot(colour[:3], (0.2126, 0.7152, 0.0722)) > 0.45


def _seed_note(group):
    if all(len(cell.records) == 1 for cell in group):
        return ''
    return ' Where there are several seeds, the lowest is shown.'


def _tables(study: Study) -> Iterator[formats.Table]:
    yield table(study.cells)


SECTION = Section(tables=_tables, drawings=_drawings, names=(NAME,))
