"""The scores of features: which there are, where from, what each needs."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from tfxfer import metrics
from tfxfer.ranking import h_score, logme, neighbours, source_labels


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Features of one network on one task, and their labels; never of test images.

    Attributes:
        f: [n, d], of the training images.
        y: i [n], their labels.
        g: [m, d], of the validation images.
        v: i [m], their labels.
        classes: number of classes.
        metric: of accuracy, a key of METRICS.
        p: [n, z], probabilities of the source classes for the training images; None:
            the network has no source classifier, or it was not asked for.
    """

    f: np.ndarray
    y: np.ndarray
    g: np.ndarray
    v: np.ndarray
    classes: int
    metric: str = 'top1'
    p: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Score:
    """One score. Of all of them higher is better.

    Attributes:
        title: head of its column.
        paper: who proposed it.
        needs: what of a Sample it takes.
        unit: of the number.
        percent: whether it is a share of 1, to be written in per cent.
        compute: Sample -> number.
    """

    title: str
    paper: str
    needs: str
    unit: str
    compute: Callable[[Sample], float]
    percent: bool = False

    @property
    def with_source(self) -> bool:
        """Whether it takes probabilities of source classes."""
        return 'source' in self.needs


def nearest_neighbours(sample: Sample) -> float:
    """Validation accuracy, 0-1, of the best number of neighbours.

    Chosen and scored on the same images, of six values: a little too high.
    """
    score = metrics.METRICS[sample.metric]
    made = neighbours.votes(sample.f, sample.y, sample.g, sample.classes)
    return max(score(sample.v, votes) for _, votes in made)


def nearest_class_mean(sample: Sample) -> float:
    """Validation accuracy, 0-1."""
    scores = neighbours.class_mean_scores(sample.f, sample.y, sample.g, sample.classes)
    return metrics.METRICS[sample.metric](sample.v, scores)


def _of_source(function):
    def compute(sample: Sample) -> float:
        if sample.p is None:
            raise ValueError('The network has no source classifier: no such score.')
        return function(sample.p, sample.y, sample.classes)

    return compute


_LABELS = 'features and labels of training images'
_SOURCE = 'source classifier, labels of training images'
SCORES: Mapping[str, Score] = {
    'knn': Score(
        'kNN %',
        'Wu et al. 2018; Caron et al. 2021 (DINO)',
        f'{_LABELS} and validation images',
        'validation accuracy',
        nearest_neighbours,
        percent=True,
    ),
    'ncm': Score(
        'class mean %',
        'Mensink et al. 2013',
        f'{_LABELS} and validation images',
        'validation accuracy',
        nearest_class_mean,
        percent=True,
    ),
    'logme': Score(
        'LogME',
        'You et al. 2021',
        _LABELS,
        'nats per image',
        lambda sample: logme.logme(sample.f, sample.y, sample.classes),
    ),
    'h_score': Score(
        'H-score',
        'Ibrahim et al. 2022 (regularised); Bao et al. 2019',
        _LABELS,
        'at most classes - 1',
        lambda sample: h_score.regularised_h_score(sample.f, sample.y, sample.classes),
    ),
    'leep': Score(
        'LEEP',
        'Nguyen et al. 2020',
        _SOURCE,
        'nats per image, at most 0',
        _of_source(source_labels.leep),
    ),
    'nce': Score(
        'NCE',
        'Tran et al. 2019',
        _SOURCE,
        'nats per image, at most 0',
        _of_source(source_labels.nce),
    ),
}


def measure(sample: Sample) -> dict[str, float | None]:
    """Every score by its key of SCORES; None of those that need what is not given.

    Raises:
        ValueError: features or labels of which a score is not defined.
    """
    return {
        name: None if one.with_source and sample.p is None else one.compute(sample)
        for name, one in SCORES.items()
    }
