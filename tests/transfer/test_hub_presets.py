"""Runs of presets of keras-hub, from their name to tables and exported models."""

import json
import shutil

import pytest

from tests.support import hub_presets
from tfxfer import config, errors, results
from tfxfer.analysis import cells
from tfxfer.cli import app, run
from tfxfer.export import saved_model
from tfxfer.transfer import execute, resolve
from tfxfer.transfer.options import ExecutionOptions

pytest.importorskip('keras_hub')

SGD = {'steps': 10, 'batch': 16, 'lr': 0.05, 'min_area': 0.5}
ADAMW = {'steps': 10, 'batch': 16, 'lr': 0.003, 'wd': 0.01, 'optimizer': 'adamw'}
HPARAMS = {'logistic': {'l2s': (0.01, 1.0)}, 'adamw': ADAMW}


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    return hub_presets.saved('vit', tmp_path_factory.mktemp('preset') / 'vit')


def made(path, kind='logistic', **changes):
    setting = 'finetune' if kind == 'adamw' else kind
    fields = {'arch': f'hub:{path}', 'dataset': 'colours', 'setting': setting}
    if setting != 'scratch':
        fields['weights'] = 'hub'
    return config.from_dict({**fields, 'hparams': HPARAMS.get(kind, SGD), **changes})


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['finetune', 'scratch'])
def test_a_convolutional_network_learns(fakes, tmp_path, kind):
    path = hub_presets.saved('resnet_vd', tmp_path / 'preset')
    options = ExecutionOptions(tmp_path / 'runs')
    record = execute.execute(made(path, kind), options)
    assert record.score > 0.4


def test_a_preset_from_the_command_line_to_the_table(
    saved, fakes, tmp_path, capsys, monkeypatch
):
    """By its name, from the cache of kagglehub."""
    name = 'vit_base_patch16_224_imagenet'
    monkeypatch.setenv('KAGGLEHUB_CACHE', str(tmp_path / 'cache'))
    shutil.copytree(saved, tmp_path / f'cache/models/keras/vit/keras/{name}/4')
    workdir = tmp_path / 'runs'
    app.call(
        run,
        [
            '--config=configs/logistic.py', f'--config.arch=hub:{name}:top1=0.5',
            '--config.weights=hub', '--config.dataset=colours',
            '--config.hparams.l2s=0.1,1.0', f'--workdir={workdir}',
        ],
    )  # fmt: skip
    assert 'test top1' in capsys.readouterr().out
    (folder,) = workdir.glob(f'hub_{name}-colours-logistic-final-*')
    fields = json.loads((folder / 'record.json').read_text())
    assert fields['source']['score'] == 0.5
    (cell,) = cells.cells(cells.read(workdir))
    assert cell.score > 0.5  # Three classes.
    assert cell.network == f'hub:{name}' and cell.source['score'] == 0.5


def test_weights_that_a_preset_does_not_have_are_said_with_those_it_has(saved, fakes):
    for weights in ('keras', 'model', 'slim'):
        with pytest.raises(errors.InputError, match='sources of weights: hub'):
            resolve.resolve(made(saved, weights=weights), ExecutionOptions('runs'))


@pytest.mark.exhaustive
def test_an_exported_vision_transformer_predicts_what_its_run_stored(
    saved, photographs, tmp_path
):
    one = made(saved, 'adamw', dataset=f'folder:{photographs()}')
    record = execute.execute(one, ExecutionOptions(tmp_path / 'runs'))
    folder = results.folder(tmp_path / 'runs', record.run)
    assert record.source is None and record.run.arch_digest
    assert saved_model.export(folder, tmp_path / 'out') < 1e-5
    # The Run's own weights start another Run.
    again = made(saved, weights=str(folder), dataset=one.dataset)
    assert execute.execute(again, ExecutionOptions(tmp_path / 'runs')).source
