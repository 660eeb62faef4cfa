"""What the networks, datasets and recipes of a results folder are called.

Always the shortest name that nothing else in the folder has.
"""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Sequence

from tfxfer import architectures, config, number_format, results

TRIED = ('lr', 'wd')  # Hyperparameters that trials choose; the rest are the recipe.
# Fields of a Run that cells have of their own, or that say nothing of the number. All
# others are of the recipe, those that a later version adds too.
_NO_RECIPE = (
    'arch', 'arch_digest', 'dataset', 'dataset_digest', 'setting', 'hparams', 'phase',
    'seed', 'weights', 'weights_digest', 'per_class', 'share', 'image_size', 'metric',
    'until', 'trials', 'search', 'resume', 'length',
)  # fmt: skip
_OF_RUN = tuple(
    field.name
    for field in dataclasses.fields(config.Run)
    if field.name not in _NO_RECIPE
)


class Labels:
    """Names of the networks and datasets of all Records of a folder.

    Attributes:
        archs: {identity of an architecture: name}.
        networks: {(name of the architecture, identity of its weights): name}; the
            identity is None of random weights, which every network may have.
        datasets: {identity: name}.
    """

    def __init__(self, records: Sequence[results.Record]) -> None:
        self._by_id = {record.run.id: record for record in records}
        self._identities: dict[tuple, str | None] = {}
        self.archs = _arch_labels(records)
        self.datasets = _dataset_labels(records)
        self.networks = self._network_labels(
            [record.run for record in records if record.run.setting != 'pretrain']
        )

    def network(self, run: config.Run) -> str:
        """The architecture, and its weights where the folder has several."""
        return self.networks[self.arch(run), self.weights(run)]

    def arch(self, run: config.Run) -> str:
        """The name of the architecture, of a model file the file's."""
        return self.archs[arch_identity(run)]

    def dataset(self, run: config.Run) -> str:
        """The key of DATASETS, or the last part of a folder's or file's path."""
        return self.datasets[dataset_identity(run)]

    def weights(self, run: config.Run) -> str | None:
        """What tells weights apart, but for the pretrain Run's seed; None: random."""
        key = run.weights, run.weights_digest
        if key not in self._identities:
            self._identities[key] = self._identity(run)
        return self._identities[key]

    def _identity(self, run):
        if not run.weights:
            return None
        record = self._by_id.get(run.weights.partition(':')[2])
        if not run.weights.startswith('run:') or record is None:
            return run.weights_digest or run.weights
        fields = config.to_dict(record.run)
        del fields['seed'], fields['trials']
        return json.dumps(fields, sort_keys=True)

    def _network_labels(self, runs):
        weights: dict[str, dict] = collections.defaultdict(dict)  # By arch, as below.
        for run in sorted(runs, key=lambda run: run.id):
            weights[self.arch(run)].setdefault(self.weights(run), run.weights)
        labels = {}
        for arch, names in weights.items():
            labels[arch, None] = arch
            trained = {key: name for key, name in names.items() if key is not None}
            for key, name in self._weights_labels(trained).items():
                labels[arch, key] = arch if len(trained) == 1 else f'{arch} ({name})'
        return labels

    def _weights_labels(self, weights):
        """{identity: name} of one architecture's weights, {identity: Run.weights}."""
        short = {key: self._weights_name(name) for key, name in weights.items()}
        ways = self._pretraining(weights)
        longer = {
            key: f'{name}, {ways[key]}' if key in ways else name
            for key, name in short.items()
        }
        full = {key: f'{name} {_digest(key)}' for key, name in short.items()}
        return _distinct(short, longer, full)

    def _weights_name(self, weights):
        kind, _, name = weights.partition(':')
        if kind != 'run':
            return pathlib.PurePath(weights).name
        record = self._by_id.get(name)
        return f'from {record.run.dataset}' if record else name

    def _pretraining(self, weights):
        """{identity: how it was pretrained unlike the others and unlike the default}.

        weights: {identity: Run.weights}.
        """
        ids = {key: name.partition(':')[2] for key, name in weights.items()}
        runs = {key: self._by_id[i].run for key, i in ids.items() if i in self._by_id}
        runs = {key: run for key, run in runs.items() if run.setting == 'pretrain'}
        fields = varying([list(runs.values())])
        return {
            key: recipe(run, [f for f in fields if _changed(run, f)]) or 'defaults'
            for key, run in runs.items()
            if fields
        }


def arch_identity(run: config.Run) -> str:
    """What tells architectures apart: of a model file its content, else the name."""
    if not run.arch_digest:
        return run.arch
    return f'{architectures.pathless(run.arch)} {run.arch_digest}'


def dataset_identity(run: config.Run) -> str:
    """What tells datasets apart: of one's own images their digest, else the name."""
    return run.dataset_digest or run.dataset


def varying(groups: Iterable[Sequence[config.Run]]) -> tuple[str, ...]:
    """Fields of the recipe in which the Runs of any group differ.

    groups: Runs of one setting, by what they compete on. What differs from task to task
    alone, as steps do that follow from the number of images, tells nothing apart.
    """
    groups = [runs for runs in groups if runs]
    if not groups:
        return ()
    of_setting = (field.name for field in dataclasses.fields(groups[0][0].hparams))
    return tuple(
        name
        for name in (*of_setting, *_OF_RUN)
        if name not in TRIED
        if any(len({_value(run, name) for run in runs}) > 1 for runs in groups)
    )


def recipe(run: config.Run, fields: Iterable[str]) -> str:
    """Hyperparameters of a Run as text, such as 'steps=500 dropout=0.2'.

    For steps that follow from the number of images stands what they follow from.
    """
    return ' '.join(
        run.length
        if name == 'steps' and run.length
        else f'{name}={number_format.brief(_value(run, name))}'
        for name in fields
    )


def _value(run, name):
    """A field of the recipe, be it of the hyperparameters or of the Run."""
    return getattr(run if name in _OF_RUN else run.hparams, name)


def _arch_labels(records):
    """{identity: name}."""
    names: dict[str, str] = {}
    for record in sorted(records, key=lambda record: record.run.arch):
        names.setdefault(arch_identity(record.run), record.run.arch)
    short = {key: architectures.short(name) for key, name in names.items()}
    full = {
        key: name if key == names[key] else f'{name} {_digest(key)}'
        for key, name in short.items()
    }
    return _distinct(short, full)


def _dataset_labels(records):
    """{identity: name}."""
    names: dict[str, str] = {}
    for record in sorted(records, key=lambda record: record.run.dataset):
        names.setdefault(dataset_identity(record.run), record.run.dataset)
    short = {key: _last_part(name) for key, name in names.items()}
    full = {key: f'{name} {_digest(key)}' for key, name in names.items()}
    return _distinct(short, names, full)


def _last_part(dataset):
    kind, _, path = dataset.partition(':')
    return os.path.basename(path.rstrip('/\\')) or kind


def _distinct(*levels: dict[str, str]) -> dict[str, str]:
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


def _changed(run, field):
    default = getattr(type(run if field in _OF_RUN else run.hparams), field)
    return _value(run, field) != default


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:6]
