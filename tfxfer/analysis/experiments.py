"""The study's further experiments: dataset size, convergence, training settings.

And public checkpoints against networks trained here. Cells in, numbers out; figures.py
and tables.py show them.
"""

import itertools
import json
import math
import typing

import numpy as np

from tfxfer import config
from tfxfer.analysis import cells, comparisons, stats

SHARE = 0.9  # Of the best odds, to which a training must come; the paper's figure 8.
# Hyperparameters of pretraining whose effect on transfer the paper asks for (figure 3),
TRAINING_SETTINGS = ('scale', 'label_smoothing', 'dropout', 'aux')
# and those of fine-tuning itself (figure 5), by what they are called beside the others.
SWITCHES = {'finetune dropout': 'dropout', 'finetune aux': 'aux'}
SOURCE = 'source'  # As a setting: pretraining itself, on its own test images.
KINDS = ('public', 'own')  # Of weights, as cells.Cell.origin says.
LEAST = 3  # Networks of a correlation.


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
            _rest(c, 'steps'),
        ),
    )
    found = []
    for key, group in series.items():
        own = {_steps(cell): _length(key, cell) for cell in group}
        if len(own) > 1 and len(own) == len(group):
            found.append([own[steps] for steps in sorted(own)])
    return found


def _rest(cell, *names):
    """The recipe without these hyperparameters."""
    parts = cell.recipe.split(' ')
    return ' '.join(p for p in parts if p.partition('=')[0] not in names)


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
    """A network trained in one of several ways, on a dataset in a setting.

    arch: the architecture, and in what else it was pretrained unlike others; of given
    weights the Cell's network. values: {name: value} of what varies, of
    TRAINING_SETTINGS and, fine-tuned, of SWITCHES. alike: the recipe without SWITCHES.
    by_seed: {(seed of pretraining or None, of the Run): log odds}. sources: {seed:
    pretrain Record}.
    """

    arch: str
    dataset: str
    setting: str
    per_class: int | None
    image_size: int | None
    values: dict
    cell: cells.Cell
    alike: str
    by_seed: dict
    sources: dict

    @property
    def condition(self):
        """Those with the same differ in `values`, dataset and setting alone."""
        return self.arch, self.per_class, self.image_size

    @property
    def log_odds(self):
        """Mean over seeds."""
        return float(np.mean(list(self.by_seed.values())))

    @property
    def pretraining(self):
        """{name: value}, those of `values` that are of TRAINING_SETTINGS."""
        return {n: v for n, v in self.values.items() if n not in SWITCHES}

    @property
    def source(self):
        """The name of what it was pretrained on; '' where that is not known."""
        return (self.cell.source or {}).get('dataset', '')


def training_settings(records, all_cells):
    """[Trained, ...] of networks that differ in TRAINING_SETTINGS or SWITCHES alone.

    Of pretrain Runs those that are alike otherwise are compared; of given weights each
    with itself, fine-tuned in several ways. Only Cells with a score; one of whose Runs
    diverged is left out, and so are those of a pretrain Run that did.
    """
    pretrained = {
        f'run:{record.run.id}': record
        for record in records
        if record.run.setting == 'pretrain' and record.status == 'done'
    }
    bases = {name: _base(record.run) for name, record in pretrained.items()}
    groups = {}
    for cell in all_cells:
        if cell.score is None or cell.setting == 'scratch':
            continue
        weights = [record.run.weights for record in cell.records]
        if all(name in pretrained for name in weights):
            key = cell.arch, bases[weights[0]]
        elif not any(name.startswith('run:') for name in weights):
            key = cell.network, ''
        else:
            continue
        groups.setdefault(key, []).append(cell)
    vary = {key: _varying(group, pretrained) for key, group in groups.items()}
    groups = {
        key: own
        for key, group in groups.items()
        if (own := [cell for cell in group if vary[key](cell)])
    }
    names = _base_names(groups)
    found = [
        _trained(names[key], cell, vary[key](cell), pretrained)
        for key, group in groups.items()
        for cell in group
    ]
    return sorted(found, key=_trained_order)


def _base(run):
    """All that may change the weights of a pretrain Run but for what is compared."""
    facts = config.to_dict(run)
    for name in ('seed', 'trials', 'search', 'resume'):
        del facts[name]
    for name in TRAINING_SETTINGS:
        del facts['hparams'][name]
    return json.dumps(facts | facts.pop('hparams'), sort_keys=True)


def _base_names(keys):
    """{(arch, base): arch, and where it has several bases, in what they differ}."""
    names = {}
    for arch, own in cells.grouped(keys, lambda key: key[0]).items():
        facts = {base: json.loads(base) if base else {} for _, base in own}
        fields = [
            field
            for field in next(iter(facts.values()))
            if len({str(other.get(field)) for other in facts.values()}) > 1
        ]
        for base, other in facts.items():
            said = ' '.join(f'{f}={cells.brief(other.get(f))}' for f in fields)
            names[arch, base] = f'{arch} ({said})' if said else arch
    return names


def _varying(group, pretrained):
    """A function of a Cell: {name: its value}, of what varies in the group."""

    def pretraining(name):
        return lambda c: getattr(pretrained[c.records[0].run.weights].run.hparams, name)

    def switch(name):
        return lambda c: getattr(c.records[0].run.hparams, name)

    def several(values, own):
        return {n: f for n, f in values.items() if len({f(c) for c in own}) > 1}

    own = group if group[0].records[0].run.weights in pretrained else ()
    before = several({name: pretraining(name) for name in TRAINING_SETTINGS}, own)
    tuned = [cell for cell in group if cell.setting == 'finetune']
    after = several({name: switch(field) for name, field in SWITCHES.items()}, tuned)

    def values(cell):
        asked = before | after if cell.setting == 'finetune' else before
        return {name: value(cell) for name, value in asked.items()}

    return values


def _trained(arch, cell, values, pretrained):
    by_seed, sources = {}, {}
    for record in cell.records:
        source = pretrained.get(record.run.weights)
        if source:
            sources[source.run.seed] = source
        seeds = source and source.run.seed, record.run.seed
        by_seed.setdefault(seeds, []).append(_log_odds(record))
    return Trained(
        arch=arch,
        dataset=cell.dataset,
        setting=cell.setting,
        per_class=cell.per_class,
        image_size=cell.image_size,
        values=values,
        cell=cell,
        alike=_rest(cell, *SWITCHES.values()),
        by_seed={seeds: float(np.mean(x)) for seeds, x in by_seed.items()},
        sources=sources,
    )


def _log_odds(record):
    return float(stats.log_odds(record.score, record.images['test']))


def _trained_order(trained):
    return (
        trained.arch,
        cells.SETTINGS.index(trained.setting),
        trained.dataset,
        cells.sortable(trained[3:5]),
        tuple(trained.values.values()),
        trained.alike,
    )


def level(value):
    """A setting's value in words."""
    if isinstance(value, bool):
        return 'on' if value else 'off'
    return cells.brief(value)


def combination(values):
    """{name: value} as text."""
    return ', '.join(f'{name} {level(value)}' for name, value in values.items())


class Mean(typing.NamedTuple):
    """A combination of settings over datasets: mean log odds and its error.

    bars: what the error is: 'within' (Morey's standard error over datasets), 'seeds'
    (standard error over them) or '' (None).
    """

    arch: str
    values: dict
    log_odds: float
    error: float | None
    bars: str
    datasets: tuple[str, ...]
    seeds: int


def means(group):
    """Means of Trained of one setting, and what is left out.

    Over the datasets that all combinations have; where some lack one, over the largest
    part without a gap (stats.common): a mean over others would compare datasets.

    Args:
        group: Trained of one setting, subset and image size.

    Returns:
        ([Mean, ...] by values, [sentence, ...]).
    """
    combined = cells.grouped(group, lambda t: (t.arch, tuple(t.values.items())))
    keys = sorted(combined, key=lambda key: (key[0], [value for _, value in key[1]]))
    # A dataset that several recipes were trained on stands for each of them.
    tasks = sorted({(t.dataset, t.alike) for t in group})
    at = {(t.arch, tuple(t.values.items()), t.dataset, t.alike): t for t in group}
    x = np.array(
        [
            [at[*k, *j].log_odds if (*k, *j) in at else math.nan for j in tasks]
            for k in keys
        ]
    )
    rows, columns = complete(x)
    left = [combination(dict(keys[i][1])) for i in range(len(keys)) if i not in rows]
    names = {tasks[j][0] for j in columns}
    gone = sorted({dataset for dataset, _ in tasks} - names)
    notes = [
        f'{group[0].setting}: left out, as not all have the same datasets: '
        f'{"; ".join(text)}.'
        for text in (left, gone)
        if text
    ]
    x = x[np.ix_(rows, columns)]
    if not x.size:
        return [], notes
    within = stats.within_errors(x) if min(x.shape) > 1 else None
    found = []
    for i, values in zip(rows, x, strict=True):
        own = [at[*keys[i], *tasks[j]] for j in columns]
        error, bars = None, ''
        if within is not None:
            error, bars = float(within[rows.index(i)]), 'within'
        elif len(columns) == 1 and len(own[0].by_seed) > 1:
            error, bars = _error(list(own[0].by_seed.values())), 'seeds'
        found.append(
            Mean(
                arch=keys[i][0],
                values=dict(keys[i][1]),
                log_odds=float(values.mean()),
                error=error,
                bars=bars,
                datasets=tuple(sorted(names)),
                seeds=max(len(t.by_seed) for t in own),
            )
        )
    return found, notes


def complete(x):
    """(rows, columns) of x [n, m] that have no NaN: all, else stats.common's block."""
    rows, columns = range(x.shape[0]), range(x.shape[1])
    if np.isnan(x).any():
        rows, columns = stats.common(x, rows, columns).block
    return list(rows), list(columns)


def _error(x):
    """Standard error of the mean; None of one."""
    return float(np.std(x, ddof=1) / math.sqrt(len(x))) if len(x) > 1 else None


def sources(group):
    """Means of the pretrain Runs behind Trained, by values: their log odds on SOURCE.

    The error is over seeds.
    """
    return [
        Mean(
            arch=own.arch,
            values=own.values,
            log_odds=own.log_odds,
            error=_error(list(own.by_seed.values())),
            bars='seeds' if len(own.by_seed) > 1 else '',
            datasets=(own.dataset,),
            seeds=len(own.by_seed),
        )
        for own in sorted(_sources(group), key=lambda t: tuple(t.values.values()))
    ]


def _sources(group):
    """The networks behind Trained, as if their source were a dataset of transfer."""
    found = {}
    for one in group:
        values = one.pretraining
        if not values:
            continue
        own = found.setdefault(
            tuple(values.items()),
            one._replace(
                setting=SOURCE, dataset=one.source, values=values, alike='', by_seed={}
            ),
        )
        for seed, record in one.sources.items():
            own.by_seed[seed] = _log_odds(record)
    return list(found.values())


class Effect(typing.NamedTuple):
    """What one training setting changes in transfer, or on the source, in log odds.

    Of `field` at `high` minus at `low` (a switch: on minus off), of pairs that are
    alike in all else, the seed too: first the mean over seeds of each pair, then over
    the pairs of each dataset, then over datasets.

    setting: SOURCE for the pretrain Runs of the same pairs on their own test images.
    error: standard error over datasets; p: of the paired t-test over them; both None of
    one dataset (p also where all differ alike). seeds: how many. seed_error: standard
    error over seeds of each seed's own mean, over those pairs and datasets that as many
    seeds as possible have; None of one seed.
    """

    arch: str
    source: str
    per_class: int | None
    image_size: int | None
    setting: str
    field: str
    low: float
    high: float
    datasets: tuple[str, ...]
    pairs: int
    mean: float
    error: float | None
    p: float | None
    seeds: int
    seed_error: float | None

    @property
    def change(self):
        """Such as 'scale off to on'."""
        name = self.field.replace('_', ' ')
        return f'{name} {level(self.low)} to {level(self.high)}'

    @property
    def condition(self):
        return self.arch, self.per_class, self.image_size

    @property
    def row(self):
        """Its numbers, for a data frame: on is 1 and off 0."""
        return {
            **self._asdict(),
            'change': self.change,
            'low': float(self.low),
            'high': float(self.high),
            'datasets': '; '.join(self.datasets),
        }


def effects(found):
    """[Effect, ...] of the Trained; each pair of neighbouring values of each field.

    By network and field, the source before the settings of transfer.
    """
    return [_effect(*facts, by_dataset) for *facts, by_dataset in _compared(found)]


def dataset_effects(found):
    """As `effects`, an Effect a dataset."""
    return [
        _effect(*facts, {name: pairs})
        for *facts, by_dataset in _compared(found)
        for name, pairs in by_dataset.items()
    ]


def changes(all_effects):
    """What Effects change, once each, in the order of the settings."""
    order = (*TRAINING_SETTINGS, *SWITCHES)
    places = {e.change: (order.index(e.field), e.low, e.high) for e in all_effects}
    return sorted(places, key=places.get)


def _compared(found):
    """(a Trained, setting, field, low, high, differences) of all that have a pair."""
    for group in cells.grouped(found, lambda t: t.condition).values():
        settings = {SOURCE: _sources(group)}
        settings |= cells.grouped(group, lambda t: t.setting)
        names = (*TRAINING_SETTINGS, *SWITCHES)
        for field in names:
            having = [t for own in settings.values() for t in own if field in t.values]
            levels = sorted({t.values[field] for t in having})
            for low, high in itertools.pairwise(levels):
                for setting, own in settings.items():
                    by_dataset = _differences(own, field, low, high)
                    if by_dataset:
                        yield group[0], setting, field, low, high, by_dataset


def _differences(group, field, low, high):
    """{dataset: [{seed: difference in log odds}, ...]}, of pairs alike in all else.

    A dict a pair, which has at least one seed in common.
    """
    at = {}
    for trained in group:
        if field in trained.values:
            rest = {n: v for n, v in trained.values.items() if n != field}
            key = trained.dataset, tuple(rest.items()), trained.alike
            values = at.setdefault(key, {}).setdefault(trained.values[field], [])
            values.append(trained.by_seed)
    found = {}
    for (dataset, *_), values in sorted(at.items()):
        ends = values.get(low, ()), values.get(high, ())
        # Two networks of one combination differ in something else: no pair is alike.
        if [len(end) for end in ends] != [1, 1]:
            continue
        (before,), (after,) = ends
        pair = {seed: after[seed] - before[seed] for seed in before if seed in after}
        if pair:
            found.setdefault(dataset, []).append(pair)
    return found


def _effect(first, setting, field, low, high, by_dataset):
    x = np.array(
        [
            np.mean([np.mean(list(pair.values())) for pair in pairs])
            for pairs in by_dataset.values()
        ]
    )
    p = None
    if len(x) > 1:
        try:
            p = stats.paired_t(x, np.zeros(len(x))).p
        except ValueError:
            p = None
    seeds = {seed for pairs in by_dataset.values() for pair in pairs for seed in pair}
    return Effect(
        arch=first.arch,
        source=first.source,
        per_class=first.per_class,
        image_size=first.image_size,
        setting=setting,
        field=field,
        low=low,
        high=high,
        datasets=tuple(by_dataset),
        pairs=sum(map(len, by_dataset.values())),
        mean=float(x.mean()),
        error=_error(x),
        p=p,
        seeds=len(seeds),
        seed_error=_seed_error(by_dataset, sorted(seeds, key=str)),
    )


def _seed_error(by_dataset, seeds):
    """Standard error over seeds of the mean over datasets of each seed's own pairs."""
    if len(seeds) < 2:
        return None
    pairs = [(name, pair) for name, own in by_dataset.items() for pair in own]
    x = np.array([[pair.get(seed, math.nan) for _, pair in pairs] for seed in seeds])
    rows, columns = complete(x)
    if len(rows) < 2:
        return None
    groups = cells.grouped(columns, lambda j: pairs[j][0])
    own = [x[np.ix_(rows, group)].mean(axis=1) for group in groups.values()]
    return _error(np.mean(own, axis=0))


# Public checkpoints against networks that were trained alike (the paper's supplement).


class Side(typing.NamedTuple):
    """Networks of one kind of weights: 'public' or 'own'.

    points: comparisons.Points of logistic. archs: {network: architecture}. correlation:
    stats.Correlation of the points, or None where one side of them is constant.
    """

    kind: str
    source: str
    per_class: int | None
    image_size: int | None
    datasets: tuple[str, ...]
    points: tuple
    archs: dict
    correlation: stats.Correlation | None


def public_and_own(all_cells):
    """[(public Side, own Side), ...], one a size of subset, of logistic.

    Over the datasets that all networks of both have. Of each kind those of one source
    and image size, of which there are the most; at least LEAST networks each.
    """
    logistic = [cell for cell in all_cells if cell.setting == 'logistic']
    sides = {}
    for condition, group in comparisons.conditions(logistic).items():
        for kind, own in cells.grouped(group, lambda cell: cell.origin).items():
            kept = sides.setdefault(condition.per_class, {}).get(kind)
            if kept is None or len(_networks(own)) > len(_networks(kept[1])):
                sides[condition.per_class][kind] = condition, own
    pairs = [
        _side_pair([(kind, *by_kind[kind]) for kind in KINDS])
        for by_kind in sides.values()
        if all(kind in by_kind for kind in KINDS)
    ]
    return sorted(
        filter(None, pairs), key=lambda pair: cells.sortable((pair[0].per_class,))
    )


def _networks(group):
    return {cell.network for cell in group}


def _side_pair(kinds):
    """The two Sides of (kind, Condition, Cells), or None where there are too few."""
    groups = [group for *_, group in kinds]
    own, _ = comparisons.one_recipe([cell for group in groups for cell in group])
    by_network = cells.grouped(own, lambda cell: cell.network)
    names = set.intersection(
        *({cell.dataset for cell in group} for group in by_network.values())
    )
    sides = []
    for kind, condition, group in kinds:
        shared = [
            cell
            for name in sorted(_networks(group) & set(by_network))
            for cell in by_network[name]
            if cell.dataset in names
        ]
        points, _ = comparisons.points(shared)
        if len(points) < LEAST:
            return None
        try:
            found = stats.correlate([p.x for p in points], [p.y for p in points])
        except ValueError:
            found = None
        archs = {cell.network: cell.arch for cell in shared}
        sides.append(
            Side(kind, *condition, tuple(sorted(names)), tuple(points), archs, found)
        )
    return tuple(sides)
