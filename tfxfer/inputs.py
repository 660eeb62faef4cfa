"""Images of a split as tf.data batches {image, label, index}.

image f32 [b, s, s, 3], label i32 [b] or [b, k], index i64 [b] (in the dataset).
"""

import functools

import numpy as np
import tensorflow as tf

from tfxfer import preprocess


def evaluation(images, indices, size, crop, batch):
    """Every image of `indices` once, in order; all batches of one shape.

    The last batch is filled up with index -1 (and a black image), so that replicas get
    equal shares and one graph serves; predict.py drops these.

    Args:
        images: sources.Images.
        indices: i64 [n].
        size: side in pixels.
        crop: preprocess.whole or preprocess.central.
        batch: images a batch.
    """
    load = _loader(images)
    labels = tf.constant(images.labels)
    missing = -len(indices) % batch
    padded = np.concatenate([indices, np.full(missing, -1)]).astype(np.int64)

    def example(index):
        real = tf.maximum(index, 0)
        image = tf.cond(
            index < 0,
            lambda: tf.zeros([size, size, 3]),
            lambda: crop(load(real), size),
        )
        return {'image': image, 'label': tf.gather(labels, real), 'index': index}

    return _batches(tf.data.Dataset.from_tensor_slices(padded), example, batch)


def training(images, indices, size, batch, *, seed, start=0, min_area, flip):
    """Endless augmented batches; batch s is a function of (seed, s) alone.

    Each epoch is its own permutation, and a batch may cross from one to the next.

    Args:
        images: sources.Images.
        indices: i64 [n] to draw from.
        size: side in pixels.
        batch: images a batch.
        seed: of order and augmentation.
        start: number of the first batch, to go on where a Run was.
        min_area: smallest share of the image in a crop.
        flip: mirror half of the images.
    """
    load = _loader(images)
    labels = tf.constant(images.labels)
    count = len(indices)
    indices = tf.constant(indices, tf.int64)

    def example(position):
        epoch = position // count
        where = tf.random.experimental.index_shuffle(
            position % count,
            seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
            max_index=tf.constant(count - 1, tf.int64),
        )
        index = indices[where]
        # Position and run make the seed, so that an image's next crop is another one.
        crop_seed = tf.stack([tf.constant(seed, tf.int64), 2 * position])
        image = preprocess.augmented(
            load(index), size, crop_seed, min_area=min_area, flip=flip
        )
        return {'image': image, 'label': tf.gather(labels, index), 'index': index}

    positions = tf.data.Dataset.range(start * batch, np.iinfo(np.int64).max)
    return _batches(positions, example, batch)


def _batches(elements, example, batch):
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.ram_budget = 2**31
    return (
        elements.map(example, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(options)
    )


def _loader(images):
    """index -> u8 [h, w, 3]."""
    if images.pixels is not None:
        return functools.partial(tf.gather, tf.constant(images.pixels))
    paths = tf.constant(images.paths)
    return lambda index: decoded(tf.io.read_file(paths[index]))


def decoded(data):
    """JPEG, PNG, BMP or GIF (first frame) bytes -> u8 [h, w, 3]."""
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])
