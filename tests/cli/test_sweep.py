import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from absl import flags

from tests.conftest import ROOT
from tests.support import studies, tiny
from tfxfer import errors, results
from tfxfer.cli import app, sweep
from tfxfer.study import driver, failures, planning, study_file

CONFIG = f'--config={ROOT}/configs/quickstart.py'


@pytest.fixture
def tool(capsys):
    """Calls the program; returns what it prints."""

    def call(*arguments):
        capsys.readouterr()
        app.call(sweep, arguments)
        return capsys.readouterr().out

    return call


def test_plan_counts_by_hand_and_starts_nothing(tool, tmp_path):
    workdir = tmp_path / 'w'
    out = studies.rows(
        tool(CONFIG, f'--workdir={workdir}', '--plan', '--images_per_second=8')
    )
    # 2 networks; 1 point each, tried with one of 3 seeds; 50 and 100 steps of 32
    # images, 150 for pretraining.
    assert out['finetune trial'][:3] == ['2', '100', '3,200']
    assert out['finetune final'][:3] == ['6', '300', '9,600']
    assert out['scratch trial'][:3] == ['2', '200', '6,400']
    assert out['scratch final'][:3] == ['6', '600', '19,200']
    assert out['pretrain final'][:3] == ['6', '900', '28,800']
    # The other 6: logistic, on other images with each seed.
    assert out['all'][0] == '28'
    trained, seen = (int(out['all'][i].replace(',', '')) for i in (2, 3))
    assert out['all'][4] == f'{(trained / 8 + seen / 24) / 3600:.2g}'
    assert not workdir.exists()


def test_axes_are_narrowed_by_names_of_any_kind(tool, tmp_path):
    out = tool(
        CONFIG, f'--workdir={tmp_path}', '--plan', '--nocalibrate',
        '--config.archs=mobilenet_v1_0.25,mobilenet_v2_0.35',
        '--config.datasets=digits,digits_5_9', '--config.settings=logistic',
    )  # fmt: skip
    assert studies.rows(out)['logistic final'][0] == '12'
    assert studies.rows(out)['pretrain final'][0] == '6'


@pytest.mark.slow
def test_plan_measures_this_machine_once(tool, tmp_path):
    flags = [
        CONFIG, f'--workdir={tmp_path}', '--plan', '--config.image_size=32',
        '--config.archs=mobilenet_v1_0.25',
    ]  # fmt: skip
    first = tool(*flags)
    path = tmp_path / 'cache' / 'rates.json'
    ((train, infer),) = json.loads(path.read_text())['content'].values()
    assert f'{train:.1f} images/s in training, {infer:.1f} scored' in first
    assert 'device-hours' in first
    assert infer > train > 10  # A tiny network.
    assert tool(*flags) == first  # Not measured again.
    assert [p.name for p in tmp_path.iterdir()] == ['cache']


def test_plan_of_what_is_not_on_this_machine(tool, tmp_path):
    out = tool(
        CONFIG, f'--workdir={tmp_path}', '--plan', '--nocalibrate',
        '--config.datasets=food101', '--config.weights=slim',
        '--config.archs=resnet_50', f'--data={tmp_path}',
        '--config.settings=logistic', '--config.per_class=0',
    )  # fmt: skip
    assert '101,000' in out  # Every image of Food-101 through the network once.
    assert 'Not here yet: ' in out and 'food101' in out


def test_the_whole_study_is_planned_in_no_time_and_little_memory(tmp_path):
    code = """
import pathlib, sys
from tfxfer.cli import app, sweep
app.call(sweep, sys.argv[1:])
print(sorted({'tensorflow', 'matplotlib', 'scipy'} & set(sys.modules)))
status = pathlib.Path('/proc/self/status').read_text()
print(int(status.partition('VmHWM:')[2].split()[0]) // 1024)
"""
    flags = '--config=configs/study.py', '--plan', '--images_per_second=1000'
    ran = subprocess.run(
        [sys.executable, '-c', code, *flags, f'--workdir={tmp_path / "w"}'],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # 16 networks x 12 datasets x (1 + 59 + 59): three seeds, one of them with trials.
    assert studies.rows(ran.stdout)['all'][0] == '22,848'
    *_, heavy, mebibytes = ran.stdout.splitlines()
    assert heavy == '[]' and int(mebibytes) < 500


def test_status_reads_the_folder_alone(tool, tmp_path):
    study = studies.study(studies.SCRATCH)
    study_file.write(tmp_path, study)
    driver.Driver(study, tmp_path, studies.InstantExecutor(tmp_path)).carry_out()
    name = next(planning.cells(study)).grid.trials[0].id
    (tmp_path / name / 'record.json').unlink()
    for status in (1, 2):
        failures.add(tmp_path, name, status, 'error: no')
    out = tool('--status', f'--workdir={tmp_path}')
    assert studies.rows(out)['mobilenet_v1_0.25'] == ['digits_5_9', '4', '0', '0', '1']
    assert '10 of 12 Runs are done, 0 running, 1 failed; 1 more' in out
    assert 'error: no' in out and '--retry_failed' in out


@pytest.mark.parametrize(
    'flags, message',
    [
        (['--shard=4/3'], 'of 3 shards the first is 0 and the last 2'),
        (['--shard=1/0'], 'there is no shard'),
        (['--shard=one'], '--shard takes I/N'),
        (['--config.archs=resnet_51'], "Did you mean 'resnet_50'"),
        (['--config.search=fast'], 'No search named'),
        (['--plan', '--images_per_second=fast'], 'takes RATE or NETWORK:RATE'),
        (['--plan', '--images_per_second=mobilenet_v1_0.25:9'], 'says nothing of'),
        (['--config.archs=mobilenet_v1,mobilenet_v1'], 'something twice'),
    ],
)
def test_bad_input_is_named_before_anything_starts(tool, tmp_path, flags, message):
    with pytest.raises(errors.InputError, match=message):
        tool(CONFIG, f'--workdir={tmp_path / "w"}', *flags)
    assert not list(tmp_path.glob('w/*-*'))


def test_without_config_it_says_what_to_give(tool, tmp_path):
    with pytest.raises(errors.InputError, match='--config=configs/'):
        tool(f'--workdir={tmp_path}')


@pytest.fixture
def instant(monkeypatch):
    """Whatever the flags ask for, Runs end at once; returns what executes them."""
    used = []

    def local(workdir, **options):
        used.append(studies.InstantExecutor(workdir))
        used[-1].options = options
        return used[-1]

    monkeypatch.setattr(sweep.executors, 'Local', local)
    return used


@pytest.mark.parametrize(
    'asked, gpus, memory',
    [
        ('--jobs_per_gpu=4', 0.25, ['--gpu_memory=0.25']),
        ('--gpus=0.5', 0.5, ['--gpu_memory=0.5']),
        ('--gpus=2', 2, []),
        ('--gpus=0', 0, []),
    ],
)
def test_runs_on_ray_have_parts_of_gpus_and_of_their_memory(
    monkeypatch, tmp_path, asked, gpus, memory
):
    made = {}
    monkeypatch.setattr(
        sweep.ray_executor, 'Ray', lambda workdir, **options: made.update(options)
    )
    given = sweep.define_flags(flags.FlagValues())
    given._parse(['sweep', '--executor=ray', '--threads=3', asked])
    sweep.executor_of(given, tmp_path)
    assert made['gpus'] == gpus and made['cpus'] == 3
    assert made['arguments'] == ['--threads=3', *memory]
    given._parse(['sweep', '--gpus=0.5', '--jobs_per_gpu=2'])
    with pytest.raises(errors.InputError, match='both say'):
        sweep.executor_of(given, tmp_path)


def test_a_sweep_ends_with_its_report_or_says_that_runs_failed(tool, instant, tmp_path):
    flags = (
        CONFIG, f'--workdir={tmp_path}', '--config.archs=mobilenet_v1_0.25',
        '--config.settings=scratch', '--config.scratch.lrs=0.1', '--config.seeds=0',
        '--jobs=1', '--threads=2', '--keep=encoded', '--keep_gib=0',
        f'--data={tmp_path}', '--nojit_compile',
    )  # fmt: skip
    out = tool(*flags)
    assert out.splitlines()[-1] == str(tmp_path / 'report.html')
    assert instant[0].options['arguments'] == [
        '--threads=2', f'--data={tmp_path}', '--jit_compile=False', '--keep=encoded',
        '--keep_in=memory', '--keep_gib=0.0',
    ]  # fmt: skip
    assert len(instant[0].started) == 2
    # The same command finds all done, and what failed is counted.
    tool(*flags)
    assert instant[1].started == []
    (trial,) = tmp_path.glob('*-trial-*')
    (trial / 'record.json').unlink()
    for _ in range(2):
        failures.add(tmp_path, trial.name, 1, 'error: no')
    with pytest.raises(app.Failed, match='1 Runs failed'):
        tool(*flags)
    tool(*flags, '--retry_failed')
    assert instant[-1].started == [trial.name]


def test_the_sbatch_file_starts_a_shard(tmp_path):
    environment = os.environ | {
        'SLURM_ARRAY_TASK_ID': '15',
        'SLURM_ARRAY_TASK_COUNT': '16',
        'PATH': f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}',
    }
    ran = subprocess.run(
        ['bash', 'docs/slurm.sbatch', CONFIG, f'--workdir={tmp_path}', '--plan',
         '--images_per_second=9'],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert studies.rows(ran.stdout)['all'][0] == '28'
    assert flags_in('docs/slurm.sbatch') >= {'--shard', '--nowait'}


def test_flags_of_the_kubernetes_job_exist():
    from absl import flags

    known = app.describe_program(sweep, sweep.define_flags(flags.FlagValues()))
    for flag in flags_in('docs/kubernetes.yaml'):
        assert flag.replace('--no', '--[no]') in known or flag in known


def flags_in(path):
    """Flags in the lines of a file that are no comments."""
    text = (ROOT / path).read_text().split('tools.sweep', 1)[1]
    return set(re.findall(r'(--\w+)', text))


SLEEPS = """
from tfxfer.cli import app, sweep
from tfxfer.study import executors
executors.command = lambda *_: ['sleep', '600']
app.run(sweep)
"""


@pytest.mark.parametrize(
    'signum', [signal.SIGHUP, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_sweep_whose_terminal_is_closed_stops_its_runs(tmp_path, signum):
    process = subprocess.Popen(
        [sys.executable, '-c', SLEEPS, CONFIG, f'--workdir={tmp_path}', '--jobs=2'],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 300
    while len(running := children(process.pid)) < 2:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signum)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130 and 'error: Interrupted' in said
    assert not [pid for pid in running if os.path.exists(f'/proc/{pid}')]


def children(pid):
    """Process ids of the Runs that a driver has started."""
    command = ['pgrep', '-P', str(pid), 'sleep']
    return subprocess.run(command, capture_output=True, text=True).stdout.split()


# Whole sweeps.

SMALL = (
    CONFIG, '--config.seeds=0', '--config.pretrain.steps=4', '--config.scratch.steps=4',
    '--config.scratch.lrs=0.05', '--config.scratch.wds=1e-5,1e-4',
)  # fmt: skip


def files(workdir):
    """Time of change of every file that a Run wrote, but for its log."""
    paths = [path for path in workdir.glob('*-*/*') if path.name != 'log.txt']
    names = ('record.json', 'predictions.npz', 'model.weights.h5', 'classifier.npy')
    return {p: p.stat().st_mtime_ns for p in paths if p.name in names}


def test_finals_take_what_trials_chose_and_weights_what_pretraining_made(
    tool, here, tmp_path
):
    out = tool(
        *SMALL, '--config.archs=tiny', '--config.datasets=colours',
        '--config.settings=logistic,scratch', f'--workdir={tmp_path}',
    )  # fmt: skip
    records = results.read_all(tmp_path)
    source, logistic, final = (
        next(r for r in records if (r.run.setting, r.run.phase) == (setting, 'final'))
        for setting in ('pretrain', 'logistic', 'scratch')
    )
    assert logistic.source['score'] == source.score
    paths = [tmp_path / name / 'record.json' for name in final.run.trials]
    scores = [json.loads(path.read_text())['valid_score'] for path in paths]
    assert len(scores) == 2 and final.valid_score == max(scores)
    assert [point['valid_score'] for point in final.curve] == scores
    for record in (logistic, final):
        assert f'{100 * record.score:.1f}' in out


@pytest.mark.slow
def test_a_run_that_crashes_costs_one_run_and_what_is_done_is_not_done_again(
    tool, tmp_path, monkeypatch, capsys
):
    """Runs are processes here: pretraining, and its transfer to two tasks."""
    flags = (
        *SMALL, f'--config.archs={tiny.ARCH}', '--config.image_size=32',
        '--config.settings=logistic', '--config.datasets=digits,digits_5_9',
        f'--workdir={tmp_path}',
    )  # fmt: skip
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv('TFXFER_TEST_CRASH', 'digits_5_9-logistic')
    monkeypatch.setenv('PYTHONPATH', str(ROOT / 'tests' / 'crash'))
    with pytest.raises(app.Failed, match='^1 Runs failed'):
        tool(*flags)
    assert capsys.readouterr().err.count('FAILED (exit status -11)') == 2
    tasks = sorted(r.run.dataset for r in results.read_all(tmp_path))
    assert tasks == ['digits', 'digits_0_4']

    monkeypatch.delenv('TFXFER_TEST_CRASH')
    before = files(tmp_path)
    with pytest.raises(app.Failed):
        tool(*flags)
    assert files(tmp_path) == before

    healed = tool(*flags, '--retry_failed')
    assert healed.splitlines()[-1] == str(tmp_path / 'report.html')
    assert len(results.read_all(tmp_path)) == 3
    after = files(tmp_path)
    assert {path: after[path] for path in before} == before
    assert tool(*flags) == healed
    assert files(tmp_path) == after


def test_sweep_over_a_folder_of_the_user(tool, here, photographs, tmp_path):
    root, workdir = photographs(count=20), tmp_path / 'runs'
    tool(
        *SMALL, '--config.archs=tiny', '--config.settings=logistic',
        '--config.per_class=0', f'--config.datasets=folder:{root}',
        f'--workdir={workdir}',
    )  # fmt: skip
    record = next(r for r in results.read_all(workdir) if r.run.setting == 'logistic')
    assert record.images == {'train': 39, 'valid': 9, 'test': 12, 'skipped': 0}
    assert record.classes == ('blue', 'green', 'red')
    assert record.run.dataset_digest


IMAGENET = f'--config={ROOT}/configs/imagenet.py'


def test_weights_that_are_not_there_are_said_with_the_file_to_get(tool, tmp_path):
    with pytest.raises(errors.InputError) as raised:
        tool(IMAGENET, f'--checkpoints={tmp_path}', f'--workdir={tmp_path / "runs"}')
    assert 'Get mobilenet_v1_1.0_224.tgz from https://github.com' in str(raised.value)


@pytest.mark.exhaustive
def test_study_from_the_real_imagenet_checkpoint(tool, shared, tmp_path, monkeypatch):
    flags = (
        IMAGENET, '--config.per_class=5', '--config.seeds=0', f'--workdir={tmp_path}',
        '--config.image_size=96', '--config.finetune.steps=4',
        '--config.finetune.lrs=0.01', '--config.finetune.wds=0.0',
    )  # fmt: skip
    folder = shared / 'checkpoints'
    out = tool(*flags, f'--checkpoints={folder}')
    records = {(r.run.setting, r.run.phase): r for r in results.read_all(tmp_path)}
    assert set(records) == {
        ('logistic', 'final'), ('finetune', 'trial'), ('finetune', 'final')
    }  # fmt: skip
    logistic = records['logistic', 'final']
    assert logistic.score > 0.5  # Chance is 0.1.
    assert logistic.source == {
        'dataset': 'imagenet2012',
        'score': 0.709,
        'images': None,
    }
    # The same file by its path, or in the folder that the environment names: the same
    # Runs, which are done.
    stem = 'mobilenet_v1_1.0_224'
    path = folder / stem / f'{stem}.ckpt'
    before = files(tmp_path)
    assert tool(*flags, f'--config.weights={path}') == out
    monkeypatch.setenv('TFXFER_CHECKPOINTS', str(folder))
    assert tool(*flags) == out
    assert files(tmp_path) == before
