"""Features of images, each computed once for a network and a task, cached on disk."""

import collections.abc
import dataclasses
import errno
import pathlib
import shutil
import time
import typing
from importlib import metadata

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfxfer import architectures, config, errors, storage
from tfxfer.data import image_files, image_set, pipeline, preprocess, splits
from tfxfer.models import openvino, predict
from tfxfer.transfer.feature_store import Store
from tfxfer.transfer.resolve import ResolvedRun

CALIBRATION = 128  # Images by which a network is quantised, see models/int8.py.
CHUNK = 8  # Batches between two marks of what is complete.
_TRIES = 3  # Readings of features, those that are damaged made anew in between.


def folder(cache: str | pathlib.Path) -> pathlib.Path:
    """Where a cache has its features."""
    return pathlib.Path(cache) / 'features'


def stores(cache: str | pathlib.Path) -> list[Store]:
    """Every Store of a cache, sorted by network and task; says what is none."""
    found = []
    for path in _folders(cache):
        try:
            found.append(Store(path))
        except (errors.InputError, FileNotFoundError) as error:
            logging.warning('Features %s are not used: %s', path.name, error)
    return sorted(
        found, key=lambda s: (s.metadata['arch']['name'], s.metadata['dataset'])
    )


def _folders(cache: str | pathlib.Path) -> list[pathlib.Path]:
    return [path for path in folder(cache).glob('[!.]*') if path.is_dir()]


@dataclasses.dataclass(frozen=True, eq=False)
class Extraction:
    """Features of what, and how: all but the network itself and the indices.

    Attributes:
        images: of the task.
        size: the shorter side of a whole image, and of its central crop, in pixels.
        cache: folder.
        metadata: what else determines the numbers: network, weights, task, versions.
        precision: of the network's products, one of config.PRECISIONS.
        dtype: float32 or float16, in which the features are cached.
        calibration: i64 [m], images by which a network is quantised; None: it is not.
        batch: images per batch; does not change the numbers beyond rounding. None:
            what is fastest here.
    """

    images: image_set.Images
    size: int
    cache: str | pathlib.Path
    metadata: dict[str, typing.Any]
    precision: str = 'float32'
    dtype: str = 'float32'
    calibration: np.ndarray | None = None
    batch: int | None = None

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
                **_device(run.precision),
                **_quantisation(run.precision),
                'arch': architectures.described(resolved.arch),
                'weights': run.weights_digest or run.weights,
                'dataset': run.dataset_digest or run.dataset,
                **versions,
            },
            precision=run.precision,
            dtype=run.feature_dtype,
            calibration=calibration(resolved.images, run.seed)
            if run.precision == 'int8'
            else None,
        )

    def identity(self) -> dict[str, typing.Any]:
        """All that determines the numbers, of which the store's name is a digest."""
        quantised = {}
        if self.calibration is not None:
            quantised['calibration'] = storage.digest(self.calibration)
        return {
            **self.metadata,
            **quantised,
            'size': self.size,
            'crop': 'whole',
            # What makes pixels of files, besides the libraries.
            'preprocessing': [preprocess.VERSION, image_files.VERSION],
            'images': len(self.images.labels),
            'precision': self.precision,
            'dtype': self.dtype,
        }


def calibration(images: image_set.Images, seed: int) -> np.ndarray:
    """Images of train by which a Run's network is quantised: sorted i64 indices.

    CALIBRATION of them, or all where there are fewer, in the order of a hash of seed
    and name.
    """
    train = images.splits['train']
    keys = train if images.keys is None else [images.keys[i] for i in train]
    (order,) = splits.order(np.zeros(len(train), int), seed, keys).values()
    return np.sort(train[order[:CALIBRATION]])


def extract(
    network: collections.abc.Callable[[], keras.Model],
    extraction: Extraction,
    indices: np.ndarray,
    *,
    devices: tf.distribute.Strategy | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Features of whole images (shorter side to extraction.size) at `indices`.

    What was computed before is read; what is new is cached, every few hundred images.
    What was damaged on the disk meanwhile is noticed and computed anew. Two processes
    that want the same features do not compute them twice: one waits.

    Args:
        network: called only where features are missing.
        extraction: of what, and how.
        indices: i64 [n].
        devices: default: all of this process.

    Returns:
        (x f32 [n, d], labels i32 [n] or [n, k]).

    Raises:
        errors.InputError: features of images are not finite.
        OSError: the disk is full, or does not keep what is written.
    """
    identity = extraction.identity()
    path = folder(extraction.cache) / storage.key_of(identity)
    for _ in range(_TRIES):
        with storage.locked(path):
            store = _completed(path, network, extraction, indices, devices)
        rows, sound = store.read(indices)
        if sound.all():
            x = rows.astype(np.float32, copy=False)
            return x, extraction.images.labels[indices]
        logging.warning(
            'The features of %d images in %s are damaged: they are computed anew.',
            np.count_nonzero(~sound), path,
        )  # fmt: skip
        with storage.locked(path):
            store.forget(indices[~sound])
    raise OSError(
        errno.EIO, 'Features are not read as they were written. Is the disk sound?',
        str(path),
    )  # fmt: skip


def cached_seconds(extraction: Extraction, indices: np.ndarray) -> float:
    """What the features at `indices` that are cached already took to compute."""
    path = folder(extraction.cache) / storage.key_of(extraction.identity())
    try:
        return Store(path).cost(indices)
    except (errors.InputError, FileNotFoundError):  # There is none, or none of use.
        return 0.0


def backends(extraction: Extraction) -> tuple[str, ...]:
    """What computed the cached features, see predict.Inference.used."""
    path = folder(extraction.cache) / storage.key_of(extraction.identity())
    try:
        return Store(path).backends()
    except (errors.InputError, FileNotFoundError):  # There is none, or none of use.
        return ()


def _device(precision: str) -> dict[str, str]:
    """Where products are rounded so far that a GPU gives other numbers than a CPU."""
    rounded = precision in config.HALF and not openvino.available()
    return {'device': 'GPU'} if rounded else {}


def _quantisation(precision: str) -> dict[str, str]:
    """What else the numbers of a quantised network depend on."""
    return {'nncf': metadata.version('nncf')} if precision == 'int8' else {}


def _calibration_images(extraction: Extraction) -> np.ndarray | None:
    indices = extraction.calibration
    if indices is None:
        return None
    extraction.images.refuse_changed(indices)
    batches = pipeline.evaluation(
        extraction.images, indices, extraction.size, preprocess.whole, len(indices)
    )
    (batch,) = batches
    return batch['image'].numpy()


def _completed(
    path: pathlib.Path,
    network: collections.abc.Callable[[], keras.Model],
    extraction: Extraction,
    indices: np.ndarray,
    devices: tf.distribute.Strategy | None,
) -> Store:
    """The store `path`, with features of all images `indices`."""
    images = extraction.images
    store = _opened(path, images)
    missing = indices if store is None else indices[~store.done[indices]]
    if len(missing):
        begun = time.monotonic()
        size = extraction.size
        batch = extraction.batch or predict.batch_size(size, devices)
        batches = pipeline.evaluation(images, missing, size, preprocess.whole, batch)
        used: list[str] = []
        # TF32 is TensorFlow's choice of float32 products, set for the whole process.
        precision = extraction.precision.replace('tf32', 'float32')
        inference = predict.Inference(
            ('features',),
            precision,
            devices,
            title='Features',
            calibration=_calibration_images(extraction),
            used=used.append,
        )
        rows_left = len(missing)
        for index, rows in _chunks(predict.stream(network(), batches, inference)):
            images.refuse_changed(index)
            _check_finite(images, index, rows)
            if rows_left == len(missing):  # Before hours go into the others.
                room = rows_left * rows.shape[1] * np.dtype(extraction.dtype).itemsize
                what = f'the features of {rows_left} images'
                storage.check_room(path.parent, room, what)
            if store is None:
                identity = extraction.identity()
                store = Store.create(path, identity, images, rows.shape[1])
            store.put(index, rows)
            rows_left -= len(index)
            now = time.monotonic()
            store.add_cost(now - begun, len(index), used[-1])
            begun = now
        if rows_left:
            raise RuntimeError(
                f'{rows_left} of {len(missing)} images were not predicted.'
            )
    if store is None:
        raise errors.InputError('There are no images to extract features of.')
    return store


def _opened(path: pathlib.Path, images: image_set.Images) -> Store | None:
    """The store that is there; None where there is none, or none that can be used."""
    if not path.is_dir():
        return None
    try:
        store = Store(path)
        store.complete(images)
        return store
    except (errors.InputError, FileNotFoundError) as error:
        logging.warning('All features in %s are computed anew: %s', path, error)
        shutil.rmtree(path)
        return None


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
    known = {path.name: path for path in _folders(cache)}
    for key in keys:
        errors.find('stored features', known, key)
    for key in keys:
        with storage.locked(known[key]):
            shutil.rmtree(known[key])
