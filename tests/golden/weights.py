"""The golden data: weights by rule, their checkpoints, what TF-Slim made of them."""

import dataclasses
import hashlib
import json
import math
import pathlib
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image

FOLDER = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Golden:
    """What TF-Slim's graph of one network gave.

    Attributes:
        shapes: of the checkpoint's variables, by name.
        digest: SHA-256 of their values, as hex.
        numbers: logits, features, aux_logits, mean/ENDPOINT, std/ENDPOINT.
    """

    shapes: dict
    digest: str
    numbers: dict


def golden(name):
    """The Golden of an architecture."""
    with np.load(FOLDER / f'{name}.npz') as file:
        numbers = dict(file)
    shapes = json.loads(numbers.pop('variables').tobytes())
    return Golden(
        {name: tuple(shape) for name, shape in shapes},
        numbers.pop('digest').tobytes().hex(),
        numbers,
    )


def pictures(size):
    """The two pictures that went in: float32 [2, size, size, 3], 0-255."""
    images = [Image.open(FOLDER / f'inputs_{size}_{i}.png') for i in range(2)]
    return np.stack([np.asarray(image, np.float32) for image in images])


def draw(name, shape):
    """A variable's value by the rule of the reference: its name is the seed."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    leaf = name.rpartition('/')[2]
    if len(shape) > 1:
        fan_in = math.prod(shape[:2] if leaf == 'depthwise_weights' else shape[:-1])
        value = rng.randn(*shape) * math.sqrt(2 / fan_in)
    elif leaf == 'gamma':
        value = rng.uniform(*_range(name), shape)
    elif leaf == 'moving_variance':
        value = rng.uniform(0.5, 1.5, shape)
    else:
        value = rng.randn(*shape) * 0.1
    return value.astype(np.float32)


def _range(gamma):
    if gamma.endswith('/conv3/BatchNorm/gamma'):
        return 0.1, 0.4
    return (0.8, 1.2) if gamma.endswith('/BatchNorm/gamma') else (0.5, 1.0)


def tensors(name):
    """All variables of an architecture's checkpoint, by the rule."""
    reference = golden(name)
    values = {name: draw(name, shape) for name, shape in reference.shapes.items()}
    total = hashlib.sha256()
    for key in sorted(values):
        total.update(values[key].tobytes())
    assert total.hexdigest() == reference.digest, 'not the weights of the reference'
    return values


def write_checkpoint(path, values, *, v1=False):
    """Writes a checkpoint with the ops of tf.compat.v1.train.Saver: its prefix."""
    names, arrays = list(values), list(values.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    if v1:
        tf.raw_ops.Save(filename=str(path), tensor_names=names, data=arrays)
    else:
        tf.raw_ops.SaveV2(
            prefix=str(path),
            tensor_names=names,
            shape_and_slices=[''] * len(names),
            tensors=arrays,
        )
    return path
