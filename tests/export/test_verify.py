"""A model that predicts otherwise than its Run stored is not written."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import special

from tests.support.cards import card
from tests.support.fakes import colours
from tests.support.precision import bfloat16_or_skip
from tfxfer import errors, results
from tfxfer.export import saved_model, tflite, verify


def test_a_model_that_differs_is_not_written(finished, tmp_path):
    record, folder = finished('finetune')
    seen = results.read_predictions(folder)
    seen['logits'] = seen['logits'] + np.array([0.1, 0, 0], np.float32)
    results.write(folder.parent, record, seen)
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


def test_tflite_that_gives_nan_is_an_error_and_nothing_is_written(
    finished, tmp_path, monkeypatch
):
    _, folder = finished('logistic')
    original = tflite.of_cut_images

    def broken(module):
        model = original(module)
        layer = model.get_layer('classifier')
        layer.set_weights([w * np.nan for w in layer.get_weights()])
        return model

    monkeypatch.setattr(tflite, 'of_cut_images', broken)
    with pytest.raises(RuntimeError, match='TFLite model differs from .* by nan'):
        saved_model.export(folder, tmp_path / 'model', tflite=True)
    assert not (tmp_path / 'model').exists()


def test_rotated_photographs_are_compared_too(finished, photographs, tmp_path):
    """A phone may turn all of them: none left to compare would say nothing."""
    root = photographs('phone')
    exif = Image.Exif()
    exif[0x112] = 6
    for path in root.rglob('*.png'):
        with Image.open(path) as image:
            image.save(path.with_suffix('.jpg'), exif=exif)
        path.unlink()
    record, folder = finished('logistic', dataset=f'folder:{root}')
    assert saved_model.export(folder, tmp_path / 'model') < 1e-5
    seen = results.read_predictions(folder)
    np.savez(folder / 'predictions.npz', **(seen | {'logits': seen['logits'][::-1]}))
    with pytest.raises(errors.InputError, match='not the file that was written'):
        saved_model.export(folder, tmp_path / 'other')
    seen['logits'] = seen['logits'][::-1]
    results.write(folder.parent, record, seen)
    with pytest.raises(RuntimeError, match='differs from'):
        saved_model.export(folder, tmp_path / 'other')


@pytest.mark.parametrize('kind', ['transparent.png', 'deep.png', 'scan.tif'])
def test_the_files_that_users_have_are_compared(finished, photographs, tmp_path, kind):
    """A copy of one file alone would not tell that the model sees others of it."""
    root = photographs('odd')
    for path in root.rglob('*.png'):
        with Image.open(path) as image:
            if kind == 'transparent.png':
                image.putalpha(Image.linear_gradient('L').resize(image.size))
            if kind == 'deep.png':
                gray = np.asarray(image.convert('L')).astype(np.uint16) * 16  # 12 bits.
                image = Image.fromarray(gray)
            path.unlink()
            image.save(path.with_suffix(kind[-4:]))
    _, folder = finished('logistic', dataset=f'folder:{root}')
    assert saved_model.export(folder, tmp_path / 'model') < 1e-5
    text, contents = card(tmp_path / 'model')
    refused = 6 if kind == 'scan.tif' else 0
    assert contents['compared']['converted'] == refused
    assert ('6 of them are files that the model refuses' in text) == bool(refused)
    assert contents['reading']['white'] == (4095 if kind == 'deep.png' else 65535)


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
    results.write(folder.parent, record, seen)
    assert saved_model.export(folder, tmp_path / 'model') < 1e-5
    before = special.softmax(seen['logits'], axis=1)
    model = tf.saved_model.load(str(tmp_path / 'model'))
    pixels = tf.constant(colours(None, None)[1].pixels[seen['index']])
    after = model.signatures['images'](pixels)['probabilities'].numpy()
    largest = np.abs(after - before).max()
    assert verify.TOLERANCE < largest < 0.5
    text, contents = card(tmp_path / 'model')
    rounded = contents['rounded']
    assert rounded['largest'] == pytest.approx(largest, rel=1e-2)
    assert rounded['same'] == np.mean(after.argmax(1) == before.argmax(1))
    assert contents['score'] == np.mean(after.argmax(1) == seen['label'])
    assert contents['score'] != contents['run_score'] == record.score
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
    assert verify.share_of_same(before, after, multi_label=True) == 2 / 4
    assert verify.share_of_same(before, after, multi_label=False) == 4 / 4
