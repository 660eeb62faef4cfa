"""Refuses features and labels of which no score can be computed."""

import numpy as np


def check(f: np.ndarray, y: np.ndarray, classes: int) -> None:
    """Refuses what scores are not defined for.

    f [n, d] features (or source probabilities), y [n] ints below `classes`.

    Raises:
        ValueError: other shapes, no row, a value that is not finite, a label that is
            none of the classes, or a class without an image.
    """
    if f.ndim != 2 or y.shape != f.shape[:1] or not f.size:
        raise ValueError(
            f'Takes features [n, d] and one label per image [n]; got shapes {f.shape} '
            f'and {y.shape}. Tasks with several labels per image have no such score.'
        )
    if not np.isfinite(f).all():
        rows = np.flatnonzero(~np.isfinite(f).all(axis=1))
        raise ValueError(
            f'{len(rows)} of {len(f)} rows are not finite, the first is row {rows[0]}.'
        )
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f'Labels must be from 0 to {classes - 1}; got {y.min()} to {y.max()}.'
        )
    empty = np.flatnonzero(np.bincount(y, minlength=classes) == 0)
    if len(empty):
        raise ValueError(
            f'Classes {empty.tolist()} have no image. Is `classes` ({classes}) right?'
        )


def class_sums(f: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """Sum of the rows of each class: [classes, d], in float64."""
    sums = np.zeros((classes, f.shape[1]))
    for c in range(classes):
        sums[c] = f[y == c].sum(axis=0, dtype=float)
    return sums
