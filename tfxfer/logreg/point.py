"""Where the objective was evaluated, and the difference of two such points.

docs/logistic_regression.md, "State".
"""

import typing

import numpy as np


class Step(typing.NamedTuple):
    """A difference of two points."""

    b: np.ndarray  # [k, r + 1] float64.
    scores: np.ndarray  # [k, n] in the features' precision.


class Point(typing.NamedTuple):
    """Weights b, and the cross-entropy and its derivatives in the scores there.

    Memory of residual and curvature goes from point to point: they last until a new
    point is made with this one as `recycled`. The other fields are for ever.
    """

    b: np.ndarray  # [k, r + 1] float64, bias first.
    scores: np.ndarray  # [k, n] in the features' precision.
    loss: np.ndarray  # [m, 1] float64.
    residual: np.ndarray  # d loss / d score [k, n].
    curvature: np.ndarray  # Probabilities p [k, n], or p (1 - p) if binary.
