"""Images of a split as tf.data batches {image, label, index}.

image u8 [b, s, s, 3], label i32 [b] or [b, k], index i64 [b] (in the dataset).
"""

import functools
import os

import numpy as np
import tensorflow as tf

from tfxfer.data import preprocess


def evaluation(images, indices, size, crop, batch, dtype=tf.uint8):
    """Every image of `indices` once, in order; all batches of one shape.

    The last batch is filled up with index -1 (and a black image), so that replicas get
    equal shares and one graph serves; predict.py drops these.

    Args:
        images: imagesets.Images.
        indices: i64 [n].
        size: side in pixels.
        crop: one of preprocess.CROPS.
        batch: images a batch.
        dtype: of the images that `crop` gives.
    """
    cut = cutter(images)
    labels = tf.constant(images.labels)
    missing = -len(indices) % batch
    padded = np.concatenate([indices, np.full(missing, -1)]).astype(np.int64)

    def example(index):
        real = tf.maximum(index, 0)
        image = tf.cond(
            index < 0,
            lambda: tf.zeros([size, size, 3], dtype),
            lambda: cut(real, functools.partial(crop, size=size)),
        )
        return {'image': image, 'label': tf.gather(labels, real), 'index': index}

    return _batches(tf.data.Dataset.from_tensor_slices(padded), example, batch)


def training(
    images, indices, size, batch, *, seed, start=0, min_area, flip, share=(0, 1),
    parts=1,
):  # fmt: skip
    """Endless augmented batches; batch s is a function of (seed, s) alone.

    Each epoch is its own permutation, and a batch may cross from one to the next.

    Args:
        images: imagesets.Images.
        indices: i64 [n] to draw from.
        size: side in pixels.
        batch: images a batch, of all workers together.
        seed: of order and augmentation.
        start: number of the first batch, to go on where a Run was.
        min_area: smallest share of the image in a crop.
        flip: mirror half of the images.
        share: (worker, workers): gives this worker's part of every batch, the whole
            batch being the same for any number of workers.
        parts: how many elements this worker's part comes in, one a device.

    Raises:
        ValueError: the batch does not divide by the number of workers and parts.
    """
    worker, workers = share
    if batch % (workers * parts):
        raise ValueError(
            f'A batch of {batch} does not divide by {workers} workers x {parts} parts.'
        )
    own = batch // workers
    cut = cutter(images)
    labels = tf.constant(images.labels)
    count = len(indices)
    indices = tf.constant(indices, tf.int64)

    def example(number):
        position = number // own * batch + worker * own + number % own
        epoch = position // count
        where = tf.random.experimental.index_shuffle(
            position % count,
            seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
            max_index=tf.constant(count - 1, tf.int64),
        )
        index = indices[where]
        # Position and run make the seed, so that an image's next crop is another one.
        crop_seed = tf.stack([tf.constant(seed, tf.int64), 2 * position])
        crop = functools.partial(
            preprocess.augmented,
            size=size, seed=crop_seed, min_area=min_area, flip=flip,
        )  # fmt: skip
        return {
            'image': cut(index, crop),
            'label': tf.gather(labels, index),
            'index': index,
        }

    numbers = tf.data.Dataset.range(start * own, np.iinfo(np.int64).max)
    return _batches(numbers, example, own // parts)


def _batches(elements, example, batch):
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # Nothing is left to it, and it ends late.
    # Images are made side by side, each on one core.
    options.threading.max_intra_op_parallelism = 1
    return (
        elements.map(example, num_parallel_calls=4 * len(os.sched_getaffinity(0)))
        .batch(batch, drop_remainder=True)
        .prefetch(2)
        .with_options(options)
    )


def reader(images):
    """index -> the bytes of the image's file, in a graph."""
    if images.paths is not None:
        paths = tf.constant(images.paths)
        return lambda index: tf.io.read_file(paths[index])
    return functools.partial(_stored, images.packed)


def _stored(store, index):
    data = tf.numpy_function(store.read, [index], tf.string, stateful=False)
    return tf.ensure_shape(data, [])


def cutter(images):
    """(index, crop) -> crop(the picture), whichever way the images are kept."""
    if images.pixels is not None:
        pixels = tf.constant(images.pixels)
        return lambda index, crop: crop(preprocess.Decoded(pixels[index]))
    read, kept = reader(images), images.kept
    orientations = None
    if images.orientations is not None and (images.orientations != 1).any():
        orientations = tf.constant(images.orientations)

    def encoded(data, index, crop):
        turn = None if orientations is None else orientations[index]
        return preprocess.cut(data, crop, turn)

    if kept is None:
        return lambda index, crop: encoded(read(index), index, crop)
    shapes = tf.constant(kept.shapes)

    def held(index, crop):
        data = _stored(kept.store, index)
        if not kept.decoded:
            return encoded(data, index, crop)
        shape = tf.concat([shapes[index], [3]], 0)
        image = tf.reshape(tf.io.decode_raw(data, tf.uint8), shape)
        return crop(preprocess.Decoded(image))

    return lambda index, crop: tf.cond(
        shapes[index, 0] > 0,
        lambda: held(index, crop),
        lambda: encoded(read(index), index, crop),
    )
