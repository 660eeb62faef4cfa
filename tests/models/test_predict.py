import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import linear_model

from tests.conftest import ROOT
from tests.support.fakes import ARCHITECTURE, colours
from tests.support.precision import bfloat16_or_skip
from tfxfer import datasets, errors, models
from tfxfer.data import pipeline, preprocess, readers
from tfxfer.models import openvino, predict
from tfxfer.training import optimizer


@pytest.fixture
def images(fakes):
    return colours(None, None)[1]


def predictions(model, images, indices, batch, size=8, **options):
    batches = pipeline.evaluation(images, indices, size, preprocess.whole, batch)
    return predict.predict(model, batches, indices, predict.Inference(**options))


@pytest.mark.parametrize('batch', [1, 7, 30, 64])
def test_each_index_is_predicted_once_whatever_the_batch(images, batch):
    model = models.build(ARCHITECTURE, classes=3)
    indices = images.splits['test'][::-1].copy()
    got = predictions(model, images, indices, batch)
    np.testing.assert_array_equal(got['index'], indices)
    np.testing.assert_array_equal(got['label'], images.labels[indices])
    direct = model(images.pixels[indices].astype(np.float32), training=False)
    np.testing.assert_allclose(got['logits'], direct['logits'], atol=1e-5)
    np.testing.assert_allclose(got['features'], direct['features'], atol=1e-5)


def test_batches_that_lack_an_image_are_noticed(images):
    model = models.build(ARCHITECTURE, classes=3)
    batches = pipeline.evaluation(images, np.arange(10), 8, preprocess.whole, 4)
    with pytest.raises(RuntimeError, match='11 images were to be predicted once'):
        predict.predict(model, batches, np.arange(11))


def test_only_the_outputs_asked_for_come_back(images):
    model = models.build(ARCHITECTURE, classes=3)
    indices = images.splits['test']
    both = predictions(model, images, indices, 8)
    one = predictions(model, images, indices, 8, outputs=('features',))
    assert set(one) == {'features', 'label', 'index'}
    np.testing.assert_array_equal(one['features'], both['features'])


def test_a_network_predicts_with_the_weights_that_it_has_now(images):
    model = models.build(ARCHITECTURE, classes=3)
    indices = images.splits['test']
    first = predictions(model, images, indices, 8)
    for variable in optimizer.kernels(model):
        variable.assign(variable * 1.5)
    second = predictions(model, images, indices, 8)
    assert np.abs(second['logits'] - first['logits']).max() > 1e-2
    direct = model(images.pixels[indices].astype(np.float32), training=False)
    np.testing.assert_allclose(second['logits'], direct['logits'], atol=1e-5)


def test_where_there_is_a_gpu_tensorflow_predicts_the_same(images, monkeypatch):
    model = models.build(ARCHITECTURE, classes=3)
    indices = images.splits['test']
    found = predictions(model, images, indices, 8)
    monkeypatch.setattr(openvino, 'available', lambda: False)
    by_tensorflow = predictions(model, images, indices, 8)
    for name in ('features', 'logits'):
        np.testing.assert_allclose(by_tensorflow[name], found[name], atol=1e-5)
    with pytest.raises(errors.InputError, match='TensorFlow uses a GPU'):
        predictions(model, images, indices, 8, precision='bfloat16')


TWO_REPLICAS = """
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
from tests.support.fakes import ARCHITECTURE, colours, tiny
from tfxfer import errors, models
from tfxfer.data import pipeline, preprocess
from tfxfer.models import predict
models.BUILDERS['tiny'] = tiny
devices = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
with devices.scope():
    model = models.build(ARCHITECTURE, classes=3)
images = colours(None, None)[1]
indices = images.splits['test']
batches = pipeline.evaluation(images, indices, 8, preprocess.whole, 8)
for outputs in (('features',), ('features', 'logits')):
    found = predict.predict(
        model, batches, indices, predict.Inference(outputs, devices=devices)
    )
    assert set(found) == {*outputs, 'label', 'index'}
    direct = model(images.pixels[indices].astype(np.float32), training=False)
    for name in outputs:
        np.testing.assert_allclose(found[name], direct[name], atol=1e-5)
try:
    bfloat16 = predict.Inference(precision='bfloat16', devices=devices)
    predict.predict(model, batches, indices, bfloat16)
except errors.InputError as error:
    print(error)
"""


def test_replicas_share_the_batches_in_float32_only():
    done = subprocess.run(
        [sys.executable, '-c', TWO_REPLICAS], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'these are 2 replicas. Use float32.' in done.stdout


@pytest.mark.slow
def test_bfloat16_hardly_changes_the_accuracy_of_imagenet_features(shared):
    bfloat16_or_skip()
    _, images = readers.read(datasets.DATASETS['digits'])
    model = models.build(
        'mobilenet_v1',
        None,
        'slim',
        checkpoint_folder=shared / 'checkpoints',
        options=models.NetworkOptions(image_size=128),
    )
    labels = {}
    scores = {}
    for precision in ('float32', 'bfloat16'):
        x = {}
        for split in ('train', 'test'):
            found = predictions(
                model, images, images.splits[split], 32, 128,
                outputs=('features',), precision=precision,
            )  # fmt: skip
            x[split], labels[split] = found['features'], found['label']
        judge = linear_model.LogisticRegression(C=0.1, max_iter=2000)
        scores[precision] = judge.fit(x['train'], labels['train']).score(
            x['test'], labels['test']
        )
    assert scores['float32'] > 0.9
    # Of 899 images; the features themselves differ by a sixth (root mean square).
    assert abs(scores['float32'] - scores['bfloat16']) < 0.02, scores


def test_a_network_that_openvino_cannot_run_is_run_by_tensorflow(images, caplog):
    picture = keras.Input((8, 8, 3))
    odd = keras.layers.Lambda(lambda x: tf.math.igamma(x + 1.0, x + 2.0))(picture)
    features = keras.layers.GlobalAveragePooling2D()(odd)
    model = keras.Model(picture, {'features': features}, name='odd')
    indices = images.splits['test']
    with caplog.at_level('WARNING'):
        found = predictions(model, images, indices, 8, outputs=('features',))
    direct = model(images.pixels[indices].astype(np.float32), training=False)
    np.testing.assert_allclose(found['features'], direct['features'], atol=1e-5)
    if openvino.available():
        assert 'OpenVINO cannot run odd' in caplog.text
