"""An exported model for phones: model.tflite, and labels.txt with its classes."""

import contextlib
import io
import pathlib
import time
import typing
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfxfer import errors

if typing.TYPE_CHECKING:
    from tfxfer.export.saved_model import Served

MODEL, LABELS = 'model.tflite', 'labels.txt'


def check_classes(classes: Sequence[str]) -> None:
    """Whether labels.txt can hold the names.

    Raises:
        errors.InputError: one is not one line.
    """
    for name in classes:
        if name.splitlines() != [name]:
            raise errors.InputError(
                f'{LABELS} has one class per line, so that --tflite cannot name '
                f'{name!r}.'
            )


def write(folder: pathlib.Path, module: 'Served', classes: Sequence[str]) -> None:
    """Writes both files of a saved_model.Served.

    The model takes one image u8 [1, s, s, 3], cut as its card says, and gives
    probabilities f32 [1, k] in the order of the labels, one per line.
    """
    start = time.monotonic()
    logging.info('Converting to TFLite; large networks take minutes.')
    with contextlib.redirect_stdout(io.StringIO()):  # Keras lists every variable.
        converter = tf.lite.TFLiteConverter.from_keras_model(of_cut_images(module))
        content = converter.convert()
    (folder / MODEL).write_bytes(content)
    (folder / LABELS).write_text('\n'.join([*classes, '']), encoding='utf-8')
    logging.info(
        'Converted in %.0f s: %.1f MB.',
        time.monotonic() - start,
        len(content) / 1e6,
    )


def probabilities(
    folder: pathlib.Path, images: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Yields what model.tflite gives for each image u8 [1, s, s, 3]: f32 [1, k]."""
    interpreter = _library().Interpreter(model_path=str(folder / MODEL))
    predict = interpreter.get_signature_runner('serving_default')
    for image in images:
        yield predict(image=image)['probabilities']


def metadata(size: int, classes: Sequence[str]) -> dict[str, typing.Any]:
    """What a model card says of it."""
    return {
        'file': MODEL,
        'labels': LABELS,
        'inputs': {'image': ['uint8', [1, size, size, 3]]},
        'outputs': {'probabilities': ['float32', [1, len(classes)]]},
    }


def of_cut_images(module: 'Served') -> keras.Model:
    """A Served as a keras.Model of one image: conversion of the module gives NaN."""
    size, network = module.size, module.network
    images = keras.Input((size, size, 3), batch_size=1, dtype='uint8', name='image')
    outputs = network(keras.ops.cast(images, 'float32'))
    logits = outputs['logits']
    if module.classifier is not None:
        w = module.classifier.numpy()
        dense = keras.layers.Dense(w.shape[1], name='classifier')
        logits = dense(outputs['features'])
        dense.set_weights([w[:-1], w[-1]])
    activation = 'sigmoid' if module.multi_label else 'softmax'
    probabilities = keras.layers.Activation(activation)(logits)
    return keras.Model(images, {'probabilities': probabilities})


def _library() -> typing.Any:
    """The library of TFLite's interpreter: that of its own package, if it is there."""
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        return tf.lite
    return interpreter
