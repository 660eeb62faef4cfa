"""Records -> cells: the numbers that tables and figures share.

A cell is one number of the study: a network on a dataset in a setting, the mean over
the seeds it was measured with.
"""

import collections
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib

import numpy as np

from tfxfer import architectures, config, errors, results
from tfxfer.analysis import stats

SETTINGS = tuple(name for name in config.HPARAMS if name != 'pretrain')
IMAGENET = 'imagenet2012'
TRIED = ('lr', 'wd')  # Hyperparameters that trials choose; the rest are the recipe.


@dataclasses.dataclass(frozen=True)
class Cell:
    """What was measured of one network on one dataset in one setting.

    Attributes:
        network: the architecture, and its weights where the folder has several.
        arch: key of ARCHITECTURES.
        dataset: its name, of a folder of images the folder's own.
        setting: key of HPARAMS, not pretrain.
        per_class, image_size: as in config.Run.
        recipe: hyperparameters in which the final Runs of this setting differ by
            intent, such as 'steps=500'; '' where they are all alike.
        records: final Records, by seed.
        trials: Records of the trial Runs behind them that the folder holds.
        source: what the network was trained for before: {'dataset', 'score' 0-1,
            'images'}; of scratch what the same architecture was; None if not known.
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
    source: dict | None

    @property
    def name(self):
        """Network, setting and what else tells it from others on its task."""
        size = f'{self.image_size} px' if self.image_size else ''
        return ', '.join(filter(None, (self.network, self.setting, self.recipe, size)))

    @property
    def task(self):
        """Cells with the same task are scored on the same images and compete."""
        return self.dataset, self.per_class

    @property
    def origin(self):
        """Of its weights: 'own' (a pretrain Run's), 'public', or '' (random).

        A public checkpoint's source accuracy is quoted, not of so many test images.
        """
        first = self.records[0]
        if not first.run.weights:
            return ''
        scored = bool(first.source and first.source['images'])
        return 'own' if first.run.weights.startswith('run:') or scored else 'public'

    @property
    def metric(self):
        return self.records[0].metric

    @property
    def diverged(self):
        return any(record.status != 'done' for record in self.records)

    @property
    def score(self):
        """Mean over seeds, 0-1; None where a Run diverged, which no mean can mend."""
        if self.diverged:
            return None
        return float(np.mean([record.score for record in self.records]))

    @property
    def error(self):
        """Standard error of the mean over seeds, 0-1; None of one seed."""
        if self.diverged or len(self.records) < 2:
            return None
        scores = [record.score for record in self.records]
        return float(np.std(scores, ddof=1) / np.sqrt(len(scores)))

    @property
    def test_images(self):
        return self.records[0].images['test']

    @property
    def interval(self):
        """Wilson's 95 % interval (low, high), 0-1, of top-1; None of other metrics.

        Seeds are scored on the same images, so they do not add to n.
        """
        if self.score is None or self.metric != 'top1':
            return None
        bounds = stats.wilson(self.score * self.test_images, self.test_images)
        return tuple(map(float, bounds))

    @property
    def log_odds(self):
        return float(stats.log_odds(self.score, self.test_images))

    @property
    def runs(self):
        """Number of Runs behind the score, trials included."""
        trials = {name for record in self.records for name in record.run.trials}
        return len(self.records) + len(trials)

    @property
    def seconds(self):
        """Wall-clock of all Runs behind the score; None where a trial is gone."""
        behind = self.records + self.trials
        if len(behind) < self.runs:
            return None
        return sum(record.seconds.get('total', 0) for record in behind)


@dataclasses.dataclass(frozen=True)
class Missing:
    """A cell that has no final Run, and how many of its trials are done."""

    network: str
    dataset: str
    setting: str
    per_class: int | None
    image_size: int | None
    trials: int


def read(workdir):
    """The Records of a results folder, by Run id.

    Raises:
        errors.InputError: no such folder, no Record in it, or one that cannot be read,
            which is named.
    """
    workdir = pathlib.Path(workdir)
    if not workdir.is_dir():
        raise errors.InputError(
            f'No results folder {str(workdir)!r}. Give the --workdir of the Runs.'
        )
    records = []
    for path in sorted(workdir.glob('*/record.json')):
        try:
            records.append(results.read(path.parent))
        except (KeyError, TypeError, AttributeError) as error:
            raise errors.InputError(
                f'{path} is not a record ({error!r}). Remove its folder and run the '
                'same command again.'
            ) from error
    if not records:
        raise errors.InputError(
            f'{str(workdir)!r} holds no finished Run. Make some first: python -m '
            f'tfxfer.run --config=configs/logistic.py --workdir={workdir}'
        )
    return records


def cells(records):
    """The Cells of all final Records, but for pretrain; in the order of their names."""
    study = _Study(records)
    found = []
    for key, group in grouped(study.finals, study.key).items():
        network, dataset, per_class, image_size, setting = key
        for recipe, members in study.recipes(setting, group).items():
            members = sorted(members, key=lambda record: record.run.seed)
            names = {name for record in members for name in record.run.trials}
            found.append(
                Cell(
                    network=network,
                    arch=members[0].run.arch,
                    dataset=dataset,
                    setting=setting,
                    per_class=per_class,
                    image_size=image_size,
                    recipe=recipe,
                    records=tuple(members),
                    trials=tuple(
                        study.by_id[name] for name in sorted(names & set(study.by_id))
                    ),
                    source=study.source(members),
                )
            )
    return sorted(found, key=_order)


def missing(records):
    """Cells that the others lead one to expect and that have no final Run.

    Expected is, within each (per_class, image_size) that occurs, every network on every
    dataset in every setting that occurs there.
    """
    study = _Study(records)
    has = {study.key(record) for record in study.finals}
    used = {name for record in study.finals for name in record.run.trials}
    waiting = collections.Counter(
        study.key(record) for record in study.trials if record.run.id not in used
    )
    found = []
    for (per_class, size), keys in grouped(
        sorted(has | set(waiting), key=str), lambda key: key[2:4]
    ).items():
        settings = [s for s in SETTINGS if s in {key[4] for key in keys}]
        networks = sorted({key[0] for key in keys})
        names = sorted({key[1] for key in keys})
        for network, dataset, setting in itertools.product(networks, names, settings):
            key = network, dataset, per_class, size, setting
            if key not in has and study.possible(network, setting):
                found.append(
                    Missing(network, dataset, setting, per_class, size, waiting[key])
                )
    return found


def best(group):
    """The Cell of the highest score; None where all diverged."""
    scored = [cell for cell in group if cell.score is not None]
    return max(scored, key=lambda cell: cell.score, default=None)


def tasks(all_cells):
    """Cells by task, sorted: {(dataset, per_class): [Cell, ...]}."""
    found = grouped(all_cells, lambda cell: cell.task)
    return dict(sorted(found.items(), key=lambda item: sortable(item[0])))


def folders(records):
    """Label of each dataset that is a user's own images: {label: where it was}."""
    study = _Study(records)
    return {
        study.datasets[_dataset_key(record.run)]: record.run.dataset
        for record in sorted(records, key=lambda record: record.run.dataset)
        if record.run.dataset.startswith(('folder:', 'csv:'))
    }


class _Study:
    """What the Records of a folder are called, together."""

    def __init__(self, records):
        self.by_id = {record.run.id: record for record in records}
        rest = [record for record in records if record.run.setting != 'pretrain']
        self.pretrained = [r for r in records if r.run.setting == 'pretrain']
        self.finals = [record for record in rest if record.run.phase == 'final']
        self.trials = [record for record in rest if record.run.phase == 'trial']
        self.by_arch = grouped(self.finals, lambda record: record.run.arch)
        self.weights = {}  # What _weights found, by what it depends on.
        self.datasets = _dataset_labels(records)
        self.source_names = {
            record.run.dataset: self.datasets[_dataset_key(record.run)]
            for record in self.pretrained
        }
        self.networks = self._network_labels(rest)
        self.with_weights = {
            self.networks[record.run.arch, self._weights(record.run)]
            for record in rest
            if record.run.weights
        }
        self.varying = {
            setting: _varying([r.run for r in self.finals if r.run.setting == setting])
            for setting in SETTINGS
        }

    def key(self, record):
        run = record.run
        return (
            self.networks[run.arch, self._weights(run)],
            self.datasets[_dataset_key(run)],
            run.per_class,
            run.image_size,
            run.setting,
        )

    def possible(self, network, setting):
        """Whether the network's weights and the setting go together."""
        archs = {arch for arch, _ in self.networks}
        if setting == 'scratch':
            return network in archs
        weighted = {arch for arch, key in self.networks if key is not None}
        return network in self.with_weights or network in archs - weighted

    def recipes(self, setting, records):
        """Records of one cell by recipe; those of one recipe differ in the seed."""
        groups = grouped(records, lambda r: _text(r.run, self.varying[setting]))
        split = {}
        for recipe, members in groups.items():
            # The weights, as those of several pretrain seeds are one network's.
            seeds = collections.Counter((r.run.seed, r.run.weights) for r in members)
            if max(seeds.values()) == 1:
                split[recipe] = members
                continue
            # The same seed twice: what a trial would have chosen was set by hand.
            fields = self.varying[setting] + tuple(
                name for name in TRIED if hasattr(members[0].run.hparams, name)
            )
            split.update(grouped(members, lambda r, f=fields: _text(r.run, f)))
        return split

    def source(self, records):
        """The mean over seeds of what the weights were trained for, or None."""
        own = [record.source for record in records if record.source]
        if not own:
            own = self._arch_sources(records[0].run.arch)
        if len({source['dataset'] for source in own}) != 1:
            return None
        scores = [source['score'] for source in own if source['score'] is not None]
        return {
            'dataset': self.source_names.get(own[0]['dataset'], own[0]['dataset']),
            'score': float(np.mean(scores)) if scores else None,
            'images': own[0]['images'],
        }

    def _arch_sources(self, arch):
        """What an architecture was trained for, for the Runs that start at random."""
        others = [record for record in self.by_arch.get(arch, ()) if record.source]
        if len({self._weights(record.run) for record in others}) > 1:
            return []  # Which of them to lay beside scratch is not known.
        own = [record.source for record in others] or [
            {
                'dataset': record.run.dataset,
                'score': record.score,
                'images': record.images['test'],
            }
            for record in self.pretrained
            if record.run.arch == arch and record.score is not None
        ]
        if own:
            return own
        known = architectures.ARCHITECTURES.get(arch)
        if known is None or known.imagenet_top1 is None:
            return []
        return [{'dataset': IMAGENET, 'score': known.imagenet_top1, 'images': None}]

    def _weights(self, run):
        """What tells weights apart: not the seed of the pretrain Run; None: random."""
        key = run.weights, run.weights_digest
        if key not in self.weights:
            self.weights[key] = self._weights_facts(run)
        return self.weights[key]

    def _weights_facts(self, run):
        if not run.weights:
            return None
        record = self.by_id.get(run.weights.partition(':')[2])
        if not run.weights.startswith('run:') or record is None:
            return run.weights_digest or run.weights
        facts = config.to_dict(record.run)
        del facts['seed'], facts['trials']
        return json.dumps(facts, sort_keys=True)

    def _network_labels(self, records):
        labels = {}
        for arch, group in grouped(records, lambda record: record.run.arch).items():
            names = {}
            for record in sorted(group, key=lambda record: record.run.id):
                names.setdefault(self._weights(record.run), record.run.weights)
            kinds = {key: name for key, name in names.items() if key is not None}
            short = {key: self._weights_name(name) for key, name in kinds.items()}
            ways = self._ways(kinds)
            longer = {
                key: f'{name}, {ways[key]}' if key in ways else name
                for key, name in short.items()
            }
            full = {key: f'{name} {_digest(key)}' for key, name in short.items()}
            labels[arch, None] = arch
            for key, name in _distinct(short, longer, full).items():
                labels[arch, key] = arch if len(kinds) == 1 else f'{arch} ({name})'
        return labels

    def _ways(self, kinds):
        """{key: in what it was pretrained unlike others}, not named where by default.

        kinds: {key: weights}.
        """
        ids = {key: name.partition(':')[2] for key, name in kinds.items()}
        runs = {key: self.by_id[i].run for key, i in ids.items() if i in self.by_id}
        runs = {key: run for key, run in runs.items() if run.setting == 'pretrain'}
        fields = _varying(list(runs.values()))
        return {
            key: _text(run, [f for f in fields if _changed(run, f)]) or 'defaults'
            for key, run in runs.items()
            if fields
        }

    def _weights_name(self, weights):
        kind, _, name = weights.partition(':')
        if kind != 'run':
            return pathlib.PurePath(weights).name
        record = self.by_id.get(name)
        return f'from {record.run.dataset}' if record else name


def _dataset_key(run):
    return run.dataset_digest or run.dataset


def _dataset_labels(records):
    """{what tells a dataset apart: the shortest name that does}."""
    names = {}
    for record in sorted(records, key=lambda record: record.run.dataset):
        names.setdefault(_dataset_key(record.run), record.run.dataset)
    short = {key: _short(name) for key, name in names.items()}
    full = {key: f'{name} {_digest(key)}' for key, name in names.items()}
    return _distinct(short, names, full)


def _distinct(*levels):
    """{key: its name in the first of `levels`, {key: name}, that no other key has}."""
    counts = [collections.Counter(level.values()) for level in levels]
    return {
        key: next(
            level[key]
            for level, count in zip(levels, counts, strict=True)
            if count[level[key]] == 1
        )
        for key in levels[0]
    }


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _short(dataset):
    kind, _, path = dataset.partition(':')
    return os.path.basename(path.rstrip('/\\')) or kind


def _varying(runs):
    """Fields of the recipe in which Runs of one setting differ."""
    if not runs:
        return ()
    fields = [f.name for f in dataclasses.fields(runs[0].hparams)]
    return tuple(
        name
        for name in fields
        if name not in TRIED and len({getattr(r.hparams, name) for r in runs}) > 1
    )


def _changed(run, field):
    return getattr(run.hparams, field) != getattr(type(run.hparams), field)


def _text(run, fields):
    return ' '.join(f'{name}={brief(getattr(run.hparams, name))}' for name in fields)


def brief(value):
    """A hyperparameter as short text: 0.0316, 1e-06, 45 values 1e-06..1e+05."""
    if isinstance(value, (tuple, list)):
        if len(value) == 1:
            return brief(value[0])
        return f'{len(value)} values {brief(min(value))}..{brief(max(value))}'
    if isinstance(value, float):
        return f'{value:.3g}'
    return str(value)


def grouped(items, key):
    """{key(item): [item, ...]}, in the order given."""
    groups = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def sortable(values):
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
