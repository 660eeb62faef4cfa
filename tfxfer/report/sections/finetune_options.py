"""Networks fine-tuned with and without dropout and the like: the paper's figure 5."""

import typing
from collections.abc import Iterator, Sequence

import matplotlib
import pandas as pd

from tfxfer.analysis import cells, training_options
from tfxfer.analysis.training_options import SWITCHES, Mean, Trained
from tfxfer.report import option_rows, style
from tfxfer.report.option_rows import Options
from tfxfer.report.section import Section, Study
from tfxfer.report.sections.training_options import trained_of


class Tuned(typing.NamedTuple):
    """A Mean, and where it stands: its row is a network, its panel the switches."""

    mean: Mean
    row: tuple[str, Options]  # The architecture, and the options of its pretraining.
    switches: Options


def draw(trained: Sequence[Trained]) -> style.Drawing | None:
    """A row per network, a panel per combination of SWITCHES.

    The gray marker is the same network fine-tuned without.

    Args:
        trained: of one `condition`, or of given weights.

    Returns:
        Drawing, or None where fine-tuning was one way.
    """
    tuned, notes = _tuned(trained)
    if not tuned:
        return None
    rows = list(dict.fromkeys(one.row for one in tuned))
    options = [before for _, before in rows]
    archs = [arch for arch, _ in rows]
    labels = None if options[0] else archs
    with matplotlib.rc_context(style.RC):
        fig = _figure(tuned, rows, labels)
    first = trained[0]
    arch = archs[0] if len(set(archs)) == 1 else None
    caption = [
        'Log odds, labelled in percent. Panels: options of fine-tuning itself; plain: '
        'without any; in gray the same network as in the first panel.',
        '' if labels else f'Rows: pretraining. {option_rows.dots_text(options)}',
        f'Mean over {", ".join(tuned[0].mean.datasets)}.',
        *option_rows.bars_text(one.mean for one in tuned),
        *notes,
    ]
    return style.Drawing(
        style.file_name(
            'finetune_settings', first.arch if arch else None, *first.condition[1:]
        ),
        'experiment',
        'Accuracy by option of fine-tuning' + (f', {first.arch}' if arch else ''),
        fig,
        _frame(first, tuned),
        ' '.join(filter(None, caption)),
    )


def _tuned(trained: Sequence[Trained]) -> tuple[list[Tuned], list[str]]:
    """Means of what was fine-tuned in several ways, and what is left out."""
    names = [n for n in SWITCHES if any(n in t.values for t in trained)]
    tuned = []
    for one in trained:
        if names and one.setting == 'finetune':
            hparams = one.cell.records[0].run.hparams
            switches = {n: getattr(hparams, SWITCHES[n]) for n in names}
            arch = one.arch if one.pretraining else one.cell.network
            values = {**one.pretraining, **switches}
            tuned.append(one._replace(arch=arch, values=values))
    if not tuned:
        return [], []
    means, notes = training_options.means(tuned)
    return [_split(mean) for mean in means], notes


def _split(mean):
    items = tuple(mean.values.items())
    switches = tuple(item for item in items if item[0] in SWITCHES)
    before = items[: len(items) - len(switches)]
    return Tuned(mean, (mean.arch, before), switches)


def _figure(tuned, rows, labels):
    combinations = sorted(
        {one.switches for one in tuned},
        key=lambda items: (sum(v > 0 for _, v in items), [-v for _, v in items]),
    )
    fig, panels = option_rows.row_panels(
        [before for _, before in rows], list(map(_title, combinations)), labels
    )
    values = option_rows.ends(one.mean for one in tuned)
    option_rows.same_span(panels, [values] * len(panels))
    without: dict[int, float] = {}  # {row: log odds} of the first panel.
    for panel, switches in zip(panels, combinations, strict=True):
        shown = [one for one in tuned if one.switches == switches]
        lines = [rows.index(one.row) for one in shown]
        means = [one.mean for one in shown]
        if without:
            _draw_without(panel, means, lines, without)
        else:
            without = {i: mean.log_odds for i, mean in zip(lines, means, strict=True)}
        option_rows.draw_means(panel, means, lines, style.SETTINGS['finetune'])
    return fig


def _title(switches):
    """A combination of SWITCHES in words."""
    used = {SWITCHES[name]: value for name, value in switches if value}
    return training_options.combination(used) or 'plain'


def _draw_without(panel, means, lines, without):
    """In gray where the same networks are in the first panel, and a line from there."""
    pairs = [(m, i) for m, i in zip(means, lines, strict=True) if i in without]
    rows = [i for _, i in pairs]
    before = [without[i] for i in rows]
    panel.hlines(
        rows, [mean.log_odds for mean, _ in pairs], before, color='0.6', linewidth=1
    )
    panel.plot(
        before, rows, linestyle='none', marker='s', markersize=4, color='0.65',
        markerfacecolor='white',
    )  # fmt: skip


def _frame(first, tuned):
    return pd.DataFrame(
        [
            {
                'arch': one.mean.arch,
                'source': first.source,
                'per_class': first.per_class,
                'image_size': first.image_size,
                **option_rows.mean_row(one.mean),
            }
            for one in tuned
        ]
    )


def _drawings(study: Study) -> Iterator[style.Drawing]:
    # Networks of given weights are rows of one figure.
    groups = cells.grouped(
        study.once(trained_of),
        lambda t: t.condition if t.pretraining else t.condition[1:],
    )
    return filter(None, map(draw, groups.values()))


SECTION = Section(drawings=_drawings)
