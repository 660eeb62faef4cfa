"""Images cached for training: encoded or decoded, in memory or on disk.

Training reads every image thousands of times. Cached encoded, a slow disk or network is
read once; decoded, JPEG is decoded once, for ten times the bytes. What does not fit
into the bound is read where it was. The numbers do not change.
"""

import dataclasses
import logging
import os
import pathlib
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
import tqdm

from tfxfer import storage
from tfxfer.data import image_set, pipeline
from tfxfer.data.cache_options import CacheOptions


class InMemory:
    """An image_set.Store of a dict of index to bytes."""

    def __init__(self, data: Mapping[int, bytes]) -> None:
        self.data = data

    def read(self, index: int) -> bytes:
        return self.data[int(index)]


def cached(
    images: image_set.Images,
    indices: np.ndarray,
    options: CacheOptions,
    folder: str | os.PathLike,
) -> image_set.Images:
    """Images of which as many of `indices` as fit are cached; says how many.

    Args:
        images: image_set.Images.
        indices: i64 [n].
        options: CacheOptions.
        folder: for place='disk'; what is there already is used again.
    """
    if images.pixels is not None:
        logging.info('The images are in memory, decoded: there is nothing to cache.')
        return images
    if options.place == 'memory':
        data, shapes = {}, np.zeros([len(images.labels), 2], np.int32)
        for index, part, shape in _contents(images, indices, options):
            data[index], shapes[index] = part, shape
        store: image_set.Store = InMemory(data)
        size = sum(map(len, data.values()))
    else:
        store, shapes = _on_disk(images, indices, options, pathlib.Path(folder))
        size = int(store.length.sum())
    logging.info(
        'Cached %d of %d images, %s, in %s: %.2f GiB of at most %g.',
        np.count_nonzero(shapes[indices, 0]),
        len(indices),
        options.form,
        options.place,
        size / 2**30,
        options.gib,
    )
    cache = image_set.Cached(store, shapes, decoded=options.form == 'decoded')
    return dataclasses.replace(images, cached=cache)


def _on_disk(
    images: image_set.Images,
    indices: np.ndarray,
    options: CacheOptions,
    folder: pathlib.Path,
) -> tuple[image_set.Packed, np.ndarray]:
    """The store, made where there is none yet, and the shapes of its images."""
    metadata = {
        'images': images.digest,
        'form': options.form,
        'gib': options.gib,
        'indices': storage.digest(indices),
    }
    path = folder / storage.key_of(metadata)
    with storage.locked(path):
        index = storage.arrays_if_sound(path / 'index.npz')
        if index is None or 'checksums' not in index:  # Of earlier versions.
            with storage.replacing_folder(path) as temporary:
                _pack(images, indices, options, temporary)
                images.refuse_changed(indices)
                storage.write_json(temporary / 'facts.json', metadata)
            index = storage.read_arrays(path / 'index.npz', f'Remove {path}.')
    part = np.zeros(len(index['offset']), np.int32)
    store = image_set.Packed(
        (str(path / 'data'),), part, index['offset'], index['length']
    )
    shapes = index['shapes']
    _leave_out_damaged(store, shapes, index['checksums'], path)
    return store, shapes


def _leave_out_damaged(
    store: image_set.Packed,
    shapes: np.ndarray,
    checksums: np.ndarray,
    path: pathlib.Path,
) -> None:
    """Sets the shapes of images whose bytes do not have their checksum to 0.

    They are read where they were, as those that did not fit.
    """
    damaged = []
    for i in np.flatnonzero(shapes[:, 0]):
        try:
            sound = zlib.crc32(store.read(int(i))) == checksums[i]
        except OSError:  # The file was cut short.
            sound = False
        if not sound:
            damaged.append(i)
    if damaged:
        shapes[damaged] = 0
        logging.warning(
            '%d images in %s are damaged: they are read from their own files. Remove '
            'the folder to cache them again.', len(damaged), path,
        )  # fmt: skip


def _pack(
    images: image_set.Images,
    indices: np.ndarray,
    options: CacheOptions,
    folder: pathlib.Path,
) -> None:
    count = len(images.labels)
    shapes = np.zeros([count, 2], np.int32)
    offset, length, checksums = np.zeros([3, count], np.int64)
    with open(folder / 'data', 'wb') as file:
        for index, part, shape in _contents(images, indices, options):
            offset[index], length[index] = file.tell(), len(part)
            shapes[index], checksums[index] = shape, zlib.crc32(part)
            file.write(part)
    np.savez(
        folder / 'index.npz', shapes=shapes, offset=offset, length=length,
        checksums=checksums,
    )  # fmt: skip


def _contents(
    images: image_set.Images, indices: np.ndarray, options: CacheOptions
) -> Iterator[tuple[int, bytes, tuple[int, int]]]:
    """(index, bytes, (height, width)) of the first of `indices`, up to the bound."""
    read, crop = pipeline.reader(images), pipeline.cropper(images)

    def example(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if options.form == 'encoded':
            return index, read(index)
        return index, crop(index, lambda picture: picture.whole())

    left = options.gib * 2**30
    contents = tf.data.Dataset.from_tensor_slices(indices).map(
        example,
        num_parallel_calls=min(
            len(os.sched_getaffinity(0)), pipeline.at_once(images, indices)
        ),
    )
    with tqdm.tqdm(
        desc='Caching images', total=len(indices), unit='image', leave=False
    ) as bar:
        for index, data in contents.prefetch(1).as_numpy_iterator():
            shape = (1, 1)  # Any but 0: it is there.
            if options.form == 'decoded':
                shape, data = data.shape[:2], data.tobytes()
            left -= len(data)
            if left < 0:
                return
            yield index, data, shape
            bar.update()
