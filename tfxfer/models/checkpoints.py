"""Reads files of weights of either kind: TF-Slim's checkpoints and our own."""

import os

from tfxfer import architectures, errors
from tfxfer.models import slim, weight_files, weights, weights_h5


def read(
    path: str | os.PathLike,
    arch: architectures.Architecture,
    *,
    averages: bool = True,
) -> weights.Weights:
    """The Weights in a file, if they are an Architecture's.

    Args:
        path: as weight_files.find gives it.
        arch: Architecture.
        averages: take a checkpoint's exponential moving averages, where it has them.

    Raises:
        errors.InputError: the file is damaged or another network's.
    """
    path = os.fspath(path)
    if path.endswith(weight_files.SUFFIX):
        return weights_h5.read(path, arch)
    if arch.file:
        raise errors.InputError(
            f'{path!r} is no weights of {arch.name}: these are its own ({arch.graph}), '
            f'or a {weight_files.SUFFIX} file that this project wrote.'
        )
    return slim.read(path, arch, averages=averages)


def digest(path: str | os.PathLike) -> str:
    """SHA-256, as hex, of the names, shapes and values in a file of weights.

    Raises:
        errors.InputError: the file cannot be read.
    """
    path = os.fspath(path)
    kind = weights_h5 if path.endswith(weight_files.SUFFIX) else slim
    return weights.digest_of(kind.read_tensors(path))
