import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.support.quantisation import int8_or_skip
from tests.support.small_networks import as_if_trained
from tfxfer import errors, models
from tfxfer.models import openvino

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)


def small(seed=0):
    options = models.NetworkOptions(image_size=64, seed=seed)
    return as_if_trained(models.build('mobilenet_v1_0.25', 5, options=options))


def run(model, precision='int8', calibration=IMAGES):
    spec = tf.TensorSpec(IMAGES.shape, IMAGES.dtype)
    if precision != 'int8':
        calibration = None
    with openvino.compiled(
        model, spec, ('features',), precision=precision, calibration=calibration
    ) as start:
        return start(IMAGES)()['features']


def test_quantised_features_are_near_and_the_same_every_time(capfd):
    int8_or_skip()
    model = small()
    exact, quantised = run(model, 'float32'), run(model)
    assert quantised.dtype == np.float32
    off = np.abs(quantised - exact).max() / np.abs(exact).max()
    assert 1e-3 < off < 0.1  # Of 7 bits, through 27 layers.
    again = small()  # Quantised anew, as in another process.
    np.testing.assert_array_equal(run(again), quantised)
    other = run(model, calibration=IMAGES // 2)
    assert np.abs(other - quantised).max() > 1e-4 * np.abs(exact).max()
    printed = capfd.readouterr()
    assert not printed.out and 'INFO' not in printed.err


def test_products_are_of_integers():
    int8_or_skip()
    network = openvino.compiled_network(
        small(), [8, 64, 64, 3], tf.uint8, ('features',), 'int8', IMAGES
    )
    kernels = [
        node.get_rt_info()['runtimePrecision'].astype(str)
        for node in network.get_runtime_model().get_ops()
        if node.get_rt_info()['layerType'].astype(str) == 'Convolution'
    ]
    assert len(kernels) == 27 and kernels.count('u8') + kernels.count('i8') >= 26


def test_few_images_are_enough_to_quantise_by(fakes):
    int8_or_skip()
    model = small()
    once = run(model, calibration=IMAGES[:3])  # Fewer than a request has.
    assert np.isfinite(once).all()


def test_a_network_without_products_is_refused_in_one_line():
    int8_or_skip()
    image = keras.Input((64, 64, 3))
    features = layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, {'features': features}, name='plain')
    with pytest.raises(errors.InputError, match='plain has no layer') as refused:
        run(model)
    assert '\n' not in str(refused.value)


def test_what_int8_needs_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(errors.InputError, match=r'pip install "tfxfer\[int8\]"'):
        openvino.check('int8')
