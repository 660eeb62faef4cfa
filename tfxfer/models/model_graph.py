"""A user's own Keras file as a network: its graph up to the features, its weights."""

import typing
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import layers

from tfxfer import architectures, errors
from tfxfer.models import blocks, model_file, network, scaling, weights

_POOLS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
_TRUNK = 'trunk'  # The name of the file's layers in a network.


def graph(
    arch: architectures.Architecture, size: int, *, scale: bool | None, aux: bool
) -> tuple[keras.KerasTensor, blocks.Outputs]:
    """The network of a model file with new weights: input and blocks.Outputs.

    Statistics of Normalization layers are the file's: they are of the pixels.

    Raises:
        errors.InputError: see model_file.complete; or it gives no features, or does
            not take images of this size, or an option that it lacks.
    """
    blocks.refuse_options(arch.name, scale=scale, aux=aux)
    arch = model_file.complete(arch)
    trunk = _trunk(arch, size, trained=False)
    statistics = {
        name: layer
        for name, layer in network.parts(trunk).items()
        if isinstance(layer, layers.Normalization) and layer.weights
    }
    if statistics:
        trained = network.parts(_trunk(arch, size, trained=True))
        for name, layer in statistics.items():
            layer.set_weights(trained[name].get_weights())
    images = keras.Input((size, size, 3), name='image')
    return images, blocks.Outputs(trunk(scaling.scaled(images, arch.scaling)))


def model_weights(arch: architectures.Architecture) -> weights.Weights:
    """The Weights in a model file.

    Raises:
        errors.InputError: see graph; or the network is of no model file.
    """
    if not arch.file:
        raise errors.InputError(
            f"weights='model' are those in a file model:/path/my.keras. {arch.name} "
            f'has {", ".join(arch.weights) or "none; pretrain it"}.'
        )
    path, arch = arch.file.path, model_file.complete(arch)
    model = _model(arch, arch.input_size, trained=True)
    features = _features(arch, model)
    trunk = keras.Model(model.inputs, features.tensor, name=_TRUNK)
    values = {
        f'{_TRUNK}.{part}/{name}': variable.numpy()
        for part, layer in network.parts(trunk).items()
        for name, variable in network.variables(layer).items()
    }
    if features.classifier is not None:
        kernel, *bias = (v.numpy() for v in features.classifier.weights)
        kernel = kernel.reshape(kernel.shape[-2:])
        values['logits/kernel'] = kernel
        values['logits/bias'] = (
            bias[0] if bias else np.zeros(kernel.shape[1], np.float32)
        )
    metadata = {'graph': architectures.MODEL, 'scale': None}
    return weights.Weights(path, values, metadata)


def _trunk(
    arch: architectures.Architecture, size: int, *, trained: bool
) -> keras.Model:
    """Images [b, size, size, 3] -> features [b, d]."""
    model = _model(arch, size, trained=trained)
    return keras.Model(model.inputs, _features(arch, model).tensor, name=_TRUNK)


def _model(
    arch: architectures.Architecture, size: int, *, trained: bool
) -> keras.Model:
    """The file's model for images of a size; its random numbers drawn as here."""
    assert arch.file, arch.name
    path, trust = arch.file.path, arch.file.trust
    content = model_file.read(path, trust=trust)
    if content.digest != arch.file.digest:
        raise errors.InputError(f'{path} has changed since it was first read.')
    before = model_file.input_shape(path, content.config)
    after = [before[0], size, size, 3]
    try:
        model = keras.saving.deserialize_keras_object(
            _adapted(content.config, before, after), safe_mode=not trust
        )
        if trained:
            model.load_weights(path)
    except Exception as error:  # Keras raises many kinds.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        if after != before:
            reason[0] = f'images of {size} pixels; its own are {before[1:3]}'
        raise errors.InputError(
            f'Keras cannot build the model in {path} ({reason[0]}).'
        ) from error
    return model


def _adapted(value: typing.Any, before: list, after: list) -> typing.Any:
    """A config for other images, with seeds of this Run and the policy in force."""
    if isinstance(value, list):
        if value == before:
            return after
        return [_adapted(item, before, after) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get('class_name')
    value = {key: _adapted(item, before, after) for key, item in value.items()}
    config = value.get('config')
    if isinstance(config, dict):
        if 'seed' in config:  # Fixed, every seed of a study would draw the same.
            config['seed'] = None
        if 'trainable' in config:  # Who made the file may have frozen layers.
            config['trainable'] = True
        if kind == 'DTypePolicy':
            config['name'] = keras.config.dtype_policy().name
        if kind == 'InputLayer':
            config['dtype'] = 'float32'  # Training crops have fractions of gray levels.
        if kind in ('Rescaling', 'Normalization'):
            config['dtype'] = 'float32'  # As in scaling.scaled.
    return value


class _Features(typing.NamedTuple):
    """Where a model has its features [b, d].

    Attributes:
        tensor: of the model's graph.
        classifier: the layer that follows, where it alone makes the model's output.
    """

    tensor: keras.KerasTensor
    classifier: keras.Layer | None = None


def _features(arch: architectures.Architecture, model: keras.Model) -> _Features:
    assert arch.file, arch.name
    if arch.file.layer:
        found = _Features(_named(arch.file.layer, model, arch))
    elif len(model.outputs) == 1:
        found = _found(model)
    else:
        raise errors.InputError(
            f'{arch.file.path} has {len(model.outputs)} outputs: name the layer whose '
            f'output is to be the features, as {arch.name}:layer=NAME.'
        )
    tensor = found.tensor
    if len(tensor.shape) == 4:  # A map, or a pool that kept its sides.
        tensor = layers.GlobalAveragePooling2D(name='features_pool')(tensor)
    if len(tensor.shape) != 2 or tensor.shape[-1] is None:
        raise errors.InputError(
            f'The features of {arch.file.path} have shape {tuple(tensor.shape)}; they '
            f'must be [batch, d]: name a layer that gives these, as '
            f'{arch.name}:layer=NAME.'
        )
    return found._replace(tensor=tensor)


def _found(model: keras.Model) -> _Features:
    """The global pool nearest to the output that all of it comes through.

    With the layer normalisation right behind it. Without such a pool: what the last
    dense layer takes, else the output itself.
    """
    passed: list[keras.Layer] = []
    dense = classifier = None
    behind = None  # (layer, its output) right behind what is looked at.
    for step in _back(model.outputs[0], lambda tensor: tensor):
        if isinstance(step.layer, _POOLS):
            tensor = step.tensor()
            if behind and isinstance(behind.layer, layers.LayerNormalization):
                tensor = behind.tensor()
                passed.pop()
            return _Features(tensor, _only_classifier(passed))
        if isinstance(step.layer, layers.Dense) and dense is None:
            dense, classifier = step, _only_classifier([*passed, step.layer])
        passed.append(step.layer)
        behind = step
    if dense and dense.source is not None and len(dense.source.shape) == 2:
        return _Features(dense.wrap(dense.source), classifier)
    return _Features(model.outputs[0])


class _Step(typing.NamedTuple):
    """A layer on the way back from a model's output.

    Attributes:
        output: of the layer, in the graph that it is in.
        source: its input there; None of the input layer.
        wrap: makes tensors of that graph such of the outermost.
    """

    layer: keras.Layer
    output: keras.KerasTensor
    source: keras.KerasTensor | None
    wrap: Callable[[keras.KerasTensor], keras.KerasTensor]

    def tensor(self) -> keras.KerasTensor:
        return self.wrap(self.output)


def _back(
    tensor: keras.KerasTensor,
    wrap: Callable[[keras.KerasTensor], keras.KerasTensor],
) -> Iterator[_Step]:
    """The layers that lead to a tensor, last first, as long as each takes one."""
    while True:
        layer, number, _ = tensor._keras_history
        sources = layer._inbound_nodes[number].input_tensors
        source = sources[0] if len(sources) == 1 else None
        if isinstance(layer, keras.Model) and source is not None:
            last = None
            for last in _back(layer.outputs[0], _wrapped(layer, source, wrap)):
                yield last
            if last is None or last.source is not None or not _is_input(last.layer):
                return
        elif not _is_input(layer):
            yield _Step(layer, tensor, source, wrap)
        else:
            yield _Step(layer, tensor, None, wrap)
        if source is None:
            return
        tensor = source


def _is_input(layer: typing.Any) -> bool:
    return isinstance(layer, keras.layers.InputLayer)


def _wrapped(model, source, wrap):
    """Makes tensors inside a model that is called on `source` such of the outermost."""

    def inside(tensor):
        return wrap(keras.Model(model.inputs, tensor, name=model.name)(source))

    return inside


def _only_classifier(passed: list[keras.Layer]) -> keras.Layer | None:
    """The layer with weights among those behind the features, if it is a classifier."""
    weighted = [layer for layer in passed if layer.weights]
    if len(weighted) != 1:
        return None
    (layer,) = weighted
    if isinstance(layer, layers.Dense):
        return layer
    pointwise = isinstance(layer, layers.Conv2D) and layer.kernel.shape[:2] == (1, 1)
    return layer if pointwise else None


def _named(
    name: str, model: keras.Model, arch: architectures.Architecture
) -> keras.KerasTensor:
    """The output of the layer `name`, which may be in a model within."""
    for layer in model.layers:
        if layer.name == name:
            return layer.output
        if isinstance(layer, keras.Model) and name.startswith(f'{layer.name}.'):
            source = layer._inbound_nodes[-1].input_tensors[0]
            tensor = _named(name.removeprefix(f'{layer.name}.'), layer, arch)
            return _wrapped(layer, source, lambda tensor: tensor)(tensor)
    return errors.find(f'layer in {arch.name}', network.parts(model), name).output
