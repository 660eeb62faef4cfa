"""Attacks on files that programs keep: small files, caches, copies, strays."""

import functools
import json
import os
import pathlib
import shutil
import typing
from collections.abc import Callable, Iterator, Mapping

from tools.attack_suite.attack import Attack
from tools.attack_suite.commands import (
    EXPORT,
    FEATURES,
    ON_IMAGES,
    PREDICT,
    REPORT,
    STATUS,
    STUDY,
    Command,
)
from tools.attack_suite.place import Place, forget, forget_cached

Where = Callable[[Place], pathlib.Path]  # The file that is attacked.


def attacks() -> Iterator[Attack]:
    yield from _small_files()
    yield from _fields()
    yield from _arrays()
    yield from _copies()
    yield from _strays()
    yield from _unreadable()


# Small files.

SMALL: Mapping[str, Callable[[bytes], bytes]] = {
    'empty': lambda old: b'',
    'cut in half': lambda old: old[: len(old) // 2],
    'a list': lambda old: b'[]',
    'null': lambda old: b'null',
    'a number': lambda old: b'7',
    'not UTF-8': lambda old: b'\xff\xfe' + old,
    'zeros': lambda old: bytes(len(old)),
    '100,000 brackets': lambda old: b'[' * 100_000,
    'a number of 5,000 digits': lambda old: b'{"schema": ' + b'1' * 5_000 + b'}',
    'an empty object': lambda old: b'{}',
}


def _in_run(setting: str, name: str, phase: str = 'final') -> Where:
    return lambda place: place.work / place.of(setting, phase) / name


def _first(pattern: str) -> Where:
    return lambda place: sorted(place.work.glob(pattern))[0]


def _change(where: Where, change: Callable[[bytes], bytes]) -> Callable[[Place], None]:
    def act(place: Place) -> None:
        path = where(place)
        path.write_bytes(change(path.read_bytes() if path.exists() else b'[]'))

    return act


def _small_files() -> Iterator[Attack]:
    files: list[tuple[str, Where, Command]] = [
        ('record.json', _in_run('logistic', 'record.json'), REPORT),
        ('run.json of a Run', _in_run('finetune', 'run.json'), REPORT),
        ('study.json', lambda place: place.work / 'study.json', STATUS),
        ('failures.json', _in_run('finetune', 'failures.json', 'trial'), STATUS),
        (
            'model_card.json',
            lambda place: place.root / 'model/model_card.json',
            PREDICT,
        ),
        ('facts.json of features', _first('cache/features/*/facts.json'), FEATURES),
        ('checked-*.json of images', _first('cache/**/checked-*.json'), ON_IMAGES),
        ('record.json of weights', _in_run('pretrain', 'record.json'), ON_IMAGES),
    ]
    for label, where, command in files:
        slow = command in (PREDICT, FEATURES, ON_IMAGES)
        for i, (damage, change) in enumerate(SMALL.items()):
            if slow and damage not in ('empty', 'cut in half', 'a list', 'zeros'):
                continue  # Each takes TensorFlow's start.
            act = _change(where, change)
            if command is ON_IMAGES:
                act = _both(forget, act)
            if label == 'failures.json':  # Which counts where a Run is not done.
                act = _both(_undone, act)
            yield Attack(
                'a damaged small file', f'{label}: {damage}', command, act,
                quick=not slow and label != 'run.json of a Run' and i % 3 == 0,
            )  # fmt: skip
    for label, where, command in files[:4]:
        for name, make in NO_FILES.items():
            yield Attack(
                'a folder, FIFO or link for a file', f'{label}: {name}', command,
                functools.partial(_replaced, where, make),
                quick=label == 'study.json',
            )  # fmt: skip


def _undone(place: Place) -> None:
    (place.work / place.of('finetune', 'trial') / 'record.json').unlink()


def _both(*acts: Callable[[Place], typing.Any]) -> Callable[[Place], None]:
    def act(place: Place) -> None:
        for one in acts:
            one(place)

    return act


NO_FILES: Mapping[str, Callable[[pathlib.Path], typing.Any]] = {
    'a folder': lambda path: path.mkdir(),
    'a FIFO': lambda path: os.mkfifo(path),
    'a link to itself': lambda path: path.symlink_to(path.name),
    'a link to nothing': lambda path: path.symlink_to('nothing'),
    'a link to /dev/zero': lambda path: path.symlink_to('/dev/zero'),
}


def _replaced(where: Where, make: Callable[[pathlib.Path], typing.Any], place: Place):
    path = where(place)
    path.unlink(missing_ok=True)
    make(path)


# Fields of a record.

_WRONG: Mapping[type, tuple[typing.Any, ...]] = {
    str: (7, None, {}, ['a']),
    int: ('7', -1, 1.5, {}),
    float: ('0.5', [], float('nan'), 7.5),
    dict: ([], 'text', {'a': None}, None),
    list: ({}, 'text', 7, [None]),
    type(None): ('text', {}, -1),
    bool: ('yes', 7),
}
# A record of today has these; their values are looked up when the attack is made.
_FIELDS = (
    'schema run metric score valid_score images classes splits chosen curve source '
    'top5 status fault seconds versions run.arch run.dataset run.setting run.hparams '
    'run.phase run.seed run.weights run.per_class run.image_size run.metric '
    'run.precision run.trials run.id images.test images.train chosen.lr curve.0 '
    'source.score source.images seconds.total versions.tfxfer'
).split()


def _fields() -> Iterator[Attack]:
    for n, field in enumerate(_FIELDS):
        for number in range(n % 2, 4, 2):
            yield Attack(
                'a record with a field of a wrong type', f'{field}, {number + 1}',
                REPORT, functools.partial(_wrong_field, field, number),
                quick=number < 2 and n % 6 == 0,
            )  # fmt: skip
        yield Attack(
            'a record that lacks a field', field, REPORT,
            functools.partial(_wrong_field, field, None), quick=n % 12 == 0,
        )  # fmt: skip


def _wrong_field(field: str, number: int | None, place: Place) -> None:
    path = place.work / place.of('finetune') / 'record.json'
    record = json.loads(path.read_text())
    *outer, last = field.split('.')
    holder = record
    for name in outer:
        holder = holder[name]
    key: typing.Any = int(last) if isinstance(holder, list) else last
    if number is None:
        del holder[key]
    else:
        wrong = _WRONG[type(holder[key])]
        holder[key] = wrong[number % len(wrong)]
    path.write_text(json.dumps(record))


# Arrays: caches, predictions, weights.


def _flipped(old: bytes) -> bytes:
    middle = len(old) // 2
    return old[:middle] + bytes([old[middle] ^ 0x40]) + old[middle + 1 :]


ARRAYS: Mapping[str, Callable[[bytes], bytes]] = {
    'empty': lambda old: b'',
    'cut in half': lambda old: old[: len(old) // 2],
    'its last byte lost': lambda old: old[:-1],
    'a bit flipped': _flipped,
    'a page of zeros': lambda old: (
        old[: len(old) // 2] + bytes(4096) + old[len(old) // 2 + 4096 :]
    )[: len(old)],
    'all zeros': lambda old: bytes(len(old)),
    '100 bytes more': lambda old: old + b'x' * 100,
    'only its head': lambda old: old[:128],
}


def _images_store(name: str) -> Where:
    def where(place: Place) -> pathlib.Path:
        for facts in place.work.glob('cache/features/*/facts.json'):
            if 'digits' not in json.loads(facts.read_text())['dataset']:
                return facts.with_name(name)
        raise FileNotFoundError('no features of images/')

    return where


_STORE = ('features.npy', 'checksums.npy', 'images.npz')


def _arrays() -> Iterator[Attack]:
    for damage, change in ARRAYS.items():
        for name in _STORE if damage in ('empty', 'cut in half') else _STORE[:1]:
            yield Attack(
                'a damaged cache', f'{name}: {damage}', ON_IMAGES,
                _both(_change(_images_store(name), change), forget),
                quick=(name, damage) == ('features.npy', 'cut in half'),
            )  # fmt: skip
        yield Attack(
            'damaged weights', f'of a pretrain Run: {damage}', ON_IMAGES,
            _both(
                _change(_in_run('pretrain', 'model.weights.h5'), change),
                forget_cached,
            ),
        )  # fmt: skip
        yield Attack(
            'damaged predictions', damage, REPORT,
            _change(_in_run('logistic', 'predictions.npz'), change),
            quick=damage in ('empty', 'a bit flipped'),
        )  # fmt: skip
        yield Attack(
            'damaged splits', damage, ON_IMAGES,
            _both(
                lambda place, change=change: [
                    path.write_bytes(change(path.read_bytes()))
                    for path in place.work.glob('splits/*.npz')
                ],
                forget,
            ),
        ) if damage in ('empty', 'a bit flipped', 'cut in half') else Attack(
            'a damaged model', f'saved_model.pb: {damage}', PREDICT,
            _change(lambda place: place.root / 'model/saved_model.pb', change),
        )  # fmt: skip


# Copies and strays.


def _copy(setting: str, name: str) -> Callable[[Place], None]:
    def act(place: Place) -> None:
        shutil.copytree(place.work / place.of(setting), place.work / name)

    return act


def _copies() -> Iterator[Attack]:
    kind = 'a copied, renamed or moved folder'
    for setting in ('logistic', 'finetune', 'pretrain'):
        for name in ('copy', f'{setting} (1)', 'Kopie von Run'):
            for command in (REPORT, STATUS):
                yield Attack(
                    kind, f'{setting} as {name!r}, {command.module}', command,
                    _copy(setting, name), quick=name == 'copy' and command is REPORT,
                )  # fmt: skip
    yield Attack(
        kind, 'a results folder in a results folder', REPORT,
        lambda place: shutil.copytree(place.work, place.work / 'older'), quick=True,
    )  # fmt: skip
    yield Attack(
        kind, 'a Run folder renamed', REPORT,
        lambda place: (place.work / place.of('logistic')).rename(place.work / 'mine'),
    )  # fmt: skip
    yield Attack(
        kind, 'the pretrain Run is gone', ON_IMAGES,
        lambda place: (
            forget_cached(place),
            shutil.rmtree(place.work / place.of('pretrain')),
        ),
    )  # fmt: skip
    yield Attack(
        kind, 'the results folder behind a link', REPORT,
        lambda place: _behind_a_link(place), quick=True,
    )  # fmt: skip


def _behind_a_link(place: Place) -> pathlib.Path:
    link = place.root / 'link'
    link.symlink_to(place.work)
    return link


_STRAYS: Mapping[str, Callable[[pathlib.Path], typing.Any]] = {
    'README': lambda folder: (folder / 'README').write_text('mine'),
    'Thumbs.db': lambda folder: (folder / 'Thumbs.db').write_bytes(b'\0' * 99),
    '.DS_Store': lambda folder: (folder / '.DS_Store').write_bytes(b'\0Bud1'),
    'a FIFO': lambda folder: os.mkfifo(folder / 'pipe.1'),
    'a folder': lambda folder: (folder / 'new folder').mkdir(),
    'a link to itself': lambda folder: (folder / 'loop').symlink_to('loop'),
    'a name that is not UTF-8': lambda folder: pathlib.Path(
        os.fsdecode(os.fsencode(folder) + b'/\xff\xfe')
    ).write_text(''),
    'an empty file with a number': lambda folder: (folder / 'x.7').write_text(''),
}


def _strays() -> Iterator[Attack]:
    for inside, command in {
        'leases': STATUS,
        '.': REPORT,
        'splits': REPORT,
        'cache/features': FEATURES,
    }.items():
        for i, (what, make) in enumerate(_STRAYS.items()):
            if command is FEATURES and i % 2:
                continue  # Each takes TensorFlow's start.
            yield Attack(
                'a stray file', f'{what} in {inside}', command,
                lambda place, inside=inside, make=make: make(place.work / inside),
                quick=inside == 'leases' and i < 4,
            )  # fmt: skip
    for what, make in _STRAYS.items():
        yield Attack(
            'a stray file among images', what, ON_IMAGES,
            lambda place, make=make: (forget(place), make(place.images / 'red')),
        )  # fmt: skip
    yield Attack(
        'a stray file', 'a Run folder without files', REPORT,
        lambda place: (place.work / f'{place.of("logistic")[:-4]}0000').mkdir(),
    )  # fmt: skip
    yield Attack(
        'a stray file', 'in leases, a whole study', STUDY,
        lambda place: [make(place.work / 'leases') for make in _STRAYS.values()],
    )  # fmt: skip


def _unreadable() -> Iterator[Attack]:
    """Modes, which the superuser does not mind."""
    if not hasattr(os, 'geteuid') or os.geteuid() == 0:
        return
    for inside in ('red', '.'):
        yield Attack(
            'an unreadable folder', f'images/{inside}', ON_IMAGES,
            lambda place, inside=inside: (place.images / inside).chmod(0),
            refused=True,
        )  # fmt: skip
    yield Attack(
        'an unreadable folder', 'results that cannot be written', EXPORT,
        lambda place: place.out.chmod(0o555), refused=True,
    )  # fmt: skip
