"""Reads a task's images, labels and splits from where they are. No TensorFlow."""

import dataclasses
import logging

import numpy as np

from tfxfer import errors, metrics
from tfxfer.data import folders, idx, image_set, tfds_prepared

PARTS = ('train', 'valid', 'test')


def read(dataset, options=None, metric=None):
    """Returns (Dataset with nothing left open, Images).

    Args:
        dataset: a Dataset.
        options: imagesets.Options.
        metric: key of METRICS instead of the dataset's own.

    Raises:
        errors.InputError: what was found is not what the record says; a class without
            training image; a metric that does not suit the labels; what the dataset's
            own reader cannot read.
    """
    options = options or image_set.Options()
    dataset, found = SOURCES[dataset.source](dataset, options)
    if metric:
        errors.find('metric', metrics.METRICS, metric)
        if dataset.multi_label != (metric in metrics.MULTI_LABEL):
            kind = 'several labels' if dataset.multi_label else 'one label'
            raise errors.InputError(
                f'{dataset.name} has {kind} an image, which {metric} cannot score; '
                f'{dataset.metric} can.'
            )
        dataset = dataclasses.replace(dataset, metric=metric)
    sizes = tuple(len(found.splits[name]) for name in PARTS)
    if dataset.sizes not in (None, sizes):
        differ = '; '.join(
            f'{name} should have {right} images and has {got}'
            for name, right, got in zip(PARTS, dataset.sizes, sizes, strict=True)
            if right != got
        )
        if not options.accept_counts:
            raise errors.InputError(
                f'{dataset.name}: {differ}. With --config.accept_counts it is taken as '
                'it is, and the result is not comparable with others.'
            )
        logging.warning('%s: %s. Accepted as asked.', dataset.name, differ)
    _check_classes(dataset, found)
    return dataclasses.replace(dataset, sizes=sizes), found


def check_scorable(dataset, found):
    """Refuses what the metric could not score, before anything is trained.

    Raises:
        errors.InputError: a class without images in valid or test, where the metric
            is an average over classes.
    """
    if dataset.metric not in metrics.PER_CLASS:
        return
    for part in ('valid', 'test'):
        if names := _absent(dataset, found, part):
            raise errors.InputError(
                f'{dataset.name} has no {part} image of {names}, so that '
                f'{dataset.metric} is undefined: add some, or take more images.'
            )


def _check_classes(dataset, found):
    if names := _absent(dataset, found, 'train'):
        raise errors.InputError(
            f'{dataset.name} has no training image of {names}: every class needs at '
            'least one (and 3 to be in train, valid and test).'
        )


def _absent(dataset, found, part):
    """Names of the classes without image in a split."""
    labels = found.labels[found.splits[part]]
    if labels.ndim == 2:
        counts = (labels == 1).sum(axis=0)
    else:
        counts = np.bincount(labels, minlength=dataset.classes)
    return ', '.join(dataset.class_names[c] for c in np.flatnonzero(counts == 0))


def _digits(dataset, options):
    del options  # Nothing is read from files.
    from sklearn import datasets  # Takes a second, and only this task needs it.

    scans = datasets.load_digits()
    half = np.arange(len(scans.target)) < len(scans.target) // 2
    keep = np.isin(scans.target, dataset.keep)
    test = half[keep] == 0
    labels = np.searchsorted(dataset.keep, scans.target[keep]).astype(np.int32)
    gray = np.round(scans.images[keep] * (255 / 16)).astype(np.uint8)
    return dataset, image_set.Images(
        labels=labels,
        splits=image_set.complete(
            labels, {'train': np.flatnonzero(~test), 'test': np.flatnonzero(test)}
        ),
        pixels=np.repeat(gray[..., None], 3, axis=-1),
    )


SOURCES = {
    'digits': _digits,
    'folder': folders.read,
    'csv': folders.read_csv,
    'tfds': tfds_prepared.read,
    'idx': idx.read,
}
