import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer import models
from tfxfer.models import pooling

SHAPES = [
    ((9, 8), 3, 2, 'same'),
    ((9, 8), 3, 2, 'valid'),
    ((7, 7), 3, 1, 'same'),
    ((8, 8), 2, 2, 'same'),
    ((7, 5), 1, 2, 'same'),
    ((8, 9), (2, 3), (1, 3), 'valid'),
]


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16'])
@pytest.mark.parametrize(('sides', 'size', 'strides', 'padding'), SHAPES)
def test_its_gradient_is_tensorflows_own(sides, size, strides, padding, dtype):
    rng = np.random.default_rng(0)
    # Of seven values: nearly every window has its maximum several times.
    x = tf.constant(rng.integers(-3, 4, (2, *sides, 5)), dtype)
    layer = pooling.MaxPooling2D(size, strides, padding, dtype=dtype)
    found = []
    for layer.by_comparison in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            # Small whole numbers, of which any sum is exact.
            weights = np.random.default_rng(1).integers(1, 9, y.shape)
            total = tf.reduce_sum(y * tf.constant(weights, y.dtype))
        found.append((y, tape.gradient(total, x)))
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_array_equal(
            np.array(ours, np.float32), np.array(theirs, np.float32)
        )


def test_its_gradient_holds_no_scatter_in_xla():
    x = tf.ones((1, 8, 8, 2))

    def hlo(layer):
        @tf.function(jit_compile=True, autograph=False)
        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                total = tf.reduce_sum(layer(x) ** 2)
            return tape.gradient(total, x)

        return gradient.experimental_get_compiler_ir(x)(stage='hlo')

    layer = pooling.MaxPooling2D(3, 2, 'same')
    assert 'select-and-scatter(' in hlo(layer)
    layer.by_comparison = True
    assert 'scatter' not in hlo(layer)


@pytest.mark.parametrize('arch', ['resnet_50', 'keras:ResNet50', 'nasnet_mobile'])
@pytest.mark.slow
def test_every_max_pooling_of_a_network_is_this_one(arch):
    model = models.build(arch, 3, options=models.NetworkOptions(image_size=64))
    pools = [v for v in model.layers if isinstance(v, keras.layers.MaxPooling2D)]
    assert pools and {type(layer) for layer in pools} == {pooling.MaxPooling2D}
