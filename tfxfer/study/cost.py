"""What a study asks of devices, and how long they would take at given rates."""

import collections
import typing
from collections.abc import Iterable, Mapping, Sequence

from tfxfer import config
from tfxfer.study import axes
from tfxfer.study.planning import Cell


class Load(typing.NamedTuple):
    """What Runs ask of devices."""

    runs: int = 0
    steps: int = 0
    trained: int = 0  # Images that training steps take.
    seen: int = 0  # Images that go through a network once, for features or a score.

    def __add__(self, other: 'Load') -> 'Load':  # type: ignore[override]
        return Load(*(a + b for a, b in zip(self, other, strict=True)))


class Sizes(typing.NamedTuple):
    """A dataset: the images of its splits, and its classes."""

    train: int
    valid: int
    test: int
    classes: int

    def part(self, share: float | None) -> 'Sizes':
        """With a share of the images of all splits; None: all."""
        if share is None:
            return self
        return self._replace(
            train=round(share * self.train),
            valid=round(share * self.valid),
            test=round(share * self.test),
        )

    def subset(self, per_class: int | None) -> 'Sizes':
        """With so many training images per class, and the same share of validation."""
        if not per_class:
            return self
        share = min(1, per_class * self.classes / max(1, self.train + self.valid))
        return self._replace(
            train=round(share * self.train), valid=round(share * self.valid)
        )


class Kind(typing.NamedTuple):
    """Runs that cost the same but for their dataset."""

    setting: str
    phase: str
    arch: str


Loads: typing.TypeAlias = dict[Kind, Load]
AllSizes: typing.TypeAlias = Mapping[str, Sizes]  # By dataset.


def loads(study_cells: Sequence[Cell], sizes: AllSizes) -> Loads:
    """What all Runs of a study ask for.

    Of a search by halving these are the fewest. Features of one network and dataset
    are counted once: all Runs that need them share them.
    """
    trained = [cell for cell in study_cells if cell.grid.trials]
    logistic = [cell.base for cell in study_cells if not cell.grid.trials]
    sources = {cell.source.id: cell.source for cell in study_cells if cell.source}
    found: Loads = collections.defaultdict(Load)
    for part in (
        *(_of_trials(cell, sizes) for cell in trained if not cell.follows),
        *(_of_training(cell.base, sizes) for cell in trained),
        _of_features(logistic, sizes),
        *(_of_training(run, sizes) for run in sources.values()),
    ):
        for kind, load in part.items():
            found[kind] += load
    return dict(found)


def _of_trials(cell: Cell, sizes: AllSizes) -> Loads:
    run, before, total = cell.base, 0, Load()
    batch = axes.training(run).batch
    valid = _sizes(run, sizes).subset(run.per_class).valid
    for count, stop in zip(cell.grid.planned(), cell.grid.stops, strict=True):
        steps = count * (stop - before)
        total += Load(count, steps, steps * batch, count * valid)
        before = stop
    return {Kind(run.setting, 'trial', run.arch): total}


def _of_training(run: config.Run, sizes: AllSizes) -> Loads:
    """Of a final Run that trains a network."""
    hparams = axes.training(run)
    images, test = hparams.steps * hparams.batch, _sizes(run, sizes).test
    return {Kind(run.setting, 'final', run.arch): Load(1, hparams.steps, images, test)}


def _of_features(runs: Iterable[config.Run], sizes: AllSizes) -> Loads:
    """Of logistic Runs: the images that features are computed of."""
    found: Loads = collections.defaultdict(Load)
    groups = collections.defaultdict(list)
    for run in runs:
        weights = run.weights, run.weights_digest
        groups[run.arch, *weights, run.dataset, run.share].append(run)
    for (arch, *_), group in groups.items():
        whole = _sizes(group[0], sizes)
        subsets = [whole.subset(run.per_class) for run in group]
        asked = sum(subset.train + subset.valid for subset in subsets)
        seen = min(asked, whole.train + whole.valid) + whole.test
        found[Kind('logistic', 'final', arch)] += Load(runs=len(group), seen=seen)
    return found


def _sizes(run: config.Run, sizes: AllSizes) -> Sizes:
    """Of the images that a Run may see, before `per_class`."""
    return sizes[run.dataset].part(run.share)


class Rate(typing.NamedTuple):
    """What one device does with a network, in images per second."""

    train: float
    infer: float

    def hours(self, load: Load) -> float:
        return (load.trained / self.train + load.seen / self.infer) / 3600


class Planned(typing.NamedTuple):
    """A row of the table of what a study takes."""

    kind: str
    load: Load
    hours: float  # Of one device.


def planned(found: Loads, rates: Mapping[str, Rate]) -> list[Planned]:
    """A study's Runs by setting and phase, and all of them, at rates by network.

    Networks without a rate take no time.
    """
    rows: dict[tuple[str, str], Planned] = {}
    for kind, load in found.items():
        key = kind.setting, kind.phase
        row = rows.get(key, Planned(' '.join(key), Load(), 0.0))
        rate = rates.get(kind.arch)
        hours = rate.hours(load) if rate else 0.0
        rows[key] = Planned(row.kind, row.load + load, row.hours + hours)
    total = sum((row.load for row in rows.values()), Load())
    hours = sum(row.hours for row in rows.values())
    return [*(rows[key] for key in sorted(rows)), Planned('all', total, hours)]
