"""What TensorBoard shows of a Run beside the curves of training."""

import collections.abc
import contextlib
import pathlib

import numpy as np
import tensorflow as tf

from tfxfer import config

COUNT = 16  # Images in a grid.


@contextlib.contextmanager
def writer(folder: pathlib.Path, part: str = '') -> collections.abc.Iterator[None]:
    """Summaries inside go to FOLDER/tb/PART."""
    file = tf.summary.create_file_writer(str(folder / 'tb' / part))
    with file.as_default(), contextlib.closing(file):
        yield


def hparams(folder: pathlib.Path, run: config.Run) -> None:
    """Writes a Run's hyperparameters for the HParams dashboard, to sort and compare by.

    With TensorBoard's --logdir at the folder of a sweep all Runs are in one table.
    """
    from tensorboard.plugins.hparams import api

    fields = config.to_dict(run)
    names = ('arch', 'dataset', 'setting', 'phase', 'seed', 'per_class', 'weights')
    values = {name: fields[name] for name in names if fields[name] is not None}
    with writer(folder):
        api.hparams(values | fields['hparams'], trial_id=run.id)


def scalars(
    folder: pathlib.Path, part: str, step: int, values: dict[str, float]
) -> None:
    """values: {tag: number}; part: train, valid or test."""
    with writer(folder, part):
        for name, value in values.items():
            tf.summary.scalar(name, value, step)


def image_grid(folder: pathlib.Path, name: str, step: int, images: np.ndarray) -> None:
    """Shows images u8 [n, s, s, 3], the first 16, as one."""
    with writer(folder):
        tf.summary.image(name, grid(images[:COUNT])[None], step)


def grid(images: np.ndarray, columns: int = 4) -> np.ndarray:
    """Images [n, h, w, 3] as one, `columns` in a row, black where there are none."""
    n, h, w, c = images.shape
    rows = -(-n // columns)
    whole = np.zeros((rows * columns, h, w, c), images.dtype)
    whole[:n] = images
    parts = whole.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4)
    return parts.reshape(rows * h, columns * w, c)


def captioned_images(
    folder: pathlib.Path,
    name: str,
    step: int,
    images: np.ndarray,
    captions: collections.abc.Sequence[str],
) -> None:
    """Shows images u8 [n, s, s, 3] with a text above each."""
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
        tf.summary.image(name, drawn, step)
