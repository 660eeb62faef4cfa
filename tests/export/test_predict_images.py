"""Files in, classes out: what evaluation sees, in an order that programs rely on."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from scipy import special

from tests.support import full_size
from tests.support.exported import CLASSES
from tests.support.fakes import ARCHITECTURE
from tfxfer import config, errors, models, results
from tfxfer.data import image_files
from tfxfer.export import predict_images, saved_model
from tfxfer.transfer import execute
from tfxfer.transfer.options import ExecutionOptions


def odd_files(image, folder):
    """Writes the image in ways in which TensorFlow alone would see another one."""
    turned = Image.Exif()
    turned[0x112] = 6
    alpha = Image.new('L', image.size, 120)
    image.save(folder / 'rotated.jpg', exif=turned)
    image.save(folder / 'rotated.webp', exif=turned, lossless=True)
    image.convert('CMYK').save(folder / 'cmyk.jpg')
    image.save(folder / 'scan.tiff')
    Image.merge('RGBA', (*image.split(), alpha)).save(folder / 'alpha.png')
    image.save(folder / 'plain.webp')
    image.save(folder / 'plain.jpg')


@pytest.mark.slow
def test_odd_files_are_predicted_as_the_run_evaluated_them(
    fakes, photographs, tmp_path
):
    root = photographs('task/train')
    for name in CLASSES:
        (tmp_path / 'task/test' / name).mkdir(parents=True)
        with Image.open(root / name / '0.png') as image:
            odd_files(image, tmp_path / 'task/test' / name)
    models.save_weights(
        models.build(ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=7)),
        tmp_path / 'a.weights.h5',
    )
    fields = {
        'arch': 'tiny',
        'dataset': f'folder:{tmp_path / "task"}',
        'setting': 'logistic',
        'weights': str(tmp_path / 'a.weights.h5'),
        'hparams': {'l2s': (1.0,)},
    }
    record = execute.execute(
        config.from_dict(fields), ExecutionOptions(tmp_path / 'runs')
    )
    folder = results.folder(tmp_path / 'runs', record.run)
    saved_model.export(folder, tmp_path / 'model')
    seen = results.read_predictions(folder)
    paths = predict_images.find([str(tmp_path / 'task/test')]).images
    assert len(paths) == len(seen['logits']) == 21
    model = predict_images.load(tmp_path / 'model')
    for got, logits in zip(
        predict_images.predictions(model, paths), seen['logits'], strict=True
    ):
        assert got.fault is None
        order = np.argsort(-logits)
        assert got.classes == tuple(CLASSES[c] for c in order), got.path
        expected = special.softmax(logits)[order]
        np.testing.assert_allclose(got.probabilities, expected, atol=1e-5)


@pytest.mark.parametrize('orientation', full_size.marked(range(1, 9), slow=[3, 6]))
def test_a_rotated_photograph_is_predicted_as_pillow_turns_it(
    exported, tmp_path, orientation
):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3))
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / 'a.jpg', exif=exif)
    with Image.open(tmp_path / 'a.jpg') as image:
        ImageOps.exif_transpose(image).save(tmp_path / 'b.png')
    paths = [str(tmp_path / 'a.jpg'), str(tmp_path / 'b.png')]
    a, b = predict_images.predictions(predict_images.load(exported[False]), paths)
    assert a.classes == b.classes
    np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)


def test_every_file_is_predicted_once_and_in_order_across_batches(
    exported, photographs, tmp_path
):
    root = photographs(count=6)
    (root / 'red' / 'notes.txt').write_text('no image')
    (root / 'red' / '2.png').write_bytes(b'broken')
    # The same bytes twice in a batch, each read from a copy.
    for name in ('x.tif', 'y.tif'):
        Image.new('RGB', (9, 9), 'red').save(root / 'blue' / name)
    one = str(root / 'green' / '4.png')
    searched = predict_images.find([one, str(root)])
    paths = searched.images
    assert searched.empty == [] and searched.others == {'.txt': 1}
    assert len(paths) == 20 > predict_images.BATCH
    assert paths[0] == one and paths[1:] == sorted(set(paths) - {one})
    model = predict_images.load(exported[False])
    found = list(predict_images.predictions(model, paths))
    assert [prediction.path for prediction in found] == paths
    [broken] = [prediction for prediction in found if prediction.fault]
    assert broken.path.endswith('red/2.png') and broken.fault.startswith('not an image')
    for prediction in found[:4]:
        with Image.open(prediction.path) as image:
            data = tf.io.encode_png(np.asarray(image.convert('RGB')))
        alone = model.serve(tf.stack([data]))['probabilities'].numpy()[0]
        order = [CLASSES.index(name) for name in prediction.classes]
        np.testing.assert_allclose(prediction.probabilities, alone[order], atol=1e-6)
        assert (np.diff(prediction.probabilities) <= 0).all()


def prediction(*probabilities):
    classes = ('cat', 'dog', 'person', 'car')
    return predict_images.Prediction('a.jpg', classes, np.array(probabilities))


def test_line_shows_the_likeliest_in_percent():
    found = prediction(0.9, 0.06, 0.04, 0.0)
    text = predict_images.line(found, multi_label=False, top=3)
    assert text == 'a.jpg: cat 90.0 %, dog 6.0 %, person 4.0 %'


def test_line_marks_all_that_are_present_however_few_are_asked_for():
    found = prediction(0.9, 0.8, 0.5, 0.1)
    text = predict_images.line(found, multi_label=True, top=1)
    assert text == 'a.jpg: *cat 90.0 %, *dog 80.0 %'
    text = predict_images.line(found, multi_label=True, top=3)
    assert text == 'a.jpg: *cat 90.0 %, *dog 80.0 %, person 50.0 %'


def test_json_of_several_classes_names_those_present():
    found = prediction(0.75, 0.5, 0.25, 0.0)
    facts = json.loads(predict_images.json_line(found, multi_label=True, top=None))
    assert facts == {
        'path': 'a.jpg',
        'classes': ['cat', 'dog', 'person', 'car'],
        'probabilities': [0.75, 0.5, 0.25, 0.0],
        'present': ['cat'],
    }
    facts = json.loads(predict_images.json_line(found, multi_label=False, top=2))
    assert facts['classes'] == ['cat', 'dog'] and 'present' not in facts


def test_model_that_is_not_whole_is_refused(exported, tmp_path):
    for name in ('saved_model.pb', 'model_card.json', 'variables'):
        folder = shutil.copytree(exported[False], tmp_path / name / 'model')
        if name == 'variables':
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink()
        with pytest.raises(errors.InputError, match='tfxfer.export|Export the Run'):
            predict_images.load(folder)


def test_a_model_is_read_in_a_folder_whose_name_is_a_pattern(exported, tmp_path):
    folder = shutil.copytree(exported[False], tmp_path / 'models [old]' / 'a*')
    Image.new('RGB', (20, 24), 'red').save(tmp_path / 'a.png')
    found = [
        next(predict_images.predictions(predict_images.load(f), [f'{tmp_path}/a.png']))
        for f in (folder, exported[False])
    ]
    np.testing.assert_array_equal(found[0].probabilities, found[1].probabilities)


def test_an_image_of_more_pixels_than_the_model_takes_is_a_fault(tmp_path):
    Image.new('RGB', (20, 24)).save(tmp_path / 'a.png')
    model = predict_images.Model(serve=None, multi_label=False, pixels=479)
    (found,) = predict_images.predictions(model, [f'{tmp_path}/a.png'])
    assert found.fault == (
        '480 pixels are more than the 479 that the model takes: make it smaller'
    )


def test_predictions_leave_the_copies_of_others(tmp_path):
    copy = image_files.copies(None) / 'of a task.png'
    copy.touch()
    model = predict_images.Model(serve=None, multi_label=False)
    list(predict_images.predictions(model, [f'{tmp_path}/missing.png']))
    assert copy.exists()
    copy.unlink()
