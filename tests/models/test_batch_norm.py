import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfxfer import models
from tfxfer.models import batch_norm


@pytest.mark.parametrize('options', [{}, {'scale': False}, {'epsilon': 1e-5}])
@pytest.mark.parametrize('policy', ['float32', 'mixed_bfloat16', 'mixed_float16'])
def test_batch_norm_trains_as_keras_own(options, policy):
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (8, 5, 4, 6)).astype(np.float32)
    found = []
    for kind in (layers.BatchNormalization, batch_norm.BatchNormalization):
        with models.dtype_policy(policy):
            layer = kind(momentum=0.8, **options)
        layer.build(x.shape)
        for variable in layer.trainable_variables:
            variable.assign(np.linspace(0.5, 1.5, 6))
        given = tf.constant(x, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(given)
            y = layer(given, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        gradients = tape.gradient(loss, [given, *layer.trainable_variables])
        quiet = layer(given, training=False)
        assert y.dtype == layer.compute_dtype
        found.append([y, *gradients, *layer.variables, quiet])
    tolerance = 1e-4 if policy == 'float32' else 2e-2
    for theirs, ours in zip(*found, strict=True):
        theirs, ours = (np.array(a, np.float32) for a in (theirs, ours))
        np.testing.assert_allclose(ours, theirs, atol=tolerance * np.abs(theirs).max())
    assert np.abs(found[0][-2] - 1).max() > 0.1  # The variance has moved.


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_statistics_of_half_precision_are_of_float32(dtype):
    # 100 and its neighbours are half apart in bfloat16: squares would cancel.
    x = np.random.default_rng(0).normal(100, 1, (16, 8, 8, 3)).astype(dtype)
    with models.dtype_policy(f'mixed_{dtype}'):
        layer = batch_norm.BatchNormalization(momentum=0.0)
    y = layer(tf.constant(x), training=True)
    exact = np.asarray(x, np.float64)
    mean, variance = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-4)
    normed = (exact - mean) / np.sqrt(variance + layer.epsilon)
    np.testing.assert_allclose(np.asarray(y, np.float64), normed, atol=2e-2)


def test_every_batch_norm_of_a_network_is_the_fast_one():
    for arch in ('mobilenet_v1_0.25', 'mobilenet_v2_0.35'):
        model = models.build(arch, 3, options=models.NetworkOptions(image_size=32))
        norms = [v for v in model.layers if isinstance(v, layers.BatchNormalization)]
        assert norms
        assert {type(layer) for layer in norms} == {batch_norm.BatchNormalization}
