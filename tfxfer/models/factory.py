"""Architecture and weights -> Keras model: RGB images 0-255 -> {features, logits}."""

import contextlib
import dataclasses
import os
import typing
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import layers

from tfxfer import architectures, errors
from tfxfer.models import (
    applications,
    blocks,
    checkpoints,
    densenet,
    hub_graph,
    inception,
    inception_v4,
    mobilenet,
    model_file,
    model_graph,
    nasnet,
    network,
    resnet,
    saved_model_graph,
    scaling,
    seeds,
    weight_files,
)
from tfxfer.models.weights import HEADS, Weights

# A builder takes scaled images [b, h, w, 3], `scale` and the architecture's options.
BUILDERS: dict[str, Callable[..., blocks.Outputs]] = {
    'inception_v1': inception.inception_v1,
    'bn_inception': inception.bn_inception,
    'inception_v3': inception.inception_v3,
    'inception_v4': inception_v4.inception_v4,
    'inception_resnet_v2': inception_v4.inception_resnet_v2,
    'resnet_v1': resnet.resnet_v1,
    'densenet': densenet.densenet,
    'mobilenet_v1': mobilenet.mobilenet_v1,
    'mobilenet_v2': mobilenet.mobilenet_v2,
    'nasnet': nasnet.nasnet,
}


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """How a network is built; by default as its weights or its public checkpoint are.

    Attributes:
        image_size: h = w in pixels; None is the architecture's own.
        seed: of the random initial values and of dropout.
        scale: batch norm with gamma; None is as in the weights, and as in the public
            checkpoint for random ones.
        dropout: rate before the classifier; None is that of the public checkpoint.
        aux: with the auxiliary classifier; None is as in the weights, and as in the
            public checkpoint for random ones.
        head_seed: of classifiers that start at random, never with the weights'; None:
            they are the weights' where those have as many classes, else of `seed`.
        policy: Keras' dtype policy of the layers, as 'mixed_bfloat16'; logits leave in
            float32 under any.
    """

    image_size: int | None = None
    seed: int = 0
    scale: bool | None = None
    dropout: float | None = None
    aux: bool | None = None
    head_seed: int | None = None
    policy: str = 'float32'


# How a network is built to be trained. public: as its public checkpoint was. paper: as
# the study trained all sixteen.
TRAINING = {
    'public': NetworkOptions(),
    'paper': NetworkOptions(scale=True, dropout=0.0, aux=False),
}


def build(
    arch: architectures.Architecture | str,
    classes: int | None,
    weights: str | os.PathLike | Weights | None = None,
    options: NetworkOptions | None = None,
    *,
    checkpoint_folder: str | os.PathLike | None = None,
) -> network.TransferNetwork:
    """A Keras model: RGB images 0-255 -> {features, logits}.

    Takes float32 [b, h, w, 3]; the scaling that the weights need is its first layer.
    Gives features [b, d], the global pool before dropout, and logits [b, k]; with an
    auxiliary classifier aux_logits [b, k] too.

    Args:
        arch: Architecture, or the name of one.
        classes: k; None is the weights' own number. The classifier's weights are the
            file's when it has as many classes (and options.head_seed is None), and new
            otherwise.
        weights: None (random), 'slim', 'keras', 'model' (those of a model file), 'hub'
            (of a preset), a path (weight_files.find), or Weights.
        options: NetworkOptions.
        checkpoint_folder: of TF-Slim's checkpoints; None: that of the environment
            variable weight_files.ENV.

    Raises:
        errors.InputError: unknown name, missing or unfit weights, or an option that
            this network does not have.
    """
    if isinstance(arch, str):
        arch = architectures.find(arch)
    arch = model_file.complete(arch)
    if not weights:
        model_file.check_setting(arch, 'scratch')
    held = _weights(arch, weights, checkpoint_folder)
    if held and classes is None:
        classes = held.classes()
    if classes is None:
        raise errors.InputError(
            f'How many classes has {arch.name}? Its weights do not say; give classes.'
        )
    graph = held.metadata['graph'] if held else arch.graph
    options = _filled(options or NetworkOptions(), arch, held)
    model = _random(arch, classes, graph, options)
    if held:
        if options.aux and held.classes('aux_logits') is None:
            raise errors.InputError(
                f'{held.path!r} has no auxiliary classifier of {arch.name}, which aux '
                'asks for: build without it (aux=False; of a Run, hparams.aux=0).'
            )
        new = held.unfit_heads(classes) if options.head_seed is None else HEADS
        held.assign_to(model, skip=new)
    return model


def source_classifier(
    arch: architectures.Architecture | str,
    weights: str | os.PathLike | Weights | None,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Kernel [d, k] and bias [k] by which weights tell their source classes apart.

    logits = features @ kernel + bias, of the features that `build` gives. TF-Slim's
    first class is the background.

    Args:
        arch: Architecture, or the name of one.
        weights: as `build`; None: random.

    Returns:
        None where there is no classifier: random weights, files without one, presets
        of keras-hub, a user's own models.

    Raises:
        errors.InputError: weights are missing.
    """
    if isinstance(arch, str):
        arch = architectures.find(arch)
    if arch.graph not in ('slim', 'keras'):
        return None
    held = _weights(arch, weights, None)
    return held.classifier() if held else None


def _weights(
    arch: architectures.Architecture,
    weights: str | os.PathLike | Weights | None,
    folder: str | os.PathLike | None,
) -> Weights | None:
    if not weights:
        return None
    if isinstance(weights, Weights):
        return weights
    if weights == 'keras':
        return applications.keras_weights(arch)
    if weights == architectures.MODEL:
        if arch.graph == architectures.SAVED_MODEL:
            return saved_model_graph.model_weights(arch)
        return model_graph.model_weights(arch)
    if weights == architectures.HUB:
        return hub_graph.hub_weights(arch)
    path = weight_files.find(arch, os.fspath(weights), folder)
    return checkpoints.read(path, arch)


def _filled(
    options: NetworkOptions, arch: architectures.Architecture, held: Weights | None
) -> NetworkOptions:
    """With scale and aux as the weights have them, where the options are None.

    Batch norm's scale stays None for random weights: the builder knows it.
    """
    scale, aux = options.scale, options.aux
    if scale is None and held:
        scale = held.metadata['scale']
    if aux is None:
        aux = held.classes('aux_logits') is not None if held else bool(arch.aux_head)
    return dataclasses.replace(options, scale=scale, aux=aux)


def _random(
    arch: architectures.Architecture, classes: int, graph: str, options: NetworkOptions
) -> network.TransferNetwork:
    """The network with random weights."""
    size = options.image_size or arch.input_size
    dropout = arch.dropout if options.dropout is None else options.dropout
    with seeds.seeded(options.seed), seeds.dtype_policy(options.policy):
        with _size_complaint(arch, size):
            images, outputs = GRAPHS[graph](
                arch, size, scale=options.scale, aux=bool(options.aux)
            )
        heads = _with_heads(outputs, classes, dropout, options.head_seed)
        return network.TransferNetwork(images, heads, architecture=arch, graph=graph)


def slim_graph(
    arch: architectures.Architecture, size: int, *, scale: bool | None, aux: bool
) -> tuple[keras.KerasTensor, blocks.Outputs]:
    """The network as TF-Slim drew it: input and blocks.Outputs."""
    builder = errors.find('network builder', BUILDERS, arch.builder)
    options = dict(arch.options)
    if arch.aux_head:
        options['aux'] = aux
    elif aux:
        raise errors.InputError(f'{arch.name} has no auxiliary classifier.')
    images = keras.Input((size, size, 3), name='image')
    x = scaling.scaled(images, arch.scaling)
    return images, builder(x, scale=scale, **options)


GRAPHS = {
    'slim': slim_graph,
    'keras': applications.graph,
    architectures.MODEL: model_graph.graph,
    architectures.SAVED_MODEL: saved_model_graph.graph,
    architectures.HUB: hub_graph.graph,
}


@contextlib.contextmanager
def _size_complaint(arch: architectures.Architecture, size: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if isinstance(error, errors.InputError) or size >= arch.input_size:
            raise
        raise errors.InputError(
            f'{arch.name} cannot take images of {size} pixels; its own size is '
            f'{arch.input_size}. ({str(error).splitlines()[0]})'
        ) from error


def _with_heads(
    outputs: blocks.Outputs, classes: int, dropout: float, seed: int | None
) -> dict[str, keras.KerasTensor]:
    """seed: of the classifiers; None: the one that is in force."""
    x = outputs.features
    if dropout:
        x = layers.Dropout(dropout, name='dropout')(x)
    heads = {'features': outputs.features}
    with contextlib.nullcontext() if seed is None else seeds.seeded(seed):
        heads['logits'] = _classifier('logits', x, classes, outputs.head_init)
        if outputs.aux_features is not None:
            heads['aux_logits'] = _classifier(
                'aux_logits', outputs.aux_features, classes, outputs.aux_init
            )
    return heads


def _classifier(
    name: str,
    x: keras.KerasTensor,
    classes: int,
    init: Callable[[], typing.Any] | None,
) -> keras.KerasTensor:
    kernel = init() if init else keras.initializers.GlorotUniform()
    # Scores leave in float32 under any dtype policy: softmax of half floats is coarse.
    return layers.Dense(classes, kernel_initializer=kernel, dtype='float32', name=name)(
        x
    )
