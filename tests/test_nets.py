"""All sixteen networks against TF-Slim's own graphs (tests/golden), at full size."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.golden import weights
from tfxfer import architectures, models
from tfxfer.nets import blocks
from tools import convert_checkpoint

# The published table of the study: input, features, ImageNet top-1 in per cent and
# millions of parameters without classifier.
STUDY = {
    'inception_v1': (224, 1024, 69.8, 5.6),
    'bn_inception': (224, 1024, 73.9, 10.2),
    'inception_v3': (299, 2048, 78.0, 21.8),
    'inception_v4': (299, 1536, 80.2, 41.1),
    'inception_resnet_v2': (299, 1536, 80.4, 54.3),
    'resnet_50': (224, 2048, 75.2, 23.5),
    'resnet_101': (224, 2048, 76.4, 42.5),
    'resnet_152': (224, 2048, 76.8, 58.1),
    'densenet_121': (224, 1024, 74.8, 7.0),
    'densenet_169': (224, 1664, 75.9, 12.5),
    'densenet_201': (224, 1920, 77.3, 18.1),
    'mobilenet_v1': (224, 1024, 70.9, 3.2),
    'mobilenet_v2': (224, 1280, 71.9, 2.2),
    'mobilenet_v2_1.4': (224, 1792, 74.9, 4.3),
    'nasnet_mobile': (224, 1056, 74.0, 4.2),
    'nasnet_large': (331, 4032, 82.7, 84.7),
}
# Millions of multiply-adds, classifier included, as the networks' papers print them.
PRINTED_MULTIPLY_ADDS = {
    'mobilenet_v1': 569,
    'mobilenet_v2': 300,
    'mobilenet_v2_1.4': 582,
    'nasnet_mobile': 564,
    'nasnet_large': 23_800,
}
# One of each family is in the suite that always runs.
FAST = {
    'inception_v1',
    'resnet_50',
    'densenet_121',
    'mobilenet_v1',
    'mobilenet_v2',
    'nasnet_mobile',
}

every_net = pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in STUDY
    ],
)


@pytest.fixture(autouse=True)
def forget_models():
    """Some of these networks take gigabytes."""
    yield
    keras.backend.clear_session()


def endpoint_layer(model, root, endpoint):
    """The layer whose output TF-Slim calls `endpoint` in the network's scope `root`."""
    if root == 'MobilenetV2':
        endpoint = mobilenet_v2_scope(endpoint)
    if endpoint == 'Stem':  # Of NASNet: its last cell.
        endpoint = 'cell_stem_1'
    names = {layer.name for layer in model.layers}
    for scope in (endpoint, f'{root}/{endpoint}', endpoint.lower()):
        for end in ('/relu', '/relu6', '', '/project/BatchNorm'):
            if blocks.layer_name(scope + end) in names:
                return model.get_layer(blocks.layer_name(scope + end))
    raise AssertionError(f'no layer gives {endpoint}')


def mobilenet_v2_scope(endpoint):
    """Its endpoints are layer_1 to layer_19, the first and last a convolution each."""
    number = int(endpoint.removeprefix('layer_').removesuffix('/output'))
    ends = {1: 'Conv', 2: 'expanded_conv', 19: 'Conv_1'}
    return ends.get(number, f'expanded_conv_{number - 2}')


def outputs(model, arch, endpoints):
    """What a model and some endpoints give for the two pictures, as arrays."""
    root = arch.head.partition('/')[0]
    given = dict(model.output)
    for endpoint in endpoints:
        given[endpoint] = endpoint_layer(model, root, endpoint).output
    run = tf.function(keras.Model(model.input, given))
    return {
        name: value.numpy()
        for name, value in run(weights.pictures(arch.input_size)).items()
    }


def assert_near(found, expected, tolerance):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@every_net
def test_a_converted_checkpoint_gives_what_tf_slim_gave(name, tmp_path):
    arch, reference = architectures.ARCHITECTURES[name], weights.golden(name)
    checkpoint = tmp_path / 'model.ckpt'
    weights.write_checkpoint(checkpoint, weights.tensors(name))
    path = tmp_path / 'model.weights.h5'
    summary = convert_checkpoint.convert(arch, str(checkpoint), path)
    assert 'ignored: nothing' in summary
    numbers = reference.numbers
    if 'native_logits' in numbers:
        model = models.build(arch, None, path)
        found = outputs(model, arch, ())
        assert_near(found['logits'], numbers['native_logits'], 5e-6)
        assert_near(found['features'], numbers['native_features'], 5e-6)
        # All other numbers of the reference are of this scaling.
        arch = dataclasses.replace(arch, scaling='inception')

    model = models.build(arch, None, path, aux=None)

    endpoints = {
        key.removeprefix('mean/') for key in numbers if key.startswith('mean/')
    }
    found = outputs(model, arch, endpoints)
    tolerance = 2e-5 if name.startswith('mobilenet_v2') else 5e-6
    for key in {'logits', 'features', 'aux_logits'} & set(numbers):
        assert_near(found[key], numbers[key], tolerance)
    assert ('aux_logits' in found) == ('aux_logits' in numbers)
    assert endpoints
    for endpoint in endpoints:
        values = found[endpoint].astype(np.float64)
        assert_near(values.mean((1, 2)), numbers[f'mean/{endpoint}'], tolerance)
        assert_near(values.std((1, 2)), numbers[f'std/{endpoint}'], tolerance)
