"""What one training option changes on the source and in transfer, in log odds."""

import itertools
import math
import typing
from collections.abc import Iterable, Sequence

import numpy as np

from tfxfer.analysis import cells, stats
from tfxfer.analysis.estimate import standard_error
from tfxfer.analysis.training_options import (
    OPTIONS,
    SOURCE,
    SWITCHES,
    Trained,
    complete,
    level,
    on_source,
)

FIELDS = (*OPTIONS, *SWITCHES)


class Change(typing.NamedTuple):
    """One option at two neighbouring values, `low` before `high`."""

    field: str
    low: float
    high: float


class Effect(typing.NamedTuple):
    """What one training option changes in transfer, or on the source, in log odds.

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
    def change(self) -> str:
        """Such as 'scale off to on'."""
        name = self.field.replace('_', ' ')
        return f'{name} {level(self.low)} to {level(self.high)}'

    @property
    def condition(self) -> tuple[str, int | None, int | None]:
        """Network and sizes, as Trained.condition."""
        return self.arch, self.per_class, self.image_size

    @property
    def row(self) -> dict[str, typing.Any]:
        """Its numbers, for a data frame: on is 1 and off 0."""
        return {
            **self._asdict(),
            'change': self.change,
            'low': float(self.low),
            'high': float(self.high),
            'datasets': '; '.join(self.datasets),
        }


def effects(trained: Iterable[Trained]) -> list[Effect]:
    """[Effect, ...]; each pair of neighbouring values of each field.

    By network and field, the source before the settings of transfer.
    """
    return [
        _effect(first, setting, change, by_dataset)
        for first, setting, change, by_dataset in _compared(trained)
    ]


def dataset_effects(trained: Iterable[Trained]) -> list[Effect]:
    """As `effects`, one per dataset."""
    return [
        _effect(first, setting, change, {name: pairs})
        for first, setting, change, by_dataset in _compared(trained)
        for name, pairs in by_dataset.items()
    ]


def changes(all_effects: Iterable[Effect]) -> list[str]:
    """What Effects change, once each, in the order of the options."""
    places = {e.change: (FIELDS.index(e.field), e.low, e.high) for e in all_effects}
    return sorted(places, key=lambda change: places[change])


def _compared(trained):
    """(a Trained, setting, Change, differences) of all that have a pair."""
    for group in cells.grouped(trained, lambda t: t.condition).values():
        settings = {SOURCE: on_source(group)}
        settings |= cells.grouped(group, lambda t: t.setting)
        for change in _changes(settings):
            for setting, members in settings.items():
                by_dataset = _differences(members, change)
                if by_dataset:
                    yield group[0], setting, change, by_dataset


def _changes(settings):
    """Changes between neighbouring values that occur; settings: {name: Trained}."""
    everyone = [t for members in settings.values() for t in members]
    for field in FIELDS:
        levels = sorted({t.values[field] for t in everyone if field in t.values})
        for low, high in itertools.pairwise(levels):
            yield Change(field, low, high)


def _differences(group, change):
    """{dataset: [{seed: difference in log odds}, ...]}, of pairs alike in all else.

    A dict a pair, which has at least one seed in common.
    """
    alike: dict = {}  # {(dataset, other values, recipe): {value: [by_seed, ...]}}
    for trained in group:
        if change.field in trained.values:
            rest = {n: v for n, v in trained.values.items() if n != change.field}
            key = trained.dataset, tuple(rest.items()), trained.alike
            values = alike.setdefault(key, {})
            values.setdefault(trained.values[change.field], []).append(trained.by_seed)
    differences: dict = {}
    for (dataset, *_), values in sorted(alike.items()):
        ends = values.get(change.low, ()), values.get(change.high, ())
        # Two networks of one combination differ in something else: no pair is alike.
        if [len(end) for end in ends] != [1, 1]:
            continue
        (before,), (after,) = ends
        pair = {seed: after[seed] - before[seed] for seed in before if seed in after}
        if pair:
            differences.setdefault(dataset, []).append(pair)
    return differences


def _effect(first, setting, change, by_dataset):
    x = np.array(
        [
            np.mean([np.mean(list(pair.values())) for pair in pairs])
            for pairs in by_dataset.values()
        ]
    )
    seeds = {seed for pairs in by_dataset.values() for pair in pairs for seed in pair}
    return Effect(
        arch=first.arch,
        source=first.source,
        per_class=first.per_class,
        image_size=first.image_size,
        setting=setting,
        field=change.field,
        low=change.low,
        high=change.high,
        datasets=tuple(by_dataset),
        pairs=sum(map(len, by_dataset.values())),
        mean=float(x.mean()),
        error=standard_error(x),
        p=_p(x),
        seeds=len(seeds),
        seed_error=_seed_error(by_dataset, sorted(seeds, key=str)),
    )


def _p(x):
    """Of the paired t-test over datasets; None of one, or where all differ alike."""
    if len(x) < 2:
        return None
    try:
        return stats.paired_t(x, np.zeros(len(x))).p
    except ValueError:
        return None


def _seed_error(by_dataset: dict, seeds: Sequence) -> float | None:
    """Standard error over seeds of the mean over datasets of each seed's own pairs."""
    if len(seeds) < 2:
        return None
    pairs = [(name, pair) for name, group in by_dataset.items() for pair in group]
    x = np.array([[pair.get(seed, math.nan) for _, pair in pairs] for seed in seeds])
    rows, columns = complete(x)
    if len(rows) < 2:
        return None
    groups = cells.grouped(columns, lambda j: pairs[j][0])
    means = [x[np.ix_(rows, group)].mean(axis=1) for group in groups.values()]
    return standard_error(np.mean(means, axis=0))
