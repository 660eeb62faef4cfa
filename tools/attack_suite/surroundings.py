"""Attacks by what is around a process: disk, signals, clock, environment."""

import functools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
import typing
from collections.abc import Callable, Iterator, Mapping

from tools.attack_suite.attack import Attack, Surroundings
from tools.attack_suite.commands import (
    EXPORT,
    ON_IMAGES,
    REPORT,
    STATUS,
    STUDY,
    Command,
)
from tools.attack_suite.place import Place, forget_cached


def attacks() -> Iterator[Attack]:
    yield from _environments()
    yield from _clocks()
    yield from _disks()
    yield from _signals()
    yield from _vanishing()
    yield from _at_once()


# Environment.

_VARIABLES: Mapping[str, Mapping[str, str | None]] = {
    'LC_ALL=C': {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'},
    'LC_ALL=tr_TR.UTF-8': {'LC_ALL': 'tr_TR.UTF-8'},
    'LC_ALL of an unknown locale': {'LC_ALL': 'xx_YY.nothing'},
    'ASCII output': {'PYTHONIOENCODING': 'ascii'},
    'no temporary folder': {'TMPDIR': '/nonexistent'},
    'no HOME': {'HOME': None},
    'a HOME that is not there': {'HOME': '/nonexistent', 'XDG_CACHE_HOME': None},
    'no PATH': {'PATH': None},
    'KERAS_BACKEND=jax': {'KERAS_BACKEND': 'jax'},
    'TF_USE_LEGACY_KERAS=1': {'TF_USE_LEGACY_KERAS': '1'},
    'MPLBACKEND=nothing': {'MPLBACKEND': 'nothing'},
    'MPLCONFIGDIR=/dev/null': {'MPLCONFIGDIR': '/dev/null'},
    'OMP_NUM_THREADS=many': {'OMP_NUM_THREADS': 'many'},
    'CUDA_VISIBLE_DEVICES=77': {'CUDA_VISIBLE_DEVICES': '77'},
    'TZ=nothing': {'TZ': 'Nowhere/Nothing'},
    'COLUMNS=0': {'COLUMNS': '0', 'LINES': '-1'},
    'SOURCE_DATE_EPOCH=0': {'SOURCE_DATE_EPOCH': '0'},
    'PYTHONHASHSEED=7': {'PYTHONHASHSEED': '7'},
    'TF_CONFIG not JSON': {'TF_CONFIG': '{'},
}


_OF_RUNS = (
    *('LC_ALL', 'no temporary folder', 'no HOME', 'no PATH', 'KERAS_BACKEND'),
    *('TF_USE_LEGACY_KERAS', 'OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES'),
    'TF_CONFIG not JSON',
)


def _environments() -> Iterator[Attack]:
    kind = 'an unusual environment'
    for i, (name, variables) in enumerate(_VARIABLES.items()):
        around = Surroundings(variables=variables)
        yield Attack(
            kind, f'{name}, report', REPORT, surroundings=around, quick=i % 5 == 0
        )
        if name.partition('=')[0] in _OF_RUNS:
            yield Attack(kind, f'{name}, a Run', ON_IMAGES, forget_cached, around)
    for flag in ('-O', '-OO', '-Werror::UserWarning'):
        around = Surroundings(python=(flag,))
        yield Attack(
            kind, f'python {flag}, report', REPORT, surroundings=around,
            quick=flag == '-O',
        )  # fmt: skip
        yield Attack(kind, f'python {flag}, a Run', ON_IMAGES, forget_cached, around)
    for mask in (0o077, 0o000, 0o777):
        yield Attack(
            kind, f'umask {mask:03o}, report', _with_mode(mask),
            surroundings=Surroundings(umask=mask),
        )  # fmt: skip
    yield Attack(
        kind, 'output to /dev/full, report', REPORT,
        surroundings=Surroundings(stdout='/dev/full'), quick=True,
    )  # fmt: skip
    yield Attack(
        kind, 'output to /dev/full, status', STATUS,
        surroundings=Surroundings(stdout='/dev/full'),
    )  # fmt: skip


def _with_mode(mask: int) -> Command:
    def judge(place: Place, clean: Place, outcome: typing.Any) -> str:
        mode = (place.out / 'report.html').stat().st_mode & 0o777
        right = 0o666 & ~mask
        return '' if mode == right else f'mode {mode:03o} for {right:03o}'

    return Command('tfxfer.report', REPORT.arguments, judge)


# Clock.


def _clocks() -> Iterator[Attack]:
    for name, when in {'1970': 1.0, '2100': 4.1e9}.items():
        for command in (REPORT, STATUS, ON_IMAGES):
            yield Attack(
                'a wrong clock', f'all files are of {name}, {command.module}', command,
                functools.partial(_dated, when), quick=command is STATUS,
            )  # fmt: skip
    for name, ahead in {'an hour ahead': 3_600.0, 'a year ahead': 3.2e7}.items():
        for command in (STATUS, ON_IMAGES):
            yield Attack(
                'a wrong clock', f'a lease {name}, {command.module}', command,
                functools.partial(_leased, ahead),
            )  # fmt: skip
    yield Attack(
        'a wrong clock', 'a lease of another machine an hour ahead, a study --nowait',
        Command('tools.sweep', lambda place: [*STUDY.arguments(place), '--nowait']),
        functools.partial(_leased, 3_600.0, of='finetune'),
    )  # fmt: skip


def _dated(when: float, place: Place) -> None:
    for folder, _, names in os.walk(place.root):
        for name in names:
            os.utime(pathlib.Path(folder, name), (when, when))


def _leased(ahead: float, place: Place, of: str = 'logistic') -> None:
    """A lease of a process of another machine, whose clock is ahead."""
    dataset = 'folder' if of == 'logistic' else 'digits'
    name = place.of(of, dataset=dataset)
    shutil.rmtree(place.work / name)
    lease = place.work / 'leases' / f'{name}.1'
    lease.parent.mkdir(exist_ok=True)
    lease.write_text('{"host": "elsewhere", "pid": 7, "machine": "x", "born": 1}')
    now = time.time() + ahead
    os.utime(lease, (now, now))


# Disk.


def _disks() -> Iterator[Attack]:
    kind = 'a full disk'
    for size in (100, 3_000, 20_000):
        yield Attack(
            kind, f'no file above {size:,} bytes, report', REPORT,
            surroundings=Surroundings(file_size=size), then=REPORT, refused=True,
            quick=size == 3_000,
        )  # fmt: skip
    for size in (100, 100_000):
        yield Attack(
            kind, f'no file above {size:,} bytes, a Run', ON_IMAGES, forget_cached,
            Surroundings(file_size=size), then=ON_IMAGES,
        )  # fmt: skip
        yield Attack(
            kind, f'no file above {size:,} bytes, export', EXPORT,
            surroundings=Surroundings(file_size=size), then=EXPORT, refused=True,
        )  # fmt: skip
    if os.geteuid() or not shutil.which('mount'):
        return
    for left in (0, 8, 40, 200):
        for what, command in {
            'report': REPORT_BESIDE, 'a Run': ON_IMAGES,
            **({'a study': STUDY} if left in (8, 200) else {}),
        }.items():  # fmt: skip
            yield Attack(
                kind, f'{left} KiB left, {what}', command,
                functools.partial(_on_disk, left, what), then=command,
                heal=_with_room, quick=(left, what) == (8, 'report'),
            )  # fmt: skip
    for what, command in {'report': REPORT_BESIDE, 'a Run': ON_IMAGES}.items():
        yield Attack(
            kind, f'no inodes left, {what}', command,
            functools.partial(_on_disk, None, what), then=command, heal=_with_room,
        )  # fmt: skip


# The report beside the results, which lie on the disk.
REPORT_BESIDE = Command('tfxfer.report', lambda place: [f'--results={place.work}'])


def _on_disk(left: int | None, what: str, place: Place) -> pathlib.Path:
    """The results on a disk of their own with so many KiB left; None: no inodes."""
    if what == 'a Run':
        forget_cached(place)
    if what == 'a study':
        shutil.rmtree(place.work / place.of('finetune'))
        shutil.rmtree(place.work / place.of('logistic'))
        shutil.rmtree(place.work / 'cache')
    disk = place.root / 'disk'
    disk.mkdir()
    _mount(disk, 'size=64m')
    work = disk / 'work'
    shutil.copytree(place.work, work, symlinks=True)
    shutil.rmtree(place.work)
    status = os.statvfs(disk)
    if left is None:
        used = status.f_files - status.f_ffree
        _mount(disk, f'remount,size=64m,nr_inodes={used}')
    else:
        used = (status.f_blocks - status.f_bfree) * status.f_frsize // 1024
        _mount(disk, f'remount,size={used + left}k')
    return work


def _with_room(place: Place) -> None:
    _mount(place.root / 'disk', 'remount,size=256m,nr_inodes=100000')


def _mount(disk: pathlib.Path, options: str) -> None:
    command = ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(disk)]
    subprocess.run(command, check=True, capture_output=True)


# Signals at random moments.


def _signals() -> Iterator[Attack]:
    rng = random.Random(0)
    kind = 'killed at a random moment'
    for what, command, seconds, count in (
        ('report', REPORT, 5.0, 6),
        ('a Run', ON_IMAGES, 12.0, 3),
        ('a study', STUDY, 25.0, 3),
        ('export', EXPORT, 15.0, 2),
    ):
        act: Callable[[Place], typing.Any] = {
            'a Run': forget_cached, 'a study': _forget_study,
        }.get(what, lambda place: None)  # fmt: skip
        for i in range(count):
            after = round(rng.uniform(0.3, seconds), 1)
            yield Attack(
                kind, f'{what}, SIGKILL after {after} s', command, act,
                Surroundings(signals=(signal.SIGKILL, after)), then=command,
                quick=what == 'report' and i < 2,
            )  # fmt: skip
        for name in ('SIGTERM', 'SIGINT', 'SIGHUP'):
            after = round(rng.uniform(0.5, seconds), 1)
            yield Attack(
                kind, f'{what}, {name} after {after} s', command, act,
                Surroundings(signals=(getattr(signal, name), after)), then=command,
            )  # fmt: skip


def _forget_study(place: Place) -> None:
    for setting in ('logistic', 'finetune'):
        shutil.rmtree(place.work / place.of(setting))


# Files that go while they are used.


def _vanishing() -> Iterator[Attack]:
    """Another process removes or changes things meanwhile."""
    yield Attack(
        'changed by others meanwhile', 'the results folder is a file', REPORT,
        _a_file, refused=True, quick=True,
    )  # fmt: skip
    for what in ('work', 'images/red'):
        for after in (2.0, 6.0):
            yield Attack(
                'changed by others meanwhile', f'{what} removed after {after:.0f} s',
                Command('tfxfer.run', ON_IMAGES.arguments),
                functools.partial(_removed_later, what, after), keeps=False,
            )  # fmt: skip
    yield Attack(
        'changed by others meanwhile', 'a study, its results removed after 4 s',
        Command('tools.sweep', STUDY.arguments), _removed_in_a_study, keeps=False,
    )  # fmt: skip


def _a_file(place: Place) -> None:
    shutil.rmtree(place.work)
    place.work.write_text('')


def _removed_later(what: str, after: float, place: Place) -> None:
    forget_cached(place)
    _remove_later(place.root / what, after)


def _removed_in_a_study(place: Place) -> None:
    _forget_study(place)
    _remove_later(place.work, 4.0)


def _remove_later(path: pathlib.Path, after: float) -> None:
    subprocess.Popen(['/bin/sh', '-c', f'sleep {after}; rm -rf -- "$0"', str(path)])


def _at_once() -> Iterator[Attack]:
    """The same command several times at once; a Run is carried out by one of them."""
    for what, command, act in (
        ('a report', REPORT, lambda place: None),
        ('a Run', Command('tfxfer.run', ON_IMAGES.arguments), forget_cached),
        ('a study', STUDY, _forget_study),
    ):
        yield Attack(
            'several at once', f'{what}, three times', command, act,
            Surroundings(also=2), then=ON_IMAGES if what == 'a Run' else command,
        )  # fmt: skip
