"""Scores of predictions, 0-1. Each refuses what it cannot score.

All take the labels and the scores (logits or probabilities, f [n, k]) of n images.
"""

from collections.abc import Callable

import numpy as np


def top1(y: np.ndarray, scores: np.ndarray) -> float:
    """Share of images whose highest score is their label's; y [n] ints."""
    y, scores = _checked(y, scores)
    return of_classes('top1', y, scores.argmax(1), scores.shape[1])


def top5(y: np.ndarray, scores: np.ndarray) -> float:
    """Share of images whose label is among their five highest scores; y [n] ints.

    Of equal scores the lower class number counts as the higher score.
    """
    y, scores = _checked(y, scores)
    of_label = scores[np.arange(len(y)), y][:, None]
    before = np.arange(scores.shape[1]) < y[:, None]
    rank = ((scores > of_label) | ((scores == of_label) & before)).sum(1)
    return float(np.mean(rank < 5))


def mean_per_class(y: np.ndarray, scores: np.ndarray) -> float:
    """Accuracy within each class, averaged over classes; y [n] ints.

    Raises:
        ValueError: a class without images, so that its accuracy is undefined.
    """
    y, scores = _checked(y, scores)
    return of_classes('mean_per_class', y, scores.argmax(1), scores.shape[1])


def of_classes(
    metric: str, y: np.ndarray, predicted: np.ndarray, classes: int
) -> float:
    """top1 or mean_per_class of predicted classes, where there are no scores.

    Args:
        metric: key of METRICS.
        y, predicted: [n] ints, 0 to classes - 1.

    Raises:
        ValueError: see mean_per_class.
    """
    if metric == 'top1':
        return float(np.mean(predicted == y))
    total = np.bincount(y, minlength=classes)
    if not total.all():
        raise ValueError(
            f'Classes {np.flatnonzero(total == 0).tolist()} have no image here, so '
            f'their accuracy is undefined. Is the number of classes ({classes}) right? '
            'If they are only rare, use metric top1.'
        )
    hits = np.bincount(y[predicted == y], minlength=classes)
    return float(np.mean(hits / total))


def voc_map(y: np.ndarray, scores: np.ndarray) -> float:
    """Mean over classes of PASCAL VOC 2007's 11-point average precision.

    y [n, k]: 1 present, 0 absent, -1 difficult, which counts neither as positive nor
    as negative of its class. Precision at recall r is the highest at any recall >= r
    (VOC 2007 development kit, section 3.4). Equal scores count in the order given.

    Raises:
        ValueError: a class without positives.
    """
    y, scores = _finite(y, scores)
    if y.shape != scores.shape:
        raise ValueError(f'Labels {y.shape} and scores {scores.shape} differ in shape.')
    return float(
        np.mean(
            [_average_precision(y[:, c], scores[:, c], c) for c in range(y.shape[1])]
        )
    )


def _average_precision(y: np.ndarray, scores: np.ndarray, c: int) -> float:
    known = y >= 0
    y, scores = y[known], scores[known]
    if not (y == 1).any():
        raise ValueError(f'Class {c} has no positive, so its precision is undefined.')
    hits = np.cumsum(y[np.argsort(-scores, kind='stable')])
    precision = hits / np.arange(1, len(y) + 1)
    # Recall is compared in whole numbers: 3 of 10 hits must reach 0.3 exactly.
    return np.mean(
        [precision[10 * hits >= tenth * hits[-1]].max() for tenth in range(11)]
    )


def _finite(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, scores = np.asarray(y), np.asarray(scores)
    if len(y) != len(scores) or not len(y):
        raise ValueError(
            f'{len(y)} labels and {len(scores)} predictions; both must be '
            'of the same images, at least one.'
        )
    bad = np.flatnonzero(~np.isfinite(scores.reshape(len(scores), -1)).all(1))
    if len(bad):
        raise ValueError(
            f'{len(bad)} predictions are not finite, first rows {bad[:5].tolist()}.'
        )
    return y, scores


def _checked(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, scores = _finite(y, scores)
    if y.ndim != 1 or scores.ndim != 2:
        raise ValueError(
            f'Takes labels [n] and scores [n, k]; got {y.shape} and {scores.shape}.'
        )
    wrong = np.flatnonzero((y < 0) | (y >= scores.shape[1]))
    if len(wrong):
        raise ValueError(
            f'Labels must be 0 to {scores.shape[1] - 1}; row {wrong[0]} '
            f'has {y[wrong[0]]}.'
        )
    return y, scores


PER_CLASS = ('mean_per_class', 'voc_map')  # Every class needs an image.
MULTI_LABEL = ('voc_map',)  # The others take one label per image.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    'top1': top1,
    'mean_per_class': mean_per_class,
    'voc_map': voc_map,
}
