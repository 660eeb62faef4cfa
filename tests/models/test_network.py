"""What a built network says of itself, and may be changed in."""

import csv
import runpy

import keras
import numpy as np
import pytest

from tests.golden import weights
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


@pytest.mark.parametrize(
    ('name', 'arch'),
    [
        ('mobilenet_v1_0.25', None),
        ('mobilenet_v2_0.35', None),
        ('mobilenet_v1_0.5_8bit', 'mobilenet_v1_0.5'),
        ('mobilenet_v2_0.5_8bit', 'mobilenet_v2_0.5_224'),
        ('mobilenet_v2_1.0', 'mobilenet_v2'),
    ],
)
def test_folded_batch_norm_is_seen_in_real_networks(name, arch, shared, tmp_path):
    with open(shared / 'pretrained' / 'facts.csv') as file:
        (fact,) = (row for row in csv.DictReader(file) if row['name'] == name)
    with np.load(shared / 'pretrained' / f'{name}.npz') as file:
        values = dict(file)
    if fact['layout'] == 'keras':
        make = runpy.run_path(str(shared / 'pretrained' / 'make.py'))
        model = make['keras_model'](fact, values)
    else:
        path = weights.write_checkpoint(tmp_path / 'model.ckpt', values)
        model = models.build(arch, None, path)
    assert models.is_folded(model) == (fact['use'] == 'features')


def test_random_weights_and_networks_without_batch_norm_are_not_folded():
    assert not models.is_folded(models.build(SMALL, 3))
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert not models.is_folded(plain)
