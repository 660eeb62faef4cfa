"""A network of two layers in a Keras file, for Runs in processes of their own.

    python -m tests.support.tiny

makes the file anew.
"""

import pathlib

FILE = pathlib.Path(__file__).with_suffix('.keras')
# What --config.arch takes.
ARCH = f'model:{FILE}:scaling=inception'


def write(path: pathlib.Path = FILE) -> None:
    """Saves the network: 32 x 32 pixels -> 8 features -> 10 classes."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    convolution = layers.Conv2D(8, 3, 2, use_bias=False)
    pool = layers.GlobalAveragePooling2D()
    parts = [convolution, layers.BatchNormalization(), layers.ReLU(), pool]
    image = keras.Input((32, 32, 3))
    keras.Sequential([image, *parts, layers.Dense(10)], name='tiny').save(path)


if __name__ == '__main__':
    write()
