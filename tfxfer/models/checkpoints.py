"""Files of weights: read, checked, and put into Keras models.

Two kinds: TF-Slim checkpoints (V1 or V2), whose variable names follow from the layers'
by the rule in blocks.py, and the `.weights.h5` files that models.save_weights
writes, which have the names of Keras.
"""

import dataclasses
import hashlib
import json

import h5py
import numpy as np
import tensorflow as tf
from keras import layers

from tfxfer import architectures, errors
from tfxfer.models import blocks, weight_files

AVERAGE = '/ExponentialMovingAverage'

# What TF-Slim calls the variables of a layer; batch norm's are called alike in Keras.
LEAVES = {
    'kernel': 'weights',
    'bias': 'biases',
    'depthwise_kernel': 'depthwise_weights',
    'pointwise_kernel': 'pointwise_weights',
}


@dataclasses.dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
        path: of the file, or prefix of the checkpoint.
        values: arrays by the names in the file.
        facts: what the file says of itself, at least `graph`, a key of models.GRAPHS,
            and `scale`: whether batch norm has a gamma; None is as in the graph.
        scopes: TF-Slim's scopes of the layers `logits` and `aux_logits`; None when the
            names are those of Keras, `layer/variable`.
        averaged: how many values are exponential moving averages.
    """

    path: str
    values: dict
    facts: dict
    scopes: dict | None = None
    averaged: int = 0

    def name(self, layer, variable):
        """What the file calls the variable (text) of a Keras layer."""
        if self.scopes is None:
            return f'{layer.name}/{variable}'
        scope = self.scopes.get(layer.name) or blocks.scope_of(layer.name)
        if isinstance(layer, layers.DepthwiseConv2D) and variable == 'kernel':
            return f'{scope}/depthwise_weights'
        return f'{scope}/{LEAVES.get(variable, variable)}'

    def classes(self, head='logits'):
        """Outputs of the classifier `logits` or `aux_logits`; None without one."""
        if self.scopes is None:
            kernel = self.values.get(f'{head}/kernel')
        else:
            kernel = self.values.get(f'{self.scopes[head]}/weights')
        return None if kernel is None else kernel.shape[-1]


def digest(path):
    """SHA-256, as hex, of the names, shapes and values in a file of weights.

    Raises:
        errors.InputError: the file cannot be read.
    """
    read = _read_h5 if str(path).endswith(weight_files.SUFFIX) else _read_tensors
    values = read(path)
    total = hashlib.sha256()
    for name in sorted(values):
        array = np.ascontiguousarray(values[name])
        total.update(f'{name} {array.dtype} {array.shape}\n'.encode())
        total.update(array.data if array.ndim else array.tobytes())
    return total.hexdigest()


def read(path, arch, *, averages=True):
    """The Weights in a file, if they are an Architecture's.

    Args:
        path: as files.find gives it.
        arch: Architecture.
        averages: take a checkpoint's exponential moving averages, where it has them.

    Raises:
        errors.InputError: the file is damaged or another network's.
    """
    path = str(path)
    if not path.endswith(weight_files.SUFFIX):
        return _from_slim(path, arch, averages)
    weights = Weights(path, _read_h5(path), facts(path))
    if weights.facts['arch'] != arch.name:
        raise errors.InputError(
            f'{path!r} holds weights of {weights.facts["arch"]}, not of {arch.name}.'
        )
    return weights


def facts(path):
    """What models.save_weights noted in a file: arch, graph, scale and more.

    Raises:
        errors.InputError: not such a file.
    """
    try:
        with h5py.File(path) as file:
            return json.loads(file.attrs['tfxfer'])
    except (OSError, KeyError) as error:
        raise errors.InputError(
            f'{str(path)!r} was not written by models.save_weights, or is damaged '
            f'({error}).'
        ) from error


def _read_h5(path):
    """Arrays by `layer/variable`, by the names that save_weights noted."""
    values = {}

    def visit(_, group):
        if 'variables' in group.attrs:
            for i, name in enumerate(group.attrs['variables']):
                values[f'{group.attrs["name"]}/{name}'] = group[str(i)][()]

    try:
        with h5py.File(path) as file:
            file.visititems(visit)
    except (OSError, KeyError, RuntimeError) as error:
        raise errors.InputError(
            f'{str(path)!r} is truncated or damaged ({error}); make it again.'
        ) from error
    return values


def _read_tensors(path):
    """All tensors of a TF-Slim checkpoint by name."""
    try:
        reader = tf.train.load_checkpoint(str(path))
        return {
            name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
        }
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise errors.InputError(
            f'The checkpoint {str(path)!r} lacks a file, is truncated or damaged '
            f'({reason}); get it again.'
        ) from error


def _from_slim(path, arch, averages):
    values = _read_tensors(path)
    _check_network(path, arch, values)
    averaged = 0
    if averages:
        for name in [name for name in values if name.endswith(AVERAGE)]:
            values[name.removesuffix(AVERAGE)] = values.pop(name)
            averaged += 1
    scopes = {'logits': arch.head, 'aux_logits': arch.aux_head}
    scale = any(name.endswith('/gamma') for name in values)
    return Weights(path, values, {'graph': 'slim', 'scale': scale}, scopes, averaged)


def looks_like(tensors):
    """Names of the Architectures whose classifier is among TF-Slim variables."""
    return [
        arch.name
        for arch in architectures.ARCHITECTURES.values()
        if _features(tensors, arch.head) == arch.features
    ]


def _features(tensors, head):
    kernel = tensors.get(f'{head}/weights')
    return None if kernel is None or kernel.ndim < 2 else kernel.shape[-2]


def _check_network(path, arch, tensors):
    if _features(tensors, arch.head) == arch.features:
        return
    likely = looks_like(tensors)
    if likely:
        raise errors.InputError(
            f'{path!r} is not a checkpoint of {arch.name}; it looks like '
            f'{" or ".join(likely)}.'
        )
    raise errors.InputError(
        f'{path!r} is not a checkpoint of {arch.name}: it lacks '
        f'{arch.head}/weights with {arch.features} inputs. Its variables begin with '
        f'{_first(sorted(tensors))}.'
    )


def assign(model, weights, *, skip=()):
    """Sets the variables of a Keras model to those of a file.

    Batch norm's gammas are 1 if the file has none at all (it was trained without).

    Args:
        model: as models.build makes it.
        weights: Weights.
        skip: names of layers that keep their own.

    Raises:
        errors.InputError: variables are missing, of another shape or not finite, or
            the file has a gamma that the model lacks. The model is unchanged then.
    """
    problems = {
        'lacks': [],
        'has another shape of': [],
        'has NaN or infinity (training diverged, or the file is damaged) in': [],
    }
    lacks, shapes, broken = problems.values()
    taken, lost = [], []
    for layer in model.layers:
        if layer.name in skip:
            continue
        own = {variable.name: variable for variable in variables(layer)}
        for name, variable in own.items():
            source = weights.name(layer, name)
            array = weights.values.get(source)
            if array is None and name == 'gamma' and weights.facts['scale'] is False:
                array = np.ones(variable.shape, variable.dtype)
            if array is None:
                lacks.append(source)
                continue
            if len(variable.shape) == 2 and array.shape[:-2] == (1, 1):
                array = array[0, 0]  # A 1 x 1 convolution as a dense layer.
            if array.shape != tuple(variable.shape):
                shapes.append(f'{source} {array.shape}, not {tuple(variable.shape)}')
            elif not np.isfinite(array).all():
                broken.append(source)
            taken.append((variable, array))
        if 'beta' in own and 'gamma' not in own:
            lost += [weights.name(layer, 'gamma')]
    for problem, names in problems.items():
        if names:
            raise errors.InputError(
                f'{weights.path!r} {problem} {len(names)} of the variables of '
                f'{model.name}: {_first(names)}.'
            )
    lost = [name for name in lost if name in weights.values]
    if lost:
        raise errors.InputError(
            f'{weights.path!r} has batch-norm scales (gamma) which {model.name} built '
            f'with scale=False cannot hold: {_first(lost)}. Leave scale unset.'
        )
    for variable, array in taken:
        variable.assign(array)


def unused(model, weights):
    """Names in a file that a model has no place for, sorted."""
    used = {
        weights.name(layer, variable.name)
        for layer in model.layers
        for variable in variables(layer)
    }
    return sorted(set(weights.values) - used)


def variables(layer):
    """A layer's variables, but not the state of its random numbers."""
    return [] if isinstance(layer, layers.Dropout) else layer.weights


def _first(names, count=3):
    more = f' and {len(names) - count} more' if len(names) > count else ''
    return ', '.join(names[:count]) + more
