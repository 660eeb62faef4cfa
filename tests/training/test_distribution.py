"""Several processes that train together, as real processes on this machine."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support import cluster, tiny
from tfxfer import errors, results
from tfxfer.cli import app, run
from tfxfer.training import distribution

WORKER = """
import functools, pathlib, sys
import numpy as np, tensorflow as tf
from tfxfer import config
from tfxfer.training import distribution, loop, options
devices = distribution.strategy()
tf.config.experimental.enable_op_determinism()
from tests.support.training import batches, small_network
with devices.scope():
    model = small_network(None)
folder, hparams = pathlib.Path(sys.argv[1]), config.Finetune(
    lr=1e-4, wd=1e-6, steps=12, batch=8, ema=0.9)  # Of pixels 0-255.
batches = functools.partial(batches, image_size=6)
loop.fit(loop.Training(model, batches, hparams, 24, devices), folder,
    options=options.Options(save_every=5))
name = f'{distribution.workers()}-{distribution.worker()}.npz'
np.savez(folder / name, *[v.numpy() for v in model.variables])
distribution.wait_for_all(devices)
"""


@pytest.mark.slow
def test_two_workers_train_to_what_one_process_does(tmp_path):
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
    command = [sys.executable, '-c', WORKER]
    alone = subprocess.run(
        [*command, str(tmp_path / 'one')], cwd=ROOT, capture_output=True, text=True
    )
    assert alone.returncode == 0, alone.stderr[-2000:]
    for stderr, status in cluster.ended(
        cluster.start([*command, str(tmp_path / 'two')])
    ):
        assert status == 0, stderr[-3000:]
    files = ['one/1-0.npz', 'two/2-0.npz', 'two/2-1.npz']
    one, chief, other = (np.load(tmp_path / name) for name in files)
    for name in one.files:
        np.testing.assert_allclose(one[name], chief[name], atol=1e-5)
        np.testing.assert_array_equal(chief[name], other[name])
    # The chief alone wrote checkpoints and events.
    assert sorted(p.name for p in (tmp_path / 'two/ckpt').iterdir()) == ['10', '12']
    assert len(list((tmp_path / 'two/tb/train').glob('events.*'))) == 1


SMALL = [
    sys.executable, '-m', 'tfxfer.run', '--config=configs/scratch.py',
    f'--config.arch={tiny.ARCH}', '--config.dataset=digits_5_9',
    '--config.image_size=32', '--config.per_class=20', '--config.hparams.batch=16',
    '--config.hparams.lr=0.05', '--config.hparams.flip=False',
]  # fmt: skip


def await_step(workdir, processes, pattern='*/ckpt/[1-9]*'):
    end = time.monotonic() + 120
    while not list(workdir.glob(pattern)):
        for process in processes:
            assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < end, 'it never got there'
        time.sleep(0.05)


@pytest.mark.slow
def test_a_dead_worker_ends_the_others_and_the_same_command_goes_on(tmp_path):
    command = [
        *SMALL, '--config.hparams.steps=160', f'--workdir={tmp_path}',
        '--save_every=10',
    ]  # fmt: skip
    processes = cluster.start(command)
    await_step(tmp_path, processes)
    processes[1].kill()
    (stderr, status), _ = cluster.ended(processes)
    assert status == 75, stderr[-3000:]
    last = stderr.strip().splitlines()[-1]
    assert last.startswith('error: Another worker is gone'), last
    assert last.endswith('The same command goes on from there.')
    # One told to stop: both save the same step, and end.
    processes = cluster.start(command)
    await_step(tmp_path, processes, '*/ckpt/[5-9]?')
    processes[1].send_signal(signal.SIGTERM)
    for stderr, status in cluster.ended(processes):
        assert status == 75 and 'error: Stopped at step' in stderr, stderr[-3000:]
    for stderr, status in cluster.ended(cluster.start(command)):
        assert status == 0 and 'Going on at step' in stderr, stderr[-3000:]
    (record,) = results.read_all(tmp_path)
    assert record.status == 'done' and record.versions['replicas'] == 2
    folder = results.folder(tmp_path, record.run)
    assert sorted(p.name for p in folder.iterdir()) == [
        'model.weights.h5', 'predictions.npz', 'record.json', 'run.json', 'tb'
    ]  # fmt: skip


TASK = '"task": {"type": "worker", "index": 0}}'


@pytest.mark.parametrize(
    'text',
    [
        '{',
        '[1]',
        'null',
        '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, ' + TASK,
        '{"cluster": null, "task": null}',
        '{"cluster": {"worker": null}, ' + TASK,
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": true}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_tf_config_that_is_not_understood_is_refused_at_the_start(
    monkeypatch, tmp_path, text
):
    monkeypatch.setenv('TF_CONFIG', text)
    with pytest.raises(
        errors.InputError, match='must be JSON that names workers alone'
    ):
        app.call(run, ['--config=configs/finetune.py', f'--workdir={tmp_path}/runs'])
    assert not (tmp_path / 'runs').exists()


@pytest.mark.parametrize('text', ['{}', '{"cluster": {}, ' + TASK, '{' + TASK])
def test_a_tf_config_without_workers_is_one_process(monkeypatch, text):
    monkeypatch.setenv('TF_CONFIG', text)
    assert (distribution.workers(), distribution.worker()) == (1, 0)


def test_logistic_is_for_one_process(monkeypatch, tmp_path):
    monkeypatch.setenv('TF_CONFIG', cluster.environment([1, 2], 0)['TF_CONFIG'])
    with pytest.raises(errors.InputError, match='TF_CONFIG names 2 workers'):
        app.call(run, ['--config=configs/logistic.py', f'--workdir={tmp_path}'])


def test_without_tf_config_there_is_one_worker(monkeypatch):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    assert (distribution.workers(), distribution.worker()) == (1, 0)
