import collections
import gc
import os
import subprocess
import sys
import threading
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.conftest import ROOT
from tests.support.precision import bfloat16_or_skip
from tests.support.small_networks import as_if_trained
from tfxfer import errors, models
from tfxfer.models import densenet, nasnet, openvino, resnet

SMALL = {
    'resnet': (resnet.resnet_v1, {'units': (1, 1, 2, 1)}),
    'densenet': (densenet.densenet, {'depths': (1, 2, 1, 2)}),
    'nasnet': (
        nasnet.nasnet,
        {'cells': 3, 'channels': 44, 'stem': 32, 'skip_reduction': True},
    ),
}


def pictures(batch, side, dtype=np.float32):
    pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3))
    return pixels.astype(dtype)


def run(model, images, outputs=('features', 'logits'), **options):
    spec = tf.TensorSpec(images.shape, images.dtype)
    with openvino.compiled(model, spec, outputs, **options) as start:
        return start(images)()


def assert_same(model, images, tolerance=1e-5, **options):
    """As the plain network: within `tolerance` of the largest value."""
    found = run(model, images, **options)
    plain = model(images.astype(np.float32), training=False)
    for name, values in found.items():
        expected = plain[name].numpy()
        assert values.shape == expected.shape and values.dtype == np.float32
        assert np.ptp(expected) > 0
        assert np.abs(values - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(
    'name',
    [
        'mobilenet_v1_0.25',
        'mobilenet_v2_0.35',
        pytest.param('bn_inception', marks=pytest.mark.slow),
    ],
)
def test_compiled_networks_give_what_the_plain_ones_do(name):
    assert_same(
        as_if_trained(
            models.build(name, 5, options=models.NetworkOptions(image_size=64))
        ),
        pictures(3, 64),
    )


@pytest.mark.parametrize('name', SMALL)
def test_compiled_families_give_what_the_plain_ones_do(name):
    builder, options = SMALL[name]
    image = keras.Input((64, 64, 3))
    built = builder(models.scaled(image, 'densenet'), **options)
    assert_same(
        as_if_trained(keras.Model(image, {'features': built.features})),
        pictures(2, 64),
        outputs=('features',),
    )


def operations(model, images, outputs=('features',)):
    """{operation of OpenVINO: count} of what is computed for each batch."""
    spec = images.shape, tf.as_dtype(images.dtype)
    network = openvino.compiled_network(
        model, *spec, outputs, 'float32'
    ).get_runtime_model()
    return collections.Counter(
        node.get_rt_info()['layerType'].astype(str) for node in network.get_ops()
    )


def test_batch_norm_is_gone_from_a_compiled_mobilenet():
    model = as_if_trained(
        models.build(
            'mobilenet_v1_0.25', 5, options=models.NetworkOptions(image_size=64)
        )
    )
    left = operations(model, pictures(1, 64))
    assert left['Convolution'] == 27  # Those of the paper, depthwise ones too.
    # One alone scales the pixels, before zeros are padded.
    arithmetic = ('Subgraph', 'Eltwise', 'Math', 'MVN', 'BatchNormInference')
    assert sum(left[name] for name in arithmetic) == 1


def test_only_the_outputs_asked_for_are_computed():
    model = models.build(
        'mobilenet_v1_0.25', 5, options=models.NetworkOptions(image_size=64)
    )
    images = pictures(1, 64)
    assert operations(model, images)['FullyConnected'] == 0
    assert operations(model, images, ('logits',))['FullyConnected'] == 1
    assert set(run(model, images, ['features'])) == {'features'}


@pytest.mark.parametrize(
    ('shape', 'size'),
    [
        ((64, 224, 224, 3), 4),
        ((64, 299, 299, 3), 2),
        ((5, 224, 224, 3), 5),
        ((7, 299, 299, 3), 1),
        ((64, 32, 32, 3), 64),
        ((3, 1000, 1000, 3), 1),
    ],
)
def test_a_batch_is_a_whole_number_of_requests_of_few_pixels(shape, size):
    assert openvino.request_size(shape) == size


def test_batches_that_run_at_once_come_back_as_they_were_given(fakes):
    model = models.build('tiny', 3, options=models.NetworkOptions(image_size=224))
    batches = [pictures(8, 224) * np.float32(i + 1) / 4 for i in range(4)]
    spec = tf.TensorSpec(batches[0].shape, tf.float32)
    with openvino.compiled(model, spec, ['logits']) as start:
        begun = [start(images) for images in batches]
        for images, finish in reversed(list(zip(batches, begun, strict=True))):
            expected = model(images, training=False)['logits']
            np.testing.assert_allclose(
                finish()['logits'], expected, atol=1e-5 * np.abs(expected).max()
            )


def test_a_network_is_compiled_again_when_its_weights_or_its_use_changed(
    fakes, monkeypatch
):
    compiled, count = openvino.compiled_network, collections.Counter()

    def counting(model, *arguments):
        count[model.name] += 1
        return compiled(model, *arguments)

    monkeypatch.setattr(openvino, 'compiled_network', counting)
    options = models.NetworkOptions(image_size=32)
    model, other = (models.build('tiny', 3, options=options) for _ in range(2))
    images = pictures(4, 32)
    for expected in (1, 1):
        assert_same(model, images)
        assert count.total() == expected
    model.weights[0].assign(model.weights[0] * 2)
    assert_same(model, images)  # With the weights that it has now.
    assert count.total() == 2
    assert_same(model, images, outputs=('logits',))
    assert_same(model, images[:2], outputs=('logits',))
    assert_same(model, images[:2].astype(np.uint8), outputs=('logits',))
    assert count.total() == 5
    assert_same(other, images[:2].astype(np.uint8), outputs=('logits',))
    assert count.total() == 6


def test_what_was_compiled_goes_with_its_network(fakes):
    model = models.build('tiny', 3, options=models.NetworkOptions(image_size=32))
    run(model, pictures(4, 32))
    network = weakref.ref(openvino._last_compiled[model][1])
    del model
    gc.collect()
    assert network() is None


def test_batches_that_nobody_waits_for_are_let_go(fakes):
    model = models.build('tiny', 3, options=models.NetworkOptions(image_size=224))
    images = pictures(64, 224)
    spec = tf.TensorSpec(images.shape, tf.float32)
    with (
        pytest.raises(KeyError, match='of the caller'),
        openvino.compiled(model, spec, ['logits']) as start,
    ):
        start(images)
        raise KeyError('of the caller')
    assert_same(model, images)


def test_only_the_callers_thread_is_in_openvinos_python(fakes):
    """Two threads that use it at once for the first time can hang the process."""
    images = pictures(16, 224)
    spec = tf.TensorSpec(images.shape, tf.float32)
    before = threading.enumerate()
    with openvino.compiled(
        models.build('tiny', 3, options=models.NetworkOptions(image_size=224)),
        spec,
        ['logits'],
    ) as start:
        finish = start(images)
        assert threading.enumerate() == before
        finish()


def test_nothing_is_sent_to_anybody(tmp_path):
    """OpenVINO reports over the network that it is imported, unless it cannot."""
    code = (
        'import sys\n'
        'import keras, numpy as np, tensorflow as tf\n'
        'from tfxfer.models import openvino\n'
        'image = keras.Input((8, 8, 3))\n'
        'model = keras.Model(image, {"f": keras.layers.Flatten()(image)})\n'
        'images = np.zeros((1, 8, 8, 3), np.float32)\n'
        'spec = tf.TensorSpec(images.shape, tf.float32)\n'
        'with openvino.compiled(model, spec, ["f"]) as start:\n'
        '    start(images)()\n'
        'assert not [n for n, m in sys.modules.items() if m and "telemetry." in n]\n'
    )
    env = {name: value for name, value in os.environ.items() if name != 'CI'}
    env['HOME'] = str(tmp_path)
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, env=env, check=True)
    assert not list(tmp_path.rglob('*openvino*'))


def test_weights_that_are_not_finite_are_refused(fakes):
    """Behind a ReLU they would give features that look sound."""
    model = models.build('tiny', 3)
    kernel = model.get_layer('conv').kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(errors.InputError, match='conv/kernel are not all finite'):
        run(model, pictures(4, 8))


def test_what_two_layers_or_an_output_read_is_right():
    image = keras.Input((8, 8, 3))
    before = layers.Conv2D(8, 3, padding='same')(image)
    after = layers.BatchNormalization()(before)
    twice = layers.Conv2D(4, 3, padding='same')(after)
    norm = layers.BatchNormalization()(twice)
    pool = layers.GlobalAveragePooling2D()
    model = keras.Model(
        image,
        {
            'features': pool(before),
            'logits': pool(after),
            'raw': twice,
            'sum': layers.Add()([norm, twice]),
        },
    )
    assert_same(
        as_if_trained(model),
        pictures(2, 8),
        outputs=('features', 'logits', 'raw', 'sum'),
    )


@pytest.mark.parametrize('padding', ['same', 'valid'])
@pytest.mark.parametrize('scaling', models.SCALINGS)
def test_pixels_are_scaled_as_before_up_to_the_edge(scaling, padding):
    image = keras.Input((8, 8, 3))
    x = models.scaled(image, scaling)
    if padding == 'valid':
        x = layers.ZeroPadding2D(2)(x)
    maps = layers.Conv2D(4, 5, padding=padding)(x)
    model = keras.Model(image, {'maps': maps})
    assert_same(model, pictures(2, 8), outputs=('maps',))


def test_bytes_and_floats_of_the_same_pixels_give_the_same():
    model = as_if_trained(
        models.build(
            'mobilenet_v1_0.25', 5, options=models.NetworkOptions(image_size=64)
        )
    )
    as_bytes = run(model, pictures(2, 64, np.uint8))
    as_floats = run(model, pictures(2, 64))
    np.testing.assert_array_equal(as_bytes['logits'], as_floats['logits'])


def test_a_network_trained_on_is_another_one(fakes):
    model = models.build('tiny', 3)
    images = pictures(4, 8)
    first = run(model, images)
    model.compile(keras.optimizers.SGD(0.1), {'logits': 'mse', 'features': None})
    model.fit(images, {'logits': np.ones((4, 3))}, verbose=0)
    assert np.abs(run(model, images)['logits'] - first['logits']).max() > 1e-3
    assert_same(model, images)


def test_a_compiled_network_leaves_the_callers_own_lines_eager(fakes):
    spec = tf.TensorSpec((4, 8, 8, 3), tf.float32)
    with openvino.compiled(models.build('tiny', 3), spec, ['features']):
        assert tf.executing_eagerly()
        assert int(tf.constant(1) + 1) == 2


def test_bfloat16_is_near_and_is_not_float32():
    bfloat16_or_skip()
    model = as_if_trained(
        models.build('mobilenet_v1', 5, options=models.NetworkOptions(image_size=96))
    )
    images = pictures(4, 96)
    assert_same(model, images, 0.03, precision='bfloat16')
    plain = run(model, images)['features']
    half = run(model, images, precision='bfloat16')['features']
    # Rounding to 8 bits that fusion hid would differ by no more than float32 does.
    assert np.abs(half - plain).max() > 1e-4 * np.abs(plain).max()


def test_what_a_precision_needs_is_said(tmp_path):
    with pytest.raises(errors.InputError, match="'int4'.*float32, tf32, bfloat16"):
        openvino.check('int4')
    with pytest.raises(errors.InputError, match='float16 is for GPUs'):
        openvino.check('float16')
    cpuinfo = tmp_path / 'cpuinfo'
    cpuinfo.write_text('processor: 0\nflags\t\t: fpu avx2 avx512f\n')
    with pytest.raises(errors.InputError, match='avx512_bf16 or amx_bf16.*float32'):
        openvino.check('bfloat16', cpuinfo)
    with pytest.raises(errors.InputError, match='avx512_bf16'):
        openvino.check('bfloat16', tmp_path / 'there is none')
    cpuinfo.write_text('flags\t: fpu amx_bf16\n')
    openvino.check('bfloat16', cpuinfo)
    openvino.check('float32', tmp_path / 'there is none')
