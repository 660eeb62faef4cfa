"""Runs of a user's own Keras model, from its name to tables and exported models."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from tests.support import model_files
from tests.support.fakes import SIDE
from tests.support.small_networks import trained
from tfxfer import config, errors, models, results
from tfxfer.analysis import cells
from tfxfer.cli import app, run
from tfxfer.export import saved_model
from tfxfer.transfer import execute, resolve
from tfxfer.transfer.options import ExecutionOptions

SGD = {'steps': 30, 'batch': 16, 'lr': 0.1, 'min_area': 0.5}


@pytest.fixture
def mine(fakes, tmp_path):
    with models.seeded(2):  # Of some random networks the features tell nothing apart.
        return model_files.saved(trained(model_files.classifier(SIDE)), tmp_path)


def made(path, setting='logistic', **changes):
    fields = {'arch': f'model:{path}', 'dataset': 'colours', 'setting': setting}
    if setting in ('logistic', 'finetune'):
        fields['weights'] = 'model'
    hparams = {'l2s': (0.01, 1.0)} if setting == 'logistic' else SGD
    return config.from_dict({**fields, 'hparams': hparams, **changes})


@pytest.mark.parametrize('setting', ['logistic', 'finetune', 'scratch'])
def test_every_setting_learns_with_a_users_model(mine, tmp_path, setting):
    record = execute.execute(made(mine, setting), ExecutionOptions(tmp_path / 'runs'))
    assert record.score > 0.5  # Three classes.
    assert record.source is None and record.run.arch_digest


def test_a_model_that_moved_is_the_same_one_and_a_changed_one_is_another(
    mine, tmp_path
):
    options = ExecutionOptions(tmp_path / 'runs')
    first = execute.execute(made(mine), options)
    moved = tmp_path / 'moved.keras'
    shutil.move(mine, moved)
    assert execute.execute(made(f'{moved}:top1=0.5'), options) == first  # It is read.
    model_files.saved(trained(model_files.classifier(SIDE), seed=3), tmp_path, 'moved')
    other = execute.execute(made(moved), options)
    assert other.run.id != first.run.id
    assert len(list((tmp_path / 'runs/cache/features').glob('[!.]*[!k]'))) == 2
    planned = dataclasses.replace(first.run, arch=f'model:{moved}')
    with pytest.raises(errors.InputError, match='The network of .* changed'):
        resolve.resolve(planned, options)


def test_weights_of_a_run_of_the_same_model_start_another(mine, tmp_path):
    options = ExecutionOptions(tmp_path / 'runs')
    first = execute.execute(made(mine, 'pretrain'), options)
    second = made(mine, weights=f'run:{first.run.id}')
    record = execute.execute(second, options)
    assert record.source['score'] == first.score
    other = model_files.saved(trained(model_files.classifier(SIDE, 5)), tmp_path, 'b')
    with pytest.raises(errors.InputError, match='holds weights of'):
        execute.execute(made(other, weights=f'run:{first.run.id}'), options)


def test_a_users_model_from_the_command_line_to_the_table(mine, tmp_path, capsys):
    workdir = tmp_path / 'runs'
    app.call(
        run,
        [
            '--config=configs/logistic.py', f'--config.arch=model:{mine}:top1=0.5',
            '--config.weights=model', '--config.dataset=colours',
            '--config.hparams.l2s=0.1,1.0', f'--workdir={workdir}',
        ],
    )  # fmt: skip
    assert 'test top1' in capsys.readouterr().out
    (folder,) = workdir.glob('model-colours-logistic-final-*')
    fields = json.loads((folder / 'record.json').read_text())
    assert fields['source']['score'] == 0.5
    (cell,) = cells.cells(cells.read(workdir))
    assert cell.network == 'mine.keras' and cell.source['score'] == 0.5


def test_two_models_of_one_name_are_two_networks(mine, tmp_path):
    options = ExecutionOptions(tmp_path / 'runs')
    execute.execute(made(mine), options)
    execute.execute(made(f'{mine}:layer=top'), options)
    names = {cell.network for cell in cells.cells(cells.read(tmp_path / 'runs'))}
    assert len(names) == 2
    assert all(name.startswith('mine.keras ') for name in names)


def test_weights_that_a_network_does_not_have_are_said_with_those_it_has(
    mine, tmp_path
):
    options = ExecutionOptions(tmp_path / 'runs')
    for weights in ('keras', 'slim'):
        with pytest.raises(errors.InputError, match='sources of weights: model'):
            resolve.resolve(made(mine, weights=weights), options)
    with pytest.raises(errors.InputError, match='sources of weights: none'):
        resolve.resolve(made(mine, arch='tiny'), options)


def test_a_network_that_memory_does_not_hold_is_refused_at_once(tmp_path):
    meminfo = tmp_path / 'meminfo'
    meminfo.write_text('MemTotal: 9 kB\nMemAvailable:    4194304 kB\n')
    large, small = (made('x', arch=f'keras:{n}') for n in ('ConvNeXtXLarge', 'VGG16'))
    with pytest.raises(errors.InputError, match='5.2 GiB .* 4.0 GiB are free'):
        check_memory(large, meminfo)
    check_memory(small, meminfo)
    check_memory(large, tmp_path / 'there is none')


def check_memory(one, meminfo):
    from tfxfer import architectures

    resolve._check_memory(one, architectures.find(one.arch), meminfo)


@pytest.mark.slow
@pytest.mark.parametrize('setting', ['logistic', 'finetune'])
def test_an_exported_model_predicts_what_its_run_stored(photographs, tmp_path, setting):
    root = photographs()
    path = model_files.saved(trained(model_files.classifier(SIDE)), tmp_path)
    one = made(path, setting, dataset=f'folder:{root}')
    options = ExecutionOptions(tmp_path / 'runs')
    record = execute.execute(one, options)
    folder = results.folder(tmp_path / 'runs', record.run)
    assert saved_model.export(folder, tmp_path / 'out') < 1e-5
    keras.backend.clear_session()
    assert np.isfinite(record.score)
