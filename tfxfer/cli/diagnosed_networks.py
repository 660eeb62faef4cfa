"""Which networks `diagnose` looks at, and how they are named."""

import collections
import os
import pathlib
import typing
from collections.abc import Iterable, Sequence

from tfxfer import architectures, config, errors, results
from tfxfer.analysis import cells, training_options
from tfxfer.transfer.diagnosed import Network

Fields = dict[str, typing.Any]


def pretrained(
    workdir: str | os.PathLike, ids: Sequence[str], fields: Fields
) -> list[Network]:
    """Networks of a results folder: those of Runs `ids`, or of every pretrain Run.

    Args:
        fields: of config.Run, what else determines the features.

    Raises:
        errors.InputError: no such Run, or none, that is finished and has its weights.
    """
    known = {
        record.run.id: record.run
        for record in cells.read(workdir)
        if (results.folder(workdir, record.run) / 'model.weights.h5').exists()
    }
    pretrain = [name for name, made in known.items() if made.setting == 'pretrain']
    if not (ids or pretrain):
        raise errors.InputError(
            f'{str(workdir)!r} holds no finished pretrain Run that has its weights. '
            'Make one: python -m tfxfer.run --config=configs/pretrain.py; or name '
            'public weights: --archs=resnet_50 --weights=slim.'
        )
    runs = [
        errors.find('finished Run with weights', known, name)
        for name in dict.fromkeys(ids or pretrain)
    ]
    networks = [
        Network(name, _logistic(made.arch, f'run:{made.id}', made, fields), made)
        for name, made in zip(names(runs), runs, strict=True)
    ]
    return networks if ids else sorted(networks, key=lambda network: network.name)


def public(archs: Iterable[str], weights: str, fields: Fields) -> list[Network]:
    """Networks with public weights, or those of a file; arguments as `pretrained`.

    Raises:
        errors.InputError: an unknown architecture, or one without such weights.
    """
    networks = []
    for name in dict.fromkeys(archs):
        arch = architectures.find(name)
        if weights == 'keras' and weights not in arch.weights:
            raise errors.InputError(
                f'Keras offers no weights of {name}. Its sources of weights: '
                f'{", ".join(arch.weights) or "none; pretrain it"}.'
            )
        label = f'{architectures.short(name)} ({pathlib.PurePath(weights).name})'
        networks.append(Network(label, _logistic(name, weights, None, fields), None))
    return networks


def _logistic(arch, weights, trained, fields):
    fields = dict(fields)
    if trained and fields.get('image_size') is None:
        fields['image_size'] = trained.image_size
    return config.from_dict(
        {'arch': arch, 'setting': 'logistic', 'weights': weights, **fields}
    )


def names(runs: Sequence[config.Run]) -> list[str]:
    """Of each Run the architecture, and where several have it what differs."""
    labels = []
    flat = [{**vars(one), **vars(one.hparams)} for one in runs]
    for one, values in zip(runs, flat, strict=True):
        alike = [other for other in flat if other['arch'] == one.arch]
        differ = {
            name: values[name]
            for name in values
            if name not in ('id', 'hparams', 'trials', 'search', 'resume', 'length')
            and len({str(other.get(name)) for other in alike}) > 1
        }
        text = training_options.combination(differ)
        labels.append(', '.join(filter(None, (one.arch, text))))
    counts = collections.Counter(labels)
    return [
        f'{name} {one.id[-6:]}' if counts[name] > 1 else name
        for name, one in zip(labels, runs, strict=True)
    ]


def options_of(networks: Sequence[Network]) -> list[Fields]:
    """How each was trained: a dict per network, empty of public weights.

    Those training options whose effect on transfer is studied, and what else of the
    hyperparameters differs.
    """
    hparams = [vars(n.trained.hparams) if n.trained else {} for n in networks]
    every = dict.fromkeys(name for own in hparams for name in own)
    shown = [
        name
        for name in every
        if name in training_options.OPTIONS
        or len({own[name] for own in hparams if name in own}) > 1
    ]
    return [{name: own[name] for name in shown if name in own} for own in hparams]
