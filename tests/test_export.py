import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT
from tests.fakes import ARCHITECTURE
from tfxfer import config, export, models, results, run

SGD = {'steps': 20, 'batch': 8, 'lr': 0.05, 'min_area': 0.5}


@pytest.fixture
def finished(fakes, photographs, tmp_path):
    """Makes a Run of a setting on a folder of photographs: its Record and folder."""
    start = tmp_path / 'start.weights.h5'
    models.save_weights(models.build(ARCHITECTURE, classes=3, seed=7), start)

    def make(setting, phase='final', **changes):
        fields = {
            'arch': 'tiny',
            'dataset': f'folder:{photographs()}',
            'setting': setting,
            'phase': phase,
            'weights': str(start) if setting in ('logistic', 'finetune') else '',
            'hparams': {'l2s': (1.0,)} if setting == 'logistic' else SGD,
        }
        record = run.execute(config.from_dict({**fields, **changes}), tmp_path / 'runs')
        return record, results.folder(tmp_path / 'runs', record.run)

    return make


@pytest.mark.parametrize('setting', config.HPARAMS)
def test_exported_model_predicts_the_runs_predictions_from_bytes(
    finished, tmp_path, setting
):
    record, folder = finished(setting)
    assert export.export(folder, tmp_path / 'model') < 1e-5
    model = tf.saved_model.load(str(tmp_path / 'model'))
    seen = results.read_predictions(folder)
    _, images, *_ = run.resolve(record.run, tmp_path / 'runs')[2:]
    paths = [images.paths[i] for i in seen['index']]
    data = tf.stack([tf.io.read_file(path) for path in paths])
    got = model.signatures['serving_default'](data)
    np.testing.assert_array_equal(
        got['probabilities'].numpy().argmax(1), seen['logits'].argmax(1)
    )
    np.testing.assert_allclose(got['probabilities'].numpy().sum(1), 1, rtol=1e-5)
    assert got['classes'].numpy()[0].tolist() == [b'blue', b'green', b'red']
    assert got['features'].shape == (len(paths), 8)
    pixels = tf.stack([tf.io.decode_png(d, channels=3) for d in data])
    arrays = model.signatures['images'](pixels)
    np.testing.assert_allclose(arrays['probabilities'], got['probabilities'], atol=1e-6)


def test_exported_model_needs_tensorflow_alone(finished, tmp_path):
    _, folder = finished('finetune')
    export.export(folder, tmp_path / 'model')
    code = f"""
import sys
sys.modules['keras'] = sys.modules['tfxfer'] = None  # Importing them fails.
import tensorflow as tf
model = tf.saved_model.load({str(tmp_path / 'model')!r})
image = tf.io.encode_jpeg(tf.zeros([50, 40, 3], tf.uint8))
out = model.signatures['serving_default'](tf.stack([image, image]))
print(out['probabilities'].shape)
"""
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True
    )
    assert '(2, 3)' in done.stdout, done.stderr[-2000:]


def test_a_model_that_differs_is_not_written(finished, tmp_path):
    _, folder = finished('finetune')
    seen = results.read_predictions(folder)
    seen['logits'] = seen['logits'] + np.array([0.1, 0, 0], np.float32)
    np.savez(folder / 'predictions.npz', **seen)
    with pytest.raises(RuntimeError, match='differs from'):
        export.export(folder, tmp_path / 'model')
    assert not (tmp_path / 'model').exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith('.')]


def test_what_cannot_be_exported_is_refused(finished, tmp_path):
    _, folder = finished('scratch', phase='trial')
    with pytest.raises(config.InputError, match='is a trial Run'):
        export.export(folder, tmp_path / 'model')
    with pytest.raises(config.InputError, match='no finished Run'):
        export.export(tmp_path, tmp_path / 'model')
    (tmp_path / 'model').mkdir()
    with pytest.raises(config.InputError, match='exists'):
        export.export(folder, tmp_path / 'model')


def test_program_says_what_it_needs():
    done = subprocess.run(
        [sys.executable, '-m', 'tfxfer.export'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and '--run=DIR --output=DIR' in done.stderr
