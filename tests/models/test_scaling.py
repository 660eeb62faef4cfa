"""What networks are fed, by hand."""

import keras
import numpy as np
import pytest

from tfxfer import models


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
