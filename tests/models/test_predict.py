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
from tfxfer.models import openvino, predict, xla
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


@pytest.mark.parametrize('jit_compile', [False, True])
def test_as_on_a_gpu_networks_predict_the_same(images, jit_compile):
    model = models.build(ARCHITECTURE, classes=3)
    indices = images.splits['test'][::-1].copy()
    used = set()
    found = predictions(model, images, indices, 7, used=used.add)
    as_on_gpu = predictions(
        model, images, indices, 7, gpu=True, jit_compile=jit_compile, used=used.add
    )
    np.testing.assert_array_equal(as_on_gpu['index'], indices)
    np.testing.assert_array_equal(as_on_gpu['label'], images.labels[indices])
    direct = model(images.pixels[indices].astype(np.float32), training=False)
    for name in ('features', 'logits'):
        np.testing.assert_allclose(as_on_gpu[name], found[name], atol=1e-5)
        np.testing.assert_allclose(as_on_gpu[name], direct[name], atol=1e-5)
    if openvino.available():
        assert used == {'openvino', 'xla' if jit_compile else 'tensorflow'}


def test_a_gpu_compiles_only_where_there_are_images_enough(images, monkeypatch):
    model = models.build(ARCHITECTURE, classes=3)
    indices = images.splits['test']
    used = []
    for enough in (len(indices) + 1, len(indices)):
        monkeypatch.setattr(xla, 'COMPILED_FROM', enough)
        predictions(model, images, indices, 10, gpu=True, used=used.append)
    assert list(dict.fromkeys(used)) == ['tensorflow', 'xla']


def test_a_batch_is_started_before_the_last_one_is_waited_for(images):
    indices, events = images.splits['test'], []
    batches = pipeline.evaluation(images, indices, 8, preprocess.whole, 8)

    def start(image):
        number = sum(event == 'start' for event, _ in events)
        events.append(('start', number))

        def finish():
            events.append(('finish', number))
            return {'features': image.numpy()}

        return finish

    parts = list(predict._started(start, batches, 4, predict.Inference()))
    assert [number for event, number in events if event == 'start'] == [0, 1, 2, 3]
    assert events.index(('start', 1)) < events.index(('finish', 0))
    assert events.index(('start', 3)) < events.index(('finish', 2))
    # No more than two are in memory at once.
    assert events.index(('finish', 0)) < events.index(('start', 2))
    found = np.concatenate([part['index'] for part in parts])
    np.testing.assert_array_equal(found[: len(indices)], indices)
    assert (found[len(indices) :] == -1).all() and len(found) == 32


@pytest.mark.skipif(not openvino.available(), reason='needs a machine without GPU')
@pytest.mark.parametrize('precision', ['float16', 'tf64'])
def test_a_precision_that_is_not_for_this_machine_is_refused(images, precision):
    model = models.build(ARCHITECTURE, classes=3)
    with pytest.raises(errors.InputError, match=precision) as refused:
        predictions(model, images, images.splits['test'], 8, precision=precision)
    assert len(str(refused.value).splitlines()) == 1
    assert predict.policy(precision) == 'float32'


def test_a_precision_that_is_not_for_gpus_is_refused(images):
    model = models.build(ARCHITECTURE, classes=3)
    with pytest.raises(errors.InputError, match='int8 is for CPUs.*float32 or '):
        predictions(model, images, images.splits['test'], 8, precision='int8', gpu=True)
    with pytest.raises(errors.InputError, match='does not compute in bfloat16'):
        predictions(
            model, images, images.splits['test'], 8, precision='bfloat16', gpu=True
        )


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
with devices.scope():
    options = models.NetworkOptions(policy='mixed_bfloat16')
    half = models.build(ARCHITECTURE, classes=3, options=options)
half.set_weights(model.get_weights())
bfloat16 = predict.Inference(('features',), 'bfloat16', devices, gpu=True)
found = predict.predict(half, batches, indices, bfloat16)['features']
assert found.dtype == np.float32
np.testing.assert_allclose(found, direct['features'], rtol=0.02, atol=0.02)
"""


def test_replicas_share_the_batches():
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
