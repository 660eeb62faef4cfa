"""Newton's method at one l2: steps, line search, and when to stop.

docs/logistic_regression.md, "Newton's equation", "Line search", "Stopping rule" and
"Exact steps".
"""

import numpy as np

from tfxfer.logreg import conjugate_gradients
from tfxfer.logreg.conjugate_gradients import ENOUGH
from tfxfer.logreg.iterations import TINY
from tfxfer.logreg.point import Point, Step
from tfxfer.logreg.problem import Problem
from tfxfer.logreg.state import NewtonEquation, NewtonStep, Solution, State


def descend(
    problem: Problem,
    state: State,
    b: np.ndarray,
    l2: float,
    recycled: Point | None = None,
) -> Solution:
    """The solution at l2, by Newton's steps from b [k, r + 1]."""
    penalty = problem.penalty(l2)
    point, gradient = problem.evaluate(b, recycled)
    state.passes += 1
    while True:
        value = problem.objective(point, l2)
        goal = allowed_gap(problem, value)
        equation = NewtonEquation(point, gradient + penalty * point.b, penalty)
        step, gap, left = newton_step(problem, state, equation, goal)
        if step is None:
            return Solution(point, gap, goal)
        # The slack, a twentieth of the goal, is for rounding.
        target = value - 1e-4 * gap + goal / 20
        point, fraction = search(problem, point, step, target, l2)
        fall = value - problem.objective(point, l2)
        left = _remaining_gap(gap, left, fall, fraction)
        solved = (left <= ENOUGH * goal).all()
        if solved or state.passes >= problem.limits.passes:
            return Solution(point, left, goal)
        gradient = problem.gradient(point)
        state.passes += 1


def allowed_gap(problem: Problem, value: np.ndarray) -> np.ndarray:
    """rtol of the objective [m, 1] and a problem's share of atol n ln(k)."""
    limits, scale = problem.limits, np.log(max(problem.classes, 2))
    absolute = limits.atol * problem.n * scale / problem.problems
    return limits.rtol * value + absolute


def _remaining_gap(gap, left, fall, fraction):
    """What a step leaves of the gap, now that its true fall [m, 1] is known.

    A quadratic would have fallen by gap - left. What it is off by is far more than
    what the terms beyond leave: of f = h s^2 / 2 + t s^3 Newton's step leaves only
    9/4 (t s^3)^2 / (h s^2 / 2).
    """
    left = left + np.abs(fall - (gap - left))
    return np.where(fraction == 1, np.minimum(left, gap), gap)


def search(
    problem: Problem, point: Point, step: Step, target: np.ndarray, l2: float
) -> tuple[Point, np.ndarray]:
    """Goes along the step by 1, 1/2, 1/4 ... until the objective is at the target.

    The point's residual and curvature are overwritten: it is left.

    Returns:
        The point reached, and the fraction of the step [m, 1].
    """
    fraction = np.ones_like(target)
    while True:
        trial = problem.moved(point, fraction, step)
        short = (problem.objective(trial, l2) > target) & (fraction > 0)
        if not short.any():
            return trial, fraction
        fraction[short] = np.where(fraction[short] > 1e-6, fraction[short] / 2, 0)


def newton_step(
    problem: Problem, state: State, equation: NewtonEquation, goal: np.ndarray
) -> NewtonStep:
    """Exact, or by conjugate gradients; none where the gap is bounded without one."""
    if state.exact:
        state.passes += 1
        return exact_step(problem, equation)
    precondition = conjugate_gradients.preconditioner(problem, equation)
    if state.eigenvalue_bound is not None:
        squared = problem.squared_norm(equation.gradient, precondition)
        gap = squared / state.eigenvalue_bound / 2
        if (gap <= ENOUGH * goal).all():
            return NewtonStep(None, gap, gap)
    inexact = conjugate_gradients.inexact_step(
        problem, state, equation, precondition, goal
    )
    state.exact = conjugate_gradients.too_slow(problem, state)
    return inexact


def exact_step(problem: Problem, equation: NewtonEquation) -> NewtonStep:
    """With the full Hessian, scaled to a unit diagonal."""
    gradient = problem.host(equation.gradient)
    matrix = problem.hessian(equation.point)
    i = np.arange(problem.unknowns)
    matrix[:, i, i] += np.resize(equation.penalty, problem.unknowns)
    scale = 1 / np.sqrt(np.maximum(matrix[:, i, i], TINY))
    matrix *= scale[:, :, None]
    matrix *= scale[:, None]
    matrix[:, i, i] += 1e-13  # Or rounding leaves it indefinite.
    b = np.linalg.solve(matrix, scale[..., None] * gradient.reshape(*scale.shape, 1))
    b = -(scale * b[..., 0]).reshape(gradient.shape)
    gap = -problem.dot(gradient, b) / 2
    return NewtonStep(problem.step(b), gap, np.zeros_like(gap))
