"""Features of images, each computed once for a network and a task, kept on disk."""

import json
import pathlib
import shutil

import numpy as np

from tfxfer import errors, storage
from tfxfer.data import pipeline, preprocess
from tfxfer.models import predict

_CHUNK = 8  # Batches between two notes of what is complete.


class Store:
    """One row of features an image, as far as they have been computed.

    A folder of features.npy [n, d], done.npy bool [n], facts.json and images.npz
    (labels, names, splits). Rows are written before they are marked as done, so that
    one which is done is complete, whenever the process ends.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.facts = json.loads((self.path / 'facts.json').read_text())
        self.rows = np.load(self.path / 'features.npy', mmap_mode='r+')
        self.done = np.load(self.path / 'done.npy', mmap_mode='r+')

    @classmethod
    def create(cls, path, facts, images, width, dtype):
        """An empty store; images: imagesets.Images, width: features an image."""
        count = len(images.labels)
        with storage.replacing_folder(path) as aside:
            # Sparse files: what is not computed takes no room.
            for name, shape, kind in (
                ('features', (count, width), dtype),
                ('done', (count,), bool),
            ):
                np.lib.format.open_memmap(
                    aside / f'{name}.npy', mode='w+', dtype=kind, shape=shape
                )
            names = range(count) if images.keys is None else images.keys
            np.savez_compressed(
                aside / 'images.npz',
                labels=images.labels,
                names=np.array(names, str),
                **{f'split_{name}': part for name, part in images.splits.items()},
            )
            storage.write_json(aside / 'facts.json', facts)
        return cls(path)

    def put(self, index, rows):
        """Keeps rows [m, d] of the images `index`; they are on disk when it returns."""
        self.rows[index] = rows
        self.rows.flush()
        self.done[index] = True
        self.done.flush()

    def size(self):
        """Bytes that its files take on the disk."""
        return sum(512 * file.stat().st_blocks for file in self.path.iterdir())


def folder(cache):
    return pathlib.Path(cache) / 'features'


def stores(cache):
    """Every Store of a cache, sorted by network and task."""
    found = [Store(path.parent) for path in folder(cache).glob('[!.]*/done.npy')]
    return sorted(found, key=lambda s: (s.facts['arch']['name'], s.facts['dataset']))


def extract(
    model, images, indices, size, batch, *, cache, facts, devices=None,
    precision='float32', dtype='float32',
):  # fmt: skip
    """Features of `images` at `indices` (whole images, shorter side to `size`).

    What was computed before is read; what is new is kept, every few hundred images. Two
    processes that want the same features do not compute them twice: one waits.

    Args:
        model: a function that returns the keras.Model, called only where features are
            missing.
        images: imagesets.Images.
        indices: i64 [n].
        size: side in pixels.
        batch: images a batch; does not change the numbers beyond rounding.
        cache: folder.
        facts: what else determines the numbers: network, weights, task, versions.
        devices: tf.distribute.Strategy.
        precision: of the network's products; see predict.
        dtype: float32 or float16, in which the features are kept.

    Returns:
        (x f32 [n, d], labels i32 [n] or [n, k]).

    Raises:
        errors.InputError: features of images are not finite.
    """
    facts = {
        **facts, 'size': size, 'crop': 'whole', 'images': len(images.labels),
        'precision': precision, 'dtype': dtype,
    }  # fmt: skip
    path = folder(cache) / storage.key_of(facts)
    with storage.locked(path):
        store = Store(path) if path.is_dir() else None
        missing = indices if store is None else indices[~store.done[indices]]
        if len(missing):
            batches = pipeline.evaluation(
                images, missing, size, preprocess.whole, batch
            )
            parts = predict.stream(
                model(), batches, devices=devices, precision=precision,
                outputs=('features',), show='Features',
            )  # fmt: skip
            for index, rows in _chunks(parts):
                _check_finite(images, index, rows)
                if store is None:
                    store = Store.create(path, facts, images, rows.shape[1], dtype)
                store.put(index, rows)
        left = np.count_nonzero(~store.done[indices])
        if left:
            raise RuntimeError(f'{left} of {len(indices)} images were not predicted.')
    return store.rows[indices].astype(np.float32), images.labels[indices]


def _chunks(parts):
    """(index, features) of _CHUNK batches together."""
    held = []
    for part in parts:
        held.append((part['index'], part['features']))
        if len(held) == _CHUNK:
            yield tuple(map(np.concatenate, zip(*held, strict=True)))
            held = []
    if held:
        yield tuple(map(np.concatenate, zip(*held, strict=True)))


def _check_finite(images, index, rows):
    bad = index[~np.isfinite(rows).all(axis=1)]
    if len(bad):
        names = [images.keys[i] if images.keys else f'number {i}' for i in bad[:5]]
        raise errors.InputError(
            f'The features of {len(bad)} images are not finite: {", ".join(names)}. '
            'Are the weights right?'
        )


def remove(cache, keys):
    """Removes stores by key (the folder's name).

    Raises:
        errors.InputError: no such key.
    """
    known = {store.path.name: store.path for store in stores(cache)}
    for key in keys:
        errors.find('stored features', known, key)
    for key in keys:
        with storage.locked(known[key]):
            shutil.rmtree(known[key])
