import dataclasses
import datetime
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

from tests.support.cards import card
from tests.support.fakes import ARCHITECTURE, tiny
from tfxfer import architectures, errors, metrics, models, results
from tfxfer.export import saved_model, tflite
from tfxfer.models import blocks, checkpoints
from tfxfer.transfer import resolve
from tfxfer.transfer.options import ExecutionOptions


@pytest.mark.parametrize(
    'setting',
    [
        'logistic',
        'finetune',
        pytest.param('scratch', marks=pytest.mark.slow),
        pytest.param('pretrain', marks=pytest.mark.slow),
    ],
)
def test_exported_model_predicts_the_runs_predictions_from_bytes(
    finished, tmp_path, setting
):
    record, folder = finished(setting)
    assert saved_model.export(folder, tmp_path / 'model') < 1e-5
    model = tf.saved_model.load(str(tmp_path / 'model'))
    seen = results.read_predictions(folder)
    options = ExecutionOptions(tmp_path / 'runs')
    images = resolve.resolve(record.run, options).images
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


@pytest.mark.slow
def test_exported_model_needs_tensorflow_alone(finished, tmp_path):
    _, folder = finished('finetune')
    saved_model.export(folder, tmp_path / 'model')
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


def test_tflite_predicts_what_the_saved_model_does(finished, photographs, tmp_path):
    _, folder = finished('logistic')
    assert saved_model.export(folder, tmp_path / 'model', tflite=True) < 1e-5
    labels = (tmp_path / 'model' / 'labels.txt').read_text().splitlines()
    assert labels == ['blue', 'green', 'red']
    # Pillow cuts as the card says: shorter side to 8, the central 8 x 8.
    with Image.open(tmp_path / 'images' / 'green' / '3.png') as image:
        small = image.resize((10, 8), Image.Resampling.BICUBIC).crop((1, 0, 9, 8))
    [got] = tflite.probabilities(tmp_path / 'model', [np.asarray(small)[None]])
    model = tf.saved_model.load(str(tmp_path / 'model'))
    data = tf.io.read_file(str(tmp_path / 'images' / 'green' / '3.png'))
    expected = model.signatures['serving_default'](tf.stack([data]))
    np.testing.assert_allclose(got, expected['probabilities'], atol=1e-5)
    assert labels[got.argmax()] == 'green'


@pytest.mark.slow
def test_tflite_of_a_trained_network_equals_its_stored_predictions(finished, tmp_path):
    _, folder = finished('finetune')
    saved_model.export(folder, tmp_path / 'model', tflite=True)
    contents = json.loads((tmp_path / 'model' / 'model_card.json').read_text())
    assert contents['compared']['images'] == 6 and contents['compared']['tflite'] < 1e-5
    assert contents['tflite']['inputs'] == {'image': ['uint8', [1, 8, 8, 3]]}


def test_probabilities_of_several_classes_do_not_add_up(several, tmp_path):
    record, folder, images = several()
    saved_model.export(folder, tmp_path / 'model', tflite=True)
    seen = results.read_predictions(folder)
    model = tf.saved_model.load(str(tmp_path / 'model'))
    pixels = tf.constant(images.pixels[seen['index']])
    got = model.signatures['images'](pixels)['probabilities']
    expected = 1 / (1 + np.exp(-seen['logits']))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert metrics.voc_map(seen['label'], got.numpy()) == record.score
    card = json.loads((tmp_path / 'model' / 'model_card.json').read_text())
    assert card['multi_label'] and card['interval'] is None
    assert 'each probability stands for itself' in card['limits'][-1]


def test_class_of_two_lines_has_no_place_in_labels():
    with pytest.raises(errors.InputError, match=r"cannot name 'a\\nb'"):
        tflite.check_classes(('a\nb', 'c'))


def test_card_says_what_the_record_says(finished, tmp_path):
    record, folder = finished('logistic')
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    saved_model.export(folder, tmp_path / 'model')
    text, contents = card(tmp_path / 'model')
    raw = json.loads((folder / 'record.json').read_text())
    assert (contents['score'], contents['valid_score']) == (
        raw['score'],
        raw['valid_score'],
    )
    assert contents['chosen'] == raw['chosen'] == {'l2': 1.0}
    assert contents['dataset']['images'] == raw['images']
    assert contents['dataset']['digest'] == raw['run']['dataset_digest']
    assert contents['weights']['digest'] == raw['run']['weights_digest']
    assert (
        contents['classes'] == ['blue', 'green', 'red'] and not contents['multi_label']
    )
    assert contents['compared']['images'] == 6 and contents['rounded'] is None
    assert before <= datetime.datetime.fromisoformat(contents['exported'])
    assert 'host' not in contents['versions'] and raw['versions']['host'] not in text
    for fact in (
        record.run.id, record.run.weights, contents['exported'], 'l2 1.0', '1. `green`',
        contents['dataset']['digest'], contents['weights']['digest'],
        'image_bytes string [?]', 'probabilities float32 [?, 3]',
        f'tensorflow {tf.__version__}', 'shorter side resized to 8 pixels',
    ):  # fmt: skip
        assert fact in text


@pytest.mark.slow
def test_card_of_a_trained_network_says_that_it_sees_the_centre(finished, tmp_path):
    _, folder = finished('scratch')
    saved_model.export(folder, tmp_path / 'model')
    text, _ = card(tmp_path / 'model')
    assert 'shorter side resized to 9 pixels' in text  # 8 x 256 / 224.
    assert 'started from: `random`' in text


def test_the_cards_example_runs_as_it_stands(finished, tmp_path, monkeypatch, capsys):
    _, folder = finished('finetune')
    saved_model.export(folder, tmp_path / 'model')
    text = (tmp_path / 'model' / 'MODEL_CARD.md').read_text()
    [code] = re.findall('```python\n(.*?)```', text, re.DOTALL)
    Image.new('RGB', (30, 20), 'red').save(tmp_path / 'photo.jpg')
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert "b'blue' b'green' b'red'" in capsys.readouterr().out


@pytest.mark.parametrize(
    'precision', ['bfloat16', pytest.param('float16', marks=pytest.mark.slow)]
)
def test_a_network_trained_in_half_precision_is_exported_as_it_was_scored(
    finished, tmp_path, precision
):
    """In float32, so that nothing is rounded."""
    _, folder = finished('finetune', precision=precision)
    assert saved_model.export(folder, tmp_path / 'model') < 1e-5
    _, contents = card(tmp_path / 'model')
    assert contents['rounded'] is None and contents['score'] == contents['run_score']


def with_auxiliary_head(images, *, scale=None, aux=False):
    """The fake network, with an auxiliary head of a layer of its own."""
    features = tiny(images, scale=scale).features
    if not aux:
        return blocks.Outputs(features)
    x = layers.Conv2D(4, 3, name='AuxLogits')(images)
    return blocks.Outputs(features, layers.GlobalAveragePooling2D()(x))


SMALL = {
    'fake': dataclasses.replace(ARCHITECTURE, builder='fake', aux_head='AuxLogits'),
    'inception_v3': dataclasses.replace(
        architectures.ARCHITECTURES['inception_v3'],
        name='tiny',
        input_size=75,
        options=(('width', 0.25), ('depth', 1 / 3)),
    ),
}


AUX = {'steps': 1, 'batch': 2, 'lr': 0.01, 'aux': 0.4, 'dropout': 0.2}


@pytest.fixture
def aux(finished, monkeypatch):
    """Makes a pretrain Run with an auxiliary head: its Record and folder."""

    def make(name):
        monkeypatch.setitem(models.BUILDERS, 'fake', with_auxiliary_head)
        monkeypatch.setitem(architectures.ARCHITECTURES, 'tiny', SMALL[name])
        record, folder = finished('pretrain', hparams=AUX)
        assert auxiliary_classes(folder) == 3
        return record, folder

    return make


def auxiliary_classes(folder):
    arch = architectures.ARCHITECTURES['tiny']
    return checkpoints.read(folder / 'model.weights.h5', arch).classes('aux_logits')


@pytest.mark.slow
def test_a_run_with_auxiliary_classifier_and_dropout_is_exported_without(
    aux, finished, tmp_path
):
    trained, folder = aux('inception_v3')
    assert saved_model.export(folder, tmp_path / 'trained') < 1e-5
    network = saved_model.served(folder)[0].network
    assert set(network.output) == {'features', 'logits'}


@pytest.mark.slow
def test_weights_with_an_auxiliary_classifier_are_a_start_for_others(aux, finished):
    trained, folder = aux('fake')
    kinds = f'run:{trained.run.id}', str(folder), str(folder / 'model.weights.h5')

    def start(setting, weights, **fields):
        _, made = finished(
            setting, weights=weights, dataset=trained.run.dataset, **fields
        )
        return made

    fixed = [start('logistic', kind) for kind in kinds]
    logits = [results.read_predictions(made)['logits'] for made in fixed]
    np.testing.assert_array_equal(logits[0], logits[1])
    np.testing.assert_array_equal(logits[0], logits[2])
    with_aux = start('finetune', kinds[0], hparams=AUX)
    assert auxiliary_classes(with_aux) == 3
    without = start('finetune', kinds[0], hparams=AUX | {'aux': 0})
    assert auxiliary_classes(without) is None
    with pytest.raises(errors.InputError, match='no auxiliary .* hparams.aux=0'):
        start('finetune', str(without), hparams=AUX)


def test_what_cannot_be_exported_is_refused(finished, tmp_path):
    _, folder = finished('scratch', phase='trial')
    with pytest.raises(errors.InputError, match='is a trial Run'):
        saved_model.export(folder, tmp_path / 'model')
    with pytest.raises(errors.InputError, match='no finished Run'):
        saved_model.export(tmp_path, tmp_path / 'model')
    (tmp_path / 'model').mkdir()
    with pytest.raises(errors.InputError, match='exists'):
        saved_model.export(folder, tmp_path / 'model')
