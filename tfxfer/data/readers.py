"""Reads a task's images, labels and splits from where they are. No TensorFlow."""

import dataclasses
import importlib.util
import logging
import pathlib
from collections.abc import Callable

import numpy as np

from tfxfer import datasets, errors, metrics
from tfxfer.data import class_folder, csv_list, idx, image_set, tfds_prepared

PARTS = ('train', 'valid', 'test')


def read(
    dataset: datasets.Dataset,
    options: image_set.Options | None = None,
    metric: str | None = None,
) -> tuple[datasets.Dataset, image_set.Images]:
    """Returns (Dataset with nothing left open, Images).

    Args:
        dataset: a Dataset.
        options: image_set.Options; None: its defaults.
        metric: key of METRICS instead of the dataset's own.

    Raises:
        errors.InputError: what was found is not what the record says; a class without
            training image; a metric that does not suit the labels; what the dataset's
            own reader cannot read.
    """
    options = options or image_set.Options()
    dataset, images = SOURCES[dataset.source](dataset, options)
    if metric:
        dataset = _scored_by(dataset, metric)
    sizes = tuple(len(images.splits[name]) for name in PARTS)
    if dataset.sizes not in (None, sizes):
        _refuse_sizes(dataset, sizes, accept=options.accept_counts)
    _check_classes(dataset, images)
    return dataclasses.replace(dataset, sizes=sizes), images


def _scored_by(dataset: datasets.Dataset, metric: str) -> datasets.Dataset:
    errors.find('metric', metrics.METRICS, metric)
    if dataset.multi_label != (metric in metrics.MULTI_LABEL):
        kind = 'several labels' if dataset.multi_label else 'one label'
        raise errors.InputError(
            f'{dataset.name} has {kind} per image, which {metric} cannot score; '
            f'{dataset.metric} can.'
        )
    return dataclasses.replace(dataset, metric=metric)


def _refuse_sizes(
    dataset: datasets.Dataset, sizes: tuple[int, ...], *, accept: bool
) -> None:
    """Says how the splits differ from the record, as an error unless accepted."""
    differ = '; '.join(
        f'{name} should have {right} images and has {size}'
        for name, right, size in zip(PARTS, dataset.sizes or (), sizes, strict=True)
        if right != size
    )
    if not accept:
        raise errors.InputError(
            f'{dataset.name}: {differ}. With --config.accept_counts it is taken as '
            'it is, and the result is not comparable with others.'
        )
    logging.warning('%s: %s. Accepted as asked.', dataset.name, differ)


def check_scorable(dataset: datasets.Dataset, images: image_set.Images) -> None:
    """Refuses what the metric could not score, before anything is trained.

    Raises:
        errors.InputError: a class without images in valid or test, where the metric
            is an average over classes.
    """
    if dataset.metric not in metrics.PER_CLASS:
        return
    for part in ('valid', 'test'):
        if names := _absent(dataset, images, part):
            raise errors.InputError(
                f'{dataset.name} has no {part} image of {names}, so that '
                f'{dataset.metric} is undefined: add some, or take more images.'
            )


def _check_classes(dataset: datasets.Dataset, images: image_set.Images) -> None:
    if names := _absent(dataset, images, 'train'):
        raise errors.InputError(
            f'{dataset.name} has no training image of {names}: every class needs at '
            'least one (and 3 to be in train, valid and test).'
        )


def _absent(dataset: datasets.Dataset, images: image_set.Images, part: str) -> str:
    """Names of the classes without image in a split."""
    labels = images.labels[images.splits[part]]
    if labels.ndim == 2:
        counts = (labels == 1).sum(axis=0)
    else:
        counts = np.bincount(labels, minlength=dataset.classes)
    return ', '.join(dataset.class_names[c] for c in np.flatnonzero(counts == 0))


def _scans() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits: images [1797, 8, 8] of 0-16, labels [1797].

    Read from its file, as its load_digits does, but without importing it: that takes
    seconds.
    """
    package = importlib.util.find_spec('sklearn')
    assert package and package.origin
    file = pathlib.Path(package.origin).parent / 'datasets' / 'data' / 'digits.csv.gz'
    table = np.loadtxt(file, delimiter=',')
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)


def _digits(
    dataset: datasets.Dataset, options: image_set.Options
) -> tuple[datasets.Dataset, image_set.Images]:
    del options  # No folder of the user's is read.
    scans, digits = _scans()
    second_half = np.arange(len(digits)) >= len(digits) // 2
    chosen = np.isin(digits, dataset.keep)
    test = second_half[chosen]
    labels = np.searchsorted(dataset.keep, digits[chosen]).astype(np.int32)
    gray = np.round(scans[chosen] * (255 / 16)).astype(np.uint8)
    return dataset, image_set.Images(
        labels=labels,
        splits=image_set.complete(
            labels, {'train': np.flatnonzero(~test), 'test': np.flatnonzero(test)}
        ),
        pixels=np.repeat(gray[..., None], 3, axis=-1),
    )


SOURCES: dict[
    str,
    Callable[
        [datasets.Dataset, image_set.Options],
        tuple[datasets.Dataset, image_set.Images],
    ],
] = {
    'digits': _digits,
    'folder': class_folder.read,
    'csv': csv_list.read,
    'tfds': tfds_prepared.read,
    'idx': idx.read,
}
