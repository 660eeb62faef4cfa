"""A number that may not be there, and how either is said."""

import math
import typing
from collections.abc import Sequence

import numpy as np


class Estimate(typing.NamedTuple):
    """A number, or None and why there is none."""

    value: float | None
    words: str


def plain(value: float) -> str:
    """A positive number in three digits or, from 100 on, without decimals."""
    return f'{value:.0f}' if value >= 100 else f'{value:.3g}'


def standard_error(x: Sequence[float] | np.ndarray) -> float | None:
    """Of the mean of x; None of one value."""
    return float(np.std(x, ddof=1) / math.sqrt(len(x))) if len(x) > 1 else None
