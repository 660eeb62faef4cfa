"""What a built network says of itself, and may be changed in."""

import keras
import numpy as np
import pytest

from tests.support.small_networks import SMALL, pixels
from tfxfer import architectures, models


def test_batch_norm_momentum_is_the_share_kept_at_a_step():
    model = models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    models.set_batch_norm_momentum(model, 0.75)
    norm = model.get_layer('conv1_bn')
    inputs = keras.Model(model.input, norm.input)
    mean = np.mean(inputs(pixels()), (0, 1, 2))
    model(pixels(), training=True)
    np.testing.assert_allclose(norm.moving_mean, 0.25 * mean, rtol=1e-4, atol=1e-5)


def test_a_network_says_what_was_built_and_is_not_told_otherwise():
    model = models.build('mobilenet_v1', 3, options=models.NetworkOptions(64))
    assert model.architecture is architectures.ARCHITECTURES['mobilenet_v1']
    assert (model.graph, model.classes) == ('slim', 3)
    with pytest.raises(AttributeError):
        model.graph = 'keras'
