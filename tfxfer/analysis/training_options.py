"""How a network was trained, and how well it then transfers (figures 3 and 5)."""

import json
import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tfxfer import config, number_format, results
from tfxfer.analysis import cells, stats
from tfxfer.analysis.estimate import standard_error

# Hyperparameters of pretraining whose effect on transfer the paper asks for (figure 3),
OPTIONS = ('scale', 'label_smoothing', 'dropout', 'aux')
# and those of fine-tuning itself (figure 5), by what they are called beside the others.
SWITCHES = {'finetune dropout': 'dropout', 'finetune aux': 'aux'}
SOURCE = 'source'  # As a setting: pretraining itself, on its own test images.

Value = typing.Any  # Of a hyperparameter: a number, a switch or a text.


class Trained(typing.NamedTuple):
    """A network trained in one of several ways, on a dataset in a setting.

    arch: the architecture, and in what else it was pretrained unlike others; of given
    weights the Cell's network. values: {name: value} of what varies, of OPTIONS and,
    fine-tuned, of SWITCHES. alike: the recipe without SWITCHES. by_seed: {(seed of
    pretraining or None, of the Run): log odds}. sources: {seed: pretrain Record}.
    """

    arch: str
    dataset: str
    setting: str
    per_class: int | None
    image_size: int | None
    values: dict[str, Value]
    cell: cells.Cell
    alike: str
    by_seed: dict[typing.Any, float]
    sources: dict[int, results.Record]

    @property
    def condition(self) -> tuple[str, int | None, int | None]:
        """Those with the same differ in `values`, dataset and setting alone."""
        return self.arch, self.per_class, self.image_size

    @property
    def log_odds(self) -> float:
        """Mean over seeds."""
        return float(np.mean(list(self.by_seed.values())))

    @property
    def pretraining(self) -> dict[str, Value]:
        """{name: value}, those of `values` that are of OPTIONS."""
        return {n: v for n, v in self.values.items() if n not in SWITCHES}

    @property
    def source(self) -> str:
        """The name of what it was pretrained on; '' where that is not known."""
        return self.cell.source['dataset'] if self.cell.source else ''


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
    groups = _comparable(all_cells, pretrained)
    vary = {key: _varying(group, pretrained) for key, group in groups.items()}
    groups = {
        key: varied
        for key, group in groups.items()
        if (varied := [cell for cell in group if vary[key](cell)])
    }
    names = _base_names(groups)
    trained = [
        _trained(names[key], cell, vary[key](cell), pretrained)
        for key, group in groups.items()
        for cell in group
    ]
    return sorted(trained, key=_order)


def _comparable(all_cells, pretrained):
    """{(network, what else its pretraining was): Cells that may differ in OPTIONS}.

    pretrained: {weights: pretrain Record}.
    """
    bases = {name: _base(record.run) for name, record in pretrained.items()}
    groups: dict = {}
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
    return groups


def _base(run):
    """All that may change the weights of a pretrain Run but for what is compared."""
    fields = config.to_dict(run)
    for name in ('seed', 'trials', 'search', 'resume', 'length'):
        del fields[name]
    for name in OPTIONS:
        del fields['hparams'][name]
    return json.dumps(fields | fields.pop('hparams'), sort_keys=True)


def _base_names(keys):
    """{(arch, base): arch, and where it has several bases, in what they differ}."""
    names = {}
    for arch, same_arch in cells.grouped(keys, lambda key: key[0]).items():
        bases = {base: json.loads(base) if base else {} for _, base in same_arch}
        differing = [
            field
            for field in next(iter(bases.values()))
            if len({str(other.get(field)) for other in bases.values()}) > 1
        ]
        for base, fields in bases.items():
            text = ' '.join(
                f'{f}={number_format.brief(fields.get(f))}' for f in differing
            )
            names[arch, base] = f'{arch} ({text})' if text else arch
    return names


def _varying(
    group: Sequence[cells.Cell], pretrained: Mapping[str, results.Record]
) -> Callable[[cells.Cell], dict[str, Value]]:
    """A function of a Cell: {name: its value}, of what varies in the group."""

    def pretraining(name):
        return lambda c: getattr(pretrained[c.records[0].run.weights].run.hparams, name)

    def switch(name):
        return lambda c: getattr(c.records[0].run.hparams, name)

    def several(values, members):
        return {n: f for n, f in values.items() if len({f(c) for c in members}) > 1}

    trained_here = group if group[0].records[0].run.weights in pretrained else ()
    before = several({name: pretraining(name) for name in OPTIONS}, trained_here)
    tuned = [cell for cell in group if cell.setting == 'finetune']
    after = several({name: switch(field) for name, field in SWITCHES.items()}, tuned)

    def values(cell):
        varying = before | after if cell.setting == 'finetune' else before
        return {name: value(cell) for name, value in varying.items()}

    return values


def _trained(arch, cell, values, pretrained):
    by_seed: dict = {}
    sources = {}
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
    """Of its test score, which it must have."""
    assert record.score is not None
    return float(stats.log_odds(record.score, record.images['test']))


def _order(trained):
    return (
        trained.arch,
        cells.SETTINGS.index(trained.setting),
        trained.dataset,
        cells.sortable(trained[3:5]),
        tuple(trained.values.values()),
        trained.alike,
    )


def level(value: Value) -> str:
    """A value of an option in words."""
    if isinstance(value, bool):
        return 'on' if value else 'off'
    return number_format.brief(value)


def combination(values: Mapping[str, Value]) -> str:
    """{name: value} as text."""
    return ', '.join(f'{name} {level(value)}' for name, value in values.items())


class Mean(typing.NamedTuple):
    """A combination of options over datasets: mean log odds and its error.

    bars: what the error is: 'within' (Morey's standard error over datasets), 'seeds'
    (standard error over them) or '' (None).
    """

    arch: str
    values: dict[str, Value]
    log_odds: float
    error: float | None
    bars: str
    datasets: tuple[str, ...]
    seeds: int


def means(group: Sequence[Trained]) -> tuple[list[Mean], list[str]]:
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
    by_key = {(t.arch, tuple(t.values.items()), t.dataset, t.alike): t for t in group}
    x = np.array(
        [
            [by_key[*k, *j].log_odds if (*k, *j) in by_key else math.nan for j in tasks]
            for k in keys
        ]
    )
    rows, columns = complete(x)
    notes = _left_out(group[0].setting, keys, tasks, rows, columns)
    x = x[np.ix_(rows, columns)]
    if not x.size:
        return [], notes
    table = [[by_key[*keys[i], *tasks[j]] for j in columns] for i in rows]
    within = stats.within_errors(x).tolist() if min(x.shape) > 1 else [None] * len(x)
    names = tuple(sorted({tasks[j][0] for j in columns}))
    return [
        _mean(members, float(values.mean()), error, names)
        for members, values, error in zip(table, x, within, strict=True)
    ], notes


def _left_out(setting, keys, tasks, rows, columns):
    """Sentences about the combinations and datasets that are in no mean."""
    combinations = [
        combination(dict(values)) for i, (_, values) in enumerate(keys) if i not in rows
    ]
    names = {tasks[j][0] for j in columns}
    datasets = sorted({dataset for dataset, _ in tasks} - names)
    return [
        f'{setting}: left out, as not all have the same datasets: {"; ".join(text)}.'
        for text in (combinations, datasets)
        if text
    ]


def _mean(members, log_odds, within, names):
    """The Mean of one combination; members: its Trained, by task."""
    first, error, bars = members[0], within, 'within'
    if within is None:
        error, bars = None, ''
        if len(members) == 1 and len(first.by_seed) > 1:
            error, bars = standard_error(list(first.by_seed.values())), 'seeds'
    return Mean(
        arch=first.arch,
        values=dict(first.values),
        log_odds=log_odds,
        error=error,
        bars=bars,
        datasets=names,
        seeds=max(len(t.by_seed) for t in members),
    )


def complete(x: np.ndarray) -> tuple[list[int], list[int]]:
    """(rows, columns) of x [n, m] that have no NaN: all, else stats.common's block."""
    rows, columns = (list(range(n)) for n in x.shape)
    if np.isnan(x).any():
        block = stats.common(x, map(str, rows), map(str, columns)).block
        rows, columns = (list(map(int, names)) for names in block)
    return rows, columns


def sources(group: Iterable[Trained]) -> list[Mean]:
    """Means of the pretrain Runs behind Trained, by values: their log odds on SOURCE.

    The error is over seeds.
    """
    return [
        Mean(
            arch=source.arch,
            values=source.values,
            log_odds=source.log_odds,
            error=standard_error(list(source.by_seed.values())),
            bars='seeds' if len(source.by_seed) > 1 else '',
            datasets=(source.dataset,),
            seeds=len(source.by_seed),
        )
        for source in sorted(on_source(group), key=lambda t: tuple(t.values.values()))
    ]


def on_source(group: Iterable[Trained]) -> list[Trained]:
    """The networks behind Trained, as if their source were a dataset of transfer."""
    networks: dict = {}
    for trained in group:
        values = trained.pretraining
        if not values:
            continue
        network = networks.setdefault(
            tuple(values.items()),
            trained._replace(
                setting=SOURCE,
                dataset=trained.source,
                values=values,
                alike='',
                by_seed={},
            ),
        )
        for seed, record in trained.sources.items():
            network.by_seed[seed] = log_odds(record)
    return list(networks.values())
