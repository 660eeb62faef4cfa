"""A user's own Keras file: what it says of itself, read without running any of it.

No TensorFlow, but for SavedModels (saved_model_file.py). A `.keras` file is a ZIP
archive of config.json, which says how the model is built, and model.weights.h5.
"""

import dataclasses
import io
import json
import math
import os
import pathlib
import typing
import zipfile
import zlib
from collections.abc import Iterator, Mapping

import h5py

from tfxfer import architectures, errors
from tfxfer.models import h5_arrays, hub_preset, keras_config

Config = keras_config.Config

_CONFIG, _WEIGHTS = 'config.json', 'model.weights.h5'
_OF_SAVED_MODEL = ('saved_model.pb', 'variables/variables.index')
# Layers and operations that scale pixels, and those that leave them as they are.
_SCALES = (
    'Rescaling', 'Normalization', 'TrueDivide', 'Divide', 'Multiply', 'Subtract',
    'BiasAdd',
)  # fmt: skip
_PASSES = (
    'InputLayer', 'Identity', 'Resizing', 'CenterCrop', 'ZeroPadding2D', 'Cast',
    'GetItem', 'Dropout',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        config: of the model, as Keras reads it.
        digest: SHA-256 of model and weights.
        parameters: numbers in the weights.
    """

    config: Config
    digest: str
    parameters: int


def find(name: str, *, trust: bool = False) -> architectures.Architecture:
    """The Architecture of a name, completed.

    Args:
        name: as architectures.find takes it.
        trust: whether code that a file holds may be run.

    Raises:
        errors.InputError: see architectures.find, complete.
    """
    arch = architectures.find(name)
    if arch.file:
        arch = dataclasses.replace(
            arch, file=dataclasses.replace(arch.file, trust=trust)
        )
    return complete(arch)


def complete(arch: architectures.Architecture) -> architectures.Architecture:
    """An Architecture with what its file or preset says; others as they are.

    Raises:
        errors.InputError: no such file, damaged, code in it, no network that takes
            colour images and can be trained, or nothing says how it scales pixels;
            see hub_preset.complete.
    """
    if not arch.file or arch.file.digest:
        return arch
    if arch.graph == architectures.HUB:
        return hub_preset.complete(arch)
    path = arch.file.path
    if is_saved_model(path):
        from tfxfer.models import saved_model_file  # TensorFlow, for its format.

        return saved_model_file.complete(arch)
    if arch.file.signature or arch.file.output:
        raise errors.InputError(
            f'signature and output are of a SavedModel. Of {path} name a layer, as '
            f'model:{path}:layer=NAME.'
        )
    content = read(path, trust=arch.file.trust)
    size = _input_size(path, content.config, arch.input_size)
    return dataclasses.replace(
        arch,
        input_size=size,
        parameters=content.parameters,
        scaling=arch.scaling or _scaling(path, content.config),
        file=dataclasses.replace(arch.file, digest=content.digest),
    )


def is_saved_model(path: str) -> bool:
    """Whether a path is the folder of a SavedModel, complete or not."""
    folder = pathlib.Path(path)
    return any((folder / name).exists() for name in _OF_SAVED_MODEL)


def check_setting(arch: architectures.Architecture, setting: str) -> None:
    """Refuses settings that train the network where it cannot be trained.

    Args:
        arch: perhaps still unread.
        setting: a key of config.HPARAMS.

    Raises:
        errors.InputError: as said.
    """
    if setting != 'logistic' and arch.file and is_saved_model(arch.file.path):
        raise errors.InputError(
            f'{arch.file.path} is a SavedModel, which holds no layers that could be '
            f'trained: it is for setting logistic, not {setting}. For that save the '
            "model as a file: model.save('my.keras')."
        )


def read(path: str, *, trust: bool = False) -> Content:
    """What a file holds, nothing of which is run.

    Args:
        path: ends in .keras.
        trust: take models with Lambda layers.

    Raises:
        errors.InputError: as complete.
    """
    config, weights = _members(path)
    try:
        model = json.loads(config)
        kinds = list(keras_config.described(model))
        if not isinstance(model.get('config'), dict):
            raise ValueError('it describes no model')
        with h5py.File(io.BytesIO(weights)) as file:
            arrays = h5_arrays.datasets(file, len(weights))
            parameters = sum(math.prod(array.shape) for array in arrays.values())
            digest = keras_config.digest(model, arrays)
    except (*h5_arrays.DAMAGE, RecursionError) as error:
        raise _damaged(path, error) from error
    for kind in kinds:
        keras_config.check_kind(path, kind, trust=trust)
    if model['class_name'] not in ('Functional', 'Sequential'):
        raise errors.InputError(
            f'{path} holds a {model["class_name"]}. Known: Functional and Sequential '
            'models, whose layers Keras knows.'
        )
    return Content(model, digest, parameters)


def _members(path: str) -> tuple[bytes, bytes]:
    """config.json and the weights of a file."""
    file = pathlib.Path(path)
    save = "Save the model anew: model.save('my.keras')."
    if file.is_dir():
        raise errors.InputError(
            f'{path} is a folder, and no SavedModel (saved_model.pb). A model file '
            f'ends in .keras. {save}'
        )
    if not path.endswith('.keras'):
        raise errors.InputError(f'{path} does not end in .keras. {save}')
    if not file.is_file():
        raise errors.InputError(f'There is no model file {path}.')
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(archive.getinfo(name).file_size for name in (_CONFIG, _WEIGHTS))
            if size > 2 * os.path.getsize(path) + 2**27:  # It would fill the memory.
                raise ValueError(f'it would grow to {size} bytes')
            return archive.read(_CONFIG), archive.read(_WEIGHTS)
    except (*h5_arrays.DAMAGE, zipfile.BadZipFile, EOFError, zlib.error) as e:
        raise _damaged(path, e) from e


def _damaged(path: str, error: BaseException) -> errors.InputError:
    return errors.InputError(
        f'{path} is no model file of Keras 3, or is truncated or damaged '
        f'({str(error).splitlines()[0] if str(error) else type(error).__name__}).'
    )


def layers_of(config: Config) -> list[Config]:
    """The layers of a model's config."""
    layers = config['config'].get('layers')
    return layers if isinstance(layers, list) else []


def _input_size(path: str, config: Config, given: int) -> int:
    """Side of the images that a model takes; given: 0 where nothing was."""
    shape = input_shape(path, config)
    *sides, channels = shape[1:]
    if channels != 3:
        raise errors.InputError(
            f'{path} takes images of {channels} channels; these have 3, RGB.'
        )
    if len(set(sides)) > 1:
        raise errors.InputError(f'{path} takes images of {sides} pixels, no squares.')
    if not (side := given or sides[0]):
        raise errors.InputError(
            f'{path} takes images of any size: say which, as model:{path}:size=224.'
        )
    return side


def input_shape(path: str, config: Config) -> list[typing.Any]:
    """[batch, height, width, channels] of a model's only input, None where open.

    Raises:
        errors.InputError: several inputs, or no images.
    """
    inputs = [
        layer['config'].get('batch_shape') or layer['config'].get('batch_input_shape')
        for layer in layers_of(config)
        if layer.get('class_name') == 'InputLayer'
    ]
    if not inputs and config['class_name'] == 'Sequential':
        inputs = [config['config'].get('build_input_shape')]
    if len(inputs) != 1 or not isinstance(inputs[0], list) or len(inputs[0]) != 4:
        raise errors.InputError(
            f'{path} must take one image [height, width, 3]; it takes {inputs}.'
        )
    return inputs[0]


def _scaling(path: str, config: Config) -> str:
    """'none' of a model that scales pixels itself.

    Raises:
        errors.InputError: it does not, so that one must be said.
    """
    if _scales_itself(config):
        return 'none'
    known = ', '.join(architectures.SCALINGS)
    raise errors.InputError(
        f'{path} has no Rescaling or Normalization behind its input: say how the '
        f'pixels were scaled that it was trained on, as model:{path}:scaling=torch. '
        f'Known: {known} (docs/networks.md).'
    )


def _scales_itself(config: Config) -> bool:
    """Whether the first layer that does something with the pixels scales them."""
    layers = layers_of(config)
    if config['class_name'] == 'Sequential':
        chain = layers
    else:
        chain = list(_chain(layers))
    for layer in chain:
        kind = layer['class_name']
        if kind in _SCALES or (kind == 'Add' and '.ops.' in layer.get('module', '')):
            return True
        if kind in ('Functional', 'Sequential'):
            return _scales_itself(layer)
        if kind not in _PASSES and not kind.startswith('Random'):
            return False
    return False


def _chain(layers: list[Config]) -> Iterator[Config]:
    """The layers behind the input as long as one alone follows another."""
    readers: dict[str, list[Config]] = {}
    for layer in layers:
        for source in set(_sources(layer.get('inbound_nodes'))):
            readers.setdefault(source, []).append(layer)
    following = [layer for layer in layers if layer['class_name'] == 'InputLayer']
    for _ in layers:
        if len(following) != 1:
            return
        yield following[0]
        following = readers.get(str(following[0].get('name')), [])


def _sources(nodes: typing.Any) -> Iterator[str]:
    """Names of the layers whose outputs a layer takes."""
    if isinstance(nodes, Mapping):
        if 'keras_history' in nodes:
            yield str(nodes['keras_history'][0])
        for item in nodes.values():
            yield from _sources(item)
    elif isinstance(nodes, list):
        for item in nodes:
            yield from _sources(item)
