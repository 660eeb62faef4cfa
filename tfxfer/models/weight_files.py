"""Where files of weights are: TF-Slim checkpoints and our own. No TensorFlow."""

import os
import pathlib
import re
from collections.abc import Sequence

from tfxfer import architectures, errors

ENV = 'TFXFER_CHECKPOINTS'
SUFFIX = '.weights.h5'
# Of the values in TF-Slim's checkpoints, as checkpoints.digest gives them: those that
# were at hand. Weights in a file are taken for the public ones by this alone.
DIGESTS = {
    'mobilenet_v1': '04729a2915df1f0b92f1b203478387e472a2424137299f9594871df0bf88ca66',
}


def find(
    arch: architectures.Architecture,
    weights: str | os.PathLike,
    folder: str | os.PathLike | None = None,
) -> str:
    """Path of the weights that `weights` means for an Architecture.

    Args:
        arch: Architecture.
        weights: 'slim', or the path of a `.weights.h5` file, of a checkpoint (its
            prefix, its .index file), or of a directory that holds just one of these.
        folder: of TF-Slim's checkpoints; None: that of the environment variable ENV.

    Returns:
        Path as text: a `.weights.h5` file or a checkpoint's prefix.

    Raises:
        errors.InputError: nothing is there, or more than one.
    """
    if weights == 'slim':
        return _find_slim(arch, folder)
    path = pathlib.Path(weights)
    if path.is_dir():
        return _only_one(path, [*path.glob(f'*{SUFFIX}'), *_prefixes(path)])
    if path.name.endswith(('.tar', '.tar.gz', '.tgz')):
        raise errors.InputError(
            f'{str(weights)!r} is an archive. Unpack it and name the folder, or give '
            'it to `python -m tools.convert_checkpoint`.'
        )
    prefix = _prefix(path)
    if not _exists(prefix):
        raise errors.InputError(
            f'No weights at {str(weights)!r}. Known: slim, keras, or the path of a '
            f'TF-Slim checkpoint (prefix, .index file or directory) or of a {SUFFIX} '
            'file written by this project.'
        )
    return str(prefix)


def check_output(output: str | os.PathLike) -> None:
    """Refuses what is no path of a new file of weights, before the work.

    Raises:
        errors.InputError: another ending, or no such folder.
    """
    folder = pathlib.Path(output).parent
    if not str(output).endswith(SUFFIX):
        raise errors.InputError(f'--output must end in {SUFFIX}; got {str(output)!r}.')
    if not folder.is_dir():
        raise errors.InputError(f'--output: there is no folder {str(folder)!r}.')


def _find_slim(
    arch: architectures.Architecture, folder: str | os.PathLike | None
) -> str:
    if 'slim' not in arch.weights:
        raise errors.InputError(
            f'TF-Slim offers no checkpoint of {arch.name}. Its sources of weights: '
            f'{", ".join(arch.weights) or "none; pretrain it"}.'
        )
    folder = folder or os.environ.get(ENV)
    if folder:
        unpacked = pathlib.Path(folder) / arch.checkpoint
        for parent in (pathlib.Path(folder), unpacked):
            prefix = parent / f'{arch.checkpoint}.ckpt'
            if _exists(prefix):
                return str(prefix)
        prefixes = _prefixes(unpacked)
        if prefixes:
            return _only_one(unpacked, prefixes)
    place = repr(str(folder)) if folder else f'a directory that {ENV} or a flag names'
    raise errors.InputError(
        f'No TF-Slim checkpoint of {arch.name}. Get {arch.archive} from '
        f'{arch.page} and unpack it as {arch.checkpoint}/ in {place}.'
    )


def _only_one(folder: pathlib.Path, paths: Sequence[pathlib.Path]) -> str:
    if len(paths) != 1:
        names = ', '.join(sorted(path.name for path in paths)) or 'none'
        raise errors.InputError(
            f'{str(folder)!r} must hold just one checkpoint or {SUFFIX} file; it holds '
            f'{names}. Name the file.'
        )
    return str(paths[0])


def _prefixes(folder: pathlib.Path) -> list[pathlib.Path]:
    """Checkpoints in a folder: V2 (with an index), then V1 (one file, *.ckpt)."""
    v2 = {path.with_suffix('') for path in folder.glob('*.index')}
    v1 = {path for path in folder.glob('*.ckpt') if path.is_file()}
    return sorted(v2 | v1)


def _prefix(path: pathlib.Path) -> pathlib.Path:
    name = re.sub(r'\.(index|meta|data-\d{5}-of-\d{5})$', '', path.name)
    return path.with_name(name)


def _exists(prefix: pathlib.Path) -> bool:
    return prefix.is_file() or prefix.with_name(prefix.name + '.index').is_file()
