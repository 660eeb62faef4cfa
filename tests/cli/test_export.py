import json

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tests.support.fakes import ARCHITECTURE
from tfxfer import config, datasets, errors, models, results
from tfxfer.cli import app, export
from tfxfer.data import readers
from tfxfer.transfer import execute
from tfxfer.transfer.options import ExecutionOptions


def test_a_final_run_becomes_a_model(fakes, tmp_path, capsys):
    models.save_weights(
        models.build(ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=7)),
        tmp_path / 'a.weights.h5',
    )
    fields = {
        'arch': 'tiny', 'dataset': 'colours', 'setting': 'logistic',
        'weights': str(tmp_path / 'a.weights.h5'), 'hparams': {'l2s': (1.0,)},
    }  # fmt: skip
    record = execute.execute(
        config.from_dict(fields), ExecutionOptions(tmp_path / 'runs')
    )
    folder, output = results.folder(tmp_path / 'runs', record.run), tmp_path / 'model'
    app.call(export, [f'--run={folder}', f'--output={output}'])
    assert capsys.readouterr().out.splitlines()[-1] == str(output)
    assert (output / 'model_card.json').exists()


@pytest.mark.exhaustive
def test_a_fine_tuned_convnext_serves_the_predictions_of_its_run(photographs, tmp_path):
    """Its stem and its steps down are models within the model."""
    start = tmp_path / 'a.weights.h5'
    options = models.NetworkOptions(32, seed=7)
    models.save_weights(models.build('keras:ConvNeXtTiny', 3, options=options), start)
    fields = {
        'arch': 'keras:ConvNeXtTiny', 'setting': 'finetune', 'weights': str(start),
        'dataset': f'folder:{photographs(count=4)}', 'image_size': 32,
        'hparams': {'steps': 2, 'batch': 4, 'lr': 0.01, 'optimizer': 'adamw'},
    }  # fmt: skip
    record = execute.execute(
        config.from_dict(fields), ExecutionOptions(tmp_path / 'runs')
    )
    folder, output = results.folder(tmp_path / 'runs', record.run), tmp_path / 'model'
    app.call(export, [f'--run={folder}', f'--output={output}'])
    signature = tf.saved_model.load(str(output)).signatures['serving_default']
    images = readers.read(datasets.find(record.run.dataset))[1]
    seen = results.read_predictions(folder)
    paths = [str(images.paths[i]) for i in seen['index']]
    served = signature(tf.stack([tf.io.read_file(path) for path in paths]))
    expected = special.softmax(seen['logits'], axis=1)
    np.testing.assert_allclose(served['probabilities'], expected, atol=1e-5)
    card = json.loads((output / 'model_card.json').read_text())
    assert card['network'] == 'keras:ConvNeXtTiny'
    assert card['weights']['licence'] == 'not stated'  # Of a file of one's own.


def test_a_run_and_an_output_are_needed():
    with pytest.raises(errors.InputError, match='--run=DIR --output=DIR'):
        app.call(export, ['--run=runs/x'])


@pytest.mark.parametrize('name', ['a[1]', 'a*', 'a?', 'a\\b'])
def test_an_output_that_tensorflow_could_not_load_is_refused(name, tmp_path):
    with pytest.raises(errors.InputError, match='make a path a pattern'):
        app.call(export, ['--run=runs/x', f'--output={tmp_path / name}'])


def test_the_program_says_what_it_needs(program):
    done = program('tfxfer.export')
    assert done.returncode == 2 and '--run=DIR --output=DIR' in done.stderr
