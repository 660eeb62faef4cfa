"""Small SavedModels as users write them."""

import keras
import numpy as np
import tensorflow as tf

from tests.support import model_files
from tests.support.small_networks import trained

SIDE = model_files.SIDE


class Maps(tf.Module):
    """Images of any size -> maps, and their means under another signature."""

    def __init__(self):
        super().__init__()
        rng = tf.random.Generator.from_seed(1)
        self.kernel = tf.Variable(rng.normal([3, 3, 3, 6]))
        self.bias = tf.Variable(rng.normal([6]))

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, 'image')]
    )
    def maps(self, image):
        found = tf.nn.conv2d(image, self.kernel, 2, 'SAME') + self.bias
        return {'maps': tf.nn.relu(found)}

    @tf.function(
        input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.uint8, 'pixels')]
    )
    def of_bytes(self, pixels):
        maps = self.maps(tf.cast(pixels, tf.float32) / 127.5 - 1)['maps']
        return {'pool': tf.reduce_mean(maps, (1, 2)), 'maps': maps}


def classifier(seed=0):
    """A small model of Keras, pooled, with weights of its own."""
    images = keras.Input((SIDE, SIDE, 3))
    x = model_files.body(keras.layers.Rescaling(1 / 127.5, -1)(images))
    x = keras.layers.GlobalAveragePooling2D()(x)
    dense = keras.layers.Dense(4, name='top')
    return trained(keras.Model(images, dense(keras.layers.Dropout(0.2)(x))), seed)


def exported(folder, model=None):
    """A Keras model as model.export writes it: its folder."""
    model = model or classifier()
    model.export(folder, verbose=False)
    return str(folder)


def of_module(folder):
    """Maps with both signatures: its folder."""
    module = Maps()
    signatures = {'serving_default': module.maps, 'bytes': module.of_bytes}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return str(folder)


def of_function(folder, compute, spec=None, **held):
    """One function as the signature, with what it needs: the folder.

    Args:
        compute: images -> features.
        spec: tf.TensorSpec of the images; default: float32 of SIDE pixels.
        **held: what the module has besides, such as variables and tables.
    """
    module = tf.Module()
    for name, value in held.items():
        setattr(module, name, value)
    spec = spec or tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, 'image')
    if isinstance(spec, tf.TensorSpec):
        spec = [spec]
    module.call = tf.function(compute, input_signature=spec)
    tf.saved_model.save(module, str(folder), signatures=module.call)
    return str(folder)


def mobilenet(side=64):
    """A small MobileNet of Keras with moved weights, pooled."""
    images = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(images)
    network = keras.applications.MobileNet(
        (side, side, 3), alpha=0.25, include_top=False, weights=None, pooling='avg'
    )
    model = keras.Model(images, network(x))
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if len(variable.shape) == 1 and variable.dtype == 'float32':
            moved = variable * rng.uniform(0.8, 1.2, variable.shape)
            variable.assign(moved + rng.uniform(0, 0.1, variable.shape))
    return model
