"""Scores of what a network's own source classes say about the labels: LEEP, NCE."""

import numpy as np

from tfxfer.ranking import labelled


def leep(p: np.ndarray, y: np.ndarray, classes: int) -> float:
    """Log expected empirical prediction (Nguyen et al. 2020), nats per image; <= 0.

    Mean over images of ln sum_z P(y | z) p(z): each source class z votes, as strongly
    as the network believes in it, for the labels with which it occurs.

    Args:
        p: [n, z], probabilities of the source classes; rows sum to 1.
        y: i [n], labels.
        classes: number of classes.

    Raises:
        ValueError: see labelled.check; or rows that are no probabilities.
    """
    p = _checked(p, y, classes)
    given = _conditional(labelled.class_sums(p, y, classes))
    return float(np.log((p * given[y]).sum(axis=1)).mean())


def nce(p: np.ndarray, y: np.ndarray, classes: int) -> float:
    """Negative conditional entropy (Tran et al. 2019), nats per image; <= 0.

    Minus the entropy of the label given the most likely source class.

    Args:
        p: [n, z], probabilities of the source classes, or any scores of them whose
            rows sum to 1.
        y: i [n], labels.
        classes: number of classes.

    Raises:
        ValueError: as `leep`.
    """
    p = _checked(p, y, classes)
    joint = np.zeros((classes, p.shape[1]))
    np.add.at(joint, (y, p.argmax(axis=1)), 1)
    given, some = _conditional(joint), joint > 0
    return float((joint[some] * np.log(given[some])).sum() / len(y))


def probabilities(f: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Probabilities [n, z] of the source classes: softmax of f kernel + bias.

    Args:
        f: [n, d], features.
        kernel, bias: [d, z] and [z], of the source classifier.
    """
    logits = np.asarray(f, float) @ kernel + bias
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    return logits / logits.sum(axis=1, keepdims=True)


def _conditional(joint):
    """P(y | z) of counts [classes, z]; 0 of source classes that do not occur."""
    total = joint.sum(axis=0)
    return joint / np.where(total > 0, total, 1)


def _checked(p, y, classes):
    labelled.check(p, y, classes)
    p = np.asarray(p, float)
    if (p < 0).any() or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        raise ValueError(
            'Probabilities must be at least 0 and sum to 1 in each row; the smallest '
            f'is {p.min():.3g}, sums are {p.sum(axis=1).min():.6g} to '
            f'{p.sum(axis=1).max():.6g}. Give a softmax of the logits.'
        )
    return p
