"""Runs of a user's own SavedModel: fixed features alone, from its name to an export."""

import dataclasses
import json
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.support import saved_models
from tests.support.fakes import SIDE
from tfxfer import config, errors, results
from tfxfer.analysis import cells
from tfxfer.cli import app, run, sweep
from tfxfer.export import saved_model
from tfxfer.transfer import evaluate, execute, resolve
from tfxfer.transfer.options import ExecutionOptions


@pytest.fixture(scope='module')
def mine(tmp_path_factory):
    return saved_models.of_module(tmp_path_factory.mktemp('mine') / 'saved')


def made(path, setting='logistic', said=f'scaling=inception:size={SIDE}', **changes):
    fields = {
        'arch': f'model:{path}:{said}', 'dataset': 'colours', 'setting': setting,
        'weights': 'model' if setting in ('logistic', 'finetune') else '',
        'hparams': {'l2s': (0.01, 1.0)} if setting == 'logistic' else {'steps': 3},
    }  # fmt: skip
    return config.from_dict({**fields, **changes})


def test_logistic_regression_learns_on_its_features(fakes, mine, tmp_path):
    options = ExecutionOptions(tmp_path / 'runs')
    record = execute.execute(made(mine), options)
    assert record.score > 0.5  # Three classes.
    assert record.source is None and record.run.arch_digest
    moved = shutil.copytree(mine, tmp_path / 'moved')
    assert execute.execute(made(moved), options) == record  # It is read.
    assert len(list((tmp_path / 'runs/cache/features').glob('[!.]*[!k]'))) == 1
    planned = dataclasses.replace(record.run, arch_digest='another')
    with pytest.raises(errors.InputError, match='The network of .* changed'):
        resolve.resolve(planned, options)


@pytest.mark.parametrize('setting', ['finetune', 'scratch', 'pretrain'])
def test_other_settings_are_refused_before_anything_is_read(
    fakes, mine, setting, tmp_path
):
    begun = time.monotonic()
    one = made(mine, setting, dataset='folder:/there/is/none')
    with pytest.raises(errors.InputError, match=f'logistic, not {setting}') as error:
        execute.execute(one, ExecutionOptions(tmp_path / 'runs'))
    assert len(str(error.value).splitlines()) == 1
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    'settings, weights', [('logistic,finetune', 'public'), ('logistic', 'pretrain')]
)
def test_a_study_that_would_train_it_is_refused_at_once(
    fakes, mine, settings, weights, tmp_path
):
    with pytest.raises(errors.InputError, match='for setting logistic, not'):
        app.call(
            sweep,
            [
                '--config=configs/images.py', f'--config.archs=model:{mine}',
                '--config.datasets=folder:/none', f'--config.settings={settings}',
                f'--config.weights={weights}', '--config.source=colours',
                f'--workdir={tmp_path}/runs',
            ],
        )  # fmt: skip


def test_from_the_command_line_to_the_table(fakes, mine, tmp_path, capsys):
    workdir = tmp_path / 'runs'
    said = f'scaling=inception:size={SIDE}:top1=0.5'
    app.call(
        run,
        [
            '--config=configs/logistic.py', f'--config.arch=model:{mine}:{said}',
            '--config.weights=model', '--config.dataset=colours',
            '--config.hparams.l2s=0.1,1.0', f'--workdir={workdir}',
        ],
    )  # fmt: skip
    assert 'test top1' in capsys.readouterr().out
    (folder,) = workdir.glob('model-colours-logistic-final-*')
    assert json.loads((folder / 'record.json').read_text())['source']['score'] == 0.5
    (cell,) = cells.cells(cells.read(workdir))
    assert cell.network == 'saved'


def test_it_has_no_classifier_to_evaluate(fakes, mine):
    with pytest.raises(errors.InputError, match='no classifier'):
        evaluate.evaluate(
            weights='model', arch=f'model:{mine}:scaling=none:size=8', dataset='colours'
        )


@pytest.mark.slow
def test_an_exported_model_predicts_what_its_run_stored(photographs, tmp_path):
    path = saved_models.of_module(tmp_path / 'mine')
    one = made(path, dataset=f'folder:{photographs()}')
    record = execute.execute(one, ExecutionOptions(tmp_path / 'runs'))
    folder = results.folder(tmp_path / 'runs', record.run)
    assert saved_model.export(folder, tmp_path / 'out', tflite=True) < 1e-5
    shutil.rmtree(path)  # The export needs nothing of it.
    served = tf.saved_model.load(str(tmp_path / 'out')).signatures['images']
    pixels = np.full((2, 20, 24, 3), 99, np.uint8)
    assert served(images=tf.constant(pixels))['features'].shape == (2, 6)
