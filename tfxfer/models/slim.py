"""TF-Slim's checkpoints (V1 or V2): variable names follow from the layers' (blocks)."""

import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfxfer import architectures, errors, path_patterns
from tfxfer.models import weights

AVERAGE = '/ExponentialMovingAverage'


def read(
    path: str, arch: architectures.Architecture, *, averages: bool = True
) -> weights.Weights:
    """The Weights in a checkpoint, if they are an Architecture's.

    Args:
        path: the checkpoint's prefix.
        arch: Architecture.
        averages: take exponential moving averages, where there are some.

    Raises:
        errors.InputError: the checkpoint is damaged or another network's.
    """
    values = read_tensors(path)
    _check_network(path, arch, values)
    averaged = 0
    if averages:
        for name in [name for name in values if name.endswith(AVERAGE)]:
            values[name.removesuffix(AVERAGE)] = values.pop(name)
            averaged += 1
    scopes = {'logits': arch.head, 'aux_logits': arch.aux_head}
    scale = any(name.endswith('/gamma') for name in values)
    metadata = {'graph': 'slim', 'scale': scale}
    return weights.Weights(path, values, metadata, scopes, averaged)


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint by name.

    Raises:
        errors.InputError: it is not complete.
    """
    try:
        with path_patterns.literal(pathlib.Path(path).parent) as folder:
            reader = tf.train.load_checkpoint(str(folder / pathlib.Path(path).name))
            names = reader.get_variable_to_shape_map()
            return {name: reader.get_tensor(name) for name in names}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise errors.InputError(
            f'The checkpoint {path!r} lacks a file, is truncated or damaged '
            f'({reason}); get it again.'
        ) from error


def looks_like(tensors: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the Architectures whose classifier is among TF-Slim variables."""
    return [
        arch.name
        for arch in architectures.ARCHITECTURES.values()
        if _features(tensors, arch.head) == arch.features
    ]


def _features(tensors: Mapping[str, np.ndarray], head: str) -> int | None:
    kernel = tensors.get(f'{head}/weights')
    return None if kernel is None or kernel.ndim < 2 else kernel.shape[-2]


def _check_network(
    path: str, arch: architectures.Architecture, tensors: Mapping[str, np.ndarray]
) -> None:
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
        f'{weights.first_of(sorted(tensors))}.'
    )
