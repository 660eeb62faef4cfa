"""The study's further experiments: dataset size, convergence, training settings.

Cells in, numbers out; figures.py and tables.py show them.
"""

import itertools
import math
import typing

import numpy as np

from tfxfer import cells, comparisons, stats

SHARE = 0.9  # Of the best odds, to which a training must come; the paper's figure 8.
# Hyperparameters of pretraining whose effect on transfer the paper asks for (figure 3).
TRAINING_SETTINGS = ('scale', 'label_smoothing', 'dropout', 'aux')


# Dataset size (the paper's figure 9).


class Size(typing.NamedTuple):
    """A network on a dataset in a setting, with so many training images a class.

    images: a class, of train + valid, which the final fit sees; of a Run on all images
    their mean over the classes. log_odds, error: mean over draws (seeds) and its
    standard error, None of one draw. score: 0-1, whose log odds the mean is.
    """

    network: str
    dataset: str
    image_size: int | None
    setting: str
    images: float
    per_class: int | None
    log_odds: float
    error: float | None
    score: float
    draws: int


def sizes(all_cells):
    """Sizes of networks and datasets that were measured at two or more, in order.

    Cells that diverged are left out. Of several recipes at one size one is taken, as
    comparisons.one_recipe does.

    Returns:
        ([Size, ...], [sentence about what is left out, ...]).
    """
    groups = cells.grouped(all_cells, lambda c: (c.network, c.dataset, c.image_size))
    found, notes = [], []
    for key, group in groups.items():
        own, said = [], []
        by_size = cells.grouped(group, lambda cell: (cell.setting, cell.per_class))
        for members in by_size.values():
            chosen, note = comparisons.one_recipe(members)
            said += [f'{key[0]} on {key[1]}, dataset size: {text}' for text in note]
            own += [_size(cell) for cell in chosen if cell.score is not None]
        if len({size.per_class for size in own}) > 1:
            found += own
            notes += said
    order = {setting: i for i, setting in enumerate(cells.SETTINGS)}
    found.sort(key=lambda s: (s.network, s.dataset, order[s.setting], s.images))
    return found, notes


def _size(cell):
    x = [
        float(stats.log_odds(record.score, record.images['test']))
        for record in cell.records
    ]
    error = float(np.std(x, ddof=1) / math.sqrt(len(x))) if len(x) > 1 else None
    first = cell.records[0]
    seen = first.images['train'] + first.images['valid']
    images = cell.per_class or seen / len(first.classes)
    mean = float(np.mean(x))
    return Size(
        network=cell.network,
        dataset=cell.dataset,
        image_size=cell.image_size,
        setting=cell.setting,
        images=images,
        per_class=cell.per_class,
        log_odds=mean,
        error=error,
        score=float(stats.proportion(mean)),
        draws=len(x),
    )


class Answer(typing.NamedTuple):
    """A number, or None and why there is none."""

    value: float | None
    words: str


def plain(value):
    """A positive number in three digits or, from 100 on, without decimals."""
    return f'{value:.0f}' if value >= 100 else f'{value:.3g}'


def catches_up(finetune, scratch):
    """Images a class at which scratch first equals fine-tuning on half as many.

    finetune, scratch: {images a class: log odds}. Between measured sizes log odds are
    linear in log2 of the images; outside them nothing is assumed.

    Returns:
        Answer.
    """
    if len(finetune) < 2 or len(scratch) < 2:
        return Answer(None, 'one of the two was measured at fewer than 2 sizes')
    f = sorted((math.log2(n) + 1, y) for n, y in finetune.items())  # At twice as many.
    s = sorted((math.log2(n), y) for n, y in scratch.items())
    low, high = max(f[0][0], s[0][0]), min(f[-1][0], s[-1][0])
    if low > high + 1e-9:  # Sums of logarithms are equal but for rounding.
        return Answer(None, 'the sizes measured do not overlap')
    at = sorted({x for x, _ in f + s if low <= x <= high} | {low, max(low, high)})
    gap = np.interp(at, *zip(*s, strict=True)) - np.interp(at, *zip(*f, strict=True))
    gap[np.abs(gap) < 1e-12] = 0
    if gap[0] >= 0:
        return Answer(None, f'from the fewest that compare, {_images(low)}, or before')
    reached = np.flatnonzero(gap >= 0)
    if not len(reached):
        return Answer(None, f'not up to {_images(high)}, the most that compare')
    i = reached[0]
    x = at[i - 1] + (at[i] - at[i - 1]) * gap[i - 1] / (gap[i - 1] - gap[i])
    return Answer(float(2**x), plain(2**x))


def _images(log2):
    return f'{plain(2**log2)} images a class'


def crossings(found):
    """[((network, dataset, image_size), Answer of catches_up), ...] of Sizes."""
    groups = cells.grouped(found, lambda s: (s.network, s.dataset, s.image_size))
    rows = []
    for key, group in groups.items():
        curves = {
            setting: {s.images: s.log_odds for s in group if s.setting == setting}
            for setting in ('finetune', 'scratch')
        }
        if all(curves.values()):
            rows.append((key, catches_up(curves['finetune'], curves['scratch'])))
    return rows


# Convergence (the paper's figure 8).


class Length(typing.NamedTuple):
    """A network trained on a dataset for so many steps, a schedule of its own each.

    epochs: steps x batch / training images, those of validation included, which the
    final Run trains on too. odds: p / (1 - p) of the score.
    """

    network: str
    dataset: str
    per_class: int | None
    image_size: int | None
    setting: str
    recipe: str
    steps: int
    epochs: float
    log_odds: float
    odds: float
    score: float


def lengths(all_cells):
    """[[Length, ...], ...]: trainings that differ in their steps alone, by steps."""
    trained = [
        cell
        for cell in all_cells
        if cell.setting in ('finetune', 'scratch') and cell.score is not None
    ]
    series = cells.grouped(
        trained,
        lambda c: (
            c.network,
            c.dataset,
            c.per_class,
            c.image_size,
            c.setting,
            _rest(c),
        ),
    )
    found = []
    for key, group in series.items():
        own = {_steps(cell): _length(key, cell) for cell in group}
        if len(own) > 1 and len(own) == len(group):
            found.append([own[steps] for steps in sorted(own)])
    return found


def _rest(cell):
    """The recipe without its steps."""
    return ' '.join(p for p in cell.recipe.split() if not p.startswith('steps='))


def _steps(cell):
    return cell.records[0].run.hparams.steps


def _length(key, cell):
    record = cell.records[0]
    images = record.images['train'] + record.images['valid']
    return Length(
        *key,
        steps=_steps(cell),
        epochs=_steps(cell) * record.run.hparams.batch / images,
        log_odds=cell.log_odds,
        odds=math.exp(cell.log_odds),
        score=cell.score,
    )


def steps_to(share, steps, odds):
    """Steps after which a training has `share` of its best odds.

    Odds are linear in log steps between the two lengths that bracket it.

    Args:
        share: of the best, 0-1.
        steps: [n], increasing.
        odds: [n], p / (1 - p).

    Returns:
        Answer; its value is None where the shortest training has it already.
    """
    target = share * max(odds)
    i = next(k for k, value in enumerate(odds) if value >= target)
    if i == 0:
        return Answer(None, f'<= {steps[0]}')
    part = (target - odds[i - 1]) / (odds[i] - odds[i - 1])
    low, high = math.log(steps[i - 1]), math.log(steps[i])
    value = math.exp(low + part * (high - low))
    return Answer(value, plain(value))


class Speed(typing.NamedTuple):
    """How fast a series of Lengths converges; `last` is its longest and `best`."""

    best: Length
    last: Length
    shortest: Length
    steps: Answer
    epochs: Answer


def speeds(found):
    """[Speed, ...] of the series of `lengths`."""
    rows = []
    for series in found:
        steps = steps_to(SHARE, [s.steps for s in series], [s.odds for s in series])
        rate = series[0].epochs / series[0].steps
        epochs = (
            Answer(None, f'<= {plain(series[0].epochs)}')
            if steps.value is None
            else Answer(steps.value * rate, plain(steps.value * rate))
        )
        best = max(series, key=lambda s: s.odds)
        rows.append(Speed(best, series[-1], series[0], steps, epochs))
    return rows


def slower(speed, all_speeds):
    """How many times the steps of fine-tuning a Speed from scratch takes: an Answer.

    None where there is not one fine-tuning of the same network and dataset to compare,
    or one of the two is not bracketed.
    """
    key = speed.best[:4]
    others = [
        s for s in all_speeds if s.best[:4] == key and s.best.setting == 'finetune'
    ]
    if speed.best.setting != 'scratch' or len(others) != 1:
        return Answer(None, '')
    if speed.steps.value is None or others[0].steps.value is None:
        return Answer(None, 'not bracketed')
    ratio = speed.steps.value / others[0].steps.value
    return Answer(ratio, plain(ratio))


# Training settings (the paper's figures 3 and 5).


class Trained(typing.NamedTuple):
    """A network pretrained in one of several ways, on a dataset in a setting.

    values: {hyperparameter of pretraining: value}, of those that vary.
    """

    arch: str
    dataset: str
    setting: str
    per_class: int | None
    image_size: int | None
    values: dict
    cell: cells.Cell


def training_settings(records, all_cells):
    """[Trained, ...] of architectures whose pretrain Runs differ in TRAINING_SETTINGS.

    Only Cells with a score; of a field that does not exist or vary nothing is said.
    """
    pretrained = {
        f'run:{record.run.id}': record.run
        for record in records
        if record.run.setting == 'pretrain'
    }
    known = [
        (cell, [pretrained.get(record.run.weights) for record in cell.records])
        for cell in all_cells
        if cell.score is not None
    ]
    known = [(cell, runs) for cell, runs in known if all(runs)]
    found = []
    by_arch = cells.grouped(known, lambda item: item[0].arch)
    for arch, items in sorted(by_arch.items()):
        hparams = [run.hparams for _, runs in items for run in runs]
        fields = [
            name
            for name in TRAINING_SETTINGS
            if len({getattr(h, name, None) for h in hparams}) > 1
        ]
        for cell, runs in items if fields else ():
            values = {name: getattr(runs[0].hparams, name, None) for name in fields}
            key = cell.dataset, cell.setting, cell.per_class, cell.image_size
            found.append(Trained(arch, *key, values, cell))
    return sorted(found, key=_trained_order)


def _trained_order(trained):
    first = trained.arch, cells.SETTINGS.index(trained.setting), trained.dataset
    return *first, cells.sortable(trained[3:5]), cells.sortable(trained.values.values())


class Effect(typing.NamedTuple):
    """What one training setting changes in a setting of transfer, in log odds.

    Of `field` at `high` minus at `low`, all other settings alike: first the mean over
    such pairs of each dataset, then over datasets. error: standard error over datasets;
    p: of the paired t-test over them; both None of one dataset (p also where all differ
    alike).
    """

    arch: str
    setting: str
    field: str
    low: float
    high: float
    datasets: tuple[str, ...]
    pairs: int
    mean: float
    error: float | None
    p: float | None


def effects(found):
    """[Effect, ...] of the Trained; each pair of neighbouring values of each field."""
    rows = []
    groups = cells.grouped(
        found, lambda t: (t.arch, t.setting, t.per_class, t.image_size)
    )
    for (arch, setting, *_), group in groups.items():
        for field in group[0].values:
            levels = sorted({t.values[field] for t in group})
            for low, high in itertools.pairwise(levels):
                by_dataset = _differences(group, field, low, high)
                if by_dataset:
                    rows.append(_effect(arch, setting, field, low, high, by_dataset))
    return rows


def _differences(group, field, low, high):
    """{dataset: [difference in log odds, ...]} of pairs alike in all other fields."""
    at = {}
    for trained in group:
        rest = tuple(v for name, v in trained.values.items() if name != field)
        key = trained.dataset, rest, trained.cell.recipe
        values = at.setdefault(key, {}).setdefault(trained.values[field], [])
        values.append(trained.cell.log_odds)
    found = {}
    for (dataset, *_), values in sorted(at.items(), key=str):
        ends = values.get(low, ()), values.get(high, ())
        # Two networks of one combination differ in something else: no pair is alike.
        if [len(end) for end in ends] == [1, 1]:
            found.setdefault(dataset, []).append(ends[1][0] - ends[0][0])
    return found


def _effect(arch, setting, field, low, high, by_dataset):
    x = np.array([np.mean(values) for values in by_dataset.values()])
    error = p = None
    if len(x) > 1:
        error = float(x.std(ddof=1) / math.sqrt(len(x)))
        try:
            p = stats.paired_t(x, np.zeros(len(x))).p
        except ValueError:
            p = None
    return Effect(
        arch=arch,
        setting=setting,
        field=field,
        low=low,
        high=high,
        datasets=tuple(by_dataset),
        pairs=sum(map(len, by_dataset.values())),
        mean=float(x.mean()),
        error=error,
        p=p,
    )
