import importlib.util
import ipaddress
import json
import os
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.support import studies
from tfxfer import errors, results
from tfxfer.study import executors, ray_executor

# Not imported: it reads its environment then.
with_ray = pytest.mark.skipif(not importlib.util.find_spec('ray'), reason='no Ray')


@with_ray
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
    begun = time.monotonic()
    with pytest.raises(errors.InputError, match=message):
        ray_executor.Ray(tmp_path, address=address)
    assert time.monotonic() - begun < 30


def test_without_ray_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_executor.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(errors.InputError, match='pip install'):
        ray_executor.Ray(tmp_path)


@pytest.fixture(autouse=True)
def environment_as_before():
    """What a cluster of this process sets is not for the next test's."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


# A cluster of this machine: its servers' pids and addresses, until its input ends.
OWN = """
import json, os, sys
from tests.support import sockets, studies
from tfxfer.study import executors, ray_executor
executors.command = lambda *_: [sys.executable, '-c', 'import time; time.sleep(600)']
run = next(iter(studies.plan(studies.study(studies.SCRATCH), {}).ready.values()))
with ray_executor.Ray(sys.argv[1]) as ray:
    ray.start(run)
    while not os.path.exists(f'{sys.argv[1]}/{run.id}/log.txt'):
        ray.finished(0.1)
    says = [
        ray._ray.get_runtime_context().gcs_address,
        os.environ['RAY_AUTH_TOKEN'],
        sockets.listening(os.getpid()),
    ]
    print(json.dumps(says), flush=True)
    sys.stdin.read()
"""
JOIN = 'import ray, sys; ray.init(sys.argv[1]); print("in")'


@with_ray
@pytest.mark.slow
def test_a_cluster_of_this_machine_listens_to_this_machine_alone_and_wants_a_token(
    tmp_path,
):
    cluster = subprocess.Popen(
        [sys.executable, '-c', OWN, str(tmp_path)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    address, token, listening = json.loads(cluster.stdout.readline())
    # GCS, raylet and its worker at least.
    assert len(listening) >= 3
    assert all(ipaddress.ip_address(host).is_loopback for host, _ in listening)
    here = {
        'RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER': '0'
    }  # At 127.0.0.1, as the cluster is.
    knows, guesses, ignores = (
        subprocess.Popen(
            [sys.executable, '-c', JOIN, address], env=os.environ | here | variables,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for variables in (
            {'RAY_AUTH_MODE': 'token', 'RAY_AUTH_TOKEN': token},
            {'RAY_AUTH_MODE': 'token', 'RAY_AUTH_TOKEN': 'f' * 64},
            {'RAY_AUTH_MODE': 'disabled'},
        )
    )  # fmt: skip
    assert knows.communicate()[0] == 'in\n'
    for process in (guesses, ignores):  # They may try for minutes.
        process.kill()
        assert process.communicate()[0] == ''
    cluster.communicate()


@with_ray
@pytest.mark.slow
def test_on_a_cluster_of_this_machine_every_run_has_its_log_and_status(
    tmp_path, monkeypatch
):
    """Runs that print their flags, and end with their seed."""
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


@with_ray
@pytest.mark.slow
def test_what_still_runs_on_a_cluster_at_the_end_is_stopped(tmp_path, monkeypatch):
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
