"""WORKDIR/race.json: what a race has decided, when, and why."""

import dataclasses
import os
import pathlib
import time
import typing
from collections.abc import Iterable

from tfxfer import errors, storage

NAME = 'race.json'
# What an event may say: of a network, or of the whole race.
KINDS = (
    'planned', 'compared', 'dropped', 'unfit', 'settled', 'trained', 'stopped',
)  # fmt: skip
_REMEDY = 'Remove it: the race goes on from its Runs, but forgets why networks left it.'


@dataclasses.dataclass(frozen=True)
class Event:
    """One decision.

    Attributes:
        kind: one of KINDS.
        elapsed: seconds of the race so far, over all of its starts.
        time: when, as ISO 8601 in UTC.
        why: a sentence.
        share: of the images, at which it was decided; None: of none, or of the whole
            race.
        network: which; '' of the whole race.
    """

    kind: str
    elapsed: float
    time: str
    why: str
    share: float | None = None
    network: str = ''


@dataclasses.dataclass(frozen=True)
class RaceLog:
    """All that a race has decided.

    Attributes:
        events: in their order.
        networks: those that were to race, as Run.arch.
        shares: of the images, the stages of the race, smallest first; the last is 1.
        compared: the largest share at which all that were to be measured are; None:
            there is none yet.
        elapsed: seconds of the race, over all of its starts.
        minutes: what the last start was given.
    """

    events: tuple[Event, ...] = ()
    networks: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    compared: float | None = None
    elapsed: float = 0.0
    minutes: float | None = None

    def of(self, kind: str) -> dict[str, Event]:
        """The last event of a kind by network."""
        return {one.network: one for one in self.events if one.kind == kind}


def read(workdir: str | os.PathLike) -> RaceLog | None:
    """The RaceLog of a results folder; None: no race was started there.

    Raises:
        errors.InputError: the file is damaged.
    """
    path = pathlib.Path(workdir) / NAME
    try:
        fields = storage.read_json(path, _REMEDY)
    except FileNotFoundError:
        return None
    try:
        events = tuple(Event(**one) for one in fields.pop('events'))
        networks = tuple(map(str, fields.pop('networks')))
        shares = tuple(float(share) for share in fields.pop('shares'))
        log = RaceLog(events, networks, shares, **fields)
        if not all(one.kind in KINDS for one in events):
            raise ValueError('an event of an unknown kind')
        return log
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise errors.InputError(
            f'{path} does not hold a race: {error}. {_REMEDY}'
        ) from error


def compared(workdir: str | os.PathLike) -> float | None:
    """The largest share of the images at which a folder's race is complete, if any.

    Raises:
        errors.InputError: see read.
    """
    log = read(workdir)
    return None if log is None else log.compared


def change(
    workdir: str | os.PathLike,
    events: Iterable[Event] = (),
    **fields: typing.Any,
) -> RaceLog:
    """Adds events, and sets fields, in the file; returns what it holds now.

    Several processes may do so at once. What was decided before stays: an event of the
    same kind, network and share is not added again.
    """
    path = pathlib.Path(workdir) / NAME
    with storage.locked(path):
        log = read(workdir) or RaceLog()
        known = {(one.kind, one.network, one.share) for one in log.events}
        more = [
            one
            for one in events
            if one.kind == 'stopped' or (one.kind, one.network, one.share) not in known
        ]
        log = dataclasses.replace(log, events=(*log.events, *more), **fields)
        storage.write_json(path, dataclasses.asdict(log))
    return log


def event(kind: str, elapsed: float, why: str, **fields: typing.Any) -> Event:
    """An Event of now."""
    now = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
    return Event(kind, round(elapsed, 1), now, why, **fields)
