"""Keras' own networks and weights."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import applications

from tests.conftest import ROOT
from tests.support import full_size
from tests.support.offline import DEAD
from tests.support.small_networks import pixels
from tfxfer import architectures, errors, models
from tfxfer.models import openvino, weights

# Keras' own preprocessing of RGB 0-255, and its pooled output.
APPLICATIONS = {
    'mobilenet_v1': applications.mobilenet,
    'mobilenet_v2': applications.mobilenet_v2,
    'mobilenet_v2_1.4': applications.mobilenet_v2,
    'inception_v3': applications.inception_v3,
    'inception_resnet_v2': applications.inception_resnet_v2,
    'resnet_50': applications.resnet,
    'resnet_101': applications.resnet,
    'resnet_152': applications.resnet,
    'densenet_121': applications.densenet,
    'densenet_169': applications.densenet,
    'densenet_201': applications.densenet,
    'nasnet_mobile': applications.nasnet,
    'nasnet_large': applications.nasnet,
}

# Those that OpenVINO runs too, as on a CPU: one of each family that Keras draws.
COMPILED = {
    'mobilenet_v2', 'resnet_50', 'densenet_121', 'inception_v3', 'nasnet_mobile'
}  # fmt: skip


@pytest.mark.parametrize(
    'name',
    full_size.marked(
        APPLICATIONS, default=['mobilenet_v1'], slow=['mobilenet_v2', 'densenet_121']
    ),
)
def test_the_keras_graph_is_the_application_with_its_own_preprocessing(name, tmp_path):
    arch = architectures.ARCHITECTURES[name]
    build = getattr(applications, arch.keras.application)
    options = dict(arch.keras.options)
    # Auto-named layers count on through the process: this one shifts them.
    keras.layers.Conv2D(1, 1)
    theirs = build(weights=None, classifier_activation=None, **options)
    size = theirs.input.shape[1]
    assert size == arch.input_size
    ours = models.build(arch, None, models.from_application(theirs))
    images = pixels(size, count=1)
    fed = APPLICATIONS[name].preprocess_input(images.copy())
    expected = tf.function(theirs)(fed)
    found = tf.function(ours)(images)
    assert found['features'].shape == (1, arch.features)
    scale = np.abs(expected).max()
    assert np.abs(found['logits'] - expected).max() <= 2e-5 * scale
    if name in COMPILED:
        spec = tf.TensorSpec(images.shape, tf.float32)
        with openvino.compiled(ours, spec, ['features']) as start:
            computed = start(images)()['features']
        largest = np.abs(found['features']).max()
        assert np.abs(computed - found['features']).max() <= 1e-5 * largest
    # And what was saved from it comes back to the same graph.
    path = tmp_path / 'a.weights.h5'
    models.save_weights(ours, path)
    saved = ours.get_weights()
    for variable in ours.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    models.load_weights(ours, path)
    for before, after in zip(saved, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    keras.backend.clear_session()


def test_weights_of_one_graph_are_not_for_the_other(tmp_path):
    theirs = applications.MobileNet(weights=None)
    keras_graph = models.build(
        'mobilenet_v1',
        3,
        models.from_application(theirs),
        options=models.NetworkOptions(image_size=64),
    )
    path = tmp_path / 'a.weights.h5'
    models.save_weights(keras_graph, path)
    with pytest.raises(errors.InputError, match='keras graph'):
        models.load_weights(
            models.build(
                'mobilenet_v1', 3, options=models.NetworkOptions(image_size=64)
            ),
            path,
        )


@pytest.mark.exhaustive
def test_keras_weights_come_from_its_cache_or_the_file_to_get_is_named(tmp_path):
    (tmp_path / 'models').mkdir()
    theirs = applications.MobileNet(weights=None)
    theirs.save(tmp_path / 'models' / 'mobilenet_1_0_224_tf.h5')
    code = (
        'from tfxfer import errors, models\n'
        'options = models.NetworkOptions(image_size=64)\n'
        "model = models.build('mobilenet_v1', 5, 'keras', options)\n"
        "print(float(model.get_layer('conv1').kernel.numpy().sum()))\n"
        'try:\n'
        "    models.build('nasnet_mobile', 5, 'keras')\n"
        'except errors.InputError as error:\n'
        '    print(error)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        env={
            **os.environ,
            'KERAS_HOME': str(tmp_path),
            'http_proxy': DEAD,
            'https_proxy': DEAD,
        },
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    total = np.asarray(theirs.get_layer('conv1').kernel).sum()
    assert float(lines[0]) == pytest.approx(total, abs=1e-4), done.stderr
    # Keras calls the file otherwise than its address does.
    expected = f'NASNet-mobile.h5 and put it at {tmp_path}/models/nasnet_mobile.h5.'
    assert 'storage.googleapis.com' in lines[-1] and lines[-1].endswith(expected)


def test_a_network_that_keras_lacks_is_said_with_its_other_sources():
    with pytest.raises(errors.InputError, match='no inception_v4.*weights: slim'):
        models.build('inception_v4', 3, 'keras')
    with pytest.raises(errors.InputError, match='leave both unset'):
        held = weights.Weights('x', {}, {'graph': 'keras', 'scale': None})
        models.build('mobilenet_v1', 3, held, options=models.NetworkOptions(scale=True))


def test_layers_that_keras_made_are_left_as_they_are():
    theirs = applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=5)
    before = [(layer.name, type(layer)) for layer in theirs.layers]
    models.build(
        'resnet_50',
        None,
        models.from_application(theirs),
        models.NetworkOptions(image_size=32),
    )
    assert [(layer.name, type(layer)) for layer in theirs.layers] == before
