"""Figures of dataset size, convergence and training settings; see experiments.py."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import ticker

from tfxfer import cells, experiments, plots, stats

ACROSS = 4  # Panels.


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


def combination(values):
    """{hyperparameter: value} as text."""
    return ', '.join(f'{name} {cells.brief(value)}' for name, value in values.items())


def training_settings(found):
    """Source and transfer accuracy by combination of settings: the paper's figure 3.

    A row a combination; a panel for the source and one a setting of transfer, the mean
    log odds over the datasets that all combinations have.

    Args:
        found: experiments.Trained of one architecture.

    Returns:
        Drawing, or None where the combinations share no dataset.
    """
    rows = means(found)
    if not rows:
        return None
    names = list(dict.fromkeys(row['settings'] for row in rows))
    settings = [s for s in cells.SETTINGS if any(r['setting'] == s for r in rows)]
    sources = {row['settings']: row['source_log_odds'] for row in rows}
    known = any(value is not None for value in sources.values())
    panels = (['source'] if known else []) + settings
    left = 0.3 + 0.072 * max(map(len, names))
    with matplotlib.rc_context(plots.STYLE):
        fig, axes = plots.panels(
            len(panels), 1, width=1.9, height=0.25 * len(names) + 0.4, left=left,
            sharex=False, gaps=(0.3, 0.5),
        )  # fmt: skip
        for panel, kind in zip(axes[0], panels, strict=True):
            own = {
                r['settings']: r['log_odds'] for r in rows if r['setting'] == kind
            } or {name: x for name, x in sources.items() if x is not None}
            style = plots.SETTINGS.get(kind, {'color': 'black', 'marker': 'D'})
            panel.plot(
                list(own.values()), [names.index(name) for name in own],
                **{**style, 'linestyle': 'none'},
            )  # fmt: skip
            plots.percent_axis(panel.xaxis, list(own.values()), ticks=4)
            panel.set_title(kind)
        axes[0, 0].set_yticks(range(len(names)), names)
        axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
        middle = (left + fig.get_figwidth()) / 2 / fig.get_figwidth()
        fig.text(middle, 0.02, 'Accuracy, %', ha='center', va='bottom')
    arch = found[0].arch
    return plots.Drawing(
        plots.name('training_settings', arch),
        'experiment',
        f'Accuracy by training setting, {arch}',
        fig,
        pd.DataFrame(rows),
        f'Log odds, labelled in percent. Mean over {rows[0]["datasets"]}.',
    )


def means(found):
    """Rows of the mean log odds by combination and setting, of one architecture.

    Over the datasets that all combinations of the setting have; a mean over others
    would compare datasets.
    """
    rows = []
    groups = cells.grouped(found, lambda t: (t.setting, t.per_class, t.image_size))
    for (setting, per_class, size), group in groups.items():
        group = sorted(group, key=lambda t: cells.sortable(t.values.values()))
        kinds = cells.grouped(group, lambda t: combination(t.values))
        scores = [{t.dataset: t.cell.log_odds for t in own} for own in kinds.values()]
        common = sorted(set.intersection(*map(set, scores)))
        for (text, own), by_dataset in zip(kinds.items(), scores, strict=True):
            if not common:
                continue
            mean = float(np.mean([by_dataset[name] for name in common]))
            source = own[0].cell.source or {}
            score = source.get('score')
            rows.append(
                {
                    'arch': own[0].arch,
                    'setting': setting,
                    'per_class': per_class,
                    'image_size': size,
                    'settings': text,
                    'datasets': '; '.join(common),
                    'log_odds': mean,
                    'score': float(stats.proportion(mean)),
                    'source_score': score,
                    'source_log_odds': None
                    if score is None
                    else float(stats.log_odds(score, source['images'])),
                }
            )
    return rows


def setting_effects(found):
    """What each training setting changes in transfer: log odds with paired bars.

    Args:
        found: experiments.Effects.
    """
    names = list(dict.fromkeys(map(_effect_name, found)))
    settings = [s for s in cells.SETTINGS if any(e.setting == s for e in found)]
    legend = {s: {**plots.SETTINGS[s], 'linestyle': 'none'} for s in settings}
    left = 0.3 + 0.072 * max(map(len, names))
    with matplotlib.rc_context(plots.STYLE):
        fig, ((panel,),) = plots.panels(
            1, 1, width=3.6, height=0.35 * len(names) + 0.4, left=left, legend=legend
        )
        panel.axvline(0, color='0.4', linewidth=1)
        for i, setting in enumerate(settings):
            own = [e for e in found if e.setting == setting]
            shift = 0.2 * (i - (len(settings) - 1) / 2)
            panel.errorbar(
                [e.mean for e in own],
                [names.index(_effect_name(e)) + shift for e in own],
                xerr=[e.error or 0 for e in own], markersize=5, elinewidth=1.2,
                **legend[setting],
            )  # fmt: skip
        panel.set_yticks(range(len(names)), names)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.set_xlabel('Change of log odds')
    return plots.Drawing(
        'setting_effects',
        'experiment',
        'What each training setting changes in transfer',
        fig,
        pd.DataFrame(
            [{**e._asdict(), 'datasets': '; '.join(e.datasets)} for e in found]
        ),
        'Right of 0: the second value transfers better. Differences between networks '
        'alike in all other settings. Bars: standard error of the paired differences '
        'over datasets; none where there is one dataset.',
    )


def _effect_name(effect):
    low, high = map(cells.brief, (effect.low, effect.high))
    return f'{effect.arch}, {effect.field} {low} to {high}'


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
    for own in cells.grouped(trained, lambda t: t.arch).values():
        drawings.append(training_settings(own))
    effects = experiments.effects(trained)
    if effects:
        drawings.append(setting_effects(effects))
    return [drawing for drawing in drawings if drawing]
