"""The programs as a user calls them, in processes of their own."""

import dataclasses
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support import tiny
from tfxfer import config, errors, results
from tfxfer.cli import app, run
from tfxfer.models import checkpoints

SMALL = [
    '--config=configs/scratch.py',
    f'--config.arch={tiny.ARCH}',
    '--config.dataset=digits_5_9',
    '--config.image_size=32',
    '--config.per_class=20',
    '--config.hparams.batch=16',
    '--config.hparams.steps=60',
    '--config.hparams.lr=0.05',
    '--config.hparams.flip=False',
]


def weights_of(folder):
    return checkpoints.digest(folder / 'model.weights.h5')


def test_what_is_not_there_is_said_before_tensorflow_starts(tmp_path):
    code = """
import sys
from tfxfer import errors
from tfxfer.cli import app, run
for given in '--config.dataset=folder:/none', '--config.weights=/none.h5':
    try:
        app.call(run, ['--config=configs/finetune.py', given, sys.argv[1]])
    except errors.InputError as error:
        print(error)
assert 'tensorflow' not in sys.modules
"""
    ran = subprocess.run(
        [sys.executable, '-c', code, f'--workdir={tmp_path / "w"}'],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "No folder '/none'" in ran.stdout and "'/none.h5'" in ran.stdout


@pytest.mark.slow
def test_killed_in_training_and_started_again_equals_never_stopped(program, tmp_path):
    whole = program('tfxfer.run', *SMALL, f'--workdir={tmp_path / "whole"}')
    assert whole.returncode == 0, whole.stderr[-2000:]
    killed = [
        sys.executable, '-m', 'tfxfer.run', *SMALL, f'--workdir={tmp_path / "killed"}',
        '--save_every=5',
    ]  # fmt: skip
    process = subprocess.Popen(killed, cwd=ROOT, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list((tmp_path / 'killed').glob('*/ckpt/[1-5]?')):
        assert process.poll() is None and time.monotonic() < end, 'it never got there'
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (folder,) = (p.parent for p in (tmp_path / 'killed').glob('*/run.json'))
    assert results.read(folder) is None
    again = subprocess.run(killed, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr[-2000:]
    assert re.search(r'Going on at step \d\d', again.stderr)
    reference = tmp_path / 'whole' / folder.name
    assert weights_of(folder) == weights_of(reference)
    assert results.read(folder).score == results.read(reference).score
    predictions = [results.read_predictions(f)['logits'] for f in (folder, reference)]
    np.testing.assert_array_equal(*predictions)


@pytest.mark.exhaustive
def test_a_trial_in_two_parts_equals_one_that_went_through(fakes, tmp_path, capsys):
    """As successive halving makes them."""
    whole = config.Run(
        'tiny', 'colours', 'scratch',
        config.Scratch(lr=0.05, steps=6, batch=8, dropout=0.5, ema=0.9),
        phase='trial', per_class=10,
    )  # fmt: skip
    first = dataclasses.replace(whole, until=3)
    second = dataclasses.replace(whole, resume=first.id)
    assert first.id != whole.id == second.id
    for workdir, runs in (('parts', (first, second)), ('whole', (whole,))):
        for each in runs:
            results.write_run(tmp_path / workdir, each)
            path = results.folder(tmp_path / workdir, each) / 'run.json'
            app.call(run, [f'--run={path}', f'--workdir={tmp_path / workdir}'])
            # The last words of its bar: steps done here.
            count = 3 if workdir == 'parts' else 6
            bar = capsys.readouterr().err
            assert f'| {count if each is first else 6}/' in bar
            assert ('Going on at step 3' in bar) == (each is second)
    parts, through = (tmp_path / name for name in ('parts', 'whole'))
    assert [p.name for p in (parts / first.id / 'ckpt').iterdir()] == ['3']
    assert not (parts / second.id / 'ckpt').exists()
    early, late = (results.read(parts / each.id) for each in (first, second))
    assert early.run.until == 3 and early.score is None
    assert late.valid_score == results.read(through / whole.id).valid_score
    logits = [
        results.read_predictions(w / whole.id)['logits'] for w in (parts, through)
    ]
    np.testing.assert_array_equal(*logits)
    half = results.read_predictions(parts / first.id)['logits']
    assert not np.array_equal(half, logits[0])


@pytest.mark.slow
def test_two_processes_do_not_carry_out_the_same_run(program, tmp_path):
    arguments = [*SMALL, '--config.hparams.steps=2000', f'--workdir={tmp_path}']
    process = subprocess.Popen(
        [sys.executable, '-m', 'tfxfer.run', *arguments],
        cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not list(tmp_path.glob('leases/*')):
        assert process.poll() is None
        time.sleep(0.05)
    try:
        second = program('tfxfer.run', *arguments)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert second.returncode == 75
    assert second.stderr.splitlines()[-1].startswith(
        f'error: Another process does this already: process {process.pid} on '
    )


def test_interrupted_politely_it_says_how_to_go_on(tmp_path):
    command = [sys.executable, '-m', 'tfxfer.run', *SMALL, f'--workdir={tmp_path}']
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob('*/tb')):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == (
        'error: Interrupted. The same command goes on from here.'
    )


@pytest.mark.slow
def test_pre_empted_it_saves_and_ends_with_a_status_of_its_own(program, tmp_path):
    arguments = [*SMALL, '--config.hparams.steps=2000', f'--workdir={tmp_path}']
    process = subprocess.Popen(
        [sys.executable, '-m', 'tfxfer.run', *arguments],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(tmp_path.glob('*/tb/train')):  # Some steps are done.
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75, stderr[-2000:]
    last = stderr.splitlines()[-1]
    assert last.startswith('error: Stopped at step') and 'of 2000' in last
    assert last.endswith('The same command goes on from there.')
    (kept,) = tmp_path.glob('*/ckpt/*')
    assert f'at step {kept.name} of' in last and not results.read_all(tmp_path)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--config.arch=mobilenet_v9'], "Did you mean 'mobilenet_v2'"),
        (['--config.dataset=digitz'], "Did you mean 'digits'"),
        (['--config.setting=scrach'], "Did you mean 'scratch'"),
        (['--config.datset=x'], "no field 'datset'. Did you mean 'dataset'"),
        (['--config.hparams.stepz=3'], "Did you mean 'steps'"),
        (['--config.seed=zero'], 'seed'),
        (['--config.dataset=folder:/no/such/folder'], 'No folder'),
        (['--workdir=setup.cfg/x'], 'setup.cfg'),
        (['--config=configs/nothing.py'], 'configs/nothing.py'),
        (['--profile=a,b'], 'first and last step, as 20,30'),
        (['extra'], "Unknown argument 'extra'"),
    ],
)
def test_bad_input_is_named_before_the_work(tmp_path, arguments, message):
    with pytest.raises(errors.InputError, match=message):
        app.call(run, [*SMALL, f'--workdir={tmp_path}', *arguments])
    left = [p for p in tmp_path.iterdir() if p.name != 'cache']
    assert not left, 'something half-written was left behind'


def test_an_error_is_one_line_and_status_2(program, tmp_path):
    done = program('tfxfer.run', *SMALL, '--config.arch=mobilenet_v9')
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith('error: ') and "Did you mean 'mobilenet_v2'" in line


def test_broken_image_is_named_before_training(photographs, tmp_path):
    root = photographs()
    (root / 'red' / '1.png').write_bytes(b'no image')
    with pytest.raises(errors.InputError, match='red/1.png cannot be read: not an'):
        app.call(run, [
            *SMALL, f'--config.dataset=folder:{root}', f'--workdir={tmp_path / "runs"}'
        ])  # fmt: skip


def test_help_tells_a_newcomer_what_to_type(program):
    done = program('tfxfer.run', '--help')
    assert 'python -m tfxfer.run --config=configs/logistic.py' in done.stdout
    for name in ('--workdir', '--config', '--checkpoints'):
        assert name in done.stdout


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(program, small_disk):
    disk, make_room = small_disk
    large = ['--config.arch=mobilenet_v1_0.25', '--config.hparams.steps=6']
    arguments = [*SMALL, *large, f'--workdir={disk}']
    full = program('tfxfer.run', *arguments)
    assert full.returncode == 1, full.stderr[-2000:]
    last = full.stderr.splitlines()[-1]
    assert last.startswith(f'error: No space left on device ({disk}/')
    assert 'The disk is full: make room' in last
    assert 'Traceback' not in full.stderr
    assert results.read_all(disk) == []
    make_room()
    app.call(run, arguments)
    assert len(results.read_all(disk)) == 1


def test_a_folder_that_may_not_be_written_is_named():
    with pytest.raises(OSError, match='/proc/runs'):
        app.call(run, [*SMALL, '--workdir=/proc/runs'])
