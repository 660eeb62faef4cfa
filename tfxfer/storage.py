"""Files that are complete or not there; locks and digests."""

import contextlib
import hashlib
import json
import logging
import os
import pathlib
import shutil
import tempfile
import typing
from collections.abc import Iterator, Mapping

import filelock
import numpy as np

from tfxfer import errors


def key_of(metadata: Mapping[str, typing.Any]) -> str:
    """Digest of all that determines some numbers, of what JSON takes."""
    text = json.dumps(metadata, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(array: np.ndarray) -> str:
    """Digest of an integer array: of indices, labels."""
    array = np.ascontiguousarray(array)
    head = f'{array.dtype} {array.shape} '.encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a name beside `path` to write to, moved onto it when the block succeeds."""
    path = pathlib.Path(path)
    handle, name = tempfile.mkstemp(
        # The whole name at the end: Keras and NumPy look at endings.
        prefix='.',
        suffix=f'.{path.name}',
        dir=path.parent,
    )
    os.close(handle)
    temporary = pathlib.Path(name)
    os.chmod(temporary, 0o644)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Waits while another process is in such a block for `path`, and keeps others out.

    The lock is the file NAME.lock beside it; it ends with the process, however that
    ends.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A soft lock would outlive a killed process.
    lock = filelock.FileLock(
        path.with_name(f'{path.name}.lock'), fallback_to_soft=False
    )
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        logging.info('Waiting for another process that makes %s.', path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a folder beside `path` to fill, moved onto it when the block succeeds."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f'.{path.name}.', dir=path.parent))
    os.chmod(temporary, 0o755)
    try:
        yield temporary
        if path.exists():
            old = temporary.with_name(temporary.name + '.old')
            os.rename(path, old)
            os.rename(temporary, path)
            shutil.rmtree(old)
        else:
            os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def writable(workdir: str | os.PathLike) -> None:
    """Makes the folder and writes to it, so that a fault shows before the work.

    Raises:
        OSError: it cannot be made or written.
        errors.InputError: a part of its path is a file.
    """
    try:
        pathlib.Path(workdir).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise errors.InputError(
            f'Cannot make the folder {str(workdir)!r}: a part of it is a file.'
        ) from error
    write_json(pathlib.Path(workdir) / '.writable', None)
    (pathlib.Path(workdir) / '.writable').unlink(missing_ok=True)


def write_json(path: str | os.PathLike, value: typing.Any) -> None:
    """Writes JSON, complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + '\n')
