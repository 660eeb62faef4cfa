"""Images kept at hand for training: encoded or decoded, in memory or on disk.

Training reads every image thousands of times. Kept encoded, a slow disk or network is
read once; kept decoded, JPEG is decoded once, for ten times the bytes. What does not
fit into the bound is read where it was. The numbers do not change.
"""

import dataclasses
import logging
import os
import pathlib

import numpy as np
import tensorflow as tf
import tqdm

from tfxfer import config, errors, storage
from tfxfer.data import image_set, pipeline


@dataclasses.dataclass(frozen=True)
class Keep:
    """What to keep; gib bounds the bytes."""

    form: str
    where: str = 'memory'
    gib: float = 4.0

    def __post_init__(self):
        errors.find('form of kept images', dict.fromkeys(config.KEPT_FORMS), self.form)
        errors.find(
            'place of kept images', dict.fromkeys(config.KEPT_PLACES), self.where
        )
        if not self.gib > 0:
            raise errors.InputError(
                f'The bound of kept images must be positive; got {self.gib} GiB.'
            )


class InMemory:
    """Like imagesets.Packed, from a dict of index to bytes."""

    def __init__(self, data):
        self.data = data

    def read(self, index):
        return self.data[int(index)]


def keep(images, indices, options, folder):
    """Images of which as many of `indices` as fit are kept; says how many.

    Args:
        images: imagesets.Images.
        indices: i64 [n].
        options: Keep.
        folder: for where='disk'; what is there already is used again.
    """
    if images.pixels is not None:
        logging.info('The images are in memory, decoded: nothing more to keep.')
        return images
    if options.where == 'memory':
        data, shapes = {}, np.zeros([len(images.labels), 2], np.int32)
        for index, part, shape in _taken(images, indices, options):
            data[index], shapes[index] = part, shape
        store, size = InMemory(data), sum(map(len, data.values()))
    else:
        store, shapes = _on_disk(images, indices, options, pathlib.Path(folder))
        size = int(store.length.sum())
    logging.info(
        'Kept %d of %d images, %s, in %s: %.2f GiB of at most %g.',
        np.count_nonzero(shapes[indices, 0]),
        len(indices),
        options.form,
        options.where,
        size / 2**30,
        options.gib,
    )
    kept = image_set.Kept(store, shapes, decoded=options.form == 'decoded')
    return dataclasses.replace(images, kept=kept)


def _on_disk(images, indices, options, folder):
    facts = {
        'images': images.digest,
        'form': options.form,
        'gib': options.gib,
        'indices': storage.digest(indices),
    }
    path = folder / storage.key_of(facts)
    with storage.locked(path):
        if not path.is_dir():
            with storage.replacing_folder(path) as aside:
                _pack(images, indices, options, aside)
                storage.write_json(aside / 'facts.json', facts)
    with np.load(path / 'index.npz') as found:
        shapes, offset, length = (found[k] for k in ('shapes', 'offset', 'length'))
    part = np.zeros(len(offset), np.int32)
    return image_set.Packed((str(path / 'data'),), part, offset, length), shapes


def _pack(images, indices, options, folder):
    count = len(images.labels)
    shapes = np.zeros([count, 2], np.int32)
    offset, length = np.zeros([2, count], np.int64)
    with open(folder / 'data', 'wb') as file:
        for index, part, shape in _taken(images, indices, options):
            offset[index], length[index] = file.tell(), len(part)
            shapes[index] = shape
            file.write(part)
    np.savez(folder / 'index.npz', shapes=shapes, offset=offset, length=length)


def _taken(images, indices, options):
    """(index, bytes, (height, width)) of the first of `indices`, up to the bound."""
    read, cut = pipeline.reader(images), pipeline.cutter(images)

    def example(index):
        if options.form == 'encoded':
            return index, read(index)
        return index, cut(index, lambda picture: picture.whole())

    left = options.gib * 2**30
    parts = tf.data.Dataset.from_tensor_slices(indices).map(
        example, num_parallel_calls=len(os.sched_getaffinity(0))
    )
    with tqdm.tqdm(
        desc='Keeping images', total=len(indices), unit='image', leave=False
    ) as bar:
        for index, data in parts.prefetch(1).as_numpy_iterator():
            shape = (1, 1)  # Any but 0: it is there.
            if options.form == 'decoded':
                shape, data = data.shape[:2], data.tobytes()
            left -= len(data)
            if left < 0:
                return
            yield index, data, shape
            bar.update()
