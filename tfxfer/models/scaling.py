"""Pixels as weights were trained to be fed them: the first layer of a network."""

import keras
import numpy as np
from keras import layers

from tfxfer import errors
from tfxfer.architectures import SCALINGS, Scaling

__all__ = ['SCALINGS', 'scaled']


def scaled(images: keras.KerasTensor, scaling: str | Scaling) -> keras.KerasTensor:
    """Images 0-255 as the weights of a network want them, [b, h, w, 3].

    Args:
        images: RGB.
        scaling: key of SCALINGS, or one that a preset brings.
    """
    if isinstance(scaling, Scaling):
        chosen, name = scaling, 'of_preset'
    else:
        chosen, name = errors.find('scaling', SCALINGS, scaling), scaling
    mean, std = np.array(chosen.mean), np.array(chosen.std)
    if chosen.bgr:
        images = images[..., ::-1]
    return layers.Rescaling(
        (1 / std).tolist(),
        (-mean / std).tolist(),
        name=f'scaling_{name}',
        dtype='float32',  # Half floats do not hold all of 0-255 less a mean.
    )(images)
