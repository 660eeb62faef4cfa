"""Images that were classified wrongly, and how confidently."""

import numpy as np


def most_confident(
    labels: np.ndarray, logits: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most `count` (rows, predicted classes, their probabilities), each [m].

    The most confident come first, equally confident ones in the order of the rows.

    A mistake is, with labels i32 [n], a most probable class that is another one; with
    labels [n, k] of 1, 0, -1, an absent class that is predicted, its probability above
    1/2. logits f32 [n, k].
    """
    from scipy import special  # A tenth of a second, for few programs.

    if labels.ndim == 1:
        p = special.softmax(logits, axis=1)
        wrong = p.argmax(axis=1) != labels
    else:
        p = np.where(labels == 0, special.expit(logits), 0)
        wrong = p.max(axis=1) > 0.5
    rows = np.flatnonzero(wrong)
    rows = rows[np.argsort(-p[rows].max(axis=1), kind='stable')][:count]
    predicted = p[rows].argmax(axis=1)
    return rows, predicted, p[rows, predicted]
