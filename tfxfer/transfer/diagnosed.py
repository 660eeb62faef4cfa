"""What `diagnose` is asked for: networks, and images. No TensorFlow."""

import typing

from tfxfer import config

SPLITS = ('test', 'train', 'valid', 'train+valid')


class Network(typing.NamedTuple):
    """One row of the table.

    Attributes:
        name: what tells it from the others.
        run: a Run of setting logistic, whose features are looked at.
        trained: the Run that made its weights; None of public ones.
    """

    name: str
    run: config.Run
    trained: config.Run | None


class Selection(typing.NamedTuple):
    """Which images are looked at.

    Attributes:
        split: one of SPLITS.
        limit: at most so many of its images, the same for all networks.
        threshold: a feature of at most this size counts as 0.
    """

    split: str = 'test'
    limit: int = 50_000
    threshold: float = 0.0
