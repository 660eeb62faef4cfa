import dataclasses

import numpy as np
import pytest

from tests.support.logistic import (
    ITERATIVE,
    L2S,
    Reference,
    allowed,
    assert_solved,
    both_methods,
    features,
)
from tfxfer import logreg
from tfxfer.logreg import newton
from tfxfer.logreg.point import Step
from tfxfer.logreg.problem import prepare
from tfxfer.logreg.state import NewtonEquation, State


@both_methods
def test_a_step_too_long_is_shortened(limits):
    x, y = features(100, 3, 2, apart=0.5)
    problem, state = prepare(x, y, 2, limits), State(exact=limits.exact_unknowns > 0)
    # So far out that the curvature is next to nothing and Newton's step overshoots.
    b = np.array([[0, -9.0, 9, 9], [0, 9, -9, -9]])
    solution = newton.descend(problem, state, b, 0.1)
    w = problem.original(solution.point.b)
    f, minimum = logreg.loss_and_grad(w, x, y, 0.1)[0], Reference(x, y).minimum(0.1)
    assert f - minimum <= allowed(minimum, 100, 2)


def test_search_halves_a_step_until_it_descends_and_counts_the_fraction():
    x, y = features(100, 3, 2, apart=0.5)
    problem = prepare(x, y, 2)
    point, gradient = problem.evaluate(np.zeros((2, 4)))
    loss = point.loss.copy()
    b = -gradient  # Far too long.
    step = Step(b, np.hstack([scores for _, scores in problem.scores(b)]))
    reached, fraction = newton.search(problem, point, step, loss, l2=1.0)
    assert fraction.item() in 0.5 ** np.arange(1, 20)
    assert problem.objective(reached, 1.0) <= loss
    np.testing.assert_allclose(reached.b, fraction * b)
    again, _ = problem.evaluate(reached.b)
    np.testing.assert_allclose(reached.scores, again.scores, atol=1e-9)
    np.testing.assert_allclose(reached.residual, again.residual, atol=1e-9)


@pytest.mark.parametrize('multi_label', [False, True])
def test_the_exact_step_solves_newtons_equation(multi_label):
    x, y = features(100, 5, 3, apart=0.5)
    y = np.eye(3, dtype=int)[y] if multi_label else y
    problem = prepare(x, y, 3)
    point, gradient = problem.evaluate(np.zeros((3, 6)))
    equation = NewtonEquation(point, gradient, problem.penalty(0.5))
    step = newton.exact_step(problem, equation).step
    curved = problem.image_sums(
        problem.curvature_product(point, scores, rows)
        for rows, scores in problem.scores(step.b)
    )
    np.testing.assert_allclose(
        curved + equation.penalty * step.b,
        -gradient,
        atol=1e-6 * np.abs(gradient).max(),
    )


def test_slow_conjugate_gradients_give_way_to_the_full_hessian(monkeypatch):
    formed, exact_step = [], newton.exact_step
    monkeypatch.setattr(
        newton, 'exact_step', lambda *args: formed.append(1) or exact_step(*args)
    )
    x, y = features(200, 20, 12, apart=0.5)
    x *= np.logspace(-2, 2, 20, dtype=np.float32)
    assert_solved(x, y, 12, L2S, logreg.Limits(exact_unknowns=0))
    assert formed


def test_the_hessian_is_not_formed_where_it_is_too_large(monkeypatch):
    monkeypatch.setattr(newton, 'exact_step', None)
    x, y = features(200, 20, 12, apart=0.5)
    x *= np.logspace(-2, 2, 20, dtype=np.float32)
    trace = []
    list(logreg.path(x, y, 12, L2S, trace, dataclasses.replace(ITERATIVE, passes=300)))
    assert max(entry['iterations'] for entry in trace) > 100
