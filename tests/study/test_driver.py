import collections
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.conftest import ROOT
from tests.support import studies
from tests.support.studies import InstantExecutor
from tfxfer import errors, leases, results
from tfxfer.study import driver, failures, planning, status, study_file

STUDY = studies.study(studies.SCRATCH)
RUNS = 12


def carry_out(workdir, executor, **options):
    return driver.Driver(STUDY, workdir, executor, **options).carry_out()


def a_trial():
    return next(planning.cells(STUDY)).grid.trials[0]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(driver, 'WAIT', 0.05)


def test_all_is_done_and_nothing_twice(tmp_path):
    executor = InstantExecutor(tmp_path)
    outcome = carry_out(tmp_path, executor)
    assert len(outcome.done) == RUNS == len(set(executor.started))
    assert len(executor.started) == RUNS
    assert (outcome.failed, outcome.elsewhere) == ({}, 0)
    again = InstantExecutor(tmp_path)
    assert carry_out(tmp_path, again).done.keys() == outcome.done.keys()
    assert again.started == []


def test_a_run_that_fails_once_is_tried_again(tmp_path):
    executor = InstantExecutor(tmp_path)
    name = a_trial().id
    executor.ends[name] = [1]
    outcome = carry_out(tmp_path, executor)
    assert len(outcome.done) == RUNS and not outcome.failed
    assert executor.started.count(name) == 2


def test_a_run_that_fails_twice_is_not_tried_again_and_the_rest_goes_on(
    tmp_path, capfd
):
    executor = InstantExecutor(tmp_path)
    name = a_trial().id
    executor.ends[name] = [1, -11]
    outcome = carry_out(tmp_path, executor)
    assert list(outcome.failed) == [name]
    assert [failure['status'] for failure in outcome.failed[name]] == [1, -11]
    assert outcome.failed[name][0]['words'] == 'error: broken with 1'
    assert len(outcome.done) == RUNS - 2  # Its own cell has no final.
    assert executor.started.count(name) == 2
    assert f'FAILED (exit status -11): {name}.' in capfd.readouterr().err
    # Another driver, or the same command again, knows.
    later = InstantExecutor(tmp_path)
    assert list(carry_out(tmp_path, later).failed) == [name]
    assert later.started == []
    assert list(status.progress(STUDY, tmp_path).failed) == [name]
    assert failures.forget(tmp_path) == 1
    last = InstantExecutor(tmp_path)
    outcome = carry_out(tmp_path, last)
    assert len(outcome.done) == RUNS and not outcome.failed
    assert last.started[0] == name and len(last.started) == 2


def test_a_damaged_record_and_that_of_another_run_are_made_anew(tmp_path):
    carry_out(tmp_path, InstantExecutor(tmp_path))
    cut_off, other, *_ = sorted(tmp_path.glob('*/record.json'))
    other.write_text(cut_off.read_text())  # As if its folder were a copy.
    cut_off.write_text('{"schema": 1, ')
    again = InstantExecutor(tmp_path)
    assert len(carry_out(tmp_path, again).done) == RUNS
    assert sorted(again.started) == [cut_off.parent.name, other.parent.name]


def test_runs_killed_from_outside_have_more_chances(tmp_path):
    executor = InstantExecutor(tmp_path)
    name = a_trial().id
    executor.ends[name] = [-signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM, 130]
    assert not carry_out(tmp_path, executor).failed
    assert executor.started.count(name) == 5


def test_a_run_that_was_stopped_and_saved_has_not_failed(tmp_path):
    executor = InstantExecutor(tmp_path)
    name = a_trial().id
    executor.ends[name] = [75, 75, 75]
    outcome = carry_out(tmp_path, executor)
    assert len(outcome.done) == RUNS and executor.started.count(name) == 4
    assert failures.read(tmp_path, name) == []


def test_a_run_of_another_process_is_left_to_it_and_waited_for(tmp_path):
    run = a_trial()
    lease = leases.claim(tmp_path, run.id, lost=lambda: None)
    executor = InstantExecutor(tmp_path)
    outcome = carry_out(tmp_path, executor, wait=False)
    assert run.id not in executor.started
    assert (len(outcome.done), outcome.elsewhere) == (RUNS - 2, 1)
    assert list(status.progress(STUDY, tmp_path).running) == [run.id]

    class Late(InstantExecutor):
        """The other process ends while this driver waits."""

        def finished(self, seconds):
            if not (results.folder(tmp_path, run) / 'record.json').exists():
                assert not self.running  # Its final cannot have begun.
                studies.write(tmp_path, run)
                lease.release(done=True)
            return super().finished(seconds)

    late = Late(tmp_path)
    outcome = carry_out(tmp_path, late)
    assert len(outcome.done) == RUNS
    assert len(late.started) == 1  # The final.


def claimed_elsewhere(workdir, run):
    """A lease of a process on another machine; returns its file."""
    leases.claim(workdir, run.id, lost=lambda: None)
    (path,) = (workdir / 'leases').glob(f'{run.id}.*')
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {'machine': 'elsewhere', 'host': 'node7'}))
    return path


def test_without_waiting_it_leaves_a_run_to_a_process_that_renews_its_lease(tmp_path):
    path = claimed_elsewhere(tmp_path, a_trial())
    then = time.time() - 100
    os.utime(path, (then, then))
    renewed = threading.Timer(1.0, os.utime, [path])
    renewed.start()
    begun = time.monotonic()
    outcome = carry_out(tmp_path, InstantExecutor(tmp_path), wait=False)
    assert (len(outcome.done), outcome.elsewhere) == (RUNS - 2, 1)
    assert time.monotonic() - begun > 0.9
    renewed.join()


def test_without_waiting_it_takes_over_from_a_process_that_is_gone(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(leases, 'EXPIRES', 1.0)
    claimed_elsewhere(tmp_path, a_trial())
    outcome = carry_out(tmp_path, InstantExecutor(tmp_path), wait=False)
    assert (len(outcome.done), outcome.elsewhere) == (RUNS, 0)


def test_records_of_another_driver_are_taken_before_a_run_starts(tmp_path):
    class Beside(InstantExecutor):
        """Another driver does a Run for each that starts here."""

        def start(self, run):
            assert not (results.folder(tmp_path, run) / 'record.json').exists()
            super().start(run)
            plan = studies.plan(STUDY, status.read_done(tmp_path))
            for other in plan.ready.values():
                if other.id not in self.running:
                    studies.write(tmp_path, other)
                    return

    beside = Beside(tmp_path, jobs=1)
    assert len(carry_out(tmp_path, beside).done) == RUNS
    assert len(beside.started) < 9


def test_shards_begin_apart_and_cover_all(tmp_path):
    firsts = []
    for i in range(3):
        executor = InstantExecutor(tmp_path / str(i))
        outcome = carry_out(executor.workdir, executor, shard=(i, 3))
        assert len(outcome.done) == RUNS
        trials = [name for name in executor.started if '-trial-' in name]
        turns = [(int(name[-8:], 16) - i) % 3 for name in trials]
        assert turns == sorted(turns) and len(set(turns)) > 1
        firsts.append(executor.started[0])
    assert len(set(firsts)) == 3


def test_checkpoints_that_nothing_goes_on_from_are_removed(tmp_path):
    fields = {'lrs': (0.1, 0.01, 0.001, 1.0), 'wds': (1e-5,), 'steps': 16}
    halving = studies.study(
        studies.SCRATCH, archs=('mobilenet_v1_0.25',), seeds=(0,), scratch=fields,
        search='halving', eta=2,
    )  # fmt: skip

    class Saves(InstantExecutor):
        def finished(self, seconds):
            for name, run in self.running.items():
                if run.until:
                    (tmp_path / name / 'ckpt').mkdir(exist_ok=True)
            return super().finished(seconds)

    def carry_out():
        return driver.Driver(halving, tmp_path, Saves(tmp_path)).carry_out()

    outcome = carry_out()
    assert len(outcome.done) == 4 + 2 + 1 + 1
    assert not list(tmp_path.glob('*/ckpt'))
    # One that a driver left when it was killed.
    name = next(name for name, run in outcome.done.items() if run.until)
    (tmp_path / name / 'ckpt').mkdir()
    carry_out()
    assert not list(tmp_path.glob('*/ckpt'))


@pytest.mark.parametrize('what', ['all of it', 'what it holds', 'another is there'])
def test_a_folder_that_is_removed_meanwhile_ends_the_sweep(tmp_path, what):
    workdir = tmp_path / 'runs'

    class Removes(InstantExecutor):
        def finished(self, seconds):
            ended = super().finished(seconds)
            if len(self.started) == 4:
                shutil.rmtree(workdir)
                if what != 'all of it':
                    workdir.mkdir()
                if what == 'another is there':
                    study_file.write(workdir, STUDY)
            return ended

    workdir.mkdir()
    study_file.write(workdir, STUDY)
    executor = Removes(workdir)
    with pytest.raises(errors.InputError, match='runs was removed while the sweep'):
        carry_out(workdir, executor)
    assert len(executor.started) == 4
    assert workdir.exists() == (what != 'all of it')
    assert not list(workdir.glob('*-*'))


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EFBIG])
def test_a_run_that_found_the_disk_full_has_not_failed(tmp_path, number):
    class Full(InstantExecutor):
        def finished(self, seconds):
            name = next(iter(self.running))
            (tmp_path / name / 'log.txt').write_text(
                f'error: {os.strerror(number)} (x). What to do.\n'
            )
            return {name: 2}

    with pytest.raises(OSError) as raised:
        carry_out(tmp_path, Full(tmp_path))
    assert raised.value.errno == number
    assert not list(tmp_path.glob('*/failures.json'))


FILLS = """
import pathlib, sys
from tests.support import studies
from tfxfer.cli import app
from tfxfer.study import driver, executors

class Program:
    __name__ = 'program'

    def define_flags(self):
        return app.Define(app.flags.FLAGS).given

    def main(self, given):
        def command(workdir, run, arguments):
            path = pathlib.Path(workdir, run.id, 'big')
            return ['dd', 'if=/dev/zero', f'of={path}']

        executors.command = command
        local = executors.Local(sys.argv[1], jobs=2)
        driver.Driver(studies.study(studies.SCRATCH), sys.argv[1], local).carry_out()

app.run(Program(), ['program'])
"""


def test_a_full_disk_ends_the_sweep_with_one_line_and_no_failed_run(tmp_path):
    mount = f'mount -t tmpfs -o size=2m none {tmp_path}'
    small = ['unshare', '--map-root-user', '--mount', 'bash', '-c']
    if subprocess.run([*small, mount], capture_output=True).returncode:
        pytest.skip('a small file system cannot be mounted here')
    begin = f'"{sys.executable}" -c "$0" {tmp_path}/runs'
    look = f'ls -d {tmp_path}/runs/*-* | wc -l; ls {tmp_path}/runs/*/failures.json'
    ran = subprocess.run(
        [*small, f'{mount}; {begin}; echo $?; {look}', FILLS],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    # Exit status 1; two Runs began.
    assert ran.stdout.split() == ['1', '2'], ran.stderr
    said = [line for line in ran.stderr.splitlines() if 'error: ' in line]
    assert len(said) == 1 and 'error: No space left on device' in said[0]
    assert 'Traceback' not in ran.stderr


# One driver of several, whose clock is off by some hours. Its Runs take their leases as
# Runs do; each that is carried out leaves a line.
SKEWED = r"""
import pathlib, sys, time
workdir, shard, hours = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
right = time.time
time.time = lambda: right() + hours * 3600
from tests.support import studies
from tfxfer import errors, leases, results
from tfxfer.study import driver

class Leased(studies.InstantExecutor):
    def finished(self, seconds):
        if not self.running:
            return {}
        name, run = next(iter(self.running.items()))
        del self.running[name]
        try:
            lease = leases.claim(workdir, name)
        except errors.Busy:
            return {name: 75}
        if results.read(workdir / name) is None:
            time.sleep(0.05)
            with open(workdir / 'done.txt', 'a') as file:
                file.write(name + '\n')
            studies.write(workdir, run)
        lease.release(done=True)
        return {name: 0}

driver.WAIT = 0.05
study = studies.study(studies.SCRATCH)
outcome = driver.Driver(study, workdir, Leased(workdir), shard=(shard, 8)).carry_out()
assert len(outcome.done) == 12 and not outcome.failed, outcome
"""


@pytest.mark.slow
def test_eight_drivers_whose_clocks_disagree_do_each_run_once(tmp_path):
    hours = (0, 1, -1, 0.06, -0.06, 24, -24, 9000)
    drivers = [
        subprocess.Popen(
            [sys.executable, '-c', SKEWED, str(tmp_path), str(shard), str(hour)],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for shard, hour in enumerate(hours)
    ]  # fmt: skip
    for each in drivers:
        _, said = each.communicate(timeout=600)
        assert each.returncode == 0, said
    times = collections.Counter((tmp_path / 'done.txt').read_text().split())
    assert len(times) == RUNS and set(times.values()) == {1}
    assert not leases.holders(tmp_path)
