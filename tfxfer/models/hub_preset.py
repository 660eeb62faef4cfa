"""A preset of keras-hub: its files, read without running any of them. No TensorFlow.

A preset is a folder of config.json, which says how a class of keras-hub is made, of
model.weights.h5 (or several files that model.weights.json lists), and of
image_converter.json, which says how pixels are scaled.
"""

import contextlib
import dataclasses
import importlib.util
import json
import math
import os
import pathlib
import typing
from collections.abc import Sequence

import h5py

from tfxfer import architectures, errors, hub_presets
from tfxfer.models import h5_arrays, keras_config

Config = keras_config.Config

KAGGLE_PAGE = 'https://www.kaggle.com/models/'
_CONFIG, _WEIGHTS, _SHARDS = 'config.json', 'model.weights.h5', 'model.weights.json'
_CONVERTER, _PREPROCESSOR = 'image_converter.json', 'preprocessor.json'


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of image networks in keras-hub.

    Attributes:
        features: what they are of the backbone's output: the mean of its `map`, its
            class `token`, the mean of its `tokens`, or the `output` itself.
        tower: the class that takes the images, where the backbone takes text too.
        size: what its config calls the shape of an image.
    """

    features: str
    tower: str = ''
    size: str = 'image_shape'


# By their class in keras_hub.models. Features are what keras-hub's own classifier
# takes, and where it has none those of the paper's linear classification.
FAMILIES = {
    'ViTBackbone': Family('token'),
    'DeiTBackbone': Family('token'),
    'DINOV2Backbone': Family('token'),
    'DINOV3Backbone': Family('token'),
    'SwinTransformerBackbone': Family('tokens'),
    'SigLIPBackbone': Family('output', tower='SigLIPVisionEncoder'),
    'CLIPBackbone': Family('token', tower='CLIPVisionEncoder'),
    'MiTBackbone': Family('map'),
    'HGNetV2Backbone': Family('map'),
    'MobileNetBackbone': Family('map'),
    'MobileNetV5Backbone': Family('map'),
    'EfficientNetBackbone': Family('map', size='input_shape'),
    'ResNetBackbone': Family('map'),
    'CSPNetBackbone': Family('map'),
    'DenseNetBackbone': Family('map'),
    'XceptionBackbone': Family('map'),
    'VGGBackbone': Family('map'),
}
_TOWERS = (
    'SigLIPVisionEncoder', 'SigLIPTextEncoder', 'CLIPVisionEncoder', 'CLIPTextEncoder',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Content:
    """What the files of a preset hold.

    Attributes:
        config: of the backbone, with text and all.
        images: of what takes the images: the backbone itself, or its tower.
        converter: config of the image converter; None: there is none.
        weights: the file that Keras loads.
        digest: SHA-256 of config and weights.
        parameters: numbers in the weights of what takes the images.
    """

    config: Config
    images: Config
    converter: Config | None
    weights: pathlib.Path
    digest: str
    parameters: int

    @property
    def family(self) -> Family:
        """Its kind."""
        return FAMILIES[self.config['class_name']]


def complete(arch: architectures.Architecture) -> architectures.Architecture:
    """The Architecture of a preset with what its files say.

    Raises:
        errors.InputError: see `folder`, `read`; or it takes no colour images of a
            size that is said, or nothing says how it scales pixels.
    """
    assert arch.file, arch.name
    content = read(folder(arch.file.path))
    return dataclasses.replace(
        arch,
        input_size=_input_size(arch, content),
        parameters=content.parameters,
        scaling=_scaling(arch, content.converter),
        file=dataclasses.replace(arch.file, digest=content.digest),
    )


def folder(path: str) -> pathlib.Path:
    """Where the files of a preset are; downloads them where they are not.

    path: of a folder, or a name in hub_presets.PRESETS.

    Raises:
        errors.InputError: keras-hub is not installed, or the files are not there and
            cannot be downloaded.
    """
    if importlib.util.find_spec('keras_hub') is None:
        raise errors.InputError(
            f'hub:{path} needs keras-hub, which is not installed: '
            'pip install tfxfer[hub].'
        )
    if path not in hub_presets.PRESETS:
        return pathlib.Path(path)
    if missing(path):
        _download(path)
    return cache_folder(path)


def cache_folder(name: str = '') -> pathlib.Path:
    """Where kagglehub caches models, or the files of one preset."""
    home = os.environ.get(hub_presets.CACHE) or pathlib.Path.home() / '.cache/kagglehub'
    models = pathlib.Path(home) / 'models'
    return models / hub_presets.PRESETS[name].handle if name else models


def missing(path: str) -> str:
    """What to get of a preset and where to put it; '': it is there.

    path: as `folder` takes it.
    """
    if path not in hub_presets.PRESETS:
        return ''
    place = cache_folder(path)
    weights = any((place / name).exists() for name in (_WEIGHTS, _SHARDS))
    if weights and (place / _CONFIG).exists():
        return ''
    handle = hub_presets.PRESETS[path].handle
    return (
        f'Get kaggle://{handle} ({KAGGLE_PAGE}{handle}) and put its files into {place}.'
    )


def _download(name: str) -> None:
    """Has kagglehub put the files of a preset into its cache."""
    import kagglehub  # Comes with keras-hub.

    handle = hub_presets.PRESETS[name].handle

    def get(*files: str) -> str:
        """The path of the first of these files that there is."""
        for number, file in enumerate(files, 1):
            try:
                return kagglehub.model_download(handle, path=file)
            except Exception as error:  # kagglehub raises many kinds.
                if _status(error) != 404 or number == len(files):
                    raise
        raise ValueError('no files')

    try:
        for files in ((_CONFIG,), (_CONVERTER, _PREPROCESSOR), (_WEIGHTS, _SHARDS)):
            path = get(*files)
        if path.endswith(_SHARDS):
            for file in _shards(pathlib.Path(path)):
                get(file)
    except Exception as error:
        raise errors.InputError(
            f'hub:{name} cannot be downloaded: {_reason(handle, error)} {missing(name)}'
        ) from error


def _reason(handle: str, error: Exception) -> str:
    """A sentence on why kagglehub did not get a file."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if _status(error) in (401, 403):
        return (
            'Kaggle wants you to be logged in (kagglehub.login()) and to have accepted '
            f'the terms at {KAGGLE_PAGE}{handle} ({text}).'
        )
    if isinstance(error, OSError) and _status(error) is None:
        return f'there is no way to Kaggle from here ({type(error).__name__}).'
    return f'{text}.'


def _status(error: Exception) -> int | None:
    """Of Kaggle's answer; None: there was none."""
    return getattr(getattr(error, 'response', None), 'status_code', None)


def read(place: pathlib.Path) -> Content:
    """What the files of a preset hold, nothing of which is run.

    Raises:
        errors.InputError: no such folder, files are missing or damaged, or it is none
            of FAMILIES in plain numbers.
    """
    if not place.is_dir():
        raise errors.InputError(f'There is no folder {place} of a preset of keras-hub.')
    config = _json(place, _CONFIG)
    if config is None:
        raise errors.InputError(
            f'{place} holds no {_CONFIG}: it is no preset of keras-hub, as '
            "backbone.save_to_preset('folder') writes it."
        )
    _check_backbone(place, config)
    tower = FAMILIES[config['class_name']].tower
    images = config['config'].get('vision_encoder') if tower else config
    if not isinstance(images, dict) or images.get('class_name') not in (
        tower,
        config['class_name'],
    ):
        raise _damaged(place, f'{_CONFIG} describes no network of images')
    weights = place / (_WEIGHTS if (place / _WEIGHTS).exists() else _SHARDS)
    if not weights.exists():
        raise errors.InputError(f'{place} holds no {_WEIGHTS}.')
    try:
        with contextlib.ExitStack() as stack:
            arrays = _arrays(weights, stack)
            digest = keras_config.digest(config, arrays)
            sizes = {name: math.prod(array.shape) for name, array in arrays.items()}
    except (*h5_arrays.DAMAGE, RecursionError) as error:
        raise _damaged(place, error) from error
    inside = [size for name, size in sizes.items() if '_vision_encoder/' in name]
    parameters = sum(inside if tower else sizes.values())
    return Content(config, images, _converter(place), weights, digest, parameters)


def _json(place: pathlib.Path, name: str) -> Config | None:
    """A config among the files of a preset, its objects checked; None: no file."""
    file = place / name
    if not file.exists():
        return None
    try:
        config = json.loads(file.read_text(encoding='utf-8'))
        kinds = list(keras_config.described(config))
        if not isinstance(config.get('config'), dict) or not kinds:
            raise ValueError(f'{name} describes nothing')
    except (*h5_arrays.DAMAGE, RecursionError) as error:
        raise _damaged(place, error) from error
    for kind in kinds:
        module = str(kind.get('module')).partition('.')[0]
        own = kind.get('registered_name') == f'keras_hub>{kind["class_name"]}'
        if not (module == 'keras_hub' and own):
            keras_config.check_kind(str(file), kind, trust=False)
    return config


def _check_backbone(place: pathlib.Path, config: Config) -> None:
    """Refuses what is none of FAMILIES, or made of other things of keras-hub."""
    kind = config['class_name']
    if kind not in FAMILIES or config.get('registered_name') != f'keras_hub>{kind}':
        known = ', '.join(name.removesuffix('Backbone') for name in FAMILIES)
        raise errors.InputError(
            f'{place} holds a {kind}, no network of keras-hub that images are '
            f'classified with. Known: {known}.'
        )
    for part in keras_config.described(config['config']):
        if str(part.get('module')).startswith('keras_hub'):
            if part['class_name'] not in _TOWERS:
                raise errors.InputError(
                    f'{place / _CONFIG} has a {part["class_name"]} in it, which no '
                    f'{kind} of keras-hub has.'
                )
    if config['config'].get('data_format') == 'channels_first':
        raise errors.InputError(
            f'{place} takes images of [3, height, width]; those of tfxfer are '
            "[height, width, 3]. Save the preset with data_format='channels_last'."
        )


def _converter(place: pathlib.Path) -> Config | None:
    """The config of the image converter of a preset."""
    converter = _json(place, _CONVERTER)
    if converter is None:
        preprocessor = _json(place, _PREPROCESSOR)
        converter = preprocessor and preprocessor['config'].get('image_converter')
    return converter['config'] if isinstance(converter, dict) else None


def _arrays(
    weights: pathlib.Path, stack: contextlib.ExitStack
) -> dict[str, typing.Any]:
    """The arrays of a preset, unread.

    stack: closes the files that they are in.

    Raises:
        OSError, ValueError, ...: h5_arrays.DAMAGE.
    """
    if weights.name == _WEIGHTS:
        files = [weights]
    else:
        files = [weights.parent / name for name in _shards(weights)]
    found = {}
    for number, path in enumerate(files):
        file = stack.enter_context(h5py.File(path))
        for name, array in h5_arrays.datasets(file, path.stat().st_size).items():
            found[f'{number}/{name}' if number else name] = array
    return found


def _shards(index: pathlib.Path) -> list[str]:
    """Names of the files of weights that Keras' model.weights.json lists.

    Raises:
        ValueError: it lists files elsewhere.
    """
    listed = json.loads(index.read_text(encoding='utf-8'))['weight_map'].values()
    names = {n for each in listed for n in (each if isinstance(each, list) else [each])}
    if any(pathlib.PurePath(name).name != name for name in names):
        raise ValueError(f'{index.name} lists files in other folders')
    return sorted(names)


def _damaged(place: pathlib.Path, error: object) -> errors.InputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return errors.InputError(
        f'{place} is no preset of keras-hub, or truncated or damaged ({reason}). Get '
        'its files again.'
    )


def _input_size(arch: architectures.Architecture, content: Content) -> int:
    """Side of the images that a preset takes: as said, else its own."""
    shape = content.images['config'].get(content.family.size) or (None, None, 3)
    converter = content.converter or {}
    own = converter.get('image_size') or (
        converter.get('height'),
        converter.get('width'),
    )
    *sides, channels = shape
    sides = sides if any(sides) else list(own)
    if channels != 3:
        raise errors.InputError(
            f'{arch.name} takes images of {channels} channels; these have 3, RGB.'
        )
    if arch.input_size:
        return arch.input_size
    if len(set(sides)) > 1:
        raise errors.InputError(
            f'{arch.name} takes images of {sides} pixels, no squares: say which side '
            f'yours are to have, as {arch.name}:size=224.'
        )
    if not isinstance(sides[0], int):
        raise errors.InputError(
            f'{arch.name} takes images of any size: say which, as {arch.name}:size=224.'
        )
    return sides[0]


def _scaling(
    arch: architectures.Architecture, converter: Config | None
) -> str | architectures.Scaling:
    """How the image converter scales pixels; without one, as was said."""
    if converter is None:
        if arch.scaling:
            return arch.scaling
        raise errors.InputError(
            f'{arch.name} has no {_CONVERTER}: say how the pixels were scaled that it '
            f'was trained on, as {arch.name}:scaling=torch. Known: '
            f'{", ".join(architectures.SCALINGS)} (docs/networks.md).'
        )
    if arch.scaling:
        raise errors.InputError(
            f'{arch.name}: its {_CONVERTER} says how pixels are scaled. Leave out '
            f'scaling={arch.scaling}.'
        )
    scale, offset = converter.get('scale'), converter.get('offset')
    try:
        if 'variance' in converter and 'mean' in converter:  # Of older presets.
            std = [math.sqrt(value) for value in converter['variance']]
            offset = [-m / s for m, s in zip(converter['mean'], std, strict=True)]
            scale = [converter.get('scale', 1.0) / s for s in std]
        scales, offsets = _channels(scale, 1.0), _channels(offset, 0.0)
        red, green, blue = zip(scales, offsets, strict=True)
        return architectures.Scaling(
            mean=(-red[1] / red[0], -green[1] / green[0], -blue[1] / blue[0]),
            std=(1 / red[0], 1 / green[0], 1 / blue[0]),
        )
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise errors.InputError(
            f'{arch.name}: its {_CONVERTER} scales pixels by scale={scale} and '
            f'offset={offset}, which are no numbers of one or three channels.'
        ) from error


def _channels(value: typing.Any, default: float) -> Sequence[float]:
    """Three finite numbers: those given, or one for all."""
    numbers = (
        value if isinstance(value, list) else [default if value is None else value]
    )
    numbers = [float(number) for number in numbers] * (3 if len(numbers) == 1 else 1)
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(numbers)
    return numbers
