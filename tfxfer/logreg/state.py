"""What one solution leaves for the next, and what Newton's steps are."""

import dataclasses
import typing

import numpy as np

from tfxfer.logreg.point import Point, Step
from tfxfer.logreg.problem import Problem


class NewtonEquation(typing.NamedTuple):
    """(Hessian of the cross-entropy at the point + penalty) x step = -gradient."""

    point: Point
    gradient: np.ndarray  # Of the objective [k, r + 1].
    penalty: np.ndarray  # [r + 1]


class NewtonStep(typing.NamedTuple):
    """The step, the gap f - f* before it, and what it leaves of it [m, 1].

    The gap is half the squared Newton decrement, gradient x inverse Hessian x
    gradient: exact for a quadratic, and near the solution the objective is one.
    """

    step: Step | None  # None where the gap is small enough without one.
    gap: np.ndarray
    left: np.ndarray


class Solution(typing.NamedTuple):
    """Of one l2, with its estimated gap and the gap allowed [m, 1]."""

    point: Point
    gap: np.ndarray
    goal: np.ndarray


@dataclasses.dataclass
class State:
    """What the solver carries along the path; all else is data or a point."""

    exact: bool  # Whether Newton's equation is solved with the full Hessian.
    solution: Point | None = None  # The last.
    # From the solution before to the last, then from that before it; at most two.
    moves: list[Step] = dataclasses.field(default_factory=list)
    # Below every eigenvalue [m, 1] of preconditioner x Hessian, as far as is known: a
    # quarter of the smallest Ritz value seen.
    eigenvalue_bound: np.ndarray | None = None
    passes: int = 0  # Over the images, for the present l2.
    # Memory [k, n] for the scores of the directions of conjugate gradients; nothing in
    # it outlasts a step.
    workspace: typing.Any = None

    def remember(self, problem: Problem, solution: Point) -> None:
        """Makes it the last solution, with the move that led there."""
        if last := self.solution:
            self.moves = [problem.difference(solution, last), *self.moves[:1]]
        self.solution = solution
