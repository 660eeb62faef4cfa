"""Refuses features, labels and l2s that allow no solution."""

import numpy as np

from tfxfer.logreg.limits import BLOCK_SIZE
from tfxfer.logreg.rotation import blocks


def check(x: np.ndarray, y: np.ndarray, classes: int, l2s: list[float]) -> None:
    """Raises ValueError unless the problem has a solution at every l2."""
    if x.ndim != 2 or not x.size or not np.issubdtype(x.dtype, np.number):
        raise ValueError(
            f'Features are {x.dtype} of shape {x.shape}; numbers [images, features], '
            'at least one of each, were expected.'
        )
    n = len(x)
    if y.shape not in ((n,), (n, classes)):
        raise ValueError(
            f'Labels have shape {y.shape}, features {x.shape}: expected ({n},) class '
            f'numbers or ({n}, {classes}) of 1, 0 and -1.'
        )
    bad = [l2 for l2 in dict.fromkeys(l2s) if not 0 < l2 < np.inf]
    if bad or not l2s:
        raise ValueError(f'At least one l2, positive and finite, is needed; got {bad}.')
    (_check_binary_labels if y.ndim == 2 else _check_classes)(y, classes)
    _check_finite(x)


def _check_binary_labels(y, classes):
    _check_values(y, (1, 0, -1), '1 (present), 0 (absent) or -1 (difficult)')
    single = ~((y == 1).any(axis=0) & (y == 0).any(axis=0))
    _check_every_class(single, classes, 'have no positive or no negative image')


def _check_classes(y, classes):
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f'Labels are {y.dtype}; whole numbers were expected.')
    if classes < 2:
        raise ValueError(f'One label per image needs 2 classes or more, not {classes}.')
    _check_values(y, np.arange(classes), f'0 to {classes - 1} (classes={classes})')
    missing = ~np.isin(np.arange(classes), y)
    _check_every_class(missing, classes, 'have no image')


def _check_values(y, values, meaning):
    wrong = np.setdiff1d(y, values)
    if len(wrong):
        raise ValueError(f'Labels must be {meaning}; found {wrong[:10].tolist()}.')


def _check_every_class(lacking, classes, what_is_lacking):
    if lacking.any():
        raise ValueError(
            f'Classes {np.flatnonzero(lacking).tolist()} {what_is_lacking} in the '
            f'training data: no solution. Is `classes` ({classes}) right? Does the '
            'split contain them?'
        )


def _check_finite(x):
    finite = [
        np.isfinite(x[rows]).all(axis=1)
        for rows in blocks(len(x), x.shape[1], BLOCK_SIZE)
    ]
    broken = np.flatnonzero(~np.concatenate(finite))
    if len(broken):
        raise ValueError(
            f'{len(broken)} of {len(x)} images have features that are NaN or infinite, '
            f'the first at {broken[:10].tolist()}. Extract them again; leave out '
            'images that do not decode.'
        )
