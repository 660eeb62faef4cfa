"""Attacks on races under a time limit, and on the scores of their features."""

import functools
import json
import pathlib
import random
import shutil
import signal
import typing
from collections.abc import Callable, Iterator, Mapping

from tools.attack_suite.attack import Attack, Surroundings
from tools.attack_suite.commands import (
    RACE,
    RACE_REPORT,
    SCORES,
    Command,
)
from tools.attack_suite.files import ARRAYS, NO_FILES, SMALL
from tools.attack_suite.place import Place, race


def attacks() -> Iterator[Attack]:
    yield from _logs()
    yield from _ends()
    yield from _stores()
    yield from _flags()


# race.json.


def _logs() -> Iterator[Attack]:
    kind = 'a damaged log of a race'
    for i, (damage, change) in enumerate(SMALL.items()):
        act = functools.partial(_change_log, change)
        yield Attack(kind, f'{damage}, report', RACE_REPORT, act, quick=i == 1)
        if i % 3 == 0:  # Each takes TensorFlow's start.
            yield Attack(kind, f'{damage}, the race', RACE, act)
    for i, (name, make) in enumerate(NO_FILES.items()):
        act = functools.partial(_replace_log, make)
        yield Attack(kind, f'{name}, report', RACE_REPORT, act)
        if i % 2 == 0:
            yield Attack(kind, f'{name}, the race', RACE, act)
    for i, (name, fields) in enumerate(_FIELDS.items()):
        act = functools.partial(_change_fields, fields)
        yield Attack(kind, f'{name}, report', RACE_REPORT, act)
        if i % 4 == 0:
            yield Attack(kind, f'{name}, the race', RACE, act)
    yield Attack(kind, 'it is gone, the race', RACE, lambda place: _log(place).unlink())


def _log(place: Place) -> pathlib.Path:
    return place.race / 'race.json'


def _change_log(change: Callable[[bytes], bytes], place: Place) -> None:
    path = _log(place)
    path.write_bytes(change(path.read_bytes()))


def _replace_log(make: Callable[..., typing.Any], place: Place) -> None:
    _log(place).unlink()
    make(_log(place))


def _change_fields(fields: Mapping[str, typing.Any], place: Place) -> None:
    """Sets fields of the log; those in `event` are of its first event."""
    path = _log(place)
    log = json.loads(path.read_text())
    event = fields.get('event', {})
    log.update({key: value for key, value in fields.items() if key != 'event'})
    if event:
        log['events'][0].update(event)
    path.write_text(json.dumps(log))


_FIELDS: Mapping[str, Mapping[str, typing.Any]] = {
    'events that are a text': {'events': 'text'},
    'events that are null': {'events': None},
    'an event that is a number': {'events': [7]},
    'an event of an unknown kind': {'event': {'kind': 'won'}},
    'an event with a field more': {'event': {'colour': 'red'}},
    'an event at a share of 7': {'event': {'share': 7}},
    'an event at a share that is a text': {'event': {'share': 'half'}},
    'an event without a reason': {'event': {'why': None}},
    'an event of a network that is not there': {'event': {'network': 'resnet_51'}},
    'an event of a hostile network': {
        'event': {'network': '<script>alert(1)</script>'}
    },
    'an event that was before it': {'event': {'elapsed': -5.0}},
    'an event at no time': {'event': {'elapsed': float('nan')}},
    'an event with a wrong date': {'event': {'time': 'yesterday'}},
    'a race of no time': {'elapsed': float('nan')},
    'a race of a negative time': {'elapsed': -1e9},
    'a race of endless minutes': {'minutes': float('inf')},
    'minutes that are a text': {'minutes': 'ten'},
    'no networks': {'networks': []},
    'other networks': {'networks': ['resnet_50']},
    'networks that are numbers': {'networks': [1, 2]},
    'no shares': {'shares': []},
    'shares in no order': {'shares': [1.0, 0.5]},
    'shares above 1': {'shares': [0.5, 2.0]},
    'compared at no share of the race': {'compared': 0.3},
    'a field more': {'winner': 'me'},
}


# How a race may end.


def _ends() -> Iterator[Attack]:
    kind = 'a race that is ended'
    rng = random.Random(1)
    for name, count in {'SIGKILL': 6, 'SIGTERM': 3, 'SIGINT': 4, 'SIGHUP': 1}.items():
        for _ in range(count):
            after = round(rng.uniform(1.0, 60.0), 1)
            yield Attack(
                kind, f'{name} after {after} s', RACE, _forget,
                Surroundings(signals=(getattr(signal, name), after)), then=RACE,
            )  # fmt: skip
    for size in (100, 3_000, 100_000):
        yield Attack(
            kind, f'no file above {size:,} bytes', RACE, _forget,
            Surroundings(file_size=size), then=RACE,
        )  # fmt: skip
    yield Attack(
        kind, 'three at once in the same folder', RACE, _forget,
        Surroundings(also=2), then=RACE,
    )  # fmt: skip
    for left in ('images', 'features', 'the first Run'):
        yield Attack(
            kind, f'{left} removed, then on', RACE, functools.partial(_lose, left),
            refused=left == 'images',
        )  # fmt: skip


def _forget(place: Place) -> None:
    shutil.rmtree(place.race)


def _lose(what: str, place: Place) -> None:
    lost = {
        'images': [place.raced],
        'features': [place.race / 'cache'],
        'the first Run': sorted(place.race.glob('*-logistic-final-*'))[:1],
    }
    for path in lost[what]:
        shutil.rmtree(path)


# Features.


def _stores() -> Iterator[Attack]:
    kind = 'damaged features, their scores'
    for damage, change in ARRAYS.items():
        yield Attack(kind, damage, SCORES, functools.partial(_change_features, change))
    yield Attack(
        kind, 'none are left', SCORES,
        lambda place: shutil.rmtree(place.race / 'cache/features'),
    )  # fmt: skip


def _change_features(change: Callable[[bytes], bytes], place: Place) -> None:
    path = sorted(place.race.glob('cache/features/*/features.npy'))[0]
    path.write_bytes(change(path.read_bytes()))


# Flags.


def _flags() -> Iterator[Attack]:
    for i, minutes in enumerate(('0', '-1', 'nan', 'inf', 'many', '1e400', '1e-9', '')):
        command = Command(
            'tfxfer', functools.partial(_race_with, f'--minutes={minutes}')
        )
        yield Attack(
            'an absurd flag', f'compare --minutes={minutes}', command, _forget,
            refused=True, quick=i == 0,
        )  # fmt: skip
    for flag in (
        '--config.settings=scratch', '--config.share=0.5', '--config.per_class=5',
        '--networks=', '--networks=nothing', '--networks=/dev/null',
    ):  # fmt: skip
        command = Command('tfxfer', functools.partial(_race_with, flag))
        yield Attack(
            'an absurd flag', f'a race with {flag}', command, _forget, refused=True
        )
    for flag in (
        '--probability=0', '--probability=1', '--probability=nan', '--probability=-1',
        '--probability=likely', '--dataset=nothing', '--workdir=nowhere',
        '--workdir=/dev/null', '--workdir={images}', '--nothing',
    ):  # fmt: skip
        command = Command('tfxfer', functools.partial(_scores_with, flag))
        yield Attack('an absurd flag', f'scores {flag}', command, refused=True)


def _race_with(flag: str, place: Place) -> list[str]:
    return race(place, flag)


def _scores_with(flag: str, place: Place) -> list[str]:
    return ['scores', f'--workdir={place.race}', flag.format(images=place.images)]
