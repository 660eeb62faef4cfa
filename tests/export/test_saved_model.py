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
from scipy import special

from tests.models.test_openvino import bfloat16_or_skip
from tests.support.fakes import ARCHITECTURE, colours, tiny
from tfxfer import architectures, config, datasets, errors, metrics, models, results
from tfxfer.data import image_set, readers
from tfxfer.export import saved_model, tflite
from tfxfer.models import blocks, checkpoints
from tfxfer.transfer import execute, resolve
from tfxfer.transfer.options import ExecutionOptions

SGD = {'steps': 20, 'batch': 8, 'lr': 0.05, 'min_area': 0.5}


@pytest.fixture
def finished(fakes, photographs, tmp_path):
    """Makes a Run of a setting on a folder of photographs: its Record and folder."""
    start = tmp_path / 'start.weights.h5'
    models.save_weights(
        models.build(ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=7)),
        start,
    )

    def make(setting, phase='final', **changes):
        fields = {
            'arch': 'tiny',
            'dataset': changes.get('dataset') or f'folder:{photographs()}',
            'setting': setting,
            'phase': phase,
            'weights': str(start) if setting in ('logistic', 'finetune') else '',
            'hparams': {'l2s': (1.0,)} if setting == 'logistic' else SGD,
        }
        record = execute.execute(
            config.from_dict({**fields, **changes}), ExecutionOptions(tmp_path / 'runs')
        )
        return record, results.folder(tmp_path / 'runs', record.run)

    return make


def card(folder):
    """MODEL_CARD.md and what model_card.json holds."""
    text = (folder / 'MODEL_CARD.md').read_text()
    return text, json.loads((folder / 'model_card.json').read_text())


@pytest.mark.parametrize('setting', config.HPARAMS)
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


def test_a_model_that_differs_is_not_written(finished, tmp_path):
    _, folder = finished('finetune')
    seen = results.read_predictions(folder)
    seen['logits'] = seen['logits'] + np.array([0.1, 0, 0], np.float32)
    np.savez(folder / 'predictions.npz', **seen)
    with pytest.raises(RuntimeError, match='differs from'):
        saved_model.export(folder, tmp_path / 'model')
    assert not (tmp_path / 'model').exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith('.')]


def test_a_model_that_gives_nan_is_not_written(finished, tmp_path):
    _, folder = finished('logistic')
    w = np.load(folder / 'classifier.npy')
    np.save(folder / 'classifier.npy', w * np.nan)
    with pytest.raises(RuntimeError, match='SavedModel differs from .* by nan'):
        saved_model.export(folder, tmp_path / 'model')
    assert not (tmp_path / 'model').exists()


@pytest.fixture
def several(fakes, finished, monkeypatch):
    """Makes a logistic Run of a task of several classes an image; see finished."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 3)).astype(np.int32)
    pixels = rng.integers(0, 100, (60, 20, 24, 3)) + 150 * labels[:, None, None]
    parts = np.split(np.arange(60), [30, 40])
    images = image_set.Images(
        labels=labels,
        splits=dict(zip(('train', 'valid', 'test'), parts, strict=True)),
        pixels=pixels.astype(np.uint8),
    )
    record = datasets.Dataset(
        'several', 'several', 3, ('red', 'green', 'blue'), None, 'voc_map', True
    )
    monkeypatch.setitem(datasets.DATASETS, 'several', record)
    monkeypatch.setitem(readers.SOURCES, 'several', lambda *_: (record, images))
    return lambda: (*finished('logistic', dataset='several'), images)


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


def test_tflite_of_a_trained_network_equals_its_stored_predictions(finished, tmp_path):
    _, folder = finished('finetune')
    saved_model.export(folder, tmp_path / 'model', tflite=True)
    facts = json.loads((tmp_path / 'model' / 'model_card.json').read_text())
    assert facts['compared']['images'] == 6 and facts['compared']['tflite'] < 1e-5
    assert facts['tflite']['inputs'] == {'image': ['uint8', [1, 8, 8, 3]]}


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


def test_tflite_that_gives_nan_is_an_error_and_nothing_is_written(
    finished, tmp_path, monkeypatch
):
    _, folder = finished('logistic')
    original = tflite._of_cut_images

    def broken(module):
        model = original(module)
        layer = model.get_layer('classifier')
        layer.set_weights([w * np.nan for w in layer.get_weights()])
        return model

    monkeypatch.setattr(tflite, '_of_cut_images', broken)
    with pytest.raises(RuntimeError, match='TFLite model differs from .* by nan'):
        saved_model.export(folder, tmp_path / 'model', tflite=True)
    assert not (tmp_path / 'model').exists()


def test_class_of_two_lines_has_no_place_in_labels(finished, photographs, tmp_path):
    root = photographs('odd', classes=('a\nb', 'c'))
    _, folder = finished('logistic', dataset=f'folder:{root}')
    with pytest.raises(errors.InputError, match=r"cannot name 'a\\nb'"):
        saved_model.export(folder, tmp_path / 'model', tflite=True)


def test_rotated_photographs_are_compared_too(finished, photographs, tmp_path):
    """A phone may turn all of them: none left to compare would say nothing."""
    root = photographs('phone')
    exif = Image.Exif()
    exif[0x112] = 6
    for path in root.rglob('*.png'):
        with Image.open(path) as image:
            image.save(path.with_suffix('.jpg'), exif=exif)
        path.unlink()
    _, folder = finished('logistic', dataset=f'folder:{root}')
    assert saved_model.export(folder, tmp_path / 'model') < 1e-5
    seen = results.read_predictions(folder)
    np.savez(folder / 'predictions.npz', **(seen | {'logits': seen['logits'][::-1]}))
    with pytest.raises(RuntimeError, match='differs from'):
        saved_model.export(folder, tmp_path / 'other')


def test_card_says_what_the_record_says(finished, tmp_path):
    record, folder = finished('logistic')
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    saved_model.export(folder, tmp_path / 'model')
    text, facts = card(tmp_path / 'model')
    raw = json.loads((folder / 'record.json').read_text())
    assert (facts['score'], facts['valid_score']) == (raw['score'], raw['valid_score'])
    assert facts['chosen'] == raw['chosen'] == {'l2': 1.0}
    assert facts['dataset']['images'] == raw['images']
    assert facts['dataset']['digest'] == raw['run']['dataset_digest']
    assert facts['weights']['digest'] == raw['run']['weights_digest']
    assert facts['classes'] == ['blue', 'green', 'red'] and not facts['multi_label']
    assert facts['compared']['images'] == 6 and facts['rounded'] is None
    assert before <= datetime.datetime.fromisoformat(facts['exported'])
    assert 'host' not in facts['versions'] and raw['versions']['host'] not in text
    for fact in (
        record.run.id, record.run.weights, facts['exported'], 'l2 1.0', '1. `green`',
        facts['dataset']['digest'], facts['weights']['digest'],
        'image_bytes string [?]', 'probabilities float32 [?, 3]',
        f'tensorflow {tf.__version__}', 'shorter side resized to 8 pixels',
    ):  # fmt: skip
        assert fact in text


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
    'rounding', [{'precision': 'bfloat16'}, {'feature_dtype': 'float16'}], ids=str
)
def test_a_run_of_rounded_features_is_scored_again_in_float32(
    finished, tmp_path, rounding
):
    if 'precision' in rounding:
        bfloat16_or_skip()
    hparams = {'l2s': (1e-3,)}
    record, folder = finished(
        'logistic', dataset='colours', hparams=hparams, **rounding
    )
    # A label that is another tells the score of the record from one that is new.
    seen = results.read_predictions(folder)
    seen['label'][0] = (seen['label'][0] + 1) % 3
    np.savez(folder / 'predictions.npz', **seen)
    assert saved_model.export(folder, tmp_path / 'model') < 1e-5
    before = special.softmax(seen['logits'], axis=1)
    model = tf.saved_model.load(str(tmp_path / 'model'))
    pixels = tf.constant(colours(None, None)[1].pixels[seen['index']])
    after = model.signatures['images'](pixels)['probabilities'].numpy()
    largest = np.abs(after - before).max()
    assert saved_model.TOLERANCE < largest < 0.5
    text, facts = card(tmp_path / 'model')
    rounded = facts['rounded']
    assert rounded['largest'] == pytest.approx(largest, rel=1e-2)
    assert rounded['same'] == np.mean(after.argmax(1) == before.argmax(1))
    assert facts['score'] == np.mean(after.argmax(1) == seen['label'])
    assert facts['score'] != facts['run_score'] == record.score
    assert rounded.items() >= rounding.items()
    assert 'Computed in float32' in text


def test_a_network_that_scores_much_less_in_float32_is_not_written(finished, tmp_path):
    record, folder = finished('logistic', feature_dtype='float16')
    w = np.load(folder / 'classifier.npy')
    np.save(folder / 'classifier.npy', np.roll(w, 1, axis=1))
    with pytest.raises(
        errors.InputError, match='scores 0.000 in float32, the Run 1.000'
    ):
        saved_model.export(folder, tmp_path / 'model')
    assert not (tmp_path / 'model').exists()


def test_answers_of_several_classes_are_the_same_only_if_all_are():
    before = np.array([[0.9, 0.2], [0.9, 0.6], [0.1, 0.2], [0.1, 0.7]])
    after = np.array([[0.7, 0.4], [0.9, 0.4], [0.2, 0.3], [0.8, 0.9]])
    assert saved_model._share_of_same(before, after, multi_label=True) == 2 / 4
    assert saved_model._share_of_same(before, after, multi_label=False) == 4 / 4


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_a_network_trained_in_half_precision_is_exported_as_it_was_scored(
    finished, tmp_path, precision
):
    """In float32, so that nothing is rounded."""
    _, folder = finished('finetune', precision=precision)
    assert saved_model.export(folder, tmp_path / 'model') < 1e-5
    _, facts = card(tmp_path / 'model')
    assert facts['rounded'] is None and facts['score'] == facts['run_score']


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
        options=(('width', 0.25),),
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


@pytest.mark.parametrize(
    'name', ['fake', pytest.param('inception_v3', marks=pytest.mark.slow)]
)
def test_a_run_with_auxiliary_classifier_and_dropout_is_exported_without(
    aux, finished, tmp_path, name
):
    trained, folder = aux(name)
    assert saved_model.export(folder, tmp_path / 'trained') < 1e-5
    network = saved_model.served(folder)[0].network
    assert set(network.output) == {'features', 'logits'}
    _, fixed = finished(
        'logistic', weights=f'run:{trained.run.id}', dataset=trained.run.dataset
    )
    assert saved_model.export(fixed, tmp_path / 'fixed') < 1e-5


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
