import sys
import time

import pytest

from tests.support import studies
from tfxfer import errors, results
from tfxfer.study import executors, ray_executor


@pytest.mark.parametrize(
    'address, message',
    [
        ('127.0.0.1:1', 'Nothing answers at --ray_address=127.0.0.1:1'),
        ('ray://127.0.0.1:1', 'Nothing answers'),
        ('here', 'none of auto, HOST:PORT'),
        ('here:99999999', 'Nothing answers'),
    ],
)
def test_an_address_that_does_not_answer_is_named(tmp_path, address, message):
    pytest.importorskip('ray')
    begun = time.monotonic()
    with pytest.raises(errors.InputError, match=message):
        ray_executor.Ray(tmp_path, address=address)
    assert time.monotonic() - begun < 30


def test_without_ray_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_executor.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(errors.InputError, match='pip install'):
        ray_executor.Ray(tmp_path)


@pytest.mark.slow
def test_on_a_cluster_of_this_machine_every_run_has_its_log_and_status(
    tmp_path, monkeypatch
):
    """Runs that print their flags, and end with their seed."""
    pytest.importorskip('ray')
    code = 'import sys; print(sys.argv[2:]); sys.exit(int(sys.argv[1]))'

    def command(workdir, run, arguments):
        return [sys.executable, '-c', code, str(run.seed), *arguments]

    monkeypatch.setattr(executors, 'command', command)
    plan = studies.plan(studies.study(studies.SCRATCH, seeds=(0, 3)), {})
    runs = list(plan.ready.values())[:4]
    ended = {}
    with ray_executor.Ray(tmp_path, arguments=['--x']) as ray:
        assert ray.free() >= 2
        for run in runs:
            ray.start(run)
        while ray.running:
            ended |= ray.finished(60)
    assert ended == {run.id: run.seed for run in runs}
    for run in runs:
        log = results.folder(tmp_path, run) / 'log.txt'
        assert log.read_text().strip() == "['--x']"


@pytest.mark.slow
def test_what_still_runs_on_a_cluster_at_the_end_is_stopped(tmp_path, monkeypatch):
    pytest.importorskip('ray')
    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(100)'
    monkeypatch.setattr(executors, 'command', lambda *_: [sys.executable, '-c', code])
    run = next(iter(studies.plan(studies.study(), {}).ready.values()))
    log = results.folder(tmp_path, run) / 'log.txt'
    with ray_executor.Ray(tmp_path) as ray:
        ray.start(run)
        while not (log.exists() and log.read_text().endswith('\n')):
            assert ray.finished(0.1) == {}
        pid = int(log.read_text().split()[0])
    end = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] not in 'ZX'
    except FileNotFoundError:
        return False
