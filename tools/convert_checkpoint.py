"""TF-Slim checkpoint -> the file of weights that --config.weights= takes.

    python -m tools.convert_checkpoint --arch=resnet_50 \
        --checkpoint=resnet_v1_50_2016_08_28.tar.gz --output=resnet_50.weights.h5

The checkpoint is an archive as TF-Slim publishes it, a prefix, an .index file or a
folder, of version 1 or 2. Exponential moving averages are taken where there are any.
"""

import contextlib
import pathlib
import re
import tarfile
import tempfile
import zlib

import numpy as np
from absl import flags

from tfxfer import architectures, errors
from tfxfer.cli import app
from tfxfer.models import weight_files

ARCHIVE = re.compile(r'\.(tar|tgz|tar\.gz)$')


def convert(arch, checkpoint, output, *, averages=True):
    """Writes `output`; gives the lines of a summary.

    Args:
        arch: Architecture.
        checkpoint: path of an archive, or what files.find takes.
        output: path ending in `.weights.h5`.
        averages: take exponential moving averages, where there are any.

    Raises:
        errors.InputError: no checkpoint, or not a sound one of this network; nothing
            is written then.
    """
    _check_output(output)
    # TensorFlow takes seconds: what needs none has been looked at before.
    from tfxfer import models
    from tfxfer.models import checkpoints

    with _unpacked(checkpoint) as place:
        path = weight_files.find(arch, place)
        weights = checkpoints.read(path, arch, averages=averages)
        digest = checkpoints.digest(path)
    model = models.build(arch, None, weights, aux=None)
    ignored = checkpoints.unused(model, weights)
    source = pathlib.Path(checkpoint).name
    models.save_weights(model, output, source=source, checkpoint_digest=digest)
    values = [
        variable for layer in model.layers for variable in checkpoints.variables(layer)
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


def _check_output(output):
    folder = pathlib.Path(output).parent
    if not str(output).endswith('.weights.h5'):
        raise errors.InputError(
            f'--output must end in .weights.h5; got {str(output)!r}.'
        )
    if not folder.is_dir():
        raise errors.InputError(f'--output: there is no folder {str(folder)!r}.')


@contextlib.contextmanager
def _unpacked(checkpoint):
    """The checkpoint's path, or that of a folder which holds what an archive did."""
    if not ARCHIVE.search(checkpoint):
        yield checkpoint
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(checkpoint) as archive:
                for member in archive:
                    name = pathlib.PurePath(member.name).name
                    if member.isfile() and '.ckpt' in name and '.meta' not in name:
                        member.name = name
                        archive.extract(member, folder, filter='data')
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise errors.InputError(
                f'Cannot unpack {checkpoint!r}: {error}. It is missing, truncated or '
                'no archive; get it again.'
            ) from error
        yield folder


def main(argv):
    del argv
    for flag in (ARCH, CHECKPOINT, OUTPUT):
        if not flag.value:
            raise errors.InputError(f'--{flag.name} is missing; see --help.')
    arch = errors.find('architecture', architectures.ARCHITECTURES, ARCH.value)
    for line in convert(arch, CHECKPOINT.value, OUTPUT.value, averages=AVERAGES.value):
        print(line)


if __name__ == '__main__':
    ARCH = flags.DEFINE_string('arch', None, 'Name of the network.')
    CHECKPOINT = flags.DEFINE_string('checkpoint', None, 'TF-Slim checkpoint.')
    OUTPUT = flags.DEFINE_string('output', None, 'File to write, *.weights.h5.')
    AVERAGES = flags.DEFINE_bool(
        'averages', True, 'Take exponential moving averages, where there are any.'
    )
    app.run(main)
