"""The program of studies as a user calls it."""

import json
import os

import pytest

from tests.conftest import ROOT
from tfxfer import results

SWEEP = [
    '--config=configs/quickstart.py',
    '--config.archs=mobilenet_v1_0.25',
    '--config.settings=logistic,scratch',
    '--config.image_size=32',
    '--config.pretrain.steps=4',
    '--config.scratch.steps=4',
    '--config.scratch.lrs=0.05',
    '--config.scratch.wds=1e-5,1e-4',
]


def test_a_run_that_crashes_costs_one_run_and_what_is_done_is_not_done_again(
    program, tmp_path
):
    arguments = [*SWEEP, f'--workdir={tmp_path}']
    environment = {**os.environ, 'TFXFER_TEST_CRASH': 'logistic'}
    environment['PYTHONPATH'] = str(ROOT / 'tests' / 'crash')
    done = program('tools.sweep', *arguments, env=environment)
    assert done.returncode == 1, done.stderr[-2000:]
    assert done.stderr.count('FAILED (exit status -11)') == 2
    assert '1 Runs are set aside after 2 failures' in done.stderr
    settings = sorted(r.run.setting for r in results.read_all(tmp_path))
    assert settings == ['pretrain', 'scratch', 'scratch', 'scratch']

    before = files(tmp_path)
    same = program('tools.sweep', *arguments)
    assert same.returncode == 1 and files(tmp_path).keys() == before.keys()

    healed = program('tools.sweep', *arguments, '--retry_failed')
    assert healed.returncode == 0, healed.stderr[-2000:]
    assert healed.stdout.splitlines()[-1] == str(tmp_path / 'report.html')
    records = results.read_all(tmp_path)
    assert len(records) == 5
    after = files(tmp_path)
    assert {path: after[path] for path in before} == before

    again = program('tools.sweep', *arguments)
    assert again.returncode == 0 and again.stdout == healed.stdout
    assert files(tmp_path) == after

    source = next(r for r in records if r.run.setting == 'pretrain')
    logistic = next(r for r in records if r.run.setting == 'logistic')
    assert logistic.source['score'] == source.score
    final = next(r for r in records if r.run.trials)
    paths = [tmp_path / name / 'record.json' for name in final.run.trials]
    scores = [json.loads(path.read_text())['valid_score'] for path in paths]
    assert final.valid_score == max(scores)
    assert [point['valid_score'] for point in final.curve] == scores
    for record in (logistic, final):
        assert f'{100 * record.score:.1f}' in healed.stdout


def files(workdir):
    """Time of change of every file that a Run wrote, but for its log."""
    paths = [p for p in workdir.glob('*/*') if p.parent.name.startswith('mobilenet')]
    names = ('record.json', 'predictions.npz', 'model.weights.h5', 'classifier.npy')
    return {p: p.stat().st_mtime_ns for p in paths if p.name in names}


def test_sweep_over_a_folder_of_the_user(program, photographs, tmp_path):
    root, workdir = photographs(count=20), tmp_path / 'runs'
    arguments = [
        *SWEEP[:2], *SWEEP[3:], '--config.settings=logistic', '--config.per_class=0',
        f'--config.datasets=folder:{root}', f'--workdir={workdir}', '--keep=decoded',
    ]  # fmt: skip
    done = program('tools.sweep', *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    record = next(r for r in results.read_all(workdir) if r.run.setting == 'logistic')
    assert record.images == {'train': 39, 'valid': 9, 'test': 12, 'skipped': 0}
    assert record.classes == ('blue', 'green', 'red')
    assert record.run.dataset_digest


@pytest.mark.slow
def test_study_from_the_real_imagenet_checkpoint(program, shared, tmp_path):
    arguments = [
        '--config=configs/imagenet.py', '--config.per_class=5', f'--workdir={tmp_path}',
        '--config.image_size=96', '--config.finetune.steps=4',
        '--config.finetune.lrs=0.01', '--config.finetune.wds=0.0',
    ]  # fmt: skip
    folder = shared / 'checkpoints'
    done = program('tools.sweep', *arguments, f'--checkpoints={folder}')
    assert done.returncode == 0, done.stderr[-3000:]
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
    environment = {**os.environ, 'TFXFER_CHECKPOINTS': str(folder)}
    for again in (
        program('tools.sweep', *arguments, f'--config.weights={path}'),
        program('tools.sweep', *arguments, env=environment),
    ):
        assert again.returncode == 0 and again.stdout == done.stdout
    assert files(tmp_path) == before


def test_weights_that_are_not_there_are_said_with_the_file_to_get(program, tmp_path):
    done = program(
        'tools.sweep', '--config=configs/imagenet.py', f'--checkpoints={tmp_path}',
        f'--workdir={tmp_path / "runs"}',
    )  # fmt: skip
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'Get mobilenet_v1_1.0_224.tgz from https://github.com' in done.stderr
