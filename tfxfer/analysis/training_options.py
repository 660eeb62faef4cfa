"""How a network was trained, and how well it then transfers (figures 3 and 5)."""

import json
import math
import typing
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfxfer import config, results
from tfxfer.analysis import cells, stats

# Hyperparameters of pretraining whose effect on transfer the paper asks for (figure 3),
OPTIONS = ('scale', 'label_smoothing', 'dropout', 'aux')
# and those of fine-tuning itself (figure 5), by what they are called beside the others.
SWITCHES = {'finetune dropout': 'dropout', 'finetune aux': 'aux'}
SOURCE = 'source'  # As a setting: pretraining itself, on its own test images.


class Trained(typing.NamedTuple):
    """A network trained in one of several ways, on a dataset in a setting.

    arch: the architecture, and in what else it was pretrained unlike others; of given
    weights the Cell's network. values: {name: value} of what varies, of
    OPTIONS and, fine-tuned, of SWITCHES. alike: the recipe without SWITCHES.
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
        """{name: value}, those of `values` that are of OPTIONS."""
        return {n: v for n, v in self.values.items() if n not in SWITCHES}

    @property
    def source(self):
        """The name of what it was pretrained on; '' where that is not known."""
        return (self.cell.source or {}).get('dataset', '')


def trained_alike(
    records: Iterable[results.Record], all_cells: Iterable[cells.Cell]
) -> list[Trained]:
    """[Trained, ...] of networks that differ in OPTIONS or SWITCHES alone.

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
    for name in OPTIONS:
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
    before = several({name: pretraining(name) for name in OPTIONS}, own)
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
        by_seed.setdefault(seeds, []).append(log_odds(record))
    return Trained(
        arch=arch,
        dataset=cell.dataset,
        setting=cell.setting,
        per_class=cell.per_class,
        image_size=cell.image_size,
        values=values,
        cell=cell,
        alike=cell.recipe_without(*SWITCHES.values()),
        by_seed={seeds: float(np.mean(x)) for seeds, x in by_seed.items()},
        sources=sources,
    )


def log_odds(record: results.Record) -> float:
    """Of its test score."""
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
            error, bars = standard_error(list(own[0].by_seed.values())), 'seeds'
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


def sources(group):
    """Means of the pretrain Runs behind Trained, by values: their log odds on SOURCE.

    The error is over seeds.
    """
    return [
        Mean(
            arch=own.arch,
            values=own.values,
            log_odds=own.log_odds,
            error=standard_error(list(own.by_seed.values())),
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
            own.by_seed[seed] = log_odds(record)
    return list(found.values())

