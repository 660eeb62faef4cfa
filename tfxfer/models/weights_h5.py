"""Files of our own, `.weights.h5`: Keras' format, with names and metadata beside."""

import json
import os
import typing
from collections.abc import Mapping, Sequence

import h5py
import keras
import numpy as np

from tfxfer import architectures, errors, storage
from tfxfer.models import h5_arrays, network, weight_files, weights


def read(path: str, arch: architectures.Architecture) -> weights.Weights:
    """The Weights in a file, if they are an Architecture's.

    Raises:
        errors.InputError: the file is damaged or another network's.
    """
    held = weights.Weights(path, read_tensors(path), metadata(path))
    if held.metadata['arch'] != arch.identity:
        raise errors.InputError(
            f'{path!r} holds weights of {held.metadata["arch"]}, not of {arch.name}.'
        )
    return held


def metadata(path: str | os.PathLike) -> dict[str, typing.Any]:
    """What save_weights noted in a file: arch, graph, scale, digest and more.

    Raises:
        errors.InputError: not such a file.
    """
    try:
        with h5py.File(path) as file:
            noted = json.loads(file.attrs['tfxfer'])
        if not {'arch', 'graph', 'scale'} <= set(noted):
            raise ValueError('it does not say of which network it is')
    except h5_arrays.DAMAGE as error:
        raise errors.InputError(
            f'{str(path)!r} was not written by models.save_weights, or is damaged '
            f'({error}).'
        ) from error
    return noted


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """Arrays by `layer/variable`, by the names that save_weights noted.

    Raises:
        errors.InputError: the file is not complete, or not as it was written, or its
            values are in another file.
    """
    digest = metadata(path).get('digest')
    try:
        with h5py.File(path) as file:
            h5_arrays.refuse_links(file)
            values = _values(file, os.path.getsize(path))
        if digest not in (None, weights.digest_of(values)):  # None: an older file.
            raise ValueError('its values are not those that were written')
    except h5_arrays.DAMAGE as error:
        raise errors.InputError(
            f'{str(path)!r} is truncated or damaged ({error}); make it again.'
        ) from error
    return values


def _values(file: typing.Any, size: int) -> dict[str, np.ndarray]:
    """size: of the file, in bytes; its values have no more."""
    values, left = {}, size

    def visit(_: str, group: typing.Any) -> None:
        nonlocal left
        for i, name in enumerate(group.attrs.get('variables', ())):
            dataset = group[str(i)]
            left -= dataset.nbytes
            h5_arrays.check(dataset, left)
            values[f'{group.attrs["name"]}/{name}'] = dataset[()]

    file.visititems(visit)
    return values


def save_weights(
    model: network.TransferNetwork, path: str | os.PathLike, **metadata: typing.Any
) -> str:
    """Writes the weights of a network, complete or not at all; returns their digest.

    Keras' own format, so that Model.load_weights takes the file too, with the names of
    the variables and the metadata in HDF5 attributes beside. Of a network with models
    within it, whose layers may have each other's names, a group per layer.

    Args:
        model: from `models.build`.
        path: must end in `.weights.h5`.
        **metadata: what else is to be known of the weights, JSON values, e.g. `source`.

    Raises:
        errors.InputError: another ending.
    """
    path = os.fspath(path)
    if not path.endswith(weight_files.SUFFIX):
        raise errors.InputError(
            f'A file of weights must end in {weight_files.SUFFIX}; got {path!r}.'
        )
    held = {n: network.variables(layer) for n, layer in network.parts(model).items()}
    scale = any('gamma' in variables for variables in held.values())
    metadata = {
        'arch': model.architecture.identity,
        'graph': model.graph,
        # The Keras graphs do not have the choice.
        'scale': scale if model.graph == 'slim' else None,
        **metadata,
    }
    with storage.replacing(path) as temporary:
        if any(isinstance(layer, keras.Model) for layer in model.layers):
            _write(temporary, metadata, held)
        else:
            model.save_weights(temporary)
            with h5py.File(temporary, 'r+') as file:
                _note(file, metadata, {name: list(held[name]) for name in held})
        digest = weights.digest_of(read_tensors(os.fspath(temporary)))
        with h5py.File(temporary, 'r+') as file:
            file.attrs['tfxfer'] = json.dumps({**metadata, 'digest': digest})
    return digest


def _write(
    path: str | os.PathLike,
    metadata: Mapping[str, typing.Any],
    held: Mapping[str, Mapping[str, typing.Any]],
) -> None:
    """A group per layer, as _note leaves Keras' own."""
    with h5py.File(path, 'w') as file:
        file.attrs['tfxfer'] = json.dumps(metadata)
        for number, (name, variables) in enumerate(held.items()):
            group = file.create_group(f'layers/{number}')
            group.attrs['name'] = name
            if variables:
                group.attrs['variables'] = list(variables)
            for i, variable in enumerate(variables.values()):
                group[str(i)] = variable.numpy()


def _note(
    file: typing.Any,
    metadata: Mapping[str, typing.Any],
    names: Mapping[str, Sequence[str]],
) -> None:
    file.attrs['tfxfer'] = json.dumps(metadata)

    def visit(_: str, group: typing.Any) -> None:
        layer = group.attrs.get('name')
        if names.get(layer):
            group.attrs['variables'] = names[layer]

    file.visititems(visit)


def load_weights(model: network.TransferNetwork, path: str | os.PathLike) -> None:
    """Sets a network's weights to a file's that `save_weights` wrote.

    A classifier with another number of classes keeps its own.

    Raises:
        errors.InputError: not such a file, or another network's.
    """
    arch = model.architecture
    held = read(os.fspath(path), arch)
    if held.metadata['graph'] != model.graph:
        raise errors.InputError(
            f'{held.path!r} holds weights of the {held.metadata["graph"]} graph of '
            f'{arch.name}; this is the {model.graph} one.'
        )
    held.assign_to(model, skip=held.unfit_heads(model.classes))
