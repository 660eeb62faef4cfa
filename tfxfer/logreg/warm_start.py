"""Where the descent at an l2 starts: near its solution, as the last ones foretell it.

docs/logistic_regression.md, "Warm start" and "l2s between".
"""

import math

import numpy as np

from tfxfer.logreg.iterations import TINY
from tfxfer.logreg.newton import search
from tfxfer.logreg.problem import Problem
from tfxfer.logreg.state import State

STRIDE = 1.8  # At most from one l2 to the next: others are put between.


def intermediate_l2s(above: float, l2: float) -> list[float]:
    """l2s that lead from one to a weaker one; Newton's method wants a near start."""
    steps = math.ceil(math.log(above / l2, STRIDE))
    return [above * (l2 / above) ** (i / steps) for i in range(1, steps)]


def start(problem: Problem, state: State, l2: float) -> np.ndarray:
    """Weights [k, r + 1] near the solution at l2, found without a pass.

    The best in the plane through the last three solutions, by two Newton steps in it.
    The last solution's residual and curvature are overwritten.
    """
    point = state.solution
    if point is None:
        return weightless(problem)
    for _ in range(2 if state.moves else 0):
        slope, curvature = problem.plane_derivatives(point, state.moves, l2)
        c = plane_minimum(slope, curvature)
        target = problem.objective(point, l2)
        target = target + 1e-4 * (c * slope).sum(1, keepdims=True)
        point, _ = search(problem, point, problem.combined(c, state.moves), target, l2)
    return point.b


def weightless(problem: Problem) -> np.ndarray:
    """The solution [k, r + 1] for an infinite l2: the classes' log odds as biases."""
    b, y = np.zeros((problem.classes, problem.width)), problem.y
    if problem.binary:
        present, absent = (y == 1).sum(axis=1), (y == 0).sum(axis=1)
        b[:, 0] = np.log(present / absent)
    else:
        b[:, 0] = np.log(np.bincount(y, minlength=problem.classes))
        b[:, 0] -= b[:, 0].mean()
    return b


def plane_minimum(slope: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Coefficients [m, s] of the moves: Newton's step in the plane.

    The moves may be all but one direction: then only along that.
    """
    scale = 1 / np.sqrt(np.maximum(np.einsum('mii->mi', curvature), TINY))
    values, u = np.linalg.eigh(curvature * scale[:, :, None] * scale[:, None])
    inverse = np.where(values > 1e-6, 1 / np.maximum(values, 1e-6), 0)
    return np.einsum('mi,mij,mj,mlj,ml->mi', scale, u, inverse, u, -scale * slope)
