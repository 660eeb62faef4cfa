"""What the features of pretrained networks are like on a dataset, and how alike."""

import dataclasses
import pathlib
import tempfile
import typing
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfxfer import datasets, errors, storage
from tfxfer.analysis import feature_diagnostics
from tfxfer.data import image_set, splits
from tfxfer.models import float32, predict
from tfxfer.training import distribution
from tfxfer.transfer import resolve
from tfxfer.transfer.diagnosed import Network, Selection
from tfxfer.transfer.options import ExecutionOptions
from tfxfer.transfer.task import Task

Row = dict[str, typing.Any]


class Similarity(typing.NamedTuple):
    """How alike every two networks are.

    Attributes:
        networks: names.
        cka: [k, k].
        images: how many it is of.
        features: the most that a network has.
    """

    networks: list[str]
    cka: np.ndarray
    images: int
    features: int


# Takes network, dataset, features [n, d] and labels, while they are in memory.
OnFeatures = Callable[[Network, datasets.Dataset, np.ndarray, np.ndarray], None]


def diagnose(
    networks: Sequence[Network],
    options: ExecutionOptions,
    selection: Selection,
    on_features: OnFeatures | None = None,
) -> tuple[list[Row], Similarity | None, list[str]]:
    """A row of numbers per network, how alike they are, and what is left out.

    One network's features are in memory at a time; for the similarity all are in a
    temporary folder of the cache.

    Args:
        networks: in the order of the rows.
        options: its workdir's cache keeps the features.
        selection: of images.
        on_features: called for each network whose features vary.

    Raises:
        errors.InputError: as resolve.resolve; or no GPU here has TF32.
    """
    float32.allow_tf32(any(one.run.precision == 'tf32' for one in networks))
    for network in networks:
        predict.check(network.run.precision)
    rows, notes, kept = [], [], {}
    prepared: list[typing.Any] = tasks(networks, options, selection)
    options.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.diagnose.', dir=options.cache) as folder:
        for i, network in enumerate(networks):
            task = prepared[i]
            prepared[i] = None  # Lets go of the network.
            x, labels = task.features(selection.split)
            logging.info('%s: %d images, %d features', network.name, *x.shape)
            numbers, lacks = measure(x, labels, selection.threshold)
            notes += [f'{network.name}: {text}' for text in lacks]
            rows.append({**_described(network, task, selection, x), **numbers})
            if numbers['participation_ratio'] is None:  # They do not vary.
                continue
            path = pathlib.Path(folder) / f'{i}.npy'
            with storage.naming(path):
                np.save(path, x)
            kept[network.name] = np.load(path, mmap_mode='r')
            if on_features:
                on_features(network, task.dataset, x, labels)
        similarity = _similarity(kept, rows[0]['images']) if len(kept) > 1 else None
        kept.clear()
    return rows, similarity, notes


def _described(network, task, selection, x):
    source = task.resolved.source
    return {
        'network': network.name,
        'run': network.trained.id if network.trained else None,
        'weights': network.run.weights,
        'dataset': task.dataset.name,
        'split': selection.split,
        'images': len(x),
        'pixels': task.resolved.image_size,
        'features': x.shape[1],
        'source_dataset': source and source['dataset'],
        'source_score': source and source['score'],
    }


def _similarity(kept, images):
    logging.info('CKA of %d networks', len(kept))
    cka = feature_diagnostics.cka_matrix(kept.values())
    widest = max(x.shape[1] for x in kept.values())
    return Similarity(list(kept), cka, images, widest)


def limited(images: image_set.Images, split: str, limit: int) -> image_set.Images:
    """Images with at most `limit` of `split` in it: the first in order of a hash."""
    parts = split.split('+')
    indices = np.concatenate([images.splits[part] for part in parts])
    if len(indices) < 2:
        raise errors.InputError(f'{split} has {len(indices)} images; it takes 2.')
    if len(indices) <= limit:
        return images
    keys = indices if images.keys is None else [images.keys[i] for i in indices]
    (order,) = splits.order(np.zeros(len(indices), int), seed=0, keys=keys).values()
    kept = indices[order[:limit]]
    fewer = {part: np.intersect1d(images.splits[part], kept) for part in parts}
    return dataclasses.replace(images, splits={**images.splits, **fewer})


def tasks(
    networks: Sequence[Network], options: ExecutionOptions, selection: Selection
) -> list[Task]:
    """As execute.execute makes them.

    Raises:
        errors.InputError: as resolve.resolve.
    """
    resolved = [resolve.resolve(network.run, options) for network in networks]
    devices = distribution.strategy()
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    return [
        Task(
            dataclasses.replace(
                one, images=limited(one.images, selection.split, selection.limit)
            ),
            options,
            devices,
        )
        for one in resolved
    ]


def sample(labels: np.ndarray, classes: int, images: int) -> np.ndarray:
    """Indices of as many images of each of the first `classes`, `images` at most."""
    order = splits.order(labels, seed=0)
    first = list(order.values())[:classes]
    return np.sort(np.concatenate([rows[: images // len(first)] for rows in first]))


def measure(
    x: np.ndarray, labels: np.ndarray, threshold: float = 0.0
) -> tuple[dict[str, float | None], list[str]]:
    """({name of a number: it, or None}, [sentence about one that there is not]).

    x [n, d]; labels [n], or [n, k] of a task with several labels per image, which has
    no classes to be apart.
    """
    numbers: dict[str, float | None] = {}
    notes: list[str] = []

    def put(columns, function, *arguments):
        try:
            values = function(*arguments)
        except ValueError as error:
            notes.append(str(error))
            values = [None] * len(columns)
        numbers.update(zip(columns, values, strict=True))

    def spread(x, labels):
        one = feature_diagnostics.spread(x, labels)
        return one.within, one.between, one.ratio, one.share

    def separation(x, labels):
        return [feature_diagnostics.class_separation(x, labels)]

    def rank(x):
        values = feature_diagnostics.spectrum(x)
        return [
            feature_diagnostics.participation_ratio(values),
            feature_diagnostics.effective_rank(values),
            feature_diagnostics.components(values),
        ]

    of_classes = ('within', 'between', 'within_to_between', 'between_share')
    if labels.ndim == 1:
        put(of_classes, spread, x, labels)
        put(('class_separation',), separation, x, labels)
    else:
        numbers |= dict.fromkeys((*of_classes, 'class_separation'))
        notes.append('Images have several labels: there are no classes to separate.')
    of_units = 'zero', 'dead', 'active', 'least_active'
    put(of_units, feature_diagnostics.sparsity, x, threshold)
    put(('participation_ratio', 'effective_rank', 'components_95'), rank, x)
    return numbers, notes
