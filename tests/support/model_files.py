"""Small models as users save them."""

import keras
from keras import layers

SIDE = 16


def body(x, width=6):
    """Convolution and batch norm, and a block whose own pool scales its channels."""
    x = layers.Conv2D(width, 3, 2, padding='same', use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation('relu')(x)
    share = layers.GlobalAveragePooling2D(keepdims=True)(x)
    share = layers.Conv2D(width, 1, activation='sigmoid')(share)
    return layers.Multiply()([x, share])


def backbone(side=SIDE, name='backbone'):
    """Images -> maps, as a model of its own."""
    images = keras.Input((side, side, 3))
    return keras.Model(images, body(images), name=name)


def classifier(side=SIDE, classes=4, **initial):
    """What the transfer-learning tutorials build: a frozen model within a model."""
    inner = backbone(side)
    inner.trainable = False
    images = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 127.5, -1)(layers.RandomFlip()(images))
    x = layers.GlobalAveragePooling2D(name='pool')(inner(x, training=False))
    x = layers.Dropout(0.2)(x)
    dense = layers.Dense(classes, activation='softmax', name='top', **initial)
    return keras.Model(images, dense(x))


def saved(model, folder, name='mine'):
    """The path of the file."""
    path = folder / f'{name}.keras'
    model.save(path)
    return str(path)
