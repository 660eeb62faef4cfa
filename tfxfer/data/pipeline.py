"""Images of a split as tf.data batches {image, label, index}.

image u8 [b, s, s, 3], label i32 [b] or [b, k], index i64 [b] (in the dataset).
"""

import dataclasses
import functools
import os
import typing
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfxfer.data import image_files, image_set, preprocess

DECODED_BYTES = 12  # Per pixel, of an image while it is cut: whole, part, turned.

# (index, crop) -> crop(picture of that index).
Cropper = Callable[[tf.Tensor, preprocess.Crop], tf.Tensor]


def evaluation(
    images: image_set.Images,
    indices: np.ndarray,
    size: int,
    crop: Callable[..., tf.Tensor],
    batch: int,
    dtype: tf.DType = tf.uint8,
) -> tf.data.Dataset:
    """Every image of `indices` once, in order; all batches of one shape.

    The last batch is filled up with index -1 (and a black image), so that replicas get
    equal shares and one graph serves; predict.py drops these.

    Args:
        images: image_set.Images.
        indices: i64 [n].
        size: side in pixels.
        crop: one of preprocess.CROPS.
        batch: images per batch.
        dtype: of the images that `crop` gives.
    """
    crop_of, labels = cropper(images), tf.constant(images.labels)
    missing = -len(indices) % batch
    padded = np.concatenate([indices, np.full(missing, -1)]).astype(np.int64)

    def example(index: tf.Tensor) -> dict[str, tf.Tensor]:
        real = tf.maximum(index, 0)
        image = tf.cond(
            index < 0,
            lambda: tf.zeros([size, size, 3], dtype),
            lambda: crop_of(real, functools.partial(crop, size=size)),
        )
        return {'image': image, 'label': tf.gather(labels, real), 'index': index}

    elements = tf.data.Dataset.from_tensor_slices(padded)
    return _batches(elements, example, batch, at_once(images, indices))


@dataclasses.dataclass(frozen=True)
class TrainingStream:
    """What the batches of a training are made of, beside the images.

    Attributes:
        size: side in pixels.
        batch: images per batch, of all workers together.
        seed: of order and augmentation.
        min_area: smallest share of the image that is drawn for a crop.
        flip: mirror half of the images.
    """

    size: int
    batch: int
    seed: int
    min_area: float
    flip: bool


@dataclasses.dataclass(frozen=True)
class Shard:
    """One worker's part of every batch; the whole is the same for any number of them.

    Attributes:
        worker: its number, from 0.
        workers: how many there are.
        parts: how many elements its part comes in, one per device.
    """

    worker: int = 0
    workers: int = 1
    parts: int = 1


def training(
    images: image_set.Images,
    indices: np.ndarray,
    stream: TrainingStream,
    *,
    start: int = 0,
    shard: Shard | None = None,
) -> tf.data.Dataset:
    """Endless augmented batches; batch s is a function of (seed, s) alone.

    Each epoch is its own permutation, and a batch may cross from one to the next.

    Args:
        images: image_set.Images.
        indices: i64 [n] of the images to train on.
        stream: TrainingStream.
        start: number of the first batch, to go on where a Run was.
        shard: Shard; None: all of it, for one worker with one device.

    Raises:
        ValueError: the batch does not divide by the number of workers and parts.
    """
    shard = shard or Shard()
    if stream.batch % (shard.workers * shard.parts):
        raise ValueError(
            f'A batch of {stream.batch} does not divide by {shard.workers} workers x '
            f'{shard.parts} parts.'
        )
    share = stream.batch // shard.workers
    crop, labels = cropper(images), tf.constant(images.labels)
    count, parallel = len(indices), at_once(images, indices)
    indices = tf.constant(indices, tf.int64)
    seed = tf.constant(stream.seed, tf.int64)

    def example(number: tf.Tensor) -> dict[str, tf.Tensor]:
        position = number // share * stream.batch + shard.worker * share
        position += number % share
        place = tf.random.experimental.index_shuffle(
            position % count,
            seed=tf.stack([seed, position // count]),  # Each epoch has its own.
            max_index=tf.constant(count - 1, tf.int64),
        )
        index = indices[place]
        augmented = functools.partial(
            preprocess.augmented,
            size=stream.size,
            # Of position and Run, so that an image's next crop is another one.
            seed=tf.stack([seed, 2 * position]),
            min_area=stream.min_area,
            flip=stream.flip,
        )
        return {
            'image': crop(index, augmented),
            'label': tf.gather(labels, index),
            'index': index,
        }

    numbers = tf.data.Dataset.range(start * share, np.iinfo(np.int64).max)
    return _batches(numbers, example, share // shard.parts, parallel)


def at_once(images: image_set.Images, indices: np.ndarray) -> int:
    """How many images are made side by side: four per core, as far as memory goes.

    So few that even the largest of them fit, all at the same time.
    """
    most = 4 * len(os.sched_getaffinity(0))
    if images.pixels_of is None or not len(indices):
        return most
    largest = np.sort(images.pixels_of[indices])[::-1][:most]
    fit = np.cumsum(largest) * DECODED_BYTES <= image_files.decoding_bytes()
    return most if fit.all() else max(1, int(np.count_nonzero(fit)))


def _batches(
    elements: tf.data.Dataset,
    example: Callable[..., typing.Any],
    batch: int,
    parallel: int,
) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # Nothing is left to it, and it ends late.
    # Images are made side by side, each on one core.
    options.threading.max_intra_op_parallelism = 1
    return (
        elements.map(
            tf.autograph.experimental.do_not_convert(example),
            num_parallel_calls=parallel,
        )
        .batch(batch, drop_remainder=True)
        .prefetch(2)
        .with_options(options)
    )


def reader(images: image_set.Images) -> Callable[[tf.Tensor], tf.Tensor]:
    """index -> the bytes of the image's file, in a graph."""
    if images.paths is not None:
        paths = tf.constant(images.paths)
        return lambda index: tf.io.read_file(paths[index])
    assert images.packed is not None  # As Images says: one of the three.
    return functools.partial(_stored, images.packed)


def _stored(store: image_set.Store, index: tf.Tensor) -> tf.Tensor:
    data = tf.numpy_function(store.read, [index], tf.string, stateful=False)
    return tf.ensure_shape(data, [])


def cropper(images: image_set.Images) -> Cropper:
    """(index, crop) -> crop(the picture), wherever it is: memory, cache or file."""
    if images.pixels is not None:
        pixels = tf.constant(images.pixels)
        return lambda index, crop: crop(preprocess.Decoded(pixels[index]))
    from_file, cached = _from_file(images), images.cached
    if cached is None:
        return from_file
    shapes = tf.constant(cached.shapes)
    from_cache = _from_cache(images, cached)
    return lambda index, crop: tf.cond(
        shapes[index, 0] > 0,
        lambda: from_cache(index, crop),
        lambda: from_file(index, crop),
    )


def _from_file(images: image_set.Images) -> Cropper:
    read, orientation = reader(images), _orientation(images)
    return lambda index, crop: preprocess.cut(read(index), crop, orientation(index))


def _from_cache(images: image_set.Images, cached: image_set.Cached) -> Cropper:
    """Of images in the cache only."""
    shapes, orientation = tf.constant(cached.shapes), _orientation(images)

    def encoded(index: tf.Tensor, crop: preprocess.Crop) -> tf.Tensor:
        data = _stored(cached.store, index)
        return preprocess.cut(data, crop, orientation(index))

    def decoded(index: tf.Tensor, crop: preprocess.Crop) -> tf.Tensor:
        data = _stored(cached.store, index)
        shape = tf.concat([shapes[index], [3]], 0)
        image = tf.reshape(tf.io.decode_raw(data, tf.uint8), shape)
        return crop(preprocess.Decoded(image))

    return decoded if cached.decoded else encoded


def _orientation(images: image_set.Images) -> Callable[[tf.Tensor], tf.Tensor | None]:
    """index -> EXIF's orientation; None where all images are upright."""
    if images.orientations is None or (images.orientations == 1).all():
        return lambda index: None
    orientations = tf.constant(images.orientations)
    return lambda index: orientations[index]
