"""A preset of keras-hub as a network: its graph up to the features, its weights."""

import typing

import keras
import numpy as np
from keras import layers, ops

from tfxfer import architectures, errors
from tfxfer.models import (
    batch_norm,
    blocks,
    hub_preset,
    network,
    scaling,
    seeds,
    weights,
)

_TRUNK = 'trunk'  # The name of keras-hub's layers in a network.


def graph(
    arch: architectures.Architecture, size: int, *, scale: bool | None, aux: bool
) -> tuple[keras.KerasTensor, blocks.Outputs]:
    """The network of a preset with new weights: input and blocks.Outputs.

    Raises:
        errors.InputError: see hub_preset.complete; or it gives no features, or does
            not take images of this size, or an option that it lacks.
    """
    blocks.refuse_options(arch.name, scale=scale, aux=aux)
    trunk = _trunk(arch, size, trained=False)
    images = keras.Input((size, size, 3), name='image')
    return images, blocks.Outputs(trunk(scaling.scaled(images, arch.scaling)))


def hub_weights(arch: architectures.Architecture) -> weights.Weights:
    """The Weights in the files of a preset.

    Raises:
        errors.InputError: see graph; or the network is of no preset.
    """
    if not arch.file or arch.graph != architectures.HUB:
        raise errors.InputError(
            f"weights='hub' are those of a preset hub:NAME. {arch.name} has "
            f'{", ".join(arch.weights) or "none; pretrain it"}.'
        )
    trunk = _trunk(arch, arch.input_size, trained=True)
    values = {
        f'{_TRUNK}.{part}/{name}': variable.numpy()
        for part, layer in network.parts(trunk).items()
        for name, variable in network.variables(layer).items()
    }
    metadata = {'graph': architectures.HUB, 'scale': None}
    return weights.Weights(arch.file.path, values, metadata)


def _trunk(
    arch: architectures.Architecture, size: int, *, trained: bool
) -> keras.Model:
    """Scaled images [b, size, size, 3] -> features [b, d]."""
    assert arch.file, arch.name
    content = hub_preset.read(hub_preset.folder(arch.file.path))
    if content.digest != arch.file.digest:
        raise errors.InputError(f'{arch.name} has changed since it was first read.')
    with seeds.fresh_names():
        backbone = _backbone(arch, content, size, trained=trained)
        features = _features(arch, content, backbone)
        model = keras.Model(backbone.inputs[0], features, name=_TRUNK)
        return _with_our_batch_norm(model)


def _backbone(
    arch: architectures.Architecture,
    content: hub_preset.Content,
    size: int,
    *,
    trained: bool,
) -> keras.Model:
    """What takes the images, as keras-hub makes it."""
    import keras_hub  # Takes seconds, and is of an extra.

    family = content.family
    config = content.config if trained else content.images
    try:
        model = getattr(keras_hub.models, config['class_name']).from_config(
            _adapted(config['config'], family, size, trained=trained)
        )
        if trained:
            _load(model, str(content.weights))
    except Exception as error:  # Keras raises many kinds.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        own = content.images['config'].get(family.size) or (None, None)
        if own[0] not in (None, size):
            reason = f'images of {size} pixels; its own are {own[0]}: {reason}'
        raise errors.InputError(
            f'keras-hub cannot build {arch.name} ({reason}).'
        ) from error
    return model.vision_encoder if trained and family.tower else model


def _load(model: keras.Model, path: str) -> None:
    """Loads weights, all of them: of layers that a file lacks Keras only warns.

    Raises:
        ValueError: some are missing, or not finite.
    """
    numbers = [each for each in model.weights if 'float' in each.dtype]
    for variable in numbers:
        variable.assign(np.full(variable.shape, np.nan, np.float32))
    model.load_weights(path)
    lacking = [each.path for each in numbers if not np.isfinite(each.numpy()).all()]
    if lacking:
        raise ValueError(
            f'its weights lack {len(lacking)} of the variables, or are not finite: '
            f'{weights.first_of(lacking)}'
        )


def _adapted(
    config: hub_preset.Config, family: hub_preset.Family, size: int, *, trained: bool
) -> hub_preset.Config:
    """A config for images of a size, all of it trainable, in the policy in force."""
    config = dict(config)
    for name in ('vision_encoder', 'text_encoder'):
        if isinstance(config.get(name), dict):
            inner = config[name]['config']
            inner = _adapted(inner, family, size, trained=trained)
            config[name] = {**config[name], 'config': inner}
    config['trainable'] = True
    config['dtype'] = keras.config.dtype_policy().name
    if 'vision_encoder' not in config and 'vocabulary_size' not in config:
        config[family.size] = (size, size, 3)
    if not trained and config.get('use_mask_token'):
        config['use_mask_token'] = False  # Of pretraining: nothing here trains it.
    return config


def _features(
    arch: architectures.Architecture,
    content: hub_preset.Content,
    backbone: keras.Model,
) -> keras.KerasTensor:
    """Features [b, d] of a backbone, see hub_preset.Family."""
    assert arch.file, arch.name
    layer = arch.file.layer
    tensor = backbone.output
    if layer:
        found = errors.find(f'layer in {arch.name}', network.parts(backbone), layer)
        tensor = found.output
    elif isinstance(tensor, dict):  # Of HGNetV2, all stages.
        tensor = tensor[backbone.stage_names[-1]]
    shape = getattr(tensor, 'shape', ())
    if len(shape) == 4:
        return layers.GlobalAveragePooling2D(name='features_pool')(tensor)
    if len(shape) == 3:
        return tensor[:, 0] if _has_token(content) else ops.mean(tensor, axis=1)
    if len(shape) == 2:
        return tensor
    raise errors.InputError(
        f'The layer {layer!r} of {arch.name} gives no features: its output is none of '
        'maps, tokens or vectors. Name another one.'
    )


def _has_token(content: hub_preset.Content) -> bool:
    """Whether the first of the tokens stands for the whole image."""
    config = content.images['config']
    return content.family.features == 'token' and config.get('use_class_token', True)


def _with_our_batch_norm(model: keras.Model) -> keras.Model:
    """The model with our batch norm, but for layers that are inside of others."""
    own = [each for each in model.layers if type(each) is layers.BatchNormalization]
    if not own:
        return model

    def swapped(layer: typing.Any) -> typing.Any:
        if type(layer) is not layers.BatchNormalization:
            return layer
        return batch_norm.BatchNormalization.from_config(layer.get_config())

    copied = keras.models.clone_model(model, clone_function=swapped)
    for layer in own:
        copied.get_layer(layer.name).set_weights(layer.get_weights())
    return copied
