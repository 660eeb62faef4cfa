"""Figures of dataset size, convergence and training settings; see experiments.py."""

import math

import matplotlib
import pandas as pd
from matplotlib import ticker

from tfxfer.analysis import cells, experiments, stats
from tfxfer.report import plots

ACROSS = 4  # Panels.
DOT = 0.28  # Inches, of a column of dots.
STYLES = {
    experiments.SOURCE: {'color': 'black', 'marker': 'D', 'linestyle': '-'},
    **plots.SETTINGS,
}


def dataset_size(found):
    """Accuracy against training images a class, as in the paper's figure 9.

    A panel a network and dataset, a line a setting; y is log odds, labelled in percent.

    Args:
        found: experiments.Sizes.
    """
    groups = cells.grouped(found, lambda s: (s.network, s.dataset, s.image_size))
    title = 'Accuracy against training images a class'
    with matplotlib.rc_context(plots.STYLE):
        fig, axes = _panels(groups, found)
        for panel, own in zip(axes.flat, groups.values(), strict=False):
            ends = [s.log_odds + k * (s.error or 0) for s in own for k in (-1, 1)]
            _frame(panel, [s.images for s in own], ends)
            panel.set_title(_title(own[0], groups), size=9)
            for setting, line in cells.grouped(own, lambda s: s.setting).items():
                panel.errorbar(
                    [s.images for s in line], [s.log_odds for s in line],
                    yerr=[s.error or 0 for s in line], markersize=4, linewidth=1.2,
                    elinewidth=1, **plots.SETTINGS[setting],
                )  # fmt: skip
        plots.label_axes(fig, axes, 'Training images a class', 'Accuracy, %')
    caption = (
        'Accuracy as log odds, labelled in percent: the mean over draws (seeds) of the '
        'log odds. Training images are train + valid, which the final fit sees; of a '
        'Run on all images their mean over classes.'
    )
    if any(s.error is not None for s in found):
        caption += ' Bars: standard error of the mean log odds over draws (seeds).'
    if any(s.error is None for s in found):
        caption += ' No bars where there is one draw.'
    frame = pd.DataFrame([s._asdict() for s in found])
    return plots.Drawing('dataset_size', 'experiment', title, fig, frame, caption)


def convergence(series):
    """Accuracy against the length of training, as in the paper's figure 8.

    Args:
        series: of experiments.lengths.
    """
    found = [length for own in series for length in own]
    groups = cells.grouped(series, lambda own: own[0][:4])
    title = 'Accuracy against steps of training'
    with matplotlib.rc_context(plots.STYLE):
        fig, axes = _panels(groups, found)
        for panel, own in zip(axes.flat, groups.values(), strict=False):
            points = [length for line in own for length in line]
            _frame(panel, [p.steps for p in points], [p.log_odds for p in points])
            panel.set_title(_title(points[0], groups), size=9)
            for line in own:
                panel.plot(
                    [p.steps for p in line], [p.log_odds for p in line],
                    markersize=4, linewidth=1.2, **plots.SETTINGS[line[0].setting],
                )  # fmt: skip
        plots.label_axes(fig, axes, 'Steps of training', 'Accuracy, %')
    caption = (
        'Accuracy as log odds, labelled in percent. Every point is a training of its '
        'own, whose learning rate falls to 0 over just these steps.'
    )
    frame = pd.DataFrame([length._asdict() for length in found])
    return plots.Drawing('convergence', 'experiment', title, fig, frame, caption)


def _panels(groups, found):
    across = min(len(groups), ACROSS)
    seen = {point.setting for point in found}
    legend = {s: style for s, style in plots.SETTINGS.items() if s in seen}
    fig, axes = plots.panels(
        across, math.ceil(len(groups) / across), width=2.3, height=1.9, legend=legend,
        gaps=(0.5, 0.65), sharex=False, sharey=False, right=0.25,
    )  # fmt: skip
    for panel in axes.flat[len(groups) :]:
        panel.set_visible(False)
    return fig, axes


def _frame(panel, counts, log_odds):
    """A log axis of counts, labelled at some that occur, and one of percent."""
    panel.set_xscale('log')
    marks = []
    apart = (math.log(max(counts)) - math.log(min(counts))) / 6
    for count in sorted(set(counts)):
        if not marks or math.log(count / marks[-1]) >= apart:
            marks.append(count)
    panel.xaxis.set_major_locator(ticker.FixedLocator(marks))
    panel.xaxis.set_major_formatter(ticker.FixedFormatter([_short(n) for n in marks]))
    panel.xaxis.set_minor_locator(ticker.NullLocator())
    plots.percent_axis(panel.yaxis, log_odds, ticks=5)


def _short(count):
    return f'{count / 1000:g}k' if count >= 1000 else f'{count:.3g}'


def _title(point, groups):
    """Network and dataset, and what else tells the panel from others."""
    parts = [point.network, point.dataset]
    if point.image_size:
        parts.append(f'{point.image_size} px')
    return ', '.join(parts)


# Training settings.


def training_settings(found):
    """Source and transfer accuracy by combination of settings: the paper's figure 3.

    A row a combination, marked by dots; a panel for the source and one a setting of
    transfer. Fine-tuned as plainly as it was: the lowest values of SWITCHES.

    Args:
        found: experiments.Trained of one `condition`.

    Returns:
        Drawing, or None where nothing of pretraining varies or nothing is shared.
    """
    plain = [t._replace(values=t.pretraining) for t in found if _is_plain(t, found)]
    plain = [t for t in plain if t.values]
    if not plain:
        return None
    by_kind, notes = {}, []
    for setting, own in cells.grouped(plain, lambda t: t.setting).items():
        by_kind[setting], said = experiments.means(own)
        notes += said
    by_kind = {kind: own for kind, own in by_kind.items() if own}
    if not by_kind:
        return None
    by_kind = {experiments.SOURCE: experiments.sources(plain), **by_kind}
    rows = sorted(
        {tuple(m.values.items()) for own in by_kind.values() for m in own},
        key=lambda key: [value for _, value in key],
    )
    first = found[0]
    with matplotlib.rc_context(plots.STYLE):
        fig, axes = _rows_of_settings(rows, list(by_kind))
        values = [[end for m in own for end in _ends(m)] for own in by_kind.values()]
        _same_span(axes, values)
        for panel, (kind, own) in zip(axes, by_kind.items(), strict=True):
            _bars(panel, rows, own, STYLES[kind])
    facts = {
        'arch': first.arch,
        'source': first.source,
        'per_class': first.per_class,
        'image_size': first.image_size,
    }
    frame = [
        {**facts, 'setting': kind, **_mean_row(m)}
        for kind, own in by_kind.items()
        for m in own
    ]
    means = [m for own in by_kind.values() for m in own]
    return plots.Drawing(
        plots.name('training_settings', first.arch, *first.condition[1:]),
        'experiment',
        f'Accuracy by training setting, {first.arch}',
        fig,
        pd.DataFrame(frame),
        ' '.join(
            [
                'Log odds, labelled in percent; a step to the right is as much in '
                'every panel.',
                _dots(rows),
                f'Source: {first.source}.',
                *_datasets(by_kind),
                *_errors(means),
                *_plainly(found),
                *notes,
            ]
        ),
    )


def _is_plain(trained, found):
    """Whether it was fine-tuned with the lowest value of each of SWITCHES."""
    return all(
        value == min(t.values[name] for t in found if name in t.values)
        for name, value in trained.values.items()
        if name in experiments.SWITCHES
    )


def _plainly(found):
    lowest = {
        field: min(t.values[name] for t in found if name in t.values)
        for name, field in experiments.SWITCHES.items()
        if any(name in t.values for t in found)
    }
    return [f'Finetune: with {experiments.combination(lowest)}.'] if lowest else []


def _rows_of_settings(rows, titles, *, labels=None, **options):
    """(Figure, [panel, ...]), a row each, its settings as dots to the left.

    rows: [((name, value), ...), ...]; labels: of the rows, where they have no settings.
    """
    fields = [name for name, _ in rows[0]]
    left = 0.15 + DOT * len(fields)
    if labels:
        left = 0.3 + 0.072 * max(map(len, labels))
    fig, axes = plots.panels(
        len(titles), 1, width=1.75, height=0.2 * len(rows) + 0.3, left=left,
        bottom=0.8, sharex=False, gaps=(0.2, 0.5), **options,
    )  # fmt: skip
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title, size=9)
        panel.tick_params(axis='y', length=0)
    panels = list(axes[0])
    if fields:
        panels.append(_matrix(fig, axes[0, 0], rows, fields))
    for panel in panels:
        panel.grid(visible=False, axis='y')
        for i in range(0, len(rows), 2):
            panel.axhspan(i - 0.5, i + 0.5, color='0.96', linewidth=0, zorder=0)
    axes[0, 0].set_yticks(range(len(rows)), labels or [''] * len(rows))
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    wide, high = fig.get_size_inches()
    box = axes[0, 0].get_position()
    middle = (box.x0 + axes[0, -1].get_position().x1) / 2
    fig.text(middle, box.y0 - 0.5 / high, 'Accuracy, %', ha='center', va='bottom')
    return fig, list(axes[0])


def _matrix(fig, beside, rows, fields):
    """Dots left of a panel: full at the higher of two values, else the value."""
    box, wide = beside.get_position(), fig.get_figwidth()
    inches = DOT * len(fields)
    matrix = fig.add_axes(
        (box.x0 - (inches + 0.05) / wide, box.y0, inches / wide, box.height)
    )
    for j, field in enumerate(fields):
        own = [dict(row)[field] for row in rows]
        levels = sorted(set(own))
        if len(levels) > 2:
            for i, value in enumerate(own):
                matrix.text(
                    j, i, experiments.level(value), size=7, ha='center', va='center'
                )
            continue
        for value, face in zip(levels, ('white', 'black'), strict=False):
            at = [i for i, v in enumerate(own) if v == value]
            matrix.plot(
                [j] * len(at), at, linestyle='none', marker='o', markersize=5,
                markerfacecolor=face, markeredgewidth=0.7,
                markeredgecolor='0.6' if face == 'white' else 'black',
            )  # fmt: skip
    names = [field.replace('_', '\n') for field in fields]
    matrix.set_xticks(range(len(fields)), names, rotation=90, size=8)
    matrix.tick_params(length=0)
    matrix.set_yticks([])
    matrix.set_xlim(-0.5, len(fields) - 0.5)
    matrix.set_ylim(len(rows) - 0.5, -0.5)
    matrix.spines[:].set_visible(False)
    return matrix


def _same_span(panels, values):
    """Axes of percent whose limits are equally far apart in log odds."""
    half = max((max(own) - min(own)) / 2 for own in values)
    for panel, own in zip(panels, values, strict=True):
        middle = (max(own) + min(own)) / 2
        plots.percent_axis(panel.xaxis, [middle - half, middle + half], ticks=4)


def _ends(mean):
    return mean.log_odds - (mean.error or 0), mean.log_odds + (mean.error or 0)


def _bars(panel, rows, means, style):
    panel.errorbar(
        [m.log_odds for m in means],
        [rows.index(tuple(m.values.items())) for m in means],
        xerr=[m.error or 0 for m in means], markersize=4.5, elinewidth=1.1,
        **{**style, 'linestyle': 'none'},
    )  # fmt: skip


def _mean_row(mean):
    """Numbers of a Mean, for a frame."""
    return {
        'settings': experiments.combination(mean.values),
        **{name: float(value) for name, value in mean.values.items()},
        'datasets': '; '.join(mean.datasets),
        'seeds': mean.seeds,
        'log_odds': mean.log_odds,
        'error': mean.error,
        'bars': mean.bars,
        'score': float(stats.proportion(mean.log_odds)),
    }


def _dots(rows):
    """What a dot of each setting stands for."""
    said = []
    for name in dict(rows[0]):
        levels = sorted({dict(row)[name] for row in rows})
        if len(levels) == 2:
            low, high = map(experiments.level, levels)
            said.append(f'{name.replace("_", " ")} {high} (ring: {low})')
    return f'Dots: {", ".join(said)}.' if said else ''


def _datasets(by_kind):
    """Over which datasets the means of each panel of transfer are."""
    said = {
        kind: ', '.join(own[0].datasets)
        for kind, own in by_kind.items()
        if kind != experiments.SOURCE
    }
    if len(set(said.values())) == 1:
        return [f'Mean over {next(iter(said.values()))}.']
    return [f'{kind}: mean over {names}.' for kind, names in said.items()]


def _errors(means):
    said = {
        'within': 'Bars: standard error over datasets, of the log odds less the mean '
        'of each dataset (Morey 2008).',
        'seeds': 'Bars of one dataset, as of the source: standard error over seeds.',
    }
    return [text for kind, text in said.items() if any(m.bars == kind for m in means)]


def finetune_settings(found):
    """Fine-tuned with and without SWITCHES: the paper's figure 5.

    A row a network, a panel a combination of the switches; the gray marker is the same
    network fine-tuned without.

    Args:
        found: experiments.Trained of one `condition`, or of given weights.

    Returns:
        Drawing, or None where fine-tuning was one way.
    """
    names = [n for n in experiments.SWITCHES if any(n in t.values for t in found)]
    tuned = []
    for one in found:
        if names and one.setting == 'finetune':
            hparams = one.cell.records[0].run.hparams
            own = {n: getattr(hparams, experiments.SWITCHES[n]) for n in names}
            arch = one.arch if one.pretraining else one.cell.network
            values = {**one.pretraining, **own}
            tuned.append(one._replace(arch=arch, values=values))
    means, notes = experiments.means(tuned) if tuned else ([], [])
    if not means:
        return None
    parts = [_parted(m) for m in means]
    rows = list(
        dict.fromkeys(
            (m.arch, before) for m, (before, _) in zip(means, parts, strict=True)
        )
    )
    panels = sorted(
        {after for _, after in parts},
        key=lambda items: (sum(v > 0 for _, v in items), [-v for _, v in items]),
    )
    labels = [arch for arch, _ in rows] if not rows[0][1] else None
    pretraining = _dots([before for _, before in rows])
    without = {}
    with matplotlib.rc_context(plots.STYLE):
        fig, axes = _rows_of_settings(
            [before for _, before in rows], list(map(_switched, panels)), labels=labels
        )
        values = [end for m in means for end in _ends(m)]
        _same_span(axes, [values] * len(axes))
        for panel, switches in zip(axes, panels, strict=True):
            own = [
                (m, rows.index((m.arch, before)))
                for m, (before, after) in zip(means, parts, strict=True)
                if after == switches
            ]
            if not without:
                without = {row: m.log_odds for m, row in own}
            else:
                both = [(m.log_odds, row) for m, row in own if row in without]
                panel.hlines(
                    [row for _, row in both], [x for x, _ in both],
                    [without[row] for _, row in both], color='0.6', linewidth=1,
                )  # fmt: skip
                panel.plot(
                    [without[row] for _, row in both], [row for _, row in both],
                    linestyle='none', marker='s', markersize=4, color='0.65',
                    markerfacecolor='white',
                )  # fmt: skip
            panel.errorbar(
                [m.log_odds for m, _ in own], [row for _, row in own],
                xerr=[m.error or 0 for m, _ in own], markersize=4.5, elinewidth=1.1,
                **{**plots.SETTINGS['finetune'], 'linestyle': 'none'},
            )  # fmt: skip
    first = found[0]
    facts = {'per_class': first.per_class, 'image_size': first.image_size}
    frame = [
        {'arch': m.arch, 'source': first.source, **facts, **_mean_row(m)} for m in means
    ]
    one = len({arch for arch, _ in rows}) == 1
    return plots.Drawing(
        plots.name(
            'finetune_settings', first.arch if one else None, *first.condition[1:]
        ),
        'experiment',
        'Accuracy by setting of fine-tuning' + (f', {first.arch}' if one else ''),
        fig,
        pd.DataFrame(frame),
        ' '.join(
            filter(
                None,
                [
                    'Log odds, labelled in percent. Panels: settings of fine-tuning '
                    'itself; plain: without; in gray the same network as in the first '
                    'panel.',
                    '' if labels else f'Rows: pretraining. {pretraining}',
                    f'Mean over {", ".join(means[0].datasets)}.',
                    *_errors(means),
                    *notes,
                ],
            )
        ),
    )


def _parted(mean):
    """((name, value), ...) of pretraining and of fine-tuning."""
    items = tuple(mean.values.items())
    switches = tuple(item for item in items if item[0] in experiments.SWITCHES)
    return items[: len(items) - len(switches)], switches


def _switched(switches):
    """A combination of SWITCHES in words."""
    on = {experiments.SWITCHES[name]: value for name, value in switches if value}
    return experiments.combination(on) or 'plain'


def setting_effects(found):
    """What each training setting changes on the source and in transfer.

    Log odds of pairs; a panel a network. Thick bars over datasets, thin over seeds.

    Args:
        found: experiments.Effects.
    """
    names = experiments.changes(found)
    groups = cells.grouped(found, lambda e: e.condition)
    kinds = [kind for kind in STYLES if any(e.setting == kind for e in found)]
    legend = {kind: {**STYLES[kind], 'linestyle': 'none'} for kind in kinds}
    across = min(len(groups), 3)
    with matplotlib.rc_context(plots.STYLE):
        fig, axes = plots.panels(
            across, math.ceil(len(groups) / across), width=2.5,
            height=(0.12 + 0.13 * len(kinds)) * len(names) + 0.2,
            left=0.3 + 0.072 * max(map(len, names)), legend=legend,
        )  # fmt: skip
        plots.hide_rest(axes, len(groups))
        for panel, own in zip(axes.flat, groups.values(), strict=False):
            panel.set_title(_effects_title(own[0]), size=9)
            panel.grid(visible=False, axis='y')
            panel.axvline(0, color='0.4', linewidth=1)
            for edge in range(1, len(names)):
                panel.axhline(edge - 0.5, color='0.9', linewidth=0.6)
            for i, kind in enumerate(kinds):
                shift = 0.75 * ((i + 0.5) / len(kinds) - 0.5)
                _effects(
                    panel, [e for e in own if e.setting == kind], legend[kind],
                    lambda e, shift=shift: names.index(e.change) + shift,
                )  # fmt: skip
        axes[0, 0].set_yticks(range(len(names)), names)
        axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
        plots.label_axes(fig, axes, 'Change of log odds', '')
    return plots.Drawing(
        'setting_effects',
        'experiment',
        'What each training setting changes on the source and in transfer',
        fig,
        pd.DataFrame([effect.row for effect in found]),
        ' '.join(
            [
                'Right of 0: the second value is better. Differences in log odds '
                'between networks alike in all other settings and the seed.',
                'Source: of the same networks, on the test images of what they were '
                'pretrained on.'
                if experiments.SOURCE in kinds
                else 'Weights were given.',
                *_effect_bars(found),
            ]
        ),
    )


def _effects(panel, effects, style, place):
    """Markers and both bars of one setting."""
    shared = {'fmt': 'none', 'ecolor': style['color'], 'zorder': 2}
    panel.errorbar(
        [e.mean for e in effects], list(map(place, effects)),
        xerr=[e.error or 0 for e in effects], elinewidth=3, alpha=0.45, **shared,
    )  # fmt: skip
    panel.errorbar(
        [e.mean for e in effects], list(map(place, effects)),
        xerr=[math.nan if e.seed_error is None else e.seed_error for e in effects],
        elinewidth=0.9, capsize=2, capthick=0.9, **shared,
    )  # fmt: skip
    panel.plot(
        [e.mean for e in effects], list(map(place, effects)), markersize=4.5,
        zorder=3, **style,
    )  # fmt: skip


def _effects_title(effect):
    parts = [effect.arch]
    if effect.per_class:
        parts.append(f'{effect.per_class} a class')
    if effect.image_size:
        parts.append(f'{effect.image_size} px')
    return ', '.join(parts)


def _effect_bars(found):
    parts = []
    if any(e.error is not None for e in found):
        parts.append('Thick bars: standard error of the differences over datasets.')
    if any(e.seed_error is not None for e in found):
        parts.append('Thin bars: standard error of their mean over seeds.')
    if any(e.error is e.seed_error is None for e in found):
        parts.append('No bars where there is one dataset and one seed.')
    return parts


def draw(records, found):
    """Every Drawing of these that Records and their Cells fill."""
    drawings = []
    measured, _ = experiments.sizes(found)
    if measured:
        drawings.append(dataset_size(measured))
    series = experiments.lengths(found)
    if series:
        drawings.append(convergence(series))
    trained = experiments.training_settings(records, found)
    drawings += map(
        training_settings, cells.grouped(trained, lambda t: t.condition).values()
    )
    # Networks of given weights are rows of one figure.
    rows = cells.grouped(
        trained, lambda t: t.condition if t.pretraining else t.condition[1:]
    )
    drawings += map(finetune_settings, rows.values())
    effects = experiments.effects(trained)
    if effects:
        drawings.append(setting_effects(effects))
    return [drawing for drawing in drawings if drawing]
