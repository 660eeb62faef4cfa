"""Architecture and weights -> Keras model: RGB images 0-255 -> {features, logits}."""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re

import h5py
import keras
import numpy as np
from keras import layers

from tfxfer import architectures, errors, storage
from tfxfer.models import (
    batch_norm,
    blocks,
    checkpoints,
    densenet,
    inception,
    inception_v4,
    mobilenet,
    nasnet,
    resnet,
    weight_files,
)

BUILDERS = {
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
class Scaling:
    """(x - mean) / std a channel, of x 0-255 in RGB, or in BGR for `bgr`."""

    mean: tuple
    std: tuple
    bgr: bool = False


# What networks were trained to be fed; weights that get another one give nonsense.
SCALINGS = {
    'inception': Scaling((127.5,) * 3, (127.5,) * 3),
    # TF-Slim's ResNets.
    'vgg': Scaling((123.68, 116.779, 103.939), (1.0,) * 3),
    # Keras' ResNets.
    'caffe': Scaling((103.939, 116.779, 123.68), (1.0,) * 3, bgr=True),
    # Keras' DenseNets, converted from Torch.
    'torch': Scaling((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # The slim-style DenseNets.
    'densenet': Scaling((123.68, 116.78, 103.94), (1 / 0.017,) * 3),
}


# How a network is built to be trained, as keywords of `build`. None: as its public
# checkpoint was. `paper`: as the study trained all sixteen.
TRAINING = {
    'public': {'scale': None, 'dropout': None, 'aux': None},
    'paper': {'scale': True, 'dropout': 0.0, 'aux': False},
}


def build(
    arch,
    classes,
    weights=None,
    *,
    image_size=None,
    seed=0,
    scale=None,
    dropout=None,
    aux=None,
    where=None,
    policy='float32',
):
    """A Keras model: RGB images 0-255 -> {features, logits}.

    Takes float32 [b, h, w, 3]; the scaling that the weights need is its first layer.
    Gives features [b, d], the global pool before dropout, and logits [b, k]; with an
    auxiliary classifier aux_logits [b, k] too.

    Args:
        arch: Architecture, or the name of one.
        classes: k; None is the weights' own number. The classifier's weights are the
            file's when it has as many classes, and new otherwise.
        weights: None (random), 'slim', 'keras', a path (files.find), or Weights.
        image_size: h = w in pixels; None is the architecture's own.
        seed: of the random initial values and of dropout.
        scale: batch norm with gamma; None is as in the weights, and as in the public
            checkpoint for random ones.
        dropout: rate before the classifier; None is that of the public checkpoint.
        aux: with the auxiliary classifier; None is as in the weights, and as in the
            public checkpoint for random ones.
        where: directory of TF-Slim's checkpoints; None: environment variable
            files.ENV.
        policy: Keras' dtype policy of the layers, as 'mixed_bfloat16'; logits leave in
            float32 under any.

    Raises:
        errors.InputError: unknown name, missing or unfit weights, or an option that
            this network does not have.
    """
    if isinstance(arch, str):
        arch = errors.find('architecture', architectures.ARCHITECTURES, arch)
    file = _weights(arch, weights, where)
    graph = file.facts['graph'] if file else arch.graph
    if file:
        classes = file.classes() if classes is None else classes
        scale = file.facts['scale'] if scale is None else scale
    if classes is None:
        raise errors.InputError(
            f'How many classes has {arch.name}? Its weights do not say; give classes.'
        )
    dropout = arch.dropout if dropout is None else dropout
    if aux is None:
        aux = file.classes('aux_logits') is not None if file else bool(arch.aux_head)
    with seeded(seed), dtype_policy(policy):
        images, outputs = GRAPHS[graph](
            arch, image_size or arch.input_size, scale=scale, aux=aux
        )
        model = _with_heads(arch.name, images, outputs, classes, dropout)
    batch_norm.replace(model)
    model.graph = graph
    if file and aux and file.classes('aux_logits') is None:
        raise errors.InputError(
            f'{file.path!r} has no auxiliary classifier of {arch.name}, which aux asks '
            'for: build without it (aux=False; of a Run, hparams.aux=0).'
        )
    if file:
        checkpoints.assign(model, file, skip=_new_heads(file, classes))
    return model


@contextlib.contextmanager
def dtype_policy(name):
    """Makes layers that are made inside compute as Keras' policy `name` says."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _weights(arch, weights, where):
    if not weights or isinstance(weights, checkpoints.Weights):
        return weights
    if weights == 'keras':
        return _keras_weights(arch)
    path = weight_files.find(arch, os.fspath(weights), where)
    return checkpoints.read(path, arch)


def _new_heads(file, classes):
    return [head for head in ('logits', 'aux_logits') if file.classes(head) != classes]


@contextlib.contextmanager
def seeded(seed):
    """Makes what Keras draws inside depend on `seed` alone, and nothing outside.

    Keras draws the seed of each initialiser and of each dropout from Python's `random`.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _slim_graph(arch, size, *, scale, aux):
    """The network as TF-Slim drew it: input and blocks.Outputs."""
    builder = errors.find('network builder', BUILDERS, arch.builder)
    options = dict(arch.options)
    if arch.aux_head:
        options['aux'] = aux
    elif aux:
        raise errors.InputError(f'{arch.name} has no auxiliary classifier.')
    images = keras.Input((size, size, 3), name='image')
    with _size_complaint(arch, size):
        return images, builder(scaled(images, arch.scaling), scale=scale, **options)


def _keras_graph(arch, size, *, scale, aux):
    """The network as Keras Applications draws it: input and blocks.Outputs."""
    if aux or scale is not None:
        raise errors.InputError(
            f'The Keras graph of {arch.name} has no auxiliary classifier and no choice '
            'of batch-norm scale: leave both unset. Slim and random weights take them.'
        )
    images = keras.Input((size, size, 3), name='image')
    with _size_complaint(arch, size):
        trunk = _application(arch)(
            include_top=False,
            weights=None,
            input_tensor=scaled(images, arch.keras.scaling),
            input_shape=(size, size, 3),
            pooling='avg',
            **dict(arch.keras.options),
        )
    _number_layers(trunk)
    return images, blocks.Outputs(trunk.output)


GRAPHS = {'slim': _slim_graph, 'keras': _keras_graph}


@contextlib.contextmanager
def _size_complaint(arch, size):
    try:
        yield
    except ValueError as error:
        if isinstance(error, errors.InputError) or size >= arch.input_size:
            raise
        raise errors.InputError(
            f'{arch.name} cannot take images of {size} pixels; its own size is '
            f'{arch.input_size}. ({str(error).splitlines()[0]})'
        ) from error


def _application(arch):
    if not arch.keras:
        raise errors.InputError(
            f'Keras Applications has no {arch.name}. Its sources of weights: '
            f'{", ".join(arch.weights) or "none; pretrain it"}.'
        )
    return getattr(keras.applications, arch.keras.application)


def _number_layers(model):
    """Replaces the names that Keras makes up, which count on through the process."""
    count = collections.Counter()
    for layer in model.layers:
        made_up = re.fullmatch(r'(conv2d|batch_normalization)(_\d+)?', layer.name)
        if made_up:
            layer.name = f'{made_up[1]}_number_{count[made_up[1]]}'
            count[made_up[1]] += 1


def _keras_weights(arch):
    """The Weights that Keras downloads, or has in its cache."""
    application = _application(arch)
    try:
        model = application(weights='imagenet', **dict(arch.keras.options))
    except Exception as error:  # Keras raises the bare class when a download fails.
        url = re.search(r'https?://\S+?\.h5', str(error))
        if not url:
            raise
        raise errors.InputError(
            f'Cannot download the Keras weights of {arch.name}. Get {url[0]} and put '
            f'it at {keras_file(arch)}.'
        ) from error
    return from_application(model)


def from_application(model):
    """The checkpoints.Weights of a Keras Application with its classifier."""
    _number_layers(model)
    head = [layer for layer in model.layers if layer.weights][-1]
    values = {}
    for layer in model.layers:
        name = 'logits' if layer is head else layer.name
        for variable in checkpoints.variables(layer):
            values[f'{name}/{variable.name}'] = variable.numpy()
    return checkpoints.Weights('keras', values, {'graph': 'keras', 'scale': None})


def keras_file(arch):
    """Where Keras keeps an Architecture's weights once it has them."""
    return (
        pathlib.Path(os.environ.get('KERAS_HOME') or pathlib.Path.home() / '.keras')
        / 'models'
        / arch.keras.file
    )


def _with_heads(name, images, outputs, classes, dropout):
    x = outputs.features
    if dropout:
        x = layers.Dropout(dropout, name='dropout')(x)
    given = {
        'features': outputs.features,
        'logits': _classifier('logits', x, classes, outputs.head_init),
    }
    if outputs.aux_features is not None:
        given['aux_logits'] = _classifier(
            'aux_logits', outputs.aux_features, classes, outputs.aux_init
        )
    return keras.Model(images, given, name=name)


def _classifier(name, x, classes, init):
    kernel = init() if init else keras.initializers.GlorotUniform()
    # Scores leave in float32 under any dtype policy: softmax of half floats is coarse.
    return layers.Dense(classes, kernel_initializer=kernel, dtype='float32', name=name)(
        x
    )


def scaled(images, scaling):
    """Images 0-255 as the weights of a network want them, [b, h, w, 3].

    Args:
        images: Keras tensor, RGB.
        scaling: key of SCALINGS.
    """
    facts = errors.find('scaling', SCALINGS, scaling)
    mean, std = np.array(facts.mean), np.array(facts.std)
    if facts.bgr:
        images = images[..., ::-1]
    return layers.Rescaling(
        (1 / std).tolist(),
        (-mean / std).tolist(),
        name=f'scaling_{scaling}',
        dtype='float32',  # Half floats do not hold all of 0-255 less a mean.
    )(images)


def set_batch_norm_momentum(model, momentum):
    """Share that the moving averages keep at each step, in all batch norms of a model.

    Fine-tuning takes max(1 - 10 / s, 0.9) for s steps an epoch (SimCLR, appendix B.8).
    A function that was traced before keeps the old one.
    """
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def save_weights(model, path, **facts):
    """Writes the weights of a model that `build` made, complete or not at all.

    Keras' own format, so that Model.load_weights takes the file too, with the names of
    the variables and the given facts in HDF5 attributes beside.

    Args:
        model: from `build`.
        path: must end in `.weights.h5`.
        **facts: what else is to be known of the weights, JSON values, e.g. `source`.

    Raises:
        errors.InputError: another ending.
    """
    path = os.fspath(path)
    if not path.endswith(weight_files.SUFFIX):
        raise errors.InputError(
            f'A file of weights must end in {weight_files.SUFFIX}; got {path!r}.'
        )
    names = {
        layer.name: [variable.name for variable in checkpoints.variables(layer)]
        for layer in model.layers
    }
    scale = any('gamma' in variables for variables in names.values())
    facts = {
        'arch': model.name,
        'graph': model.graph,
        # The Keras graphs do not have the choice.
        'scale': scale if model.graph == 'slim' else None,
        **facts,
    }
    with storage.replacing(path) as aside:
        model.save_weights(aside)
        with h5py.File(aside, 'r+') as file:
            _note(file, facts, names)


def _note(file, facts, names):
    file.attrs['tfxfer'] = json.dumps(facts)

    def visit(_, group):
        layer = group.attrs.get('name')
        if names.get(layer):
            group.attrs['variables'] = names[layer]

    file.visititems(visit)


def load_weights(model, path):
    """Sets a model's weights to a file's that `save_weights` wrote.

    A classifier with another number of classes keeps its own.

    Raises:
        errors.InputError: not such a file, or another network's.
    """
    arch = errors.find('architecture', architectures.ARCHITECTURES, model.name)
    file = checkpoints.read(os.fspath(path), arch)
    if file.facts['graph'] != model.graph:
        raise errors.InputError(
            f'{os.fspath(path)!r} holds weights of the {file.facts["graph"]} graph of '
            f'{arch.name}; this is the {model.graph} one.'
        )
    classes = model.output['logits'].shape[-1]
    checkpoints.assign(model, file, skip=_new_heads(file, classes))
