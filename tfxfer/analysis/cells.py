"""Records -> cells: the numbers that tables and figures share.

A cell is one number of the study: a network on a dataset in a setting, the mean over
the seeds it was measured with.
"""

import collections
import dataclasses
import itertools
import logging
import os
import pathlib
import typing
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from scipy import stats as scipy_stats

from tfxfer import architectures, config, datasets, errors, race_log, results
from tfxfer.analysis import naming, stats

SETTINGS = tuple(name for name in config.HPARAMS if name != 'pretrain')
IMAGENET = datasets.IMAGENET


class Source(typing.TypedDict):
    """What a network was trained for before: score 0-1, of so many test images."""

    dataset: str
    score: float | None
    images: int | None


@dataclasses.dataclass(frozen=True)
class Cell:
    """What was measured of one network on one dataset in one setting.

    Attributes:
        network: the architecture, and its weights where the folder has several.
        arch: the architecture's name, see naming.Labels.
        dataset: its name, of a folder of images the folder's own.
        setting: key of HPARAMS, not pretrain.
        per_class, image_size: as in config.Run.
        recipe: in what the final Runs of this setting differ on one task, such as
            'steps=500 precision=bfloat16'; '' where they are all alike there.
        records: final Records, by seed.
        trials: Records of the trial Runs behind them that the folder holds.
        source: what the network was trained for before; of scratch what the same
            architecture was; None if not known.
        covered: 95 % interval of the score, from its predictions; None where they were
            not looked at.
    """

    network: str
    arch: str
    dataset: str
    setting: str
    per_class: int | None
    image_size: int | None
    recipe: str
    records: tuple[results.Record, ...]
    trials: tuple[results.Record, ...]
    source: Source | None
    covered: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """Network, setting and what else tells it from others on its task."""
        size = f'{self.image_size} px' if self.image_size else ''
        return ', '.join(filter(None, (self.network, self.setting, self.recipe, size)))

    @property
    def task(self) -> tuple[str, int | None, str]:
        """Dataset, images per class, metric: cells with the same task compete."""
        return self.dataset, self.per_class, self.metric

    def same_network(self, other: 'Cell') -> bool:
        """Whether they are of one network; scratch is of each of its weights'."""
        scratch = 'scratch' in (self.setting, other.setting)
        return self.arch == other.arch and (scratch or self.network == other.network)

    def recipe_without(self, *names: str) -> str:
        """The recipe but for these hyperparameters."""
        parts = self.recipe.split(' ')
        return ' '.join(part for part in parts if part.partition('=')[0] not in names)

    @property
    def origin(self) -> str:
        """Of its weights: 'own' (a pretrain Run's), 'public', 'unknown', '' (random).

        A public checkpoint's source accuracy is quoted, not of so many test images.
        """
        first = self.records[0]
        if not first.run.weights:
            return ''
        if not first.source:
            return 'unknown'
        scored = bool(first.source and first.source['images'])
        return 'own' if first.run.weights.startswith('run:') or scored else 'public'

    @property
    def metric(self) -> str:
        return self.records[0].metric

    @property
    def diverged(self) -> bool:
        return any(record.status != 'done' for record in self.records)

    @property
    def score(self) -> float | None:
        """Mean over seeds, 0-1; None where a Run diverged, which no mean can mend."""
        if self.diverged:
            return None
        return float(np.mean([record.score for record in self.records]))

    @property
    def varies(self) -> bool:
        """Whether the seed changes anything that was measured.

        Logistic regression is convex and its features are fixed: only the subset of
        images, or weights that several Runs made, differ from seed to seed.
        """
        weights = {record.run.weights for record in self.records}
        return (
            self.setting != 'logistic' or self.per_class is not None or len(weights) > 1
        )

    @property
    def error(self) -> float | None:
        """Standard error of the mean over seeds, 0-1; None if there is none to say."""
        if self.diverged or not self.varies or len(self.records) < 2:
            return None
        scores = np.array([record.score for record in self.records], float)
        return float(np.std(scores, ddof=1) / np.sqrt(len(scores)))

    @property
    def share(self) -> float:
        """Of the images of the dataset, for training and for testing; 1 is all."""
        return self.records[0].run.share or 1.0

    @property
    def test_images(self) -> int:
        return self.records[0].images['test']

    @property
    def noise_covered(self) -> bool:
        """Whether what the seed changes was measured, or there is nothing of it."""
        return not self.varies or len(self.records) > 1

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval (low, high), 0-1, over test images and seeds; None if unknown.

        From predictions where they were looked at (`covered`); else, of top-1, Wilson's
        of fewer images: variances of images and of seeds are added as if they shared
        nothing, which makes it rather too wide. With one seed it is of images alone.
        """
        if self.covered is not None or self.score is None or self.metric != 'top1':
            return self.covered
        n, p = self.test_images, self.score
        if self.error and 0 < p < 1:
            seeds = len(self.records)
            ratio = scipy_stats.t.isf(0.025, seeds - 1) / scipy_stats.norm.isf(0.025)
            n = max(1.0, p * (1 - p) / (p * (1 - p) / n + (ratio * self.error) ** 2))
        low, high = stats.wilson(p * n, n)
        return float(low), float(high)

    @property
    def log_odds(self) -> float:
        """Of the score.

        Raises:
            ValueError: a Run diverged, so that there is no score.
        """
        if self.score is None:
            raise ValueError(f'{self.name} on {self.dataset} diverged: no score.')
        return float(stats.log_odds(self.score, self.test_images))

    @property
    def runs(self) -> int:
        """Number of Runs behind the score, trials included."""
        trials = {name for record in self.records for name in record.run.trials}
        return len(self.records) + len(trials)

    @property
    def seconds(self) -> float | None:
        """Wall-clock of all Runs behind the score; None where a trial is missing.

        Features that a Run found in the cache count as if it had computed them.
        """
        behind = self.records + self.trials
        if len(behind) < self.runs:
            return None
        return sum(
            record.seconds.get('total', 0) + record.seconds.get('cached_features', 0)
            for record in behind
        )


@dataclasses.dataclass(frozen=True)
class Missing:
    """A cell that has no final Run, and how many of its trials are done."""

    network: str
    dataset: str
    setting: str
    per_class: int | None
    image_size: int | None
    trials: int


def read(workdir: str | os.PathLike) -> list[results.Record]:
    """The Records of `read_folder`."""
    return read_folder(workdir).records


def read_folder(workdir: str | os.PathLike) -> results.Folder:
    """The Records of a results folder, and what of it is left out, which is logged.

    Raises:
        errors.InputError: no such folder, no Record in it that can be read, or one of
            another version.
    """
    if not pathlib.Path(workdir).is_dir():
        raise errors.InputError(
            f'No results folder {str(workdir)!r}. Give the --workdir of the Runs.'
        )
    found = results.read_folder(workdir)
    for sentence in found.left_out:
        logging.warning('%s', sentence)
    compared = race_log.compared(workdir)
    found = found._replace(records=of_one_share(found.records, compared))
    if not found.records:
        raise errors.InputError(
            ' '.join(found.left_out)
            or f'{str(workdir)!r} holds no finished Run. Make some first: python -m '
            f'tfxfer.run --config=configs/logistic.py --workdir={workdir}'
        )
    return found


def of_one_share(
    records: Sequence[results.Record], compared: float | None = None
) -> list[results.Record]:
    """Those of one share of the images, which alone are of the same test images.

    compared: the share that a race has come to, which holds until as many networks are
    measured on all images; None: the largest that there is.
    """
    finals = [
        record
        for record in records
        if record.run.phase == 'final' and record.run.setting != 'pretrain'
    ]
    networks = collections.defaultdict(set)
    for record in finals:
        networks[record.run.share or 1.0].add((record.run.arch, record.run.weights))
    share = max(networks, default=1.0)
    if compared is not None and len(networks[compared]) > len(networks[1.0]):
        share = compared
    left_out = {r.run.id for r in finals if (r.run.share or 1.0) != share}
    return [record for record in records if record.run.id not in left_out]


def cells(records: Sequence[results.Record]) -> list[Cell]:
    """The Cells of all final Records, but for pretrain; in the order of their names.

    Raises:
        errors.InputError: two Runs that only the same number can be of.
    """
    index = _Index(records)
    groups = grouped(index.finals, lambda record: (index.key(record), record.metric))
    made = [
        index.cell(key, recipe, members)
        for (key, metric), group in groups.items()
        for recipe, members in index.recipes(key, metric, group).items()
    ]
    return sorted(made, key=_order)


def missing(records: Sequence[results.Record]) -> list[Missing]:
    """Cells that the others lead one to expect and that have no final Run.

    Expected is, within each (per_class, image_size) that occurs, every network on every
    dataset in every setting that occurs there.
    """
    index = _Index(records)
    measured = {index.key(record) for record in index.finals}
    used = {name for record in index.finals for name in record.run.trials}
    waiting = collections.Counter(
        index.key(record) for record in index.trials if record.run.id not in used
    )
    keys = sorted(measured | set(waiting), key=str)
    return [
        Missing(
            key.network,
            key.dataset,
            key.setting,
            key.per_class,
            key.image_size,
            trials=waiting[key],
        )
        for condition in grouped(
            keys, lambda key: (key.per_class, key.image_size)
        ).values()
        for key in _product(condition)
        if key not in measured and index.possible(key.network, key.setting)
    ]


def best(group: Iterable[Cell]) -> Cell | None:
    """The Cell of the highest score; None where all diverged."""
    scored = [cell for cell in group if cell.score is not None]
    return max(scored, key=lambda cell: cell.score or 0.0, default=None)


def tasks(all_cells: Iterable[Cell]) -> dict[tuple[str, int | None, str], list[Cell]]:
    """Cells by task, sorted: {(dataset, per_class, metric): [Cell, ...]}."""
    groups = grouped(all_cells, lambda cell: cell.task)
    return dict(sorted(groups.items(), key=lambda item: sortable(item[0])))


def folders(records: Sequence[results.Record]) -> dict[str, str]:
    """{name: path} of the datasets that are a user's own images."""
    labels = naming.Labels(records)
    return {
        labels.dataset(record.run): record.run.dataset
        for record in sorted(records, key=lambda record: record.run.dataset)
        if record.run.dataset.startswith(('folder:', 'csv:'))
    }


class _Key(typing.NamedTuple):
    """What tells cells apart, but for the recipe."""

    network: str
    dataset: str
    per_class: int | None
    image_size: int | None
    setting: str


def _product(keys):
    """A _Key of every network, dataset and setting of the keys of one condition."""
    present = {key.setting for key in keys}
    for network, dataset, setting in itertools.product(
        sorted({key.network for key in keys}),
        sorted({key.dataset for key in keys}),
        [setting for setting in SETTINGS if setting in present],
    ):
        yield keys[0]._replace(network=network, dataset=dataset, setting=setting)


class _Index:
    """The Records of a folder by what they are, and the names of what they are of."""

    def __init__(self, records):
        self.labels = naming.Labels(records)
        self.by_id = {record.run.id: record for record in records}
        transfer = [record for record in records if record.run.setting != 'pretrain']
        self.pretrained = [r for r in records if r.run.setting == 'pretrain']
        self.finals = [record for record in transfer if record.run.phase == 'final']
        self.trials = [record for record in transfer if record.run.phase == 'trial']
        self.by_arch = grouped(self.finals, lambda record: self.labels.arch(record.run))
        self.source_names = {
            record.run.dataset: self.labels.dataset(record.run)
            for record in self.pretrained
        }
        self.with_weights = {
            self.labels.network(record.run) for record in transfer if record.run.weights
        }
        self.varying = self._varying()
        self.metrics = collections.defaultdict(set)  # By dataset.
        for record in self.finals:
            self.metrics[self.labels.dataset(record.run)].add(record.metric)

    def _varying(self):
        """{setting: fields of its recipe}: those that differ among Runs of one task."""
        tasks: dict = {name: collections.defaultdict(list) for name in SETTINGS}
        for record in self.finals:
            key = self.key(record)._replace(network='')
            tasks[key.setting][key, record.metric].append(record.run)
        return {name: naming.varying(of.values()) for name, of in tasks.items()}

    def key(self, record):
        run = record.run
        return _Key(
            self.labels.network(run),
            self.labels.dataset(run),
            run.per_class,
            run.image_size,
            run.setting,
        )

    def cell(self, key, recipe, records):
        """The Cell of final Records that differ in the seed alone."""
        records = sorted(records, key=lambda record: record.run.seed)
        trials = {name for record in records for name in record.run.trials}
        return Cell(
            **key._asdict(),
            arch=self.labels.arch(records[0].run),
            recipe=recipe,
            records=tuple(records),
            trials=tuple(self.by_id[name] for name in sorted(trials & set(self.by_id))),
            source=self.source(records),
        )

    def possible(self, network, setting):
        """Whether the network's weights and the setting go together."""
        archs = {arch for arch, _ in self.labels.networks}
        if setting == 'scratch':
            return network in archs
        weighted = {arch for arch, key in self.labels.networks if key is not None}
        return network in self.with_weights or network in archs - weighted

    def recipes(self, key, metric, records):
        """Records of one cell by recipe; those of one recipe differ in the seed.

        The metric is named where the dataset was scored by several.
        """
        more = f'metric={metric}' if len(self.metrics[key.dataset]) > 1 else ''
        return {
            ' '.join(filter(None, (recipe, more))): members
            for recipe, members in self._recipes(key.setting, records).items()
        }

    def _recipes(self, setting, records):
        varying = self.varying[setting]
        split = {}
        for recipe, members in _by_recipe(records, varying).items():
            if _twice(members):
                members = _distinct(members)
            if not _twice(members):
                split[recipe] = members
                continue
            # The same seed twice: what a trial would have chosen was set by hand.
            fields = varying + tuple(
                name for name in naming.TRIED if hasattr(members[0].run.hparams, name)
            )
            split.update(_by_recipe(members, fields))
        for members in split.values():
            if twice := _twice(members):
                raise errors.InputError(
                    f'{twice[0].run.id} and {twice[1].run.id} are the same Run of one '
                    'cell, twice. Remove one of the two folders.'
                )
        return split

    def source(self, records):
        """The Source of a cell's weights, mean over seeds; None if it is not known."""
        sources = [record.source for record in records if record.source]
        if not sources and not records[0].run.weights:
            sources = self._arch_sources(records[0].run)
        if len({source['dataset'] for source in sources}) != 1:
            return None
        name = sources[0]['dataset']
        scores = [source['score'] for source in sources if source['score'] is not None]
        return Source(
            dataset=self.source_names.get(name, name),
            score=float(np.mean(scores)) if scores else None,
            images=sources[0]['images'],
        )

    def _arch_sources(self, run):
        """What an architecture was trained for, for the Runs that start at random."""
        arch = self.labels.arch(run)
        others = [record for record in self.by_arch.get(arch, ()) if record.source]
        if len({self.labels.weights(record.run) for record in others}) > 1:
            return []  # Which of them to lay beside scratch is not known.
        sources = [record.source for record in others] or [
            Source(
                dataset=record.run.dataset,
                score=record.score,
                images=record.images['test'],
            )
            for record in self.pretrained
            if self.labels.arch(record.run) == arch and record.score is not None
        ]
        if sources:
            return sources
        known = architectures.known(run.arch)
        if known is None or known.imagenet_top1 is None:
            return []
        return [Source(dataset=IMAGENET, score=known.imagenet_top1, images=None)]


def _distinct(records):
    """Without those whose Run names the metric that another's dataset has anyway."""
    numbers: dict[str, results.Record] = {}
    for record in records:
        named = dataclasses.replace(record.run, metric=record.metric)
        numbers.setdefault(named.id, record)
    return list(numbers.values())


def _twice(records):
    """Two Records of one seed, and of the same weights, or None.

    The weights, as those of several pretrain seeds are one network's.
    """
    seen: dict[tuple, results.Record] = {}
    for record in records:
        key = record.run.seed, record.run.weights
        if key in seen:
            return seen[key], record
        seen[key] = record
    return None


def _by_recipe(records, fields):
    return grouped(records, lambda record: naming.recipe(record.run, fields))


Item = typing.TypeVar('Item')
Key = typing.TypeVar('Key', bound=Hashable)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """{key(item): [item, ...]}, in the order given."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def sortable(values: Iterable[typing.Any]) -> tuple[tuple[bool, typing.Any], ...]:
    """None and numbers in one order: None, which stands for all, first."""
    return tuple((v is not None, v if v is not None else 0) for v in values)


def _order(cell):
    return (
        cell.dataset,
        sortable((cell.per_class,)),
        cell.network,
        sortable((cell.image_size,)),
        SETTINGS.index(cell.setting),
        cell.recipe,
    )
