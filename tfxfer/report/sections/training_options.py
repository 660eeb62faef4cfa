"""How networks were pretrained, and how well each then transfers: the paper's figure 3.

Label smoothing, dropout and the like are options here: a setting is one of the paper's
three ways to use a network.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import matplotlib
import pandas as pd

from tfxfer.analysis import cells, training_options
from tfxfer.analysis.training_options import SOURCE, SWITCHES, Mean, Trained
from tfxfer.report import columns, formats, option_rows, style
from tfxfer.report.section import Section, Study

NAME = 'training_settings'


def table(trained: Sequence[Trained]) -> formats.Table:
    """Scores by how the network was trained."""
    every = (*training_options.OPTIONS, *SWITCHES)
    names = [name for name in every if any(name in one.values for one in trained)]
    return formats.table(
        NAME,
        'Transfer by how the network was trained',
        [_row(one, names) for one in trained],
        {
            **columns.texts('network', 'dataset', 'setting', 'recipe'),
            **columns.SIZES,
            **{name.replace('_', ' '): _level(name) for name in names},
            'source %': columns.percent('source_score'),
            'transfer %': columns.percent('score'),
            'seeds': columns.several('seeds'),
        },
        optional=(*columns.OPTIONAL, 'seeds'),
        note='The hyperparameters of pretraining, and of fine-tuning itself, in which '
        'these networks differ; scores are means over seeds.',
    )


def _row(one, names):
    return {
        'network': one.arch,
        'dataset': one.dataset,
        'setting': one.setting,
        'recipe': one.alike,
        'per_class': one.per_class,
        'image_size': one.image_size,
        **{name: one.values.get(name) for name in names},
        'source': one.source,
        'source_score': one.cell.source and one.cell.source['score'],
        'score': one.cell.score,
        'log_odds': one.log_odds,
        'seeds': len(one.by_seed),
    }


def _level(name):
    return lambda row: '' if row[name] is None else training_options.level(row[name])


def draw(trained: Sequence[Trained]) -> style.Drawing | None:
    """Source and transfer accuracy by combination of options.

    A row per combination, marked by dots; a panel for the source and one per setting of
    transfer. Fine-tuned as plainly as it was: the lowest values of SWITCHES.

    Args:
        trained: of one `condition`.

    Returns:
        Drawing, or None where nothing of pretraining varies or nothing is shared.
    """
    plain = [
        one._replace(values=one.pretraining)
        for one in trained
        if one.pretraining and _is_plain(one, trained)
    ]
    by_setting, notes = _means(plain)
    if not by_setting:
        return None
    by_setting = {SOURCE: training_options.sources(plain), **by_setting}
    all_means = [mean for means in by_setting.values() for mean in means]
    rows = sorted(
        {tuple(mean.values.items()) for mean in all_means},
        key=lambda row: [value for _, value in row],
    )
    first = trained[0]
    with matplotlib.rc_context(style.RC):
        fig, panels = option_rows.row_panels(rows, list(by_setting))
        option_rows.same_span(panels, list(map(option_rows.ends, by_setting.values())))
        for panel, (setting, means) in zip(panels, by_setting.items(), strict=True):
            lines = [rows.index(tuple(mean.values.items())) for mean in means]
            option_rows.draw_means(panel, means, lines, style.WITH_SOURCE[setting])
    caption = [
        'Log odds, labelled in percent; equal distances are equal differences in all '
        'panels.',
        option_rows.dots_text(rows),
        f'Source: {first.source}.',
        *_datasets_text(by_setting),
        *option_rows.bars_text(all_means),
        *_plain_text(trained),
        *notes,
    ]
    return style.Drawing(
        style.file_name(NAME, first.arch, *first.condition[1:]),
        'experiment',
        f'Accuracy by training option, {first.arch}',
        fig,
        _frame(first, by_setting),
        ' '.join(caption),
    )


def _means(
    plain: Iterable[Trained],
) -> tuple[dict[str, list[Mean]], list[str]]:
    """{setting: Means} of those that have some, and what is left out."""
    by_setting, notes = {}, []
    for setting, members in cells.grouped(plain, lambda t: t.setting).items():
        by_setting[setting], left_out = training_options.means(members)
        notes += left_out
    return {name: means for name, means in by_setting.items() if means}, notes


def _frame(first: Trained, by_setting: Mapping[str, Sequence[Mean]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                'arch': first.arch,
                'source': first.source,
                'per_class': first.per_class,
                'image_size': first.image_size,
                'setting': setting,
                **option_rows.mean_row(mean),
            }
            for setting, means in by_setting.items()
            for mean in means
        ]
    )


def _is_plain(one, trained):
    """Whether it was fine-tuned with the lowest value of each of SWITCHES."""
    return all(
        value == min(t.values[name] for t in trained if name in t.values)
        for name, value in one.values.items()
        if name in SWITCHES
    )


def _plain_text(trained):
    lowest = {
        field: min(t.values[name] for t in trained if name in t.values)
        for name, field in SWITCHES.items()
        if any(name in t.values for t in trained)
    }
    if lowest:
        yield f'Finetune: with {training_options.combination(lowest)}.'


def _datasets_text(by_setting):
    """Over which datasets the means of each panel of transfer are."""
    names = {
        setting: ', '.join(means[0].datasets)
        for setting, means in by_setting.items()
        if setting != SOURCE
    }
    if len(set(names.values())) == 1:
        return [f'Mean over {next(iter(names.values()))}.']
    return [f'{setting}: mean over {text}.' for setting, text in names.items()]


def trained_of(study: Study) -> list[Trained]:
    """Networks that differ in how they were trained, for Study.once."""
    return training_options.trained_alike(study.records, study.cells)


def _tables(study: Study) -> Iterator[formats.Table]:
    yield table(study.once(trained_of))


def _drawings(study: Study) -> Iterator[style.Drawing]:
    groups = cells.grouped(study.once(trained_of), lambda t: t.condition)
    return filter(None, map(draw, groups.values()))


SECTION = Section(tables=_tables, drawings=_drawings, names=(NAME,))
