"""What each training option changes on the source and in transfer."""

import math
from collections.abc import Iterator, Sequence

import matplotlib
import pandas as pd

from tfxfer.analysis import cells, option_effects
from tfxfer.analysis.option_effects import Effect
from tfxfer.analysis.training_options import SOURCE
from tfxfer.report import columns, formats, style
from tfxfer.report.section import Section, Study
from tfxfer.report.sections.training_options import trained_of

NAMES = ('setting_effects', 'setting_effects_by_dataset')
TITLE = 'What each training option changes on the source and in transfer'


def table(effects: Sequence[Effect]) -> formats.Table:
    """A row per network, change and setting."""
    return formats.table(
        NAMES[0],
        TITLE,
        [effect.row for effect in effects],
        {
            'network': columns.text('arch'),
            **columns.SIZES,
            'changed': columns.text('change'),
            'setting': columns.text('setting'),
            'change of log odds': lambda row: columns.plus_minus(
                row['mean'], row['error']
            ),
            'over seeds': lambda row: (
                '' if row['seed_error'] is None else f'+- {row["seed_error"]:.3f}'
            ),
            'datasets': columns.text('datasets'),
            'pairs': columns.count('pairs'),
            'seeds': columns.several('seeds'),
            'p': columns.p_value('p'),
        },
        optional=(*columns.OPTIONAL, 'over seeds', 'seeds', 'p'),
        note='Second value minus first, between networks alike in all other options '
        'and the seed, averaged first over seeds, then within each dataset, then over '
        'datasets. Source: the same networks on the test images of what they were '
        'pretrained on. After +-: standard error over datasets; p: paired t-test over '
        'them; neither exists for one dataset. Over seeds: standard error of the '
        'means of single seeds.',
    )


def by_dataset(effects: Sequence[Effect]) -> formats.Table:
    """The same, a row per dataset; takes those of dataset_effects."""
    changes = option_effects.changes(effects)
    groups = cells.grouped(effects, lambda e: (*e.condition, e.setting, e.datasets[0]))
    return formats.table(
        NAMES[1],
        'What each training option changes, by dataset',
        [_row(key, group, changes) for key, group in groups.items()],
        {
            'network': columns.text('network'),
            **columns.SIZES,
            **columns.texts('setting', 'dataset'),
            **{change: _change_column(change) for change in changes},
        },
        optional=columns.OPTIONAL,
        note='Changes of log odds, as averaged in the table before; after +-: standard '
        'error over seeds, where there are several.',
    )


def _row(key, group, changes):
    names = 'network', 'per_class', 'image_size', 'setting', 'dataset'
    row = dict(zip(names, key, strict=True))
    by_change = {effect.change: effect for effect in group}
    for change in changes:
        effect = by_change.get(change)
        for name in ('mean', 'seed_error', 'pairs', 'seeds'):
            row[f'{change}.{name}'] = effect and getattr(effect, name)
    return row


def _change_column(change: str) -> columns.Column:
    return lambda row: _change_text(row, change)


def _change_text(row, change):
    mean, error = row[f'{change}.mean'], row[f'{change}.seed_error']
    return '' if mean is None else columns.plus_minus(mean, error)


def draw(effects: Sequence[Effect]) -> style.Drawing:
    """Log odds of pairs; a panel per network.

    Thick bars over datasets, thin over seeds.
    """
    changes = option_effects.changes(effects)
    groups = cells.grouped(effects, lambda e: e.condition)
    settings = [s for s in style.WITH_SOURCE if any(e.setting == s for e in effects)]
    legend = {s: {**style.WITH_SOURCE[s], 'linestyle': 'none'} for s in settings}
    across = min(len(groups), 3)
    with matplotlib.rc_context(style.RC):
        layout = style.Layout(
            across,
            math.ceil(len(groups) / across),
            width=2.5,
            height=(0.12 + 0.13 * len(settings)) * len(changes) + 0.2,
            left=0.3 + 0.072 * max(map(len, changes)),
        )
        fig, axes = style.panels(layout, legend)
        style.hide_rest(axes, len(groups))
        for panel, shown in zip(axes.flat, groups.values(), strict=False):
            panel.set_title(_title(shown[0]), size=9)
            _draw_network(panel, shown, changes, legend)
        axes[0, 0].set_yticks(range(len(changes)), changes)
        axes[0, 0].set_ylim(len(changes) - 0.5, -0.5)
        style.label_axes(fig, axes, 'Change of log odds', '')
    return style.Drawing(
        NAMES[0],
        'experiment',
        TITLE,
        fig,
        pd.DataFrame([effect.row for effect in effects]),
        _caption(effects, settings),
    )


def _draw_network(panel, effects, changes, legend):
    panel.grid(visible=False, axis='y')
    panel.axvline(0, color='0.4', linewidth=1)
    for edge in range(1, len(changes)):
        panel.axhline(edge - 0.5, color='0.9', linewidth=0.6)
    for i, (setting, look) in enumerate(legend.items()):
        shift = 0.75 * ((i + 0.5) / len(legend) - 0.5)
        shown = [e for e in effects if e.setting == setting]
        lines = [changes.index(e.change) + shift for e in shown]
        _draw_setting(panel, shown, lines, look)


def _draw_setting(panel, effects, lines, look):
    """Markers and both bars of one setting."""
    shared = {'fmt': 'none', 'ecolor': look['color'], 'zorder': 2}
    means = [e.mean for e in effects]
    panel.errorbar(
        means, lines, xerr=[e.error or 0 for e in effects], elinewidth=3, alpha=0.45,
        **shared,
    )  # fmt: skip
    panel.errorbar(
        means, lines,
        xerr=[math.nan if e.seed_error is None else e.seed_error for e in effects],
        elinewidth=0.9, capsize=2, capthick=0.9, **shared,
    )  # fmt: skip
    panel.plot(means, lines, markersize=4.5, zorder=3, **look)


def _title(effect):
    parts = [effect.arch]
    if effect.per_class:
        parts.append(f'{effect.per_class} per class')
    if effect.image_size:
        parts.append(f'{effect.image_size} px')
    return ', '.join(parts)


def _caption(effects, settings):
    parts = [
        'Right of 0: the second value is better. Differences in log odds between '
        'networks alike in all other options and the seed.',
        'Source: the same networks, on the test images of what they were pretrained on.'
        if SOURCE in settings
        else 'Weights were given.',
    ]
    if any(e.error is not None for e in effects):
        parts.append('Thick bars: standard error of the differences over datasets.')
    if any(e.seed_error is not None for e in effects):
        parts.append('Thin bars: standard error of their mean over seeds.')
    if any(e.error is e.seed_error is None for e in effects):
        parts.append('No bars where there is one dataset and one seed.')
    return ' '.join(parts)


def _effects(study: Study) -> list[Effect]:
    return option_effects.effects(study.once(trained_of))


def _tables(study: Study) -> Iterator[formats.Table]:
    yield table(study.once(_effects))
    yield by_dataset(option_effects.dataset_effects(study.once(trained_of)))


def _drawings(study: Study) -> Iterator[style.Drawing]:
    effects = study.once(_effects)
    if effects:
        yield draw(effects)


SECTION = Section(tables=_tables, drawings=_drawings, names=NAMES)
