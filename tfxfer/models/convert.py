"""TF-Slim checkpoint -> a file of weights, with a summary of what it holds."""

import contextlib
import pathlib
import re
import tarfile
import tempfile
import typing
import zlib
from collections.abc import Iterator

import numpy as np

from tfxfer import architectures, datasets, errors, models, storage
from tfxfer.models import checkpoints, network, weight_files

ARCHIVE = re.compile(r'\.(tar|tgz|tar\.gz)$')


def convert(
    arch: architectures.Architecture,
    checkpoint: str,
    output: str,
    *,
    averages: bool = True,
    top1: float | None = None,
) -> list[str]:
    """Writes `output`; gives the lines of a summary.

    Args:
        arch: Architecture.
        checkpoint: path of an archive, or what weight_files.find takes.
        output: path ending in `.weights.h5`.
        averages: take exponential moving averages, where there are any.
        top1: ImageNet top-1 accuracy, 0-1, to be noted in the file.

    Raises:
        errors.InputError: no checkpoint, or not a sound one of this network; nothing
            is written then.
    """
    weight_files.check_output(output)
    with _unpacked(checkpoint) as folder:
        path = weight_files.find(arch, folder)
        weights = checkpoints.read(path, arch, averages=averages)
        digest = checkpoints.digest(path)
    model = models.build(arch, None, weights)
    ignored = weights.unused_by(model)
    source = pathlib.Path(checkpoint).name
    noted: dict[str, typing.Any] = {'source': source, 'checkpoint_digest': digest}
    if top1 is not None:
        noted['trained_on'] = {
            'dataset': datasets.IMAGENET,
            'score': top1,
            'images': None,
        }
    models.save_weights(model, output, **noted)
    values = [
        variable
        for layer in model.layers
        for variable in network.variables(layer).values()
    ]
    count = sum(int(np.prod(variable.shape)) for variable in values)
    return [
        f'{arch.name} from {source}',
        f'variables: {len(values)}, of these moving averages: {weights.averaged}',
        f'parameters: {count:,}',
        f'classes: {weights.classes()}',
        f'ignored: {", ".join(ignored) or "nothing"}',
        f'digest: {digest}',
        f'written: {output}',
    ]


@contextlib.contextmanager
def _unpacked(checkpoint: str) -> Iterator[str]:
    """The checkpoint's path, or that of a folder which holds what an archive did."""
    if not ARCHIVE.search(checkpoint):
        yield checkpoint
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with storage.naming(folder), tarfile.open(checkpoint) as archive:
                for member in archive:
                    name = pathlib.PurePath(member.name).name
                    if member.isfile() and '.ckpt' in name and '.meta' not in name:
                        member.name = name
                        archive.extract(member, folder, filter='data')
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            if storage.disk_is_full(error):
                raise
            raise errors.InputError(
                f'Cannot unpack {checkpoint!r}: {error}. It is missing, truncated or '
                'no archive; get it again.'
            ) from error
        yield folder
