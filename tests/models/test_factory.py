"""What models.build promises of any network, on small ones."""

import dataclasses
import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import applications

from tests.conftest import ROOT
from tfxfer import architectures, errors, models
from tfxfer.models import weights

SMALL = 'mobilenet_v1_0.25'

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


def pixels(size=32, count=2):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def trained(model, seed=0):
    """Moves every variable, so that none has a value that another model starts with."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype == 'float32':
            variable.assign(rng.uniform(0.5, 1.5, variable.shape) * (variable + 0.1))
    return model


def values(model):
    """Arrays by name, that of dropout's random state without its running number."""
    return {
        variable.path if 'seed_generator' not in variable.path else variable.name: (
            variable.numpy()
        )
        for variable in model.variables
    }


# Shape of the thing.


def test_images_in_features_and_logits_out():
    model = models.build(SMALL, 7)
    assert model.input.shape == (None, 64, 64, 3) and model.input.dtype == 'float32'
    found = model(pixels(64))
    assert {key: value.shape for key, value in found.items()} == {
        'features': (2, 256),
        'logits': (2, 7),
    }


def test_logits_are_the_dense_layer_on_the_features():
    model = trained(models.build(SMALL, 7))
    found = model(pixels(64))
    kernel, bias = map(np.asarray, model.get_layer('logits').weights)
    np.testing.assert_allclose(
        found['logits'], np.asarray(found['features']) @ kernel + bias, rtol=1e-4
    )


@pytest.mark.parametrize('size', [32, 65, 96])
def test_another_image_size_keeps_the_feature_size(size):
    found = models.build(SMALL, 3, options=models.NetworkOptions(image_size=size))(
        pixels(size)
    )
    assert found['features'].shape == (2, 256)


def test_an_image_that_is_too_small_is_refused_with_the_size_to_take():
    with pytest.raises(errors.InputError, match=r'inception_v3 needs .*75.*32 x 32'):
        models.build('inception_v3', 3, options=models.NetworkOptions(image_size=32))
    with pytest.raises(errors.InputError, match='images of 16 pixels.*own size is 224'):
        models.build('densenet_121', 3, options=models.NetworkOptions(image_size=16))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(errors.InputError, match="Did you mean 'resnet_50'"):
        models.build('resnet50', 3)


def test_random_weights_need_the_number_of_classes():
    with pytest.raises(errors.InputError, match='give classes'):
        models.build(SMALL, None)


# Scaling.


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('inception', [-1, 127 / 127.5 - 1, 1]),
        ('vgg', [0 - 123.68, 127 - 116.779, 255 - 103.939]),
        ('caffe', [255 - 103.939, 127 - 116.779, 0 - 123.68]),
        (
            'torch',
            [-0.485 / 0.229, (127 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225],
        ),
        ('densenet', [-123.68 * 0.017, (127 - 116.78) * 0.017, (255 - 103.94) * 0.017]),
    ],
)
def test_scaling_of_one_pixel_by_hand(name, expected):
    images = keras.Input((1, 1, 3))
    model = keras.Model(images, models.scaled(images, name))
    found = model(np.array([0, 127, 255], np.float32).reshape(1, 1, 1, 3))
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-5, atol=1e-5)


# Random weights.


def test_the_seed_alone_decides_the_start():
    first = values(models.build(SMALL, 3, options=models.NetworkOptions(seed=4)))
    random.seed(99)
    keras.utils.set_random_seed(99)
    again = values(models.build(SMALL, 3, options=models.NetworkOptions(seed=4)))
    other = values(models.build(SMALL, 3, options=models.NetworkOptions(seed=5)))
    assert first.keys() == again.keys()
    for path, value in first.items():
        np.testing.assert_array_equal(value, again[path])
    assert np.any(first['logits/kernel'] != other['logits/kernel'])


def test_building_leaves_the_random_numbers_of_others_alone():
    random.seed(3)
    expected = random.random()
    random.seed(3)
    models.build(SMALL, 3, options=models.NetworkOptions(seed=4))
    assert random.random() == expected


# Training settings.


def test_the_default_rates_of_dropout_are_tf_slims():
    # dropout_keep_prob in TF-Slim: 0.8, 0.999, 0.8, 0.5; its ResNets have none.
    expected = {
        'inception_v1': 0.2,
        'mobilenet_v1': 0.001,
        'mobilenet_v2': 0.2,
        'nasnet_mobile': 0.5,
        'resnet_50': 0,
    }
    for name, rate in expected.items():
        assert architectures.ARCHITECTURES[name].dropout == rate
    assert models.build(SMALL, 3).get_layer('dropout').rate == 0.001


def test_dropout_is_after_the_features_and_before_the_classifier():
    model = models.build(
        SMALL, 3, options=models.NetworkOptions(dropout=0.5, image_size=32)
    )
    dropout = model.get_layer('dropout')
    assert dropout.rate == 0.5
    assert dropout.input is model.output['features']
    assert model.get_layer('logits').input is dropout.output
    with pytest.raises(ValueError, match='dropout'):
        models.build(SMALL, 3, options=models.NetworkOptions(dropout=0.0)).get_layer(
            'dropout'
        )


def test_the_papers_own_training_has_scale_and_neither_dropout_nor_aux():
    model = models.build(
        'inception_v3',
        3,
        options=dataclasses.replace(models.TRAINING['paper'], image_size=75),
    )
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 94 and all(norm.scale for norm in norms)
    assert set(model.output) == {'features', 'logits'}
    assert 'dropout' not in [layer.name for layer in model.layers]


def test_the_public_training_of_inception_v3_has_dropout_and_aux_but_no_scale():
    model = models.build(
        'inception_v3',
        3,
        options=dataclasses.replace(models.TRAINING['public'], image_size=75),
    )
    assert model.output['aux_logits'].shape == (None, 3)
    assert model.get_layer('dropout').rate == 0.2
    assert not [v for v in model.variables if v.name == 'gamma']


def test_an_auxiliary_classifier_that_does_not_exist_is_refused():
    with pytest.raises(errors.InputError, match='resnet_50 has no auxiliary'):
        models.build(
            'resnet_50', 3, options=models.NetworkOptions(image_size=64, aux=True)
        )


def test_batch_norm_momentum_is_the_share_kept_at_a_step():
    model = models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    models.set_batch_norm_momentum(model, 0.75)
    norm = model.get_layer('conv1_bn')
    inputs = keras.Model(model.input, norm.input)
    mean = np.mean(inputs(pixels()), (0, 1, 2))
    model(pixels(), training=True)
    np.testing.assert_allclose(norm.moving_mean, 0.25 * mean, rtol=1e-4, atol=1e-5)


# Files of weights.


def test_saved_weights_come_back_with_the_classifier(tmp_path):
    path = tmp_path / 'a.weights.h5'
    model = trained(
        models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    )
    models.save_weights(model, path)
    expected = model(pixels())
    for classes in (None, 3):
        found = models.build(
            SMALL, classes, path, options=models.NetworkOptions(image_size=32, seed=9)
        )(pixels())
        for key in ('features', 'logits'):
            np.testing.assert_array_equal(found[key], expected[key])


def test_another_number_of_classes_makes_a_new_head_on_the_same_features(tmp_path):
    path = tmp_path / 'a.weights.h5'
    model = trained(
        models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    )
    models.save_weights(model, path)
    loaded = models.build(
        SMALL, 5, path, options=models.NetworkOptions(image_size=32, seed=9)
    )
    fresh = models.build(SMALL, 5, options=models.NetworkOptions(image_size=32, seed=9))
    np.testing.assert_array_equal(
        loaded(pixels())['features'], model(pixels())['features']
    )
    np.testing.assert_array_equal(
        loaded.get_layer('logits').kernel, fresh.get_layer('logits').kernel
    )
    models.load_weights(fresh, path)
    np.testing.assert_array_equal(
        fresh(pixels())['features'], model(pixels())['features']
    )


def test_saved_weights_remember_a_network_without_scale(tmp_path):
    path = tmp_path / 'a.weights.h5'
    models.save_weights(
        trained(
            models.build('mobilenet_v1', 3, options=models.NetworkOptions(scale=False))
        ),
        path,
    )
    model = models.build('mobilenet_v1', 3, path)
    assert not [v for v in model.variables if v.name == 'gamma']


def test_saved_weights_are_keras_own_format_too(tmp_path):
    path = tmp_path / 'a.weights.h5'
    model = trained(
        models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    )
    models.save_weights(model, path)
    other = models.build(SMALL, 3, options=models.NetworkOptions(image_size=32, seed=9))
    other.load_weights(path)
    np.testing.assert_array_equal(other(pixels())['logits'], model(pixels())['logits'])


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / 'a.weights.h5'
    with pytest.raises(TypeError):  # JSON does not take a set.
        models.save_weights(models.build(SMALL, 3), path, source={1})
    assert not list(tmp_path.iterdir())
    with pytest.raises(errors.InputError, match=r'\.weights\.h5; got'):
        models.save_weights(models.build(SMALL, 3), tmp_path / 'a.h5')


# Keras Applications.


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=() if name == 'mobilenet_v1' else pytest.mark.slow)
        for name in APPLICATIONS
    ],
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
    # And what was saved from it comes back to the same graph.
    path = tmp_path / 'a.weights.h5'
    models.save_weights(ours, path)
    back = tf.function(models.build(arch, None, path))(images)
    np.testing.assert_array_equal(back['logits'], found['logits'])
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
    nobody = 'http://127.0.0.1:9'
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        env={
            **os.environ,
            'KERAS_HOME': str(tmp_path),
            'http_proxy': nobody,
            'https_proxy': nobody,
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
