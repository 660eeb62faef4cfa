"""Images that a Run classified wrongly, and how sure it was."""

import os
import typing

import numpy as np
from scipy import special

from tfxfer import results


class Mistakes(typing.NamedTuple):
    """Test images that were classified wrongly, the surest first; arrays [k].

    Attributes:
        image: its number in the dataset.
        label, predicted: classes.
        confidence: softmax of the highest logit, 0-1.
    """

    image: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray


def surest(record: results.Record, workdir: str | os.PathLike, count: int) -> Mistakes:
    """At most `count` mistakes of a final Run on a task of one label per image.

    Equally sure ones stand in the order of the dataset.

    Raises:
        FileNotFoundError: its predictions are gone.
        errors.InputError: they are damaged, or not those of the record.
    """
    seen = results.read_predictions(
        results.folder(workdir, record.run),
        ('index', 'label', 'logits'),
        digest=record.predictions,
    )
    predicted = seen['logits'].argmax(1)
    wrong = np.flatnonzero(predicted != seen['label'])
    logits = seen['logits'][wrong].astype(np.float64)
    confidence = special.softmax(logits, axis=1).max(axis=1, initial=0)
    order = np.lexsort((seen['index'][wrong], -confidence))[:count]
    kept = wrong[order]
    return Mistakes(
        seen['index'][kept], seen['label'][kept], predicted[kept], confidence[order]
    )
