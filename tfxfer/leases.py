"""Which process works on what, among those that share a folder: leases that expire.

WORKDIR/leases/NAME.N is the N-th lease of a piece of work, renewed while its holder
lives; the highest N counts. A lease is never written over by another: whoever starts
on the work makes N + 1, which the file system lets one process do. It needs no locks,
so it holds on network file systems too. Times are those of the file system, so that the
machines' clocks need not agree. Other files in the folder are left alone.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import re
import secrets
import signal
import stat
import threading
import time
import typing
from collections.abc import Callable

from tfxfer import errors

EXPIRES = 180.0  # Seconds without a sign of life.
RENEWED = 20.0  # Seconds between two of them.
_BOOT = pathlib.Path('/proc/sys/kernel/random/boot_id')


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process that holds a lease.

    Attributes:
        silent: seconds since it last renewed the lease; negative: a file from the
            future, as a clock that was put right leaves them.
        machine: what tells machines apart; '' where that is unknown.
        born: when the process began, in its kernel's ticks.
        released: given up, by a process that may still be there.
    """

    host: str
    pid: int
    silent: float
    machine: str = ''
    born: int | None = None
    released: bool = False

    @property
    def alive(self) -> bool:
        """Whether the lease counts.

        The end of a process on this machine is seen at once; of others it is known by
        their silence. A lease from further in the future than it could last is none.
        """
        if self.released or abs(self.silent) > EXPIRES:
            return False
        return self.machine != _machine() or _born(self.pid) == self.born

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine, so that `alive` is sure."""
        return self.machine == _machine() != ''

    def __str__(self) -> str:
        return f'process {self.pid} on {self.host}'


class Lease:
    """A lease that this process holds, renewed by a thread until it is released."""

    def __init__(self, path: pathlib.Path, lost: Callable[[], typing.Any]) -> None:
        self.path, self._lost, self._over = path, lost, threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def held(self) -> bool:
        """Whether no other process took it over, as it may after a long silence."""
        name, number = self._name
        newest = max(_numbers(self.path.parent, name), default=0)
        return newest == number

    def release(self, *, done: bool) -> None:
        """Gives it up; done: the work is, so that its leases can be removed."""
        self._over.set()
        name, number = self._name
        if self.held() and not done:
            fields = json.loads(self.path.read_text(encoding='utf-8')) | {
                'released': True
            }
            # Not removed, so that its number is not used again.
            os.replace(_write_temporary(self.path.parent, fields), self.path)
            return
        _remove(self.path.parent, name, number)

    @property
    def _name(self):
        found = _split(self.path.name)
        assert found, self.path
        return found

    def _renew(self):
        while not self._over.wait(RENEWED):
            with contextlib.suppress(OSError):  # A network file system may stumble.
                if not self.held():
                    if not self._over.is_set():  # Else it was just given up.
                        self._lost()
                    return
                os.utime(self.path)


def claim(
    workdir: str | pathlib.Path,
    name: str,
    *,
    lost: Callable[[], typing.Any] | None = None,
) -> Lease:
    """The Lease of a piece of work.

    Args:
        workdir: folder that all who might do it share.
        name: of the work, a Run's id.
        lost: called, in another thread, if the lease is taken over; by default the
            process sends itself SIGTERM, which saves and stops.

    Raises:
        errors.Busy: another process holds it.
        errors.InputError: `leases` is no folder.
    """
    folder = _folder(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = _write_temporary(folder, _this_process())
    try:
        now = temporary.stat().st_mtime  # The file system's clock, which all share.
        newest = max(_numbers(folder, name), default=0)
        if newest:
            _refuse(_holder(_path(folder, name, newest), now))
        path = _path(folder, name, newest + 1)
        try:
            _link(temporary, path)
        except FileExistsError:
            _refuse(_holder(path, now))
            raise errors.Busy(f'one that has just started {name}.') from None
    finally:
        temporary.unlink(missing_ok=True)
    _remove(folder, name, newest)
    return Lease(path, lost or _terminate)


def holders(workdir: str | pathlib.Path) -> dict[str, Holder]:
    """The Holder of every piece of work whose lease counts, by its name.

    Raises:
        errors.InputError: `leases` is no folder.
    """
    folder = _folder(workdir)
    newest: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError):
        for name, number in filter(None, map(_split, os.listdir(folder))):
            newest[name] = max(number, newest.get(name, 0))
    if not newest:
        return {}
    now = _now(folder)
    last = {
        name: _holder(_path(folder, name, number), now)
        for name, number in newest.items()
    }
    return {name: holder for name, holder in last.items() if holder and holder.alive}


def _folder(workdir):
    folder = pathlib.Path(workdir) / 'leases'
    if folder.exists() and not folder.is_dir():
        raise errors.InputError(
            f'{folder} is a file, where a folder is needed: move it away.'
        )
    return folder


def _refuse(holder):
    if holder and holder.alive:
        raise errors.Busy(f'{holder}, which was last seen {holder.silent:.0f} s ago.')


def _holder(path, now):
    """The Holder in a file, None where the file is gone, or is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):  # A pipe would be waited for.
        return None
    silent = now - found.st_mtime
    try:
        return Holder(silent=silent, **json.loads(path.read_text('utf-8')))
    except FileNotFoundError:
        return None
    # Where links cannot be had it may be half there; or it may not be read.
    except (ValueError, TypeError, OSError):
        return Holder('another machine', 0, silent)


def _now(folder):
    """The file system's clock; this machine's where nothing can be written."""
    try:
        temporary = _write_temporary(folder, {})
        now = temporary.stat().st_mtime
        temporary.unlink(missing_ok=True)
    except OSError:
        return time.time()
    return now


def _this_process():
    return {
        'host': platform.node(),
        'pid': os.getpid(),
        'machine': _machine(),
        'born': _born(os.getpid()),
    }


def _write_temporary(folder, fields):
    path = folder / f'.{platform.node()}.{os.getpid()}.{secrets.token_hex(4)}'
    path.write_text(json.dumps(fields), encoding='utf-8')
    return path


def _link(temporary, path):
    """Makes `path` with the content of `temporary`, unless it exists."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # A file system without hard links.
        with open(path, 'x', encoding='utf-8') as file:
            file.write(temporary.read_text(encoding='utf-8'))


def _path(folder, name, number):
    return folder / f'{name}.{number}'


def _split(file):
    """(name, number) of a lease's file; None: it is none."""
    match = re.fullmatch(r'([^.].*)\.([1-9][0-9]*)', file, re.DOTALL)
    return match and (match[1], int(match[2]))


def _numbers(folder, name):
    found = filter(None, map(_split, os.listdir(folder)))
    return [number for own, number in found if own == name]


def _remove(folder, name, last):
    """Removes the leases of a piece of work up to a number."""
    for number in _numbers(folder, name):
        if number <= last:
            with contextlib.suppress(OSError):  # Gone, or a folder of that name.
                _path(folder, name, number).unlink()


def _machine():
    """What tells machines, and containers on them, apart; '' where that is unknown."""
    try:
        boot = _BOOT.read_text('utf-8').strip()
        return f'{boot} {os.readlink("/proc/self/ns/pid")}'
    except OSError:
        return ''


def _born(pid):
    """When a process of this machine began, in the kernel's ticks; None: it is gone."""
    try:
        # Any bytes may be in the name of a program.
        text = pathlib.Path(f'/proc/{pid}/stat').read_text('utf-8', errors='replace')
    except OSError:
        return None
    state, *rest = text.rpartition(')')[2].split()
    return None if state in 'ZX' else int(rest[18])


def _terminate():
    os.kill(os.getpid(), signal.SIGTERM)
