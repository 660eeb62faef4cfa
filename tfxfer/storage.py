"""Files that are complete or not there; locks and digests."""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import pathlib
import shutil
import tempfile

import numpy as np

from tfxfer import errors


def key_of(facts):
    """Digest of all that determines some numbers; facts: a dict that JSON takes."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(array):
    """Digest of an integer array: of indices, labels."""
    array = np.ascontiguousarray(array)
    head = f'{array.dtype} {array.shape} '.encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


@contextlib.contextmanager
def replacing(path):
    """Gives a name beside `path` to write to, moved onto it when the block succeeds."""
    path = pathlib.Path(path)
    handle, aside = tempfile.mkstemp(
        # The whole name at the end: Keras and NumPy look at endings.
        prefix='.',
        suffix=f'.{path.name}',
        dir=path.parent,
    )
    os.close(handle)
    os.chmod(aside, 0o644)
    try:
        yield pathlib.Path(aside)
        os.replace(aside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)


@contextlib.contextmanager
def locked(path):
    """Waits while another process is in such a block for `path`, and keeps others out.

    The lock is the file NAME.lock beside it; it ends with the process, however that
    ends.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f'{path.name}.lock'), 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info('Waiting for another process that makes %s.', path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def replacing_folder(path):
    """Gives a folder beside `path` to fill, moved onto it when the block succeeds."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(prefix=f'.{path.name}.', dir=path.parent))
    os.chmod(aside, 0o755)
    try:
        yield aside
        if path.exists():
            old = aside.with_name(aside.name + '.old')
            os.rename(path, old)
            os.rename(aside, path)
            shutil.rmtree(old)
        else:
            os.rename(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def writable(workdir):
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


def write_json(path, value):
    """Writes JSON, complete or not at all."""
    with replacing(path) as aside:
        aside.write_text(json.dumps(value, indent=1, allow_nan=False) + '\n')
