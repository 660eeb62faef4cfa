"""Attacks the programs of this project in a small place of their own, and counts.

    python -m tools.attacks
    python -m tools.attacks --only="full disk" --place=/tmp/place
    python -m tools.attacks --page=docs/reliability.md

makes a study of seconds, images and a model, and then, for each attack, a copy of them
to which something is done: files are damaged, the disk is full, texts are hostile,
processes are killed. A command then has to give the right result, or one line that
says what is wrong; nothing may hang, end in a traceback, or be left half-written.
Prints what did not survive, and a table. As root, disks are full too. Exit status 1 if
anything did not survive.

With --tried=FILE the attacks can be carried out in pieces: the file keeps what became
of each, those that survived are not tried again, and the table is of all in it.
"""

import collections
import concurrent.futures
import itertools
import math
import os
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable

import tabulate
from absl import flags, logging

from tfxfer import errors, storage
from tfxfer.cli import app
from tools.attack_suite import attack, files, inputs, place, races, surroundings

START, END = '<!-- The table: begin -->', '<!-- The table: end -->'


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('only', '', 'Attacks whose kind or name holds this text.')
    define.boolean('quick', False, 'Those alone that the test suite carries out.')
    define.string(
        'place', None, 'Folder of the place, which stays. Default: made anew.'
    )
    define.string('page', None, 'Markdown page whose table is written anew.')
    define.integer('jobs', None, 'Attacks at once. Default: one per core.', least=1)
    define.number('minutes', math.inf, 'No attack is begun after so long.', least=0.0)
    define.string('tried', None, 'JSON file of what became of attacks, which grows.')
    define.boolean('list', False, 'Prints their names, and carries none out.')
    return define.given


def every() -> list[attack.Attack]:
    """All attacks, kinds in turn, so that the first ones are of all kinds."""
    kinds = collections.defaultdict(list)
    every = (files, inputs, surroundings, races)
    for one in itertools.chain.from_iterable(module.attacks() for module in every):
        kinds[one.kind].append(one)
    turns = itertools.zip_longest(*kinds.values())
    return [one for turn in turns for one in turn if one]


def carry_out(
    attacks: list[attack.Attack],
    folder: pathlib.Path,
    jobs: int,
    minutes: float = math.inf,
    log: Callable[[attack.Attack, str], object] | None = None,
) -> dict[attack.Attack, str]:
    """{attack: what went wrong, '' if it survived}, of those begun within `minutes`.

    folder: of the place; log: called with each attack and what went wrong.
    """
    clean = place.make(folder / 'clean')
    deadline = time.monotonic() + 60 * minutes

    def tried(number: int, one: attack.Attack) -> str | None:
        if time.monotonic() > deadline:
            return None
        wrong = attack.complaint(one, clean, folder / f'attack{number}')
        logging.info('%s: %s: %s', one.kind, one.name, wrong or 'survived')
        if log:
            log(one, wrong)
        return wrong

    with concurrent.futures.ThreadPoolExecutor(jobs) as threads:
        results = threads.map(tried, range(len(attacks)), attacks)
        found = dict(zip(attacks, results, strict=True))
    return {one: wrong for one, wrong in found.items() if wrong is not None}


class Tried:
    """A file of what became of attacks: {kind: {name: what went wrong, or ''}}."""

    def __init__(self, path: pathlib.Path):
        self._path, self._lock = path, threading.Lock()
        self._known: dict[str, dict[str, str]] = {}
        if path.exists():
            self._known = storage.read_json(path, 'Remove it: all are tried again.')

    def add(self, one: attack.Attack, wrong: str) -> None:
        """Writes what became of an attack."""
        with self._lock:
            self._known.setdefault(one.kind, {})[one.name] = wrong
            storage.write_json(self._path, self._known)

    def of(self, attacks: Iterable[attack.Attack]) -> dict[attack.Attack, str]:
        """What became of those that were tried."""
        return {
            one: self._known[one.kind][one.name]
            for one in attacks
            if one.name in self._known.get(one.kind, ())
        }


def table(found: dict[attack.Attack, str]) -> str:
    """Of each kind, how many were tried and survived, as Markdown."""
    tried = collections.Counter(one.kind for one in found)
    survived = collections.Counter(
        one.kind for one, wrong in found.items() if not wrong
    )
    rows = [(kind, count, survived[kind]) for kind, count in tried.items()]
    rows.append(('all', sum(tried.values()), sum(survived.values())))
    return tabulate.tabulate(rows, ('attack by', 'tried', 'survived'), 'github')


def failures(found: dict[attack.Attack, str]) -> list[str]:
    """A line for each attack that did not survive."""
    return [f'{one.kind}: {one.name}: {wrong}' for one, wrong in found.items() if wrong]


def write_page(path: pathlib.Path, found: dict[attack.Attack, str]) -> None:
    """Writes the table, and what did not survive, between the marks of a page."""
    before, _, rest = path.read_text().partition(START)
    _, _, after = rest.partition(END)
    lines = [
        f'- {one.kind}, {one.name}: `{wrong.replace("`", "")}`'
        for one, wrong in found.items()
        if wrong
    ]
    lines = lines or ['None.']
    text = '\n'.join(
        [START, '', table(found), '', 'Not survived:', '', *lines, '', END]
    )
    path.write_text(before + text + after)


def main(given: app.Given) -> None:
    attacks = [
        one
        for one in every()
        if given.only in f'{one.kind}: {one.name}' and (one.quick or not given.quick)
    ]
    if not attacks:
        raise errors.InputError(f'--only={given.only!r}: there is no such attack.')
    if given.list:
        print('\n'.join(f'{one.kind}: {one.name}' for one in attacks))
        return
    tried = Tried(pathlib.Path(given.tried)) if given.tried else None
    before = tried.of(every()) if tried else {}
    attacks = [one for one in attacks if before.get(one) != '']
    jobs = given.jobs or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(given.place or temporary).absolute()
        log = tried.add if tried else None
        found = before | carry_out(attacks, folder, jobs, given.minutes, log)
    for line in failures(found):
        print(line)
    print(table(found))
    if given.page:
        write_page(pathlib.Path(given.page), found)
    if any(found.values()):
        raise app.Failed(f'{len(failures(found))} of {len(found)} did not survive.')


if __name__ == '__main__':
    app.run(sys.modules[__name__])
