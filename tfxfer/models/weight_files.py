"""Where files of weights are: TF-Slim checkpoints and our own. No TensorFlow."""

import os
import pathlib
import re

from tfxfer import errors

ENV = 'TFXFER_CHECKPOINTS'
SUFFIX = '.weights.h5'


def find(arch, weights, where=None):
    """Path of the weights that `weights` means for an Architecture.

    Args:
        arch: Architecture.
        weights: 'slim', or the path of a `.weights.h5` file, of a checkpoint (its
            prefix, its .index file), or of a directory that holds just one of these.
        where: directory of TF-Slim's checkpoints; None: environment variable ENV.

    Returns:
        Path as text: a `.weights.h5` file or a checkpoint's prefix.

    Raises:
        errors.InputError: nothing is there, or more than one.
    """
    if weights == 'slim':
        return _find_slim(arch, where)
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


def _find_slim(arch, where):
    if 'slim' not in arch.weights:
        raise errors.InputError(
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
    raise errors.InputError(
        f'No TF-Slim checkpoint of {arch.name}. Get {arch.archive} from '
        f'{arch.page} and unpack it as {arch.checkpoint}/ in {place}.'
    )


def _only_one(folder, paths):
    if len(paths) != 1:
        names = ', '.join(sorted(path.name for path in paths)) or 'none'
        raise errors.InputError(
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
    name = re.sub(r'\.(index|meta|data-\d{5}-of-\d{5})$', '', path.name)
    return path.with_name(name)


def _exists(prefix):
    return prefix.is_file() or prefix.with_name(prefix.name + '.index').is_file()
