"""A preset of keras-hub as a network."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import hub_presets
from tests.support.small_networks import pixels, trained
from tfxfer import errors, models
from tfxfer.models import network, openvino, weights_h5

keras_hub = pytest.importorskip('keras_hub')
SIDE = hub_presets.SIDE


def same(found, expected):
    """Within 1e-5 of the largest value."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape and np.ptp(expected) > 0
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def moved(model, seed=0):
    """Moves every variable a little."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if 'float' in variable.dtype and 'position_embeddings' not in variable.path:
            noise = rng.uniform(0.01, 0.1, variable.shape)
            variable.assign(variable + noise)
    return model


def theirs(name, backbone, images):
    """What keras-hub's classifier of a family takes, by its own pipeline."""
    scaled = np.asarray(hub_presets.converter(name)(images))
    if name in ('siglip', 'clip'):
        found = backbone.vision_encoder.predict({'images': scaled}, verbose=0)
        return np.asarray(found if name == 'siglip' else backbone.vision_pooler(found))
    task = hub_presets.TINY[name].task
    if task:
        make = getattr(keras_hub.models, task)
        classifier = make(backbone=backbone, num_classes=3)
        if hasattr(classifier, 'pooler'):
            pooled = classifier.pooler(backbone.output)
            model = keras.Model(backbone.inputs, pooled)
        else:
            inputs = {
                'ViTImageClassifier': 'output_dense', 'DeiTImageClassifier': '',
            }  # fmt: skip
            del inputs
            dense = classifier.layers[-1]
            model = keras.Model(classifier.inputs, dense.input)
        found = model.predict(scaled, verbose=0)
        return found.reshape(len(images), -1)
    key = backbone.inputs[0].name
    found = backbone.predict(
        {key: scaled} if name.startswith('dino') else scaled, verbose=0
    )
    if name == 'hgnetv2':
        found = found['stage2']
    if name.startswith('dino'):
        return found[:, 0]
    return found.mean(axis=tuple(range(1, found.ndim - 1)))


@pytest.fixture(scope='module')
def preset(tmp_path_factory):
    """Makes presets: (folder, backbone) of a family."""
    made = {}

    def make(name):
        if name not in made:
            backbone = moved(hub_presets.backbone(name))
            folder = tmp_path_factory.mktemp('preset')
            made[name] = hub_presets.saved(name, folder, backbone), backbone
        return made[name]

    return make


@pytest.mark.parametrize('name', hub_presets.TINY)
def test_features_are_those_of_keras_hubs_own_pipeline(name, preset):
    folder, backbone = preset(name)
    images = pixels(SIDE)
    ours = models.build(f'hub:{folder}', 3, 'hub')
    expected = theirs(name, backbone, images)
    same(ours(images, training=False)['features'].numpy(), expected)
