import sys

import pytest

from tfxfer import config, results
from tfxfer.study import executors


def run(seed):
    return config.from_dict(
        {
            'arch': 'mobilenet_v1_0.25',
            'dataset': 'digits',
            'setting': 'scratch',
            'seed': seed,
        }
    )


@pytest.fixture
def says(monkeypatch):
    """Runs that print which GPUs they see and their flags, and end with their seed."""
    code = 'import os, sys; print(os.environ.get("CUDA_VISIBLE_DEVICES"), sys.argv[2:])'

    def command(workdir, run, arguments):
        text = f'{code}; sys.exit(int(sys.argv[1]))'
        return [sys.executable, '-c', text, str(run.seed), *arguments]

    monkeypatch.setattr(executors, 'command', command)


def carry_out(local, workdir, count):
    ended = {}
    with local:
        for seed in range(count):
            if not local.free():
                ended |= local.finished(60)
            local.start(run(seed))
        while local.running:
            ended |= local.finished(60)
    logs = [
        (results.folder(workdir, run(seed)) / 'log.txt').read_text().strip()
        for seed in range(count)
    ]
    return ended, logs


def test_every_run_has_its_log_its_status_and_a_gpu_of_its_own(says, tmp_path):
    local = executors.Local(tmp_path, jobs=2, arguments=['--x'], gpus=['3', '5'])
    ended, logs = carry_out(local, tmp_path, 4)
    assert ended == {run(seed).id: seed for seed in range(4)}
    assert {log.partition(' ')[0] for log in logs[:2]} == {'3', '5'}
    assert all(log.endswith("['--x']") for log in logs)


@pytest.mark.parametrize(
    'jobs, gpus, expected',
    [
        (2, 'abcd', [['a', 'c'], ['b', 'd']]),  # Mirrored over two each.
        (2, 'ab', [['a'], ['b']]),
        (4, 'ab', [['a'], ['b'], ['a'], ['b']]),  # Two share one.
    ],
)
def test_gpus_are_dealt_out(tmp_path, jobs, gpus, expected):
    local = executors.Local(tmp_path, jobs=jobs, gpus=gpus)
    assert [list(local.devices(slot)) for slot in range(jobs)] == expected


@pytest.mark.parametrize(
    'chosen, expected', [('2,0', ['2', '0']), ('', []), ('-1', [])]
)
def test_gpus_that_the_user_chose(monkeypatch, chosen, expected):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', chosen)
    assert executors.gpus() == expected


def test_what_still_runs_at_the_end_is_stopped(monkeypatch, tmp_path):
    monkeypatch.setattr(
        executors,
        'command',
        lambda *_: [sys.executable, '-c', 'import time; time.sleep(100)'],
    )
    with executors.Local(tmp_path, jobs=2) as local:
        local.start(run(0))
        process = local.running[run(0).id]
        assert local.finished(0.1) == {}
    assert process.poll() is not None
