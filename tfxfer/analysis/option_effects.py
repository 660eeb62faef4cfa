"""What one training option changes on the source and in transfer, in log odds."""

import itertools
import math
import typing
from collections.abc import Sequence

import numpy as np

from tfxfer.analysis import cells, stats, training_options
from tfxfer.analysis.training_options import OPTIONS, SOURCE, SWITCHES


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

