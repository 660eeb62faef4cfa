"""What TensorBoard shows of a Run beside the curves of training."""

import contextlib
import pathlib

import numpy as np
import tensorflow as tf
from scipy import special

from tfxfer import config

COUNT = 16  # Pictures in a grid.


@contextlib.contextmanager
def writer(folder, part=''):
    """Summaries inside go to FOLDER/tb/PART."""
    file = tf.summary.create_file_writer(str(pathlib.Path(folder) / 'tb' / part))
    with file.as_default(), contextlib.closing(file):
        yield


def hparams(folder, run):
    """Notes a Run's hyperparameters for the HParams dashboard, to sort and compare by.

    With TensorBoard's --logdir at the folder of a sweep all Runs are in one table.
    """
    from tensorboard.plugins.hparams import api

    fields = config.to_dict(run)
    names = ('arch', 'dataset', 'setting', 'phase', 'seed', 'per_class', 'weights')
    values = {name: fields[name] for name in names if fields[name] is not None}
    with writer(folder):
        api.hparams(values | fields['hparams'], trial_id=run.id)


def scalars(folder, part, step, values):
    """values: {tag: number}; part: train, valid or test."""
    with writer(folder, part):
        for name, value in values.items():
            tf.summary.scalar(name, value, step)


def pictures(folder, name, step, images):
    """Shows images u8 [n, s, s, 3], the first 16, as one."""
    with writer(folder):
        tf.summary.image(name, grid(images[:COUNT])[None], step)


def grid(images, columns=4):
    """Images [n, h, w, 3] as one, `columns` in a row, black where there are none."""
    n, h, w, c = images.shape
    rows = -(-n // columns)
    whole = np.zeros((rows * columns, h, w, c), images.dtype)
    whole[:n] = images
    parts = whole.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4)
    return parts.reshape(rows * h, columns * w, c)


def worst(labels, logits, count=COUNT):
    """The most confident mistakes: (rows, predicted classes, their probabilities).

    labels i32 [n]: the most probable class is another one. labels [n, k] of 1, 0, -1: a
    class that is absent is thought present, its probability above 1/2.
    """
    if labels.ndim == 1:
        p = special.softmax(logits, axis=1)
        wrong = p.argmax(axis=1) != labels
    else:
        p = np.where(labels == 0, special.expit(logits), 0)
        wrong = p.max(axis=1) > 0.5
    rows = np.flatnonzero(wrong)
    rows = rows[np.argsort(-p[rows].max(axis=1), kind='stable')][:count]
    said = p[rows].argmax(axis=1)
    return rows, said, p[rows, said]


def mistakes(folder, step, images, captions):
    """Shows images u8 [n, s, s, 3] with a line of text above each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns, rows = 4, -(-len(images) // 4)
    figure = Figure((11, 2.9 * rows), layout='constrained')
    canvas = FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes:
        axis.axis('off')
    for axis, image, caption in zip(axes, images, captions, strict=False):
        axis.imshow(image)
        # Class names are no mathematics: $ stays $.
        axis.set_title(caption, fontsize=9, parse_math=False)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[None, ..., :3]
    with writer(folder):
        tf.summary.image('most_confident_mistakes', drawn, step)
