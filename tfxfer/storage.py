"""Files that are complete or not there, and how they are read; locks and digests."""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import logging
import os
import pathlib
import re
import shutil
import stat
import typing
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping

import filelock
import numpy as np

from tfxfer import errors

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # No room, or none for this user.
_NO_FILE = (errno.EISDIR, errno.EINVAL, errno.ELOOP)  # What stands there is no file.
# As NumPy, HDF5 and TensorFlow say it, each in its own kind of error.
_FULL_TEXT = re.compile(
    r'No space left on device|Disk quota exceeded|File too large'
    r'|\d+ requested and \d+ written'
)
# What NumPy and zipfile raise of a damaged file.
_DAMAGE = (
    AttributeError, EOFError, LookupError, OSError, OverflowError, SyntaxError,
    TypeError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def key_of(metadata: Mapping[str, typing.Any]) -> str:
    """Digest of all that determines some numbers, of what JSON takes."""
    text = json.dumps(metadata, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(array: np.ndarray) -> str:
    """Digest of an array's type, shape and bytes."""
    array = np.ascontiguousarray(array)
    head = f'{array.dtype} {array.shape} '.encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def digest_of_archive(path: str | os.PathLike) -> str:
    """Digest of the arrays in an .npz file, by its table of their checksums.

    An array is compared with its checksum when it is read; this compares the table, so
    that the others need not be read.

    Raises:
        FileNotFoundError, zipfile.BadZipFile: there is none, or no such table.
    """
    with zipfile.ZipFile(path) as archive:
        table = [[m.filename, m.file_size, m.CRC] for m in archive.infolist()]
    return hashlib.sha256(json.dumps(sorted(table)).encode()).hexdigest()


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a name beside `path` to write to, moved onto it when the block succeeds.

    What was written is on the disk before it is moved: after a power cut there is the
    old file or the new one, never an empty one.

    Raises:
        OSError: of a disk that is full it names `path`, whichever library met it.
    """
    path = pathlib.Path(path)
    with naming(path), _temporary(path) as temporary:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a folder beside `path` to fill, moved onto it when the block succeeds.

    Raises:
        OSError: as of `replacing`.
    """
    path = pathlib.Path(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            old = temporary.with_name(f'{temporary.name}.old')
            _remove(old)
            temporary.mkdir()
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in names:
                    _sync(os.path.join(folder, name))
                _sync_folder(folder)
            if path.exists():
                os.rename(path, old)
            os.rename(temporary, path)
            _sync_folder(path.parent)
            _remove(old)


@contextlib.contextmanager
def _temporary(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden name beside `path` which no other process uses, and nothing is there.

    It is locked by a file of its own: what a killed process left is not, and is removed
    by the next that writes `path`. The whole name is at the end, as Keras and NumPy
    look at endings.
    """
    lock = None
    for number in itertools.count():
        temporary = path.with_name(f'.{number}.{path.name}')
        lock_path = temporary.with_name(f'{temporary.name}.lock')
        if (lock := _try_lock(lock_path)) is not None:
            break
    try:
        _remove(temporary)
        yield temporary
    finally:
        _remove(temporary)
        lock_path.unlink(missing_ok=True)
        os.close(typing.cast(int, lock))


def _try_lock(path: pathlib.Path) -> int | None:
    """An open file that holds the lock `path`; None where another process has it."""
    made = True
    try:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            made = False
            lock = os.open(path, os.O_RDWR)
    except (FileNotFoundError, PermissionError):
        if made:
            raise
        return None  # It was removed just now, or is another user's.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it before may have removed it in between.
        held = os.path.samestat(os.fstat(lock), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        held = False
    except OSError:  # A file system without locks.
        held = made
    if not held:
        os.close(lock)
        return None
    return lock


def _remove(path: pathlib.Path) -> None:
    """Removes a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: str | os.PathLike) -> None:
    """Waits until a file is on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _sync_folder(path: str | os.PathLike) -> None:
    """Waits until the names in a folder are on the disk."""
    with contextlib.suppress(OSError):  # Not every file system can.
        _sync(path)


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """An error of the disk names `path`, not a temporary file or nothing at all.

    Raises:
        OSError: what libraries say of a full disk, each in its own way, too.
    """
    try:
        yield
    except OSError as error:
        name = str(error.filename or '')
        if error.errno in FULL and not name:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        if f'.{os.path.basename(path)}' in name:
            error.filename = str(path)
        if error.errno is None and disk_is_full(error):
            raise _full(path, error) from error
        raise
    except Exception as error:
        if not disk_is_full(error):
            raise
        raise _full(path, error) from error


def _full(path: str | os.PathLike, error: BaseException) -> OSError:
    number = full_errno(error)
    return OSError(number, os.strerror(number), str(path))


def full_errno(error: object) -> int:
    """Which of FULL an error, or the text of one, says in words."""
    return errno.EFBIG if 'File too large' in str(error) else errno.ENOSPC


def disk_is_full(error: object) -> bool:
    """Whether an error, or the text of one, says that there was no room to write to."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return bool(_FULL_TEXT.search(str(error)))


def check_room(folder: str | os.PathLike, size: int, what: str) -> None:
    """Refuses to begin what will not fit.

    Args:
        folder: where it is to be.
        size: bytes.
        what: it is, in a few words.

    Raises:
        OSError: the file system has less room (ENOSPC).
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f'{os.strerror(errno.ENOSPC)}: {what} take {_megabytes(size)}, and '
            f'{_megabytes(free)} are free',
            str(folder),
        )


def _megabytes(size: int) -> str:
    return f'{size / 1e6:,.1f} MB'


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
    text = json.dumps(value, indent=1, allow_nan=False) + '\n'
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def plain_bytes(path: str | os.PathLike) -> bytes:
    """What a plain file holds.

    Raises:
        OSError: it cannot be read, or is a pipe or device, which may never end.
    """
    flags = os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0)
    with open(os.open(path, flags), 'rb') as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(number, 'Not a plain file', str(path))
        return file.read()


def read_json(
    path: str | os.PathLike, remedy: str, kind: type | tuple[type, ...] = dict
) -> typing.Any:
    """The value in a JSON file.

    Args:
        path: of the file.
        remedy: a sentence, what to do where it is damaged.
        kind: of value that it must be.

    Raises:
        FileNotFoundError: there is none.
        errors.InputError: it is empty, no JSON, or of another kind.
    """
    try:
        value = json.loads(plain_bytes(path).decode())
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise errors.InputError(_damaged(path, error, remedy)) from error
    except (ValueError, RecursionError) as error:
        raise errors.InputError(_damaged(path, error, remedy)) from error
    if not isinstance(value, kind):
        found = f'it holds a {type(value).__name__}'
        raise errors.InputError(_damaged(path, found, remedy))
    return value


def read_if_sound(
    path: str | os.PathLike, kind: type | tuple[type, ...] = dict
) -> typing.Any:
    """The value in a JSON file that can be made anew; arguments as of `read_json`.

    None if there is none, or, with a warning, where it is damaged.
    """
    try:
        return read_json(path, 'It is made anew.', kind)
    except FileNotFoundError:
        return None
    except errors.InputError as error:
        logging.warning('%s', error)
        return None


def write_cache(path: str | os.PathLike, value: dict[str, typing.Any]) -> None:
    """Writes JSON that can be made anew, with a digest against wrong numbers in it."""
    write_json(path, {'digest': key_of(value), 'content': value})


def read_cache(path: str | os.PathLike) -> dict[str, typing.Any]:
    """What `write_cache` wrote; {} if nothing, or, with a warning, if it is damaged."""
    file = read_if_sound(path)
    if file is None:
        return {}
    content = file.get('content')
    if not isinstance(content, dict) or key_of(content) != file.get('digest'):
        logging.warning('%s is damaged or of another version. It is made anew.', path)
        return {}
    return content


def read_arrays(
    path: str | os.PathLike,
    remedy: str,
    names: Collection[str] | None = None,
    *,
    digest: str | None = None,
) -> dict[str, np.ndarray]:
    """The arrays in an .npz file; their checksums are verified.

    Args:
        path: of the file.
        remedy: a sentence, what to do where it is damaged.
        names: of the arrays to read, where they are in it; None: all.
        digest: digest_of_archive that it must have; None: any.

    Raises:
        FileNotFoundError: there is none.
        errors.InputError: it is damaged, or another file.
    """
    try:
        _refuse_pipe(path)
        if digest and digest != digest_of_archive(path):
            raise ValueError('it is not the file that was written')
        with np.load(path, allow_pickle=False) as arrays:
            wanted = arrays.files if names is None else names
            return {name: arrays[name] for name in wanted if name in arrays}
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        raise errors.InputError(_damaged(path, error, remedy)) from error


def _refuse_pipe(path: str | os.PathLike) -> None:
    """Raises ValueError of what is there and no plain file: it might never end."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError('it is not a plain file')


def arrays_if_sound(path: str | os.PathLike) -> dict[str, np.ndarray] | None:
    """The arrays in an .npz file that can be made anew.

    None if there is none, or, with a warning, where it is damaged.
    """
    try:
        return read_arrays(path, 'It is made anew.')
    except FileNotFoundError:
        return None
    except errors.InputError as error:
        logging.warning('%s', error)
        return None


def read_array(path: str | os.PathLike, remedy: str) -> np.ndarray:
    """The array in an .npy file.

    Args:
        path: of the file.
        remedy: a sentence, what to do where it is damaged.

    Raises:
        FileNotFoundError: there is none.
        errors.InputError: it is damaged.
    """
    try:
        _refuse_pipe(path)
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        raise errors.InputError(_damaged(path, error, remedy)) from error


def _damaged(path: str | os.PathLike, fault: object, remedy: str) -> str:
    reason = str(fault).partition('\n')[0].rstrip('.') or type(fault).__name__
    if isinstance(fault, OSError) and fault.strerror:
        reason = fault.strerror
    return f'{path} cannot be read ({reason}). {remedy}'
