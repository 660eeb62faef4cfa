import sys

import pytest

from tfxfer import config, errors, results
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
    'gpus, asked, jobs, memory',
    [
        ('0,1', {}, 2, 1.0),
        ('0,1', {'jobs_per_gpu': 3}, 6, 1 / 3),
        ('0,1', {'jobs': 4, 'jobs_per_gpu': 3}, 4, 1 / 3),
        ('0,1', {'jobs': 3}, 3, 0.5),  # Two of them share one.
        ('0,1', {'jobs': 1}, 1, 1.0),  # Mirrored over both.
        ('', {'jobs': 5}, 5, 1.0),
    ],
)
def test_runs_that_share_a_gpu_share_its_memory(monkeypatch, gpus, asked, jobs, memory):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', gpus)
    share = executors.share(threads=2, **asked)
    assert (share.jobs, share.threads, share.gpu_memory) == (jobs, 2, memory)
    shared = {'gpu_memory': round(memory, 6)} if memory < 1 else {}
    assert share.flags() == {'threads': 2, **shared}
    if not gpus:
        return
    # No GPU has more jobs than its memory is shared by.
    local = executors.Local('x', jobs=jobs, gpus=share.gpus)
    used = [name for slot in range(jobs) for name in local.devices(slot)]
    assert all(used.count(name) * memory <= 1 for name in used)


@pytest.mark.parametrize(
    'gpus, asked, message',
    [
        ('', {'jobs_per_gpu': 2}, '--jobs_per_gpu=2: there is no GPU here'),
        ('0', {'jobs': 3, 'jobs_per_gpu': 2}, '--jobs=3 are more than'),
    ],
)
def test_jobs_that_no_gpu_can_take_are_refused(monkeypatch, gpus, asked, message):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', gpus)
    with pytest.raises(errors.InputError, match=message):
        executors.share(**asked)


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
