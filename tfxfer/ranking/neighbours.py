"""Classification without training: by the nearest images, by the nearest class mean."""

from collections.abc import Iterator, Sequence

import numpy as np

from tfxfer.ranking import labelled

NEIGHBOURS = (5, 10, 20, 50, 100, 200)
TEMPERATURE = 0.07  # Caron et al. 2021 (DINO), as Wu et al. 2018.
_CHUNK = 512  # Images whose similarities are in memory at once.


def votes(
    f: np.ndarray,
    y: np.ndarray,
    g: np.ndarray,
    classes: int,
    neighbours: Sequence[int] = NEIGHBOURS,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (k, votes [m, classes]) for each k of `neighbours` up to n.

    The k rows of f with the highest cosine similarity s to a row of g vote for their
    class with weight exp(s / 0.07), as in DINO (Caron et al. 2021, appendix). The
    largest vote is the prediction. A row of zeros has similarity 0 to all.

    Args:
        f: [n, d], features of the labelled images.
        y: i [n], their labels.
        g: [m, d], features of the images that are classified.
        classes: number of classes.
        neighbours: values of k; where all exceed n, k is n.

    Raises:
        ValueError: see labelled.check; g of another width, or not finite.
    """
    labelled.check(f, y, classes)
    _check_others(f, g)
    counts = [k for k in neighbours if k <= len(f)] or [len(f)]
    unit, other = _normalised(f), _normalised(g)
    result = {k: np.zeros((len(g), classes)) for k in counts}
    most = max(counts)
    for start in range(0, len(g), _CHUNK):
        similarity = other[start : start + _CHUNK] @ unit.T
        near = _largest(similarity, most)
        weight = np.exp(np.take_along_axis(similarity, near, axis=1) / TEMPERATURE)
        rows = np.arange(len(near))[:, None]
        for k in counts:
            np.add.at(
                result[k][start : start + _CHUNK],
                (np.broadcast_to(rows, (len(near), k)), y[near[:, :k]]),
                weight[:, :k],
            )
    yield from result.items()


def class_mean_scores(
    f: np.ndarray, y: np.ndarray, g: np.ndarray, classes: int
) -> np.ndarray:
    """Minus the squared distance of g [m, d] to each class mean: [m, classes].

    Euclidean, as in Mensink et al. 2013 without a learned metric. The means are those
    of the rows of f [n, d] with labels y. The highest is the prediction.

    Raises:
        ValueError: as `votes`.
    """
    labelled.check(f, y, classes)
    _check_others(f, g)
    counts = np.bincount(y, minlength=classes)[:, None]
    means = labelled.class_sums(f, y, classes) / counts
    # Around the mean of all, so that no digits cancel.
    centre = means.mean(axis=0)
    means, g = means - centre, g - centre
    return 2 * g @ means.T - (means**2).sum(axis=1) - (g**2).sum(axis=1)[:, None]


def _normalised(x):
    x = np.asarray(x, float)
    size = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(size > 0, size, 1)


def _largest(similarity, k):
    """Columns of the k largest of each row, largest first."""
    if k < similarity.shape[1]:
        near = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    else:
        near = np.broadcast_to(np.arange(k), similarity.shape)
    order = np.argsort(-np.take_along_axis(similarity, near, axis=1), kind='stable')
    return np.take_along_axis(near, order, axis=1)


def _check_others(f, g):
    if g.ndim != 2 or g.shape[1] != f.shape[1]:
        raise ValueError(
            f'Images to classify must have {f.shape[1]} features; got shape {g.shape}.'
        )
    if not np.isfinite(g).all():
        raise ValueError('The features of images to classify are not all finite.')
