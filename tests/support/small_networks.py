"""Small networks, and values that tell them apart."""

import numpy as np
from keras import layers

SMALL = 'mobilenet_v1_0.25'


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


def as_if_trained(model):
    """The model, its batch norms as if it had seen images."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.2, shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, shape))
            layer.beta.assign(rng.normal(0, 0.2, shape))
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 1.5, shape))
    return model


def values(model):
    """Arrays by name, that of dropout's random state without its running number."""
    return {
        variable.path if 'seed_generator' not in variable.path else variable.name: (
            variable.numpy()
        )
        for variable in model.variables
    }
