"""The networks of Keras Applications: their graphs and their ImageNet weights."""

import collections
import os
import pathlib
import re
import typing

import keras
import numpy as np

from tfxfer import architectures, errors
from tfxfer.models import (
    batch_norm,
    blocks,
    network,
    pooling,
    scaling,
    seeds,
    weights,
)


def graph(
    arch: architectures.Architecture, size: int, *, scale: bool | None, aux: bool
) -> tuple[keras.KerasTensor, blocks.Outputs]:
    """The network as Keras Applications draws it: input and blocks.Outputs.

    Raises:
        errors.InputError: Keras has no such network, or an option that it lacks.
    """
    if aux or scale is not None:
        raise errors.InputError(
            f'The Keras graph of {arch.name} has no auxiliary classifier and no choice '
            'of batch-norm scale: leave both unset. Weights of TF-Slim and random '
            'ones allow both.'
        )
    make, record = _application(arch)
    trunk = _copied(
        make(
            include_top=False,
            weights=None,
            input_tensor=scaling.scaled(
                keras.Input((size, size, 3), name='image'), record.scaling
            ),
            input_shape=(size, size, 3),
            pooling='avg',
            **dict(record.options),
        )
    )
    (images,) = trunk.inputs
    return images, blocks.Outputs(trunk.output)


def keras_weights(arch: architectures.Architecture) -> weights.Weights:
    """The Weights that Keras downloads, or has in its cache.

    Raises:
        errors.InputError: Keras has none, or they can be had neither way.
    """
    make, record = _application(arch)
    try:
        model = make(
            include_top=record.classifier, weights='imagenet', **dict(record.options)
        )
    except Exception as error:  # Keras raises the bare class when a download fails.
        url = re.search(r'https?://\S+?\.h5', str(error))
        if not url:
            raise
        raise errors.InputError(
            f'Cannot download the Keras weights of {arch.name}. Get {url[0]} and put '
            f'it at {keras_file(arch)}.'
        ) from error
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            _check_statistics(arch, layer)
    return from_application(model, classifier=record.classifier)


def from_application(model: keras.Model, *, classifier: bool = True) -> weights.Weights:
    """The Weights of a Keras Application.

    Args:
        model: from keras.applications.
        classifier: its last layer with weights is the classifier.
    """
    names = _layer_names(model)
    head = [layer for layer in model.layers if layer.weights][-1]
    values = {}
    for part, layer in network.parts(model).items():
        if isinstance(layer, keras.layers.Normalization):
            continue  # Of the pixels: scaling.scaled does that.
        first, dot, rest = part.partition('.')
        name = names[first] + dot + rest
        if classifier and layer is head:
            name = 'logits'
        for variable_name, variable in network.variables(layer).items():
            values[f'{name}/{variable_name}'] = variable.numpy()
    return weights.Weights('keras', values, {'graph': 'keras', 'scale': None})


def _check_statistics(
    arch: architectures.Architecture, layer: keras.layers.Normalization
) -> None:
    """Refuses weights that want pixels scaled unlike scaling.scaled does it.

    EfficientNet B0 to B7 divide them by the deviation twice, by its root each time.
    """
    assert arch.keras, arch.name
    wanted = architectures.SCALINGS[arch.keras.scaling]
    for array, expected in ((layer.mean, wanted.mean), (layer.variance, wanted.std)):
        if not np.allclose(255 * np.ravel(array), expected, rtol=1e-3):
            raise errors.InputError(
                f'The Keras weights of {arch.name} want pixels scaled by '
                f'{np.ravel(array)}, not {np.array(expected) / 255}: this version of '
                'tfxfer does not know them.'
            )


def keras_file(arch: architectures.Architecture) -> pathlib.Path:
    """Where Keras caches an Architecture's weights once it has them."""
    return (
        pathlib.Path(os.environ.get('KERAS_HOME') or pathlib.Path.home() / '.keras')
        / 'models'
        / _application(arch)[1].file
    )


def _application(
    arch: architectures.Architecture,
) -> tuple[typing.Callable, architectures.Keras]:
    if not arch.keras:
        raise errors.InputError(
            f'Keras Applications has no {arch.name}. Its sources of weights: '
            f'{", ".join(arch.weights) or "none; pretrain it"}.'
        )
    return getattr(keras.applications, arch.keras.application), arch.keras


def _copied(model: keras.Model) -> keras.Model:
    """The network with layers of our own: other names, our batch norm and max pooling.

    Keras' own layers are left alone. The copy has their values; making it leaves
    the random numbers of later layers as they were.
    """
    names = _layer_names(model)

    def copy(layer: typing.Any) -> typing.Any:
        kind = type(layer)
        own = isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)
        if own and not layer.name.startswith('scaling_'):
            return keras.layers.Identity(name=layer.name)  # scaling.scaled does it.
        if kind is keras.layers.BatchNormalization:
            kind = batch_norm.BatchNormalization
        if kind is keras.layers.MaxPooling2D:
            kind = pooling.MaxPooling2D
        config = layer.get_config()
        if layer.name in names:  # Not of operations that are no layer.
            config['name'] = names[layer.name]
        return kind.from_config(config)

    with seeds.seeded(0):
        copied = keras.models.clone_model(model, clone_function=copy)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Normalization):
            copied.get_layer(names[layer.name]).set_weights(layer.get_weights())
    return copied


def _layer_names(model: keras.Model) -> dict[str, str]:
    """Ours by Keras' own: those that it makes up count on through the process."""
    names, count = {}, collections.Counter[str]()
    for layer in model.layers:
        made_up = re.fullmatch(r'(conv2d|batch_normalization)(_\d+)?', layer.name)
        # ConvNeXt calls it in two ways, with its classifier and without.
        if re.fullmatch(r'layer_normalization(_\d+)?|.*_head_layernorm', layer.name):
            names[layer.name] = 'head_layernorm'
        elif made_up:
            names[layer.name] = f'{made_up[1]}_number_{count[made_up[1]]}'
            count[made_up[1]] += 1
        else:
            names[layer.name] = layer.name
    return names
