"""Carries out a study: starts what can start, wherever it runs, until all is done.

Several drivers may work on one folder, each with its own executor: a Run's lease lets
one of them at it, records say what is done, and RUN/failures.json what went wrong.
"""

import contextlib
import dataclasses
import json
import pathlib
import platform
import shutil
import signal
import sys
import time
import typing

import tqdm
from absl import logging

from tfxfer import errors, leases, number_format, results, storage
from tfxfer.study import executors, sweep

ATTEMPTS = 2  # Failures after which a Run is set aside.
# Ends from outside say little about the Run, up to a point: memory may never suffice.
KILLS = 5
_FROM_OUTSIDE = {
    sign * number + base
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for sign, base in ((-1, 0), (1, 128))
}
STOPPED = 75  # Exit status of a Run that is saved, or that another process is at.
WAIT = 2.0  # Seconds between looks at what other drivers do.
TOLD = 60.0  # Seconds between lines of a log that nobody watches.
STUDY = 'study.json'


class Progress(typing.NamedTuple):
    """How a study stands."""

    plan: sweep.Plan
    running: dict  # leases.Holder by Run id.
    failed: dict  # Their failures by Run id: those that are set aside.


class Outcome(typing.NamedTuple):
    """What came out: the study's Runs that are done, failures of those set aside."""

    done: dict
    failed: dict
    elsewhere: int  # Runs that others were still at.


class Driver:
    """One study, one folder, one executor."""

    def __init__(self, study, workdir, executor, *, shard=(0, 1), wait=True):
        """shard: (i, n): begins with the i-th n-th of the Runs, then helps the others;
        wait: until what others are at is done too.
        """
        self.cells = tuple(sweep.cells(study))
        self.workdir, self.executor = pathlib.Path(workdir), executor
        self.shard, self.wait = shard, wait
        self.done, self.failed, self.tidied = {}, {}, set()
        self.seen = 0.0  # When other drivers were last looked at.
        self.signs = {}  # When a lease elsewhere was first seen, its last sign of life.
        self.told = time.monotonic()

    def carry_out(self):
        """Runs all of the study that is not done; returns an Outcome."""
        self.done = read_done(self.workdir)
        plan = sweep.plan(self.cells, self.done)
        with self.executor, self._bar(plan) as bar:
            self._update(bar, plan)
            while True:
                plan, elsewhere = self._start(plan)
                if not self.executor.running:
                    if not elsewhere or not (self.wait or self._doubtful(elsewhere)):
                        bar.refresh()
                        return Outcome(dict(plan.done), self.failed, len(elsewhere))
                    time.sleep(WAIT)
                for name, status in self.executor.finished(WAIT).items():
                    self._note(name, status, bar)
                self._look(elsewhere)
                plan = sweep.plan(self.cells, self.done)
                self._update(bar, plan)

    def _start(self, plan):
        """Starts what there is room for; returns the plan, and who is at the rest."""
        others = leases.holders(self.workdir)
        elsewhere, news = {}, False
        for run in sorted(plan.ready.values(), key=self._turn):
            if run.id in self.executor.running or run.id in self.failed:
                continue
            if run.id in others:
                elsewhere[run.id] = others[run.id]
            elif self.executor.free() > 0:
                # Another driver may have done it since the last look, or failed at it.
                if self._read(run.id):
                    news = True
                elif not self._set_aside(run.id):
                    self.executor.start(run)
        return (sweep.plan(self.cells, self.done) if news else plan), elsewhere

    def _turn(self, run):
        """What comes first: of this shard; but for that, in the order of the plan."""
        mine, shards = self.shard
        return (int(run.id[-8:], 16) - mine) % shards

    def _read(self, name):
        record = results.read(self.workdir / name)
        if record is not None:
            self.done[name] = record
        return record is not None

    def _set_aside(self, name):
        faults = read_failures(self.workdir, name)
        if hopeless(faults):
            self.failed[name] = faults
        return name in self.failed

    def _note(self, name, status, bar):
        """Takes note of a Run that ended here."""
        if self._read(name) or status == STOPPED:
            return
        words = executors.last_words(self.workdir, name)
        write_failure(self.workdir, name, status, words)
        again = '' if self._set_aside(name) else ' It is tried again.'
        bar.write(f'FAILED (exit status {status}): {name}.{again}', sys.stderr)
        bar.write(words, sys.stderr)

    def _doubtful(self, elsewhere):
        """Whether a lease elsewhere may be of a process that is gone.

        Each is renewed soon, which proves that it is not, or expires, and its Run can
        start here.
        """
        doubtful = False
        for name, holder in elsewhere.items():
            sign = time.time() - holder.silent
            renewed = sign > self.signs.setdefault(name, sign) + 0.5
            doubtful |= not (holder.here or renewed)
        return doubtful

    def _look(self, elsewhere):
        """Reads what other drivers have done, now and then."""
        if time.monotonic() - self.seen < WAIT:
            return
        for name in elsewhere:
            self._read(name)
        self.seen = time.monotonic()

    def _update(self, bar, plan):
        for name in set(plan.spent) - self.tidied:
            shutil.rmtree(self.workdir / name / 'ckpt', ignore_errors=True)
            self.tidied.add(name)
        bar.total = len(plan.done) + len(plan.ready) + plan.waiting
        bar.set_postfix_str(best_of(plan, self.done), refresh=False)
        bar.update(len(plan.done) + len(self.failed) - bar.n)
        if bar.disable and time.monotonic() - self.told > TOLD:
            self.told = time.monotonic()
            logging.info(
                '%d of %d Runs are done, %d run here, %d failed. %s', len(plan.done),
                bar.total, len(self.executor.running), len(self.failed),
                best_of(plan, self.done),
            )  # fmt: skip

    def _bar(self, plan):
        return tqdm.tqdm(
            desc='Runs',
            initial=len(plan.done),
            unit='Run',
            smoothing=0.1,
            disable=None,  # Where nobody watches, a line a minute is logged.
        )


def read_done(workdir):
    """Every Record of a workdir by Run id."""
    found = {}
    for path in pathlib.Path(workdir).glob('*/record.json'):
        if (record := results.read(path.parent)) is not None:
            found[path.parent.name] = record
    return found


def best_of(plan, done):
    """A few words on the best test scores so far, one a dataset."""
    best = {}
    for name in plan.done:
        record = done[name]
        if record.score is not None and record.run.setting != sweep.PRETRAIN:
            top = best.get(record.run.dataset)
            if top is None or record.score > top.score:
                best[record.run.dataset] = record
    shown = [
        f'{r.run.arch} {r.run.setting} {100 * r.score:.1f} %'
        + (f' on {r.run.dataset.rpartition("/")[2]}' if len(best) > 1 else '')
        for r in sorted(best.values(), key=lambda r: -r.score)
    ]
    more = f' and {len(shown) - 3} more' if len(shown) > 3 else ''
    return 'best ' + ', '.join(shown[:3]) + more if shown else ''


def status(study, workdir):
    """Progress of a study, read from its folder alone."""
    plan = sweep.plan(tuple(sweep.cells(study)), read_done(workdir))
    held = leases.holders(workdir)
    running = {name: held[name] for name in plan.ready if name in held}
    failed = {}
    for name in plan.ready.keys() - running.keys():
        faults = read_failures(workdir, name)
        if hopeless(faults):
            failed[name] = faults
    return Progress(plan, running, failed)


def pace(plan, workdir, running):
    """A sentence: Runs an hour since the sweep was last started, and the time left.

    What is left is taken to last as long as the mean of what is done: of the same
    network, dataset, setting and phase, else of the same setting and phase.
    """
    workdir, seconds, since = pathlib.Path(workdir), {}, 0
    try:
        start = (workdir / STUDY).stat().st_mtime
    except FileNotFoundError:
        return 'No sweep has been started here.'
    for name, run in plan.done.items():
        path = workdir / name / 'record.json'
        took = json.loads(path.read_text())['seconds'].get('total', 0.0)
        since += path.stat().st_mtime > start
        for key in (_kind(run), _kind(run)[2:]):
            seconds.setdefault(key, []).append(took)
    elapsed = time.time() - start
    rate = f'{3600 * since / elapsed:.3g} Runs/h since the last start'
    left, unknown = 0.0, plan.waiting
    for run in plan.ready.values():
        took = seconds.get(_kind(run)) or seconds.get(_kind(run)[2:])
        left += sum(took) / len(took) if took else 0.0
        unknown += not took
    if not running:
        return f'{rate}; nothing is running.'
    more = f', and {unknown} Runs of which none is done yet' if unknown else ''
    return f'{rate}; about {number_format.duration(left / running)} left{more}.'


def _kind(run):
    return run.arch, run.dataset, run.setting, run.phase


# What went wrong.


def read_failures(workdir, name):
    """Failures of a Run so far: [{'status', 'words', 'host', 'time'}]."""
    try:
        return json.loads((pathlib.Path(workdir) / name / 'failures.json').read_text())
    except FileNotFoundError:
        return []


def write_failure(workdir, name, exit_status, words):
    fault = {
        'status': exit_status,
        'words': words,
        'host': platform.node(),
        'time': time.strftime('%Y-%m-%d %H:%M:%S'),
    }
    path = pathlib.Path(workdir) / name / 'failures.json'
    storage.write_json(path, [*read_failures(workdir, name), fault])


def forget_failures(workdir):
    """Removes the failures of all Runs; returns how many had any."""
    found = list(pathlib.Path(workdir).glob('*/failures.json'))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def hopeless(faults):
    """Whether a Run with these failures is set aside."""
    killed = sum(fault['status'] in _FROM_OUTSIDE for fault in faults)
    return len(faults) - killed >= ATTEMPTS or killed >= KILLS


# The study that a folder is for.


def write_study(workdir, study):
    """Writes study.json, from which --status reads what is planned."""
    facts = {'schema': results.SCHEMA, 'study': dataclasses.asdict(study)}
    storage.write_json(pathlib.Path(workdir) / STUDY, facts)


def read_study(workdir):
    """The Study that was last started in a folder.

    Raises:
        errors.InputError: none was, or with another schema version.
    """
    path = pathlib.Path(workdir) / STUDY
    try:
        facts = json.loads(path.read_text())
    except FileNotFoundError:
        raise errors.InputError(
            f'No sweep has been started in {str(workdir)!r}: it has no {STUDY}. Give '
            'the --workdir of one.'
        ) from None
    check_schema(workdir)
    return sweep.study_from(facts['study'])


def check_schema(workdir):
    """Refuses a folder of another schema version, before anything is started.

    Raises:
        errors.InputError: as said.
    """
    workdir = pathlib.Path(workdir)
    with contextlib.suppress(FileNotFoundError):
        found = json.loads((workdir / STUDY).read_text()).get('schema')
        if found != results.SCHEMA:
            raise errors.InputError(
                f'{workdir} is of schema version {found}, this program writes '
                f'{results.SCHEMA}. Use another --workdir.'
            )
    for path in workdir.glob('*/record.json'):
        results.read(path.parent)
        return
