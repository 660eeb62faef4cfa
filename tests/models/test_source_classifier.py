"""The classifier that weights were trained with, applied to features."""

import keras
import numpy as np
import pytest

from tests.golden import weights
from tests.support.small_networks import SMALL, pixels, trained
from tfxfer import architectures, models
from tfxfer.models import weights as held


@pytest.mark.parametrize('name', ['mobilenet_v1', 'inception_v1', 'nasnet_mobile'])
def test_of_slim_checkpoints_it_gives_tf_slims_logits(name, tmp_path):
    numbers = weights.golden(name).numbers
    path = weights.write_checkpoint(tmp_path / 'model.ckpt', weights.tensors(name))
    kernel, bias = models.source_classifier(architectures.find(name), path)
    assert kernel.shape == (numbers['features'].shape[1], 1001)
    logits = numbers['features'] @ kernel + bias
    largest = np.abs(numbers['logits']).max()
    np.testing.assert_allclose(logits, numbers['logits'], atol=1e-5 * largest)


def test_of_keras_weights_it_gives_keras_logits():
    shape = {'input_shape': (32, 32, 3), 'alpha': 0.25}
    theirs = keras.applications.MobileNet(
        weights=None, classifier_activation=None, classes=7, **shape
    )
    trunk = keras.applications.MobileNet(
        weights=None, include_top=False, pooling='avg', **shape
    )
    trunk.set_weights(theirs.get_weights()[:-2])
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype('f')
    kernel, bias = models.source_classifier(
        architectures.find('keras:MobileNet'), models.from_application(theirs)
    )
    logits = np.asarray(trunk(images)) @ kernel + bias
    np.testing.assert_allclose(logits, theirs(images), rtol=1e-4, atol=1e-5)


def test_of_own_files_it_gives_the_networks_logits(tmp_path):
    model = trained(models.build(SMALL, 7))
    models.save_weights(model, tmp_path / 'a.weights.h5')
    found = model(pixels(64))
    kernel, bias = models.source_classifier(SMALL, tmp_path / 'a.weights.h5')
    np.testing.assert_allclose(
        np.asarray(found['features']) @ kernel + bias, found['logits'], rtol=1e-4
    )


def test_where_there_is_none_it_is_none():
    assert models.source_classifier(SMALL, None) is None
    hub = architectures.find('hub:vit_base_patch16_224_imagenet')
    assert models.source_classifier(hub, 'hub') is None
    headless = held.Weights('a', {}, {'graph': 'slim', 'scale': None})
    assert models.source_classifier(SMALL, headless) is None
