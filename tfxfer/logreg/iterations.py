"""The vectors of conjugate gradients in NumPy, and what one iteration does to them.

docs/logistic_regression.md, "Conjugate gradients".
"""

import typing
from collections.abc import Callable

import numpy as np

from tfxfer.logreg.point import Step

if typing.TYPE_CHECKING:
    from tfxfer.logreg.problem import Problem
    from tfxfer.logreg.state import NewtonEquation

TINY = 1e-300  # Keeps 0 / 0 at 0 where a problem is solved exactly.


class Preconditioner(typing.NamedTuple):
    """r [k, r + 1] -> near inverse of the Hessian x r.

    `apply` is made of +, -, *, / and @ alone: it gets arrays of NumPy or TensorFlow.
    """

    apply: Callable[..., typing.Any]  # (r, *arrays) -> near inverse x r.
    arrays: tuple[typing.Any, ...]  # Where the problem's arrays are.

    def __call__(self, r: typing.Any) -> typing.Any:
        """Near inverse x r."""
        return self.apply(r, *self.arrays)


class Advance(typing.NamedTuple):
    """The scalars [m, 1] of an iteration, float64."""

    alpha: np.ndarray  # The step's length along the direction.
    beta: np.ndarray  # rho over the rho before.
    gain: np.ndarray  # alpha x the rho before: what the squared decrement grew by.
    rho: np.ndarray  # Residual x preconditioned residual that are left.


class Iterations:
    """Conjugate gradients for Newton's equation, from a step of 0.

    Args:
        problem: it has the features.
        equation: Newton's.
        precondition: r -> near inverse of the Hessian x r.
        workspace: memory [k, n] for the scores of directions, if there is some.
    """

    def __init__(
        self,
        problem: 'Problem',
        equation: 'NewtonEquation',
        precondition: Preconditioner,
        workspace: np.ndarray | None,
    ) -> None:
        self.problem, self.equation = problem, equation
        self.precondition = precondition
        scores = np.zeros_like(equation.point.scores)
        self.step = Step(np.zeros_like(equation.gradient), scores)
        self.workspace = np.empty_like(scores) if workspace is None else workspace
        self.r = -equation.gradient
        self.s = precondition(self.r)
        self.rho = problem.dot(self.r, self.s)
        self.direction: np.ndarray | None = None
        self.beta = np.zeros_like(self.rho)

    def advance(self, live: np.ndarray) -> Advance:
        """One iteration, a pass, of the problems [m, 1] that are live."""
        if self.direction is None:
            self.direction = self.s
        else:
            self.direction = live * (self.s + self.beta * self.direction)
        product = self._hessian_product(self.direction)
        curved = np.maximum(self.problem.dot(self.direction, product), TINY)
        alpha, last = live * self.rho / curved, self.rho
        self._add(alpha)
        self.r -= alpha * product
        self.s = self.precondition(self.r)
        self.rho = self.problem.dot(self.r, self.s)
        self.beta = self.rho / np.maximum(last, TINY)
        return Advance(alpha, self.beta, alpha * last, self.rho)

    def _hessian_product(self, direction):
        """Hessian of the objective x direction, whose scores go to the workspace."""
        problem, scores = self.problem, self.workspace

        def parts():
            for rows, scores[:, rows] in problem.scores(direction):
                yield problem.curvature_product(
                    self.equation.point, scores[:, rows], rows
                )

        return problem.image_sums(parts()) + self.equation.penalty * direction

    def _add(self, alpha):
        """Adds alpha x direction to the step, whose scores are scaled in place."""
        np.add(self.step.b, alpha * self.direction, out=self.step.b)
        scores = self.workspace
        scores *= alpha.astype(scores.dtype)
        np.add(self.step.scores, scores, out=self.step.scores)
