import importlib.util
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.support.fakes import ARCHITECTURE
from tests.support.quantisation import int8_or_skip
from tests.support.small_networks import as_if_trained
from tfxfer import errors, models
from tfxfer.models import openvino

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)


def run(model, precision='int8', calibration=IMAGES):
    spec = tf.TensorSpec(IMAGES.shape, IMAGES.dtype)
    if precision != 'int8':
        calibration = None
    with openvino.compiled(
        model, spec, ('features',), precision=precision, calibration=calibration
    ) as start:
        return start(IMAGES)()['features']


def test_quantised_features_are_near_and_the_same_every_time(fakes, capfd):
    int8_or_skip()
    model = models.build(ARCHITECTURE, 3)
    exact, quantised = run(model, 'float32'), run(model)
    assert quantised.dtype == np.float32
    largest = np.abs(exact).max()
    # Weights have 7 bits, pixels 8.
    assert 1e-4 < np.abs(quantised - exact).max() / largest < 0.02
    again = models.build(ARCHITECTURE, 3)  # Quantised anew, as in another process.
    np.testing.assert_array_equal(run(again), quantised)
    # Pixels of up to 255, in the range of those of up to 127.
    other = run(model, calibration=IMAGES // 2)
    assert np.abs(other - quantised).max() > 0.02 * largest
    printed = capfd.readouterr()
    assert not printed.out and 'INFO' not in printed.err


def test_log_lines_of_others_are_not_lost(fakes, caplog):
    int8_or_skip()
    run(models.build(ARCHITECTURE, 3))
    logging.warning('of another library')
    assert 'of another library' in caplog.text


def test_few_images_are_enough_to_quantise_by(fakes):
    int8_or_skip()
    model = models.build(ARCHITECTURE, 3)
    exact = run(model, 'float32')
    found = run(model, calibration=IMAGES[:3])  # Fewer than a request has.
    assert np.abs(found - exact).max() < 0.1 * np.abs(exact).max()


@pytest.mark.slow
def test_products_of_a_whole_network_are_of_integers():
    int8_or_skip()
    options = models.NetworkOptions(image_size=64)
    model = as_if_trained(models.build('mobilenet_v1_0.25', 5, options=options))
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    network = openvino.compiled_network(
        model, images.shape, tf.uint8, ('features',), 'int8', images
    )
    kernels = [
        node.get_rt_info()['runtimePrecision'].astype(str)
        for node in network.get_runtime_model().get_ops()
        if node.get_rt_info()['layerType'].astype(str) == 'Convolution'
    ]
    assert len(kernels) == 27 and kernels.count('u8') + kernels.count('i8') >= 26


def test_a_network_without_products_is_refused_in_one_line():
    int8_or_skip()
    image = keras.Input((8, 8, 3))
    features = layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, {'features': features}, name='plain')
    with pytest.raises(errors.InputError, match='plain has no layer') as refused:
        run(model)
    assert '\n' not in str(refused.value)


def test_what_int8_needs_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(errors.InputError, match=r'pip install "tfxfer\[int8\]"'):
        openvino.check('int8')
