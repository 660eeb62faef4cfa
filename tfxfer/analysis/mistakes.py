"""Images that a Run classified wrongly, and how confident it was."""

import os
import typing

import numpy as np

from tfxfer import mistakes, results


class Mistakes(typing.NamedTuple):
    """Test images that were classified wrongly, the most confident first; arrays [k].

    Attributes:
        image: its number in the dataset.
        label, predicted: classes.
        confidence: softmax of the highest logit, 0-1.
    """

    image: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray


def most_confident(
    record: results.Record, workdir: str | os.PathLike, count: int
) -> Mistakes:
    """At most `count` mistakes of a final Run on a task of one label per image.

    Equally confident ones stand in the order of the dataset.

    Raises:
        FileNotFoundError: its predictions are gone.
        errors.InputError: they are damaged, or not those of the record.
    """
    seen = results.read_predictions(
        results.folder(workdir, record.run),
        ('index', 'label', 'logits'),
        digest=record.predictions,
    )
    order = np.argsort(seen['index'])
    index, label, logits = (seen[name][order] for name in ('index', 'label', 'logits'))
    rows, predicted, confidence = mistakes.most_confident(
        label, logits.astype(np.float64), count
    )
    return Mistakes(index[rows], label[rows], predicted, confidence)
