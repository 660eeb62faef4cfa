"""Files of weights: found, read, checked, and named as Keras names them.

Two kinds: TF-Slim checkpoints (V1 or V2), whose variable names map to layers by the
rule in nets/blocks.py, and the `.weights.h5` files that models.save_weights writes.
Either becomes a dict of arrays keyed `layer/variable`.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re

import h5py
import numpy as np
import tensorflow as tf

from tfxfer import architectures, config
from tfxfer.nets import blocks

ENV = 'TFXFER_CHECKPOINTS'
SUFFIX = '.weights.h5'
AVERAGE = '/ExponentialMovingAverage'

# Last component of a TF-Slim variable -> last component of a Keras one. `weights` of
# a separable convolution are the two others.
LEAVES = {
    'weights': 'kernel',
    'biases': 'bias',
    'gamma': 'gamma',
    'beta': 'beta',
    'moving_mean': 'moving_mean',
    'moving_variance': 'moving_variance',
    'depthwise_weights': 'depthwise_kernel',
    'pointwise_weights': 'pointwise_kernel',
}
HEADS = ('logits/', 'aux_logits/')  # Layers that models.build adds.


@dataclasses.dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
        path: of the file, or prefix of the checkpoint.
        values: arrays by `layer/variable`; the classifiers are the layers `logits` and
            `aux_logits`.
        facts: what the file says of itself; of a TF-Slim checkpoint {'graph': 'slim'}.
        averaged: how many values are exponential moving averages.
        ignored: names of the checkpoint's variables that belong to no layer.
    """

    path: str
    values: dict
    facts: dict
    averaged: int = 0
    ignored: tuple = ()

    def classes(self, head='logits'):
        """Outputs of the classifier, None when the file has none."""
        kernel = self.values.get(f'{head}/kernel')
        return None if kernel is None else kernel.shape[-1]


def find_checkpoint(arch, weights, where=None):
    """Path of the weights that `weights` means for an Architecture.

    Args:
        arch: Architecture.
        weights: 'slim', or the path of a `.weights.h5` file, of a checkpoint (its
            prefix, its .index file), or of a directory that holds just one of these.
        where: directory of TF-Slim's checkpoints; None: environment variable ENV.

    Returns:
        Path as text: a `.weights.h5` file or a checkpoint's prefix.

    Raises:
        config.InputError: nothing is there, or more than one.
    """
    if weights == 'slim':
        return _find_slim(arch, where)
    path = pathlib.Path(weights)
    if path.is_dir():
        return _only_one(path, [*path.glob(f'*{SUFFIX}'), *_prefixes(path)])
    prefix = _prefix(path)
    if not _exists(prefix):
        raise config.InputError(
            f'No weights at {str(weights)!r}. Known: slim, keras, or the path of a '
            f'TF-Slim checkpoint (prefix, .index file or directory) or of a {SUFFIX} '
            'file written by this project.'
        )
    return str(prefix)


def _find_slim(arch, where):
    if 'slim' not in arch.weights:
        raise config.InputError(
            f'TF-Slim offers no checkpoint of {arch.name}. Its sources of weights: '
            f'{", ".join(arch.weights) or "none; pretrain it"}.'
        )
    where = where or os.environ.get(ENV)
    if where:
        own = pathlib.Path(where) / arch.checkpoint
        for folder in (pathlib.Path(where), own):
            prefix = folder / f'{arch.checkpoint}.ckpt'
            if _exists(prefix):
                return str(prefix)
        found = _prefixes(own)
        if found:
            return _only_one(own, found)
    place = repr(str(where)) if where else f'a directory that {ENV} or a flag names'
    raise config.InputError(
        f'No TF-Slim checkpoint of {arch.name}. Get {arch.archive} from '
        f'{arch.page} and unpack it as {arch.checkpoint}/ in {place}.'
    )


def _only_one(folder, paths):
    if len(paths) != 1:
        names = ', '.join(sorted(path.name for path in paths)) or 'none'
        raise config.InputError(
            f'{str(folder)!r} must hold just one checkpoint or {SUFFIX} file; it holds '
            f'{names}. Name the file.'
        )
    return str(paths[0])


def _prefixes(folder):
    """Checkpoints in a folder: V2 (with an index), then V1 (one file, *.ckpt)."""
    v2 = {path.with_suffix('') for path in folder.glob('*.index')}
    v1 = {path for path in folder.glob('*.ckpt') if path.is_file()}
    return sorted(v2 | v1)


def _prefix(path):
    name = re.sub(r'\.(index|data-\d{5}-of-\d{5})$', '', path.name)
    return path.with_name(name)


def _exists(prefix):
    return prefix.is_file() or prefix.with_name(prefix.name + '.index').is_file()


def digest(path):
    """SHA-256, as hex, of the names, shapes and values in a file of weights.

    Raises:
        config.InputError: the file cannot be read.
    """
    read = _read_h5 if str(path).endswith(SUFFIX) else _read_tensors
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
        path: as find_checkpoint gives it.
        arch: Architecture.
        averages: take a checkpoint's exponential moving averages, where it has them.

    Raises:
        config.InputError: the file is damaged, has NaN, or is another network's.
    """
    path = str(path)
    if path.endswith(SUFFIX):
        weights = Weights(path, _read_h5(path), facts(path))
        if weights.facts['arch'] != arch.name:
            raise config.InputError(
                f'{path!r} holds weights of {weights.facts["arch"]}, not of '
                f'{arch.name}.'
            )
    else:
        weights = _from_slim(path, arch, averages)
    broken = [
        name for name, array in weights.values.items() if not np.isfinite(array).all()
    ]
    if broken:
        raise config.InputError(
            f'{path!r} has values that are not finite, in {_first(broken)}. Training '
            'diverged, or the file is damaged.'
        )
    return weights


def facts(path):
    """What models.save_weights noted in a file: arch, graph, scale and more.

    Raises:
        config.InputError: not such a file.
    """
    try:
        with h5py.File(path) as file:
            return json.loads(file.attrs['tfxfer'])
    except (OSError, KeyError) as error:
        raise config.InputError(
            f'{str(path)!r} was not written by this project, or is damaged ({error}).'
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
        raise config.InputError(f'Cannot read {str(path)!r}: {error}.') from error
    return values


def _read_tensors(path):
    """All tensors of a TF-Slim checkpoint by name."""
    try:
        reader = tf.train.load_checkpoint(str(path))
        return {
            name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
        }
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise config.InputError(
            f'Cannot read the checkpoint {str(path)!r}: {reason} The file is truncated '
            'or damaged; get it again.'
        ) from error


def _from_slim(path, arch, averages):
    tensors = _read_tensors(path)
    _check_network(path, arch, tensors)
    shadows = {
        name.removesuffix(AVERAGE): array
        for name, array in tensors.items()
        if averages and name.endswith(AVERAGE)
    }
    values, ignored, averaged = {}, [], 0
    for name, array in tensors.items():
        key = keras_name(name, arch)
        if key is None:
            ignored.append(name)
            continue
        averaged += name in shadows
        array = shadows.get(name, array)
        values[key] = as_dense(array) if key.startswith(HEADS) else array
    return Weights(path, values, {'graph': 'slim'}, averaged, tuple(sorted(ignored)))


def as_dense(array):
    """A 1 x 1 convolution's kernel as a dense layer's."""
    return array.reshape(array.shape[-2:]) if array.ndim == 4 else array


def keras_name(variable, arch):
    """`layer/variable` of a TF-Slim variable; None if it is no layer's."""
    scope, _, leaf = variable.rpartition('/')
    if leaf not in LEAVES:
        return None
    heads = {arch.head: 'logits', arch.aux_head: 'aux_logits'}
    return f'{heads.get(scope) or blocks.layer_name(scope)}/{LEAVES[leaf]}'


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
        raise config.InputError(
            f'{path!r} is not a checkpoint of {arch.name}; it looks like '
            f'{" or ".join(likely)}.'
        )
    raise config.InputError(
        f'{path!r} is not a checkpoint of {arch.name}: it lacks '
        f'{arch.head}/weights with {arch.features} inputs. Its variables begin with '
        f'{_first(sorted(tensors))}.'
    )


def assign(model, weights, *, skip=()):
    """Sets the variables of a Keras model to those of a file.

    Batch norm's gamma is 1 where the file has none (it was trained without).

    Args:
        model: as models.build makes it.
        weights: Weights.
        skip: names of layers that keep their own.

    Raises:
        config.InputError: variables are missing or of another shape, or the file has
            a gamma that the model lacks. The model is unchanged then.
    """
    taken, missing, wrong = [], [], []
    for layer in model.layers:
        if layer.name in skip:
            continue
        for variable in layer.weights:
            if variable.name == 'seed_generator_state':
                continue
            array = _value(weights.values, layer.name, variable.name)
            if array is None and variable.name == 'gamma':
                array = np.ones(variable.shape, variable.dtype)
            if array is None:
                missing.append(f'{layer.name}/{variable.name}')
            elif array.shape != tuple(variable.shape):
                wrong.append(
                    f'{layer.name}/{variable.name} {array.shape}, not '
                    f'{tuple(variable.shape)}'
                )
            else:
                taken.append((variable, array))
    lost = _lost_gammas(model, weights.values)
    for problem, names in (('lacks', missing), ('has shapes of another', wrong)):
        if names:
            raise config.InputError(
                f'{weights.path!r} {problem} {len(names)} of the variables of '
                f'{model.name}: {_first(names)}.'
            )
    if lost:
        raise config.InputError(
            f'{weights.path!r} has batch-norm scales (gamma) which {model.name} built '
            f'with scale=False cannot hold: {_first(lost)}. Leave scale unset.'
        )
    for variable, array in taken:
        variable.assign(array)


def _value(values, layer, variable):
    array = values.get(f'{layer}/{variable}')
    if array is None and variable == 'kernel':
        # A depthwise convolution: its own leaf in TF-Slim, `kernel` in Keras.
        array = values.get(f'{layer}/depthwise_kernel')
    return array


def _lost_gammas(model, values):
    return [
        f'{layer.name}/gamma'
        for layer in model.layers
        if f'{layer.name}/gamma' in values
        and 'gamma' not in [variable.name for variable in layer.weights]
    ]


def _first(names, count=3):
    more = f' and {len(names) - count} more' if len(names) > count else ''
    return ', '.join(names[:count]) + more
