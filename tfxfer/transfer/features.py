"""Features of images, each computed once for a network and a task, cached on disk."""

import collections.abc
import dataclasses
import json
import pathlib
import shutil
import typing
from importlib import metadata

import keras
import numpy as np
import tensorflow as tf

from tfxfer import errors, storage
from tfxfer.data import image_set, pipeline, preprocess
from tfxfer.models import predict
from tfxfer.transfer.resolve import ResolvedRun

CHUNK = 8  # Batches between two marks of what is complete.


class Store:
    """One row of features per image, as far as they have been computed.

    A folder of features.npy [n, d], done.npy bool [n], facts.json and images.npz
    (labels, names, splits). Rows are written before they are marked as done, so that
    one which is done is complete, whenever the process ends.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self.path = pathlib.Path(path)
        self.metadata = json.loads((self.path / 'facts.json').read_text())
        self.rows = np.load(self.path / 'features.npy', mmap_mode='r+')
        self.done = np.load(self.path / 'done.npy', mmap_mode='r+')

    @classmethod
    def create(
        cls,
        path: str | pathlib.Path,
        metadata: dict[str, typing.Any],
        images: image_set.Images,
        width: int,
        dtype: str,
    ) -> typing.Self:
        """An empty store; images: width: features per image."""
        count = len(images.labels)
        with storage.replacing_folder(path) as temporary:
            # Sparse files: what is not computed takes no room.
            for name, shape, kind in (
                ('features', (count, width), dtype),
                ('done', (count,), bool),
            ):
                np.lib.format.open_memmap(
                    temporary / f'{name}.npy', mode='w+', dtype=kind, shape=shape
                )
            names = range(count) if images.keys is None else images.keys
            arrays: dict[str, typing.Any] = {
                'labels': images.labels,
                'names': np.array(names, str),
                **{f'split_{name}': part for name, part in images.splits.items()},
            }
            np.savez_compressed(temporary / 'images.npz', **arrays)
            storage.write_json(temporary / 'facts.json', metadata)
        return cls(path)

    def put(self, index: np.ndarray, rows: np.ndarray) -> None:
        """Caches rows [m, d] of images `index`; they are on disk when it returns."""
        self.rows[index] = rows
        self.rows.flush()
        self.done[index] = True
        self.done.flush()

    def size(self) -> int:
        """Bytes that its files take on the disk."""
        return sum(512 * file.stat().st_blocks for file in self.path.iterdir())


def folder(cache: str | pathlib.Path) -> pathlib.Path:
    """Where a cache has its features."""
    return pathlib.Path(cache) / 'features'


def stores(cache: str | pathlib.Path) -> list[Store]:
    """Every Store of a cache, sorted by network and task."""
    found = [Store(path.parent) for path in folder(cache).glob('[!.]*/done.npy')]
    return sorted(
        found, key=lambda s: (s.metadata['arch']['name'], s.metadata['dataset'])
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Extraction:
    """Features of what, and how: all but the network itself and the indices.

    Attributes:
        images: of the task.
        size: the shorter side of a whole image, and of its central crop, in pixels.
        cache: folder.
        metadata: what else determines the numbers: network, weights, task, versions.
        precision: of the network's products; see predict.
        dtype: float32 or float16, in which the features are cached.
        batch: images per batch; does not change the numbers beyond rounding.
    """

    images: image_set.Images
    size: int
    cache: str | pathlib.Path
    metadata: dict[str, typing.Any]
    precision: str = 'float32'
    dtype: str = 'float32'
    batch: int = 64

    @classmethod
    def of(cls, resolved: ResolvedRun, cache: str | pathlib.Path) -> typing.Self:
        """What a logistic Run takes; cache: folder."""
        run = resolved.run
        versions = {
            name: metadata.version(name) for name in ('tensorflow', 'keras', 'openvino')
        }
        return cls(
            images=resolved.images,
            size=resolved.image_size,
            cache=cache,
            metadata={
                'arch': dataclasses.asdict(resolved.arch),
                'weights': run.weights_digest or run.weights,
                'dataset': run.dataset_digest or run.dataset,
                **versions,
            },
            precision=run.precision,
            dtype=run.feature_dtype,
        )

    def identity(self) -> dict[str, typing.Any]:
        """All that determines the numbers, of which the store's name is a digest."""
        return {
            **self.metadata,
            'size': self.size,
            'crop': 'whole',
            'images': len(self.images.labels),
            'precision': self.precision,
            'dtype': self.dtype,
        }


def extract(
    network: collections.abc.Callable[[], keras.Model],
    extraction: Extraction,
    indices: np.ndarray,
    *,
    devices: tf.distribute.Strategy | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Features of whole images (shorter side to extraction.size) at `indices`.

    What was computed before is read; what is new is cached, every few hundred images.
    Two processes that want the same features do not compute them twice: one waits.

    Args:
        network: called only where features are missing.
        extraction: of what, and how.
        indices: i64 [n].
        devices: default: all of this process.

    Returns:
        (x f32 [n, d], labels i32 [n] or [n, k]).

    Raises:
        errors.InputError: features of images are not finite.
    """
    images, identity = extraction.images, extraction.identity()
    path = folder(extraction.cache) / storage.key_of(identity)
    with storage.locked(path):
        store = Store(path) if path.is_dir() else None
        missing = indices if store is None else indices[~store.done[indices]]
        if len(missing):
            batches = pipeline.evaluation(
                images, missing, extraction.size, preprocess.whole, extraction.batch
            )
            inference = predict.Inference(
                ('features',), extraction.precision, devices, title='Features'
            )
            parts = predict.stream(network(), batches, inference)
            for index, rows in _chunks(parts):
                _check_finite(images, index, rows)
                if store is None:
                    store = Store.create(
                        path, identity, images, rows.shape[1], extraction.dtype
                    )
                store.put(index, rows)
        if store is None:
            raise errors.InputError('There are no images to extract features of.')
        left = np.count_nonzero(~store.done[indices])
        if left:
            raise RuntimeError(f'{left} of {len(indices)} images were not predicted.')
    return store.rows[indices].astype(np.float32), images.labels[indices]


def _chunks(parts):
    """(index, features) of CHUNK batches together."""
    held = []
    for part in parts:
        held.append((part['index'], part['features']))
        if len(held) == CHUNK:
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


def remove(cache: str | pathlib.Path, keys: collections.abc.Iterable[str]) -> None:
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
