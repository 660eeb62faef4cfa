"""What networks were trained to be fed: RGB 0-255, shifted and scaled per channel."""

import dataclasses

import keras
import numpy as np
from keras import layers

from tfxfer import errors


@dataclasses.dataclass(frozen=True)
class Scaling:
    """(x - mean) / std per channel, of x 0-255 in RGB, or in BGR for `bgr`."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


# Weights that get another one than they were trained with give nonsense.
SCALINGS = {
    'inception': Scaling((127.5,) * 3, (127.5,) * 3),
    # TF-Slim's ResNets.
    'vgg': Scaling((123.68, 116.779, 103.939), (1.0,) * 3),
    # Keras' ResNets.
    'caffe': Scaling((103.939, 116.779, 123.68), (1.0,) * 3, bgr=True),
    # Keras' DenseNets, converted from Torch.
    'torch': Scaling((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # The slim-style DenseNets.
    'densenet': Scaling((123.68, 116.78, 103.94), (1 / 0.017,) * 3),
}


def scaled(images: keras.KerasTensor, scaling: str) -> keras.KerasTensor:
    """Images 0-255 as the weights of a network want them, [b, h, w, 3].

    Args:
        images: RGB.
        scaling: key of SCALINGS.
    """
    chosen = errors.find('scaling', SCALINGS, scaling)
    mean, std = np.array(chosen.mean), np.array(chosen.std)
    if chosen.bgr:
        images = images[..., ::-1]
    return layers.Rescaling(
        (1 / std).tolist(),
        (-mean / std).tolist(),
        name=f'scaling_{scaling}',
        dtype='float32',  # Half floats do not hold all of 0-255 less a mean.
    )(images)
