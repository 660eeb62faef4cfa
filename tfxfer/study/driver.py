"""Carries out a study: starts what can start, wherever it runs, until all is done.

Several drivers may work on one folder, each with its own executor: a Run's lease lets
one of them work on it, records say what is done, and RUN/failures.json what failed.
"""

import contextlib
import math
import os
import pathlib
import shutil
import sys
import time
import typing
import warnings
from collections.abc import Callable, Iterator

import tqdm
from absl import logging

from tfxfer import config, errors, leases, results
from tfxfer.study import executors, failures, planning, status, study_file
from tfxfer.study.study import Study

STOPPED = 75  # Exit status of a Run that is saved, or that another process runs.
WAIT = 2.0  # Seconds between looks at what other drivers do.
TOLD = 60.0  # Seconds between lines of a log that nobody watches.

Holders: typing.TypeAlias = dict[str, leases.Holder]  # By Run id.


class Outcome(typing.NamedTuple):
    """What came out of carrying a study out."""

    done: dict[str, config.Run]  # By Run id.
    failed: dict[str, list[failures.Failure]]  # Those that are not tried again.
    elsewhere: int  # Runs that other processes were still carrying out.


class Driver:
    """One study, one folder, one executor.

    Its state: the Records of Runs that are `done`, those that `failed` for good, both
    by Run id, and what it last knew of other drivers.
    """

    def __init__(
        self,
        study: Study,
        workdir: str | pathlib.Path,
        executor: executors.Executor,
        *,
        shard: tuple[int, int] = (0, 1),
        wait: bool = True,
    ) -> None:
        """shard: (i, n): begins with the i-th n-th of the Runs, then helps the others;
        wait: until what other processes carry out is done too.
        """
        self.cells = tuple(planning.cells(study))
        self.workdir, self.executor = pathlib.Path(workdir), executor
        self.shard, self.wait = shard, wait
        self.done: dict[str, results.Record] = {}
        self.failed: dict[str, list[failures.Failure]] = {}
        self._without_checkpoint: set[str] = set()  # Ids of trials.
        self._last_look = 0.0  # At what other drivers have done.
        # Of leases elsewhere: their last sign of life, as first seen.
        self._first_signs: dict[str, float] = {}
        self._last_log = time.monotonic()

    def carry_out(self, until: float = math.inf) -> Outcome:
        """Runs all of the study that is not done.

        Args:
            until: a time of time.monotonic at which what still runs is stopped, to go
                on another time.

        Raises:
            errors.InputError: the folder was removed meanwhile.
            OSError: the disk is full.
        """
        self.done = status.read_done(self.workdir)
        plan = self._plan()
        self._remove_checkpoints(plan)
        elsewhere: Holders = {}
        with _watched(self.workdir) as check, self.executor, _progress_bar(plan) as bar:
            self._show(bar, plan)
            while True:
                check()
                if (left := until - time.monotonic()) <= 0:
                    bar.refresh()
                    return Outcome(plan.done, self.failed, len(elsewhere))
                plan, elsewhere = self._start(plan)
                if not self.executor.running:
                    if not self._waits_for(elsewhere):
                        bar.refresh()
                        return Outcome(plan.done, self.failed, len(elsewhere))
                    time.sleep(min(WAIT, left))
                ended = self.executor.finished(min(WAIT, left))
                check()
                for name, exit_status in ended.items():
                    self._note(name, exit_status, bar)
                self._look(elsewhere)
                plan = self._plan()
                self._remove_checkpoints(plan)
                self._show(bar, plan)

    def _plan(self) -> planning.Plan:
        return planning.plan(self.cells, self.done)

    def _start(self, plan: planning.Plan) -> tuple[planning.Plan, Holders]:
        """Starts what there is room for; returns the plan, and who has the rest."""
        holders, news = leases.holders(self.workdir), False
        elsewhere = {}
        for run in sorted(plan.ready.values(), key=self._turn):
            if run.id in self.executor.running or run.id in self.failed:
                continue
            if run.id in holders:
                elsewhere[run.id] = holders[run.id]
            elif self.executor.free() > 0:
                # Another driver may have done it since the last look, or failed at it.
                if self._read(run.id):
                    news = True
                elif not self._failed_for_good(run.id):
                    self.executor.start(run)
        return (self._plan() if news else plan), elsewhere

    def _turn(self, run: config.Run) -> int:
        """What comes first: of this shard; but for that, in the order of the plan."""
        mine, shards = self.shard
        return (int(run.id[-8:], 16) - mine) % shards

    def _read(self, name: str) -> bool:
        """Takes a Run's Record, if there is one."""
        record = results.read_done(self.workdir / name)
        if record is not None:
            self.done[name] = record
        return record is not None

    def _failed_for_good(self, name: str) -> bool:
        of_run = failures.read(self.workdir, name)
        if failures.final(of_run):
            self.failed[name] = of_run
        return name in self.failed

    def _note(self, name: str, exit_status: int, bar: tqdm.tqdm) -> None:
        """Takes note of a Run that ended here."""
        if self._read(name) or exit_status == STOPPED:
            return
        words = failures.last_words(self.workdir, name)
        failures.check_room(self.workdir, words)
        failures.add(self.workdir, name, exit_status, words)
        again = '' if self._failed_for_good(name) else ' It is tried again.'
        bar.write(f'FAILED (exit status {exit_status}): {name}.{again}', sys.stderr)
        bar.write(words, sys.stderr)

    def _waits_for(self, elsewhere: Holders) -> bool:
        """Whether to wait for Runs of other processes: if asked to, or in doubt."""
        if not elsewhere:
            return False
        return self.wait or self._in_doubt(elsewhere)

    def _in_doubt(self, elsewhere: Holders) -> bool:
        """Whether a lease elsewhere may be of a process that is gone.

        Each is renewed soon, which proves that it is not, or expires, and its Run can
        start here.
        """
        in_doubt = False
        for name, holder in elsewhere.items():
            sign = time.time() - holder.silent
            renewed = sign > self._first_signs.setdefault(name, sign) + 0.5
            in_doubt |= not (holder.here or renewed)
        return in_doubt

    def _look(self, elsewhere: Holders) -> None:
        """Reads what other drivers have done, now and then."""
        if time.monotonic() - self._last_look < WAIT:
            return
        for name in elsewhere:
            self._read(name)
        self._last_look = time.monotonic()

    def _remove_checkpoints(self, plan: planning.Plan) -> None:
        """Removes those of trials that nothing will go on from."""
        for name in set(plan.spent) - self._without_checkpoint:
            shutil.rmtree(self.workdir / name / 'ckpt', ignore_errors=True)
            self._without_checkpoint.add(name)

    def _show(self, bar: tqdm.tqdm, plan: planning.Plan) -> None:
        """Brings the progress bar up to date; unwatched, a line a minute is logged."""
        best = status.best_scores(plan, self.done)
        bar.total = plan.total
        bar.set_postfix_str(best, refresh=False)
        bar.update(len(plan.done) + len(self.failed) - bar.n)
        if bar.disable and time.monotonic() - self._last_log > TOLD:
            self._last_log = time.monotonic()
            logging.info(
                '%d of %d Runs are done, %d running here, %d failed. %s',
                len(plan.done), plan.total, len(self.executor.running),
                len(self.failed), best,
            )  # fmt: skip


@contextlib.contextmanager
def _watched(workdir: pathlib.Path) -> Iterator[Callable[[], None]]:
    """A function that raises once the folder, or what it holds, was removed."""
    workdir.mkdir(parents=True, exist_ok=True)
    begun = (workdir / study_file.NAME).exists()
    descriptor = os.open(workdir, os.O_RDONLY)  # Its number is not used again.

    def check():
        try:
            there = os.path.samestat(os.fstat(descriptor), os.stat(workdir))
        except OSError:  # A network file system says it so.
            there = False
        if not there or (begun and not (workdir / study_file.NAME).exists()):
            raise errors.InputError(
                f'{workdir} was removed while the sweep was running; what it held is '
                'gone. The same command begins again.'
            )

    try:
        yield check
    finally:
        os.close(descriptor)


def _progress_bar(plan: planning.Plan) -> tqdm.tqdm:
    notebook = 'ipykernel.zmqshell' in sys.modules  # As tqdm finds out.
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', tqdm.TqdmWarning)  # That it is new, or plain.
        from tqdm import autonotebook
    return autonotebook.tqdm(
        desc='Runs',
        initial=len(plan.done),
        unit='Run',
        smoothing=0.1,
        disable=False if notebook else None,  # None: where nobody watches.
    )
