"""Small networks, and values that tell them apart."""

import numpy as np

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


def values(model):
    """Arrays by name, that of dropout's random state without its running number."""
    return {
        variable.path if 'seed_generator' not in variable.path else variable.name: (
            variable.numpy()
        )
        for variable in model.variables
    }
