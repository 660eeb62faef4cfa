"""One small study on one machine, on shards that are killed, and on a Ray cluster."""

import contextlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.conftest import ROOT
from tests.support import tiny
from tests.support.studies import left_by_runs
from tfxfer import leases, storage

# 1 pretrain, 1 logistic, 2 + 1 trials by halving and 1 final: 6 Runs.
STUDY = (
    '--config=configs/quickstart.py',
    f'--config.archs={tiny.ARCH}',
    '--config.seeds=0',
    '--config.settings=logistic,finetune',
    '--config.image_size=32',
    '--config.pretrain.steps=4',
    '--config.finetune.steps=8',
    '--config.finetune.batch=8',
    '--config.finetune.lrs=0.05,0.01',
    '--config.finetune.wds=1e-5',
    '--config.search=halving',
    '--config.eta=2',
    '--threads=1',
)
RUNS = 6
KILLED = 6


def command(workdir, *flags):
    return [sys.executable, '-m', 'tools.sweep', *STUDY, f'--workdir={workdir}', *flags]


def carry_out(workdir, *flags, **options):
    done = subprocess.run(
        command(workdir, *flags), cwd=ROOT, capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not leases.holders(workdir)
    return done


@pytest.fixture(scope='session')
def undisturbed(tmp_path_factory):
    """A folder where the study went through; the same for all processes of pytest."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base
    workdir = shared / 'undisturbed'
    with storage.locked(workdir):
        if not (workdir / 'report.html').exists():
            carry_out(workdir, '--jobs=2')
    return workdir


def workers(workdir):
    """Process ids of the Runs of a folder."""
    found = subprocess.run(
        ['pgrep', '-f', f'tfxfer.run --run={workdir}/'], capture_output=True, text=True
    )
    return [int(text) for text in found.stdout.split()]


@pytest.mark.slow
def test_two_drivers_killed_six_times_lose_nothing(undisturbed, tmp_path):
    chance, drivers = random.Random(0), {}
    kills = {'driver': 0, 'Run': 0}

    def keep_both_going():
        for i in range(2):
            if i not in drivers or drivers[i].poll() is not None:
                drivers[i] = subprocess.Popen(
                    command(tmp_path, f'--shard={i}/2', '--jobs=1', '--retry_failed'),
                    cwd=ROOT,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )

    for _ in range(4 * KILLED):  # Where all is slow, drivers die before Runs begin.
        if sum(kills.values()) >= KILLED and min(kills.values()) >= 2:
            break
        keep_both_going()
        time.sleep(chance.uniform(0.2, 5))
        # Runs of a driver that was killed go on without it, and may be killed too.
        victims = [('driver', process.pid) for process in drivers.values()]
        victims += [('Run', pid) for pid in workers(tmp_path)]
        kind, pid = chance.choice(victims)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        kills[kind] += 1
    for process in drivers.values():
        process.kill()
        process.wait()
    assert min(kills.values()) >= 2, kills
    carry_out(tmp_path, '--retry_failed', '--jobs=2')
    assert left_by_runs(tmp_path) == left_by_runs(undisturbed)
    assert len(left_by_runs(tmp_path)) == RUNS
    assert not list((tmp_path / 'leases').iterdir())
    assert not list(tmp_path.glob('*/ckpt'))


@pytest.mark.slow
def test_a_race_killed_four_times_ends_as_one_that_was_not(photographs, tmp_path):
    root = photographs(count=200, size=(32, 32))
    networks = [f'{tiny.ARCH}:top1={top1}' for top1 in (0.5, 0.6)]

    def race(workdir):
        flags = [
            root, '--minutes=60', f'--networks={",".join(networks)}', '--threads=1',
            '--config.weights=model', f'--workdir={workdir}', '--retry_failed',
        ]  # fmt: skip
        return [sys.executable, '-m', 'tfxfer', 'compare', *map(str, flags)]

    chance = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen(
            race(tmp_path / 'w'), cwd=ROOT, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(chance.uniform(2, 15))
        process.kill()
        process.wait()
    for workdir in (tmp_path / 'w', tmp_path / 'whole'):
        done = subprocess.run(
            race(workdir), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert 'all that is still in is measured on all images' in done.stdout
    assert left_by_runs(tmp_path / 'w') == left_by_runs(tmp_path / 'whole')
    assert not list((tmp_path / 'w/leases').iterdir())


@pytest.mark.slow
def test_one_tensorboard_shows_all_runs_of_the_folder(undisturbed):
    from tensorboard import program

    tensorboard = program.TensorBoard()
    tensorboard.configure(argv=['', f'--logdir={undisturbed}', '--port=0'])
    url = tensorboard.launch()

    def ask(path, **fields):
        request = urllib.request.Request(
            f'{url}data/plugin/{path}',
            json.dumps(fields).encode() if fields else None,
            {'Content-Type': 'application/json'},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    trained = {
        path.parent.name
        for path in undisturbed.glob('*/record.json')
        if '-logistic-' not in path.parent.name
    }
    end = time.monotonic() + 300
    while True:  # It reads the folder beside.
        tags = {run: set(of) for run, of in ask('scalars/tags').items()}
        groups = ask(
            'hparams/session_groups', allowedStatuses=['STATUS_UNKNOWN'],
            colParams=[], startIndex=0, sliceSize=100,
        ).get('sessionGroups', [])  # fmt: skip
        seen = {run.partition('/')[0] for run, of in tags.items() if 'loss' in of}
        if (seen, len(groups)) == (trained, len(trained)):
            break
        assert time.monotonic() < end, (sorted(tags), groups)
        time.sleep(0.5)
    assert {group['hparams']['lr'] for group in groups} >= {0.05, 0.01}
    assert any('accuracy' in of for run, of in tags.items() if run.endswith('test'))


# A cluster of two nodes, which loses one when it is told a line, and ends with stdin.
NODES = """
import sys
from ray import cluster_utils
nodes = cluster_utils.Cluster(
    initialize_head=True, head_node_args={'num_cpus': 1, 'include_dashboard': False}
)
second = nodes.add_node(num_cpus=1)
print('ADDRESS', nodes.address, flush=True)
if sys.stdin.readline():
    nodes.remove_node(second, allow_graceful=False)
sys.stdin.read()
nodes.shutdown()
"""


@contextlib.contextmanager
def ray_cluster():
    """(address, function that takes a node away)."""
    for _ in range(3):  # Its servers have 30 s to start, which a full machine may miss.
        process = subprocess.Popen(
            [sys.executable, '-c', NODES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = iter(process.stdout.readline, '')
        line = next((line for line in lines if line.startswith('ADDRESS')), '')
        if line:
            break
        process.communicate()

    def lose():
        process.stdin.write('lose\n')
        process.stdin.flush()

    assert line, 'the cluster did not start'
    try:
        yield line.split()[1], lose
    finally:
        process.communicate()


@pytest.mark.exhaustive
def test_a_ray_cluster_that_loses_a_node_gives_the_same(undisturbed, tmp_path):
    if not importlib.util.find_spec('ray'):  # Not imported: see test_ray_executor.
        pytest.skip('no Ray')
    # A pipe that nobody reads would stop the sweep.
    workdir, output = tmp_path / 'runs', tmp_path / 'sweep.log'
    with ray_cluster() as (address, lose), output.open('w') as file:
        sweep = subprocess.Popen(
            command(workdir, f'--ray_address={address}'),
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + 900
        # Two at once: one of them on the node that is about to go.
        while len(leases.holders(workdir)) < 2 or not left_by_runs(workdir):
            assert sweep.poll() is None and time.monotonic() < end, output.read_text()
            time.sleep(0.05)
        lose()
        sweep.wait(900)
    assert sweep.returncode == 0, output.read_text()[-3000:]
    assert left_by_runs(workdir) == left_by_runs(undisturbed)
    assert len(list(workdir.glob('*/log.txt'))) == RUNS
