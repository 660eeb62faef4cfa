"""RUN/failures.json: how often a Run failed, and whether it is tried again."""

import os
import pathlib
import platform
import signal
import time
import typing

from tfxfer import escaping, storage

ATTEMPTS = 2  # Failures after which a Run is not tried again.
# Ends from outside say little about the Run, up to a point: memory may never suffice.
KILLS = 5
KILLED = -signal.SIGKILL  # Exit status of a Run whose end nobody saw.
_FROM_OUTSIDE = {
    sign * number + base
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for sign, base in ((-1, 0), (1, 128))
}
_FILE = 'failures.json'
_END = 65_536  # Bytes of a log that are looked at.
_LITTLE = 65_536  # Bytes: with less, a disk counts as full.


class Failure(typing.TypedDict):
    """One attempt at a Run that failed."""

    status: int  # Exit status.
    words: str  # The end of the log.
    host: str
    time: str


def read(workdir: str | pathlib.Path, name: str) -> list[Failure]:
    """Failures of the Run with an id so far."""
    return storage.read_if_sound(pathlib.Path(workdir) / name / _FILE, list) or []


def add(workdir: str | pathlib.Path, name: str, status: int, words: str) -> None:
    """Writes one more failure of a Run."""
    failure: Failure = {
        'status': status,
        'words': words,
        'host': platform.node(),
        'time': time.strftime('%Y-%m-%d %H:%M:%S'),
    }
    path = pathlib.Path(workdir) / name / _FILE
    storage.write_json(path, [*read(workdir, name), failure])


def forget(workdir: str | pathlib.Path) -> int:
    """Removes the failures of all Runs; returns how many had any."""
    paths = list(pathlib.Path(workdir).glob(f'*/{_FILE}'))
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def final(failures: list[Failure]) -> bool:
    """Whether a Run with these failures is not tried again."""
    killed = sum(failure['status'] in _FROM_OUTSIDE for failure in failures)
    return len(failures) - killed >= ATTEMPTS or killed >= KILLS


def last_words(workdir: str | pathlib.Path, name: str, lines: int = 4) -> str:
    """The end of a Run's log, for a person to see why it failed."""
    try:
        with open(pathlib.Path(workdir) / name / 'log.txt', 'rb') as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
            text = file.read(_END).decode(errors='replace')
    except OSError:
        return '(no log)'
    text = escaping.lines(text.replace('\r', '\n'))
    shown = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in shown if line.startswith('error: ')]
    return '\n'.join(errors[-1:] or shown[-lines:])


def check_room(workdir: str | pathlib.Path, words: str) -> None:
    """Raises where a Run failed for want of disk space, which is no fault of its own.

    Args:
        workdir: where it was to write.
        words: its last ones.

    Raises:
        OSError: the disk is full, or was for the Run, or files may not be so large.
    """
    disk = os.statvfs(workdir)
    full = disk.f_bavail * disk.f_frsize < _LITTLE
    full |= disk.f_files > 0 and not disk.f_favail
    if full or storage.disk_is_full(words):
        number = storage.full_errno(words)
        raise OSError(number, os.strerror(number), str(workdir))
