import numpy as np
import pytest

from tests.support.logistic import ITERATIVE, features, present
from tfxfer.logreg import conjugate_gradients, newton
from tfxfer.logreg.problem import prepare
from tfxfer.logreg.state import NewtonEquation, State


def test_error_of_conjugate_gradients_is_bounded_from_above():
    # Textbook iterations on a problem whose solution is known.
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    matrix, solution = q @ np.diag(np.geomspace(0.01, 1, 30)) @ q.T, rng.random(30)
    x, r = np.zeros(30), matrix @ solution
    p, rho, gamma, ratios, plain = r, r @ r, 1 / 0.005, [], []
    for _ in range(20):
        alpha = rho / (p @ matrix @ p)
        x, r = x + alpha * p, r - alpha * matrix @ p
        beta = r @ r / rho
        p, rho = r + beta * p, r @ r
        gamma = conjugate_gradients.next_gamma(gamma, 0.005, alpha, beta)
        error = (x - solution) @ matrix @ (x - solution)
        assert error <= gamma * rho <= rho / 0.005
        ratios.append(gamma * rho / error)
        plain.append(rho / 0.005 / error)
    assert min(ratios) < 5
    assert np.median(ratios) < np.median(plain) / 2


def test_the_smallest_ritz_value_of_all_iterations_is_the_smallest_eigenvalue():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    matrix = q @ np.diag([0.3, 1, 2, 3, 4]) @ q.T
    r = rng.random(5)
    p, rho, alphas, betas = r, r @ r, [], []
    for _ in range(5):
        alpha = rho / (p @ matrix @ p)
        r = r - alpha * matrix @ p
        beta = r @ r / rho
        p, rho = r + beta * p, r @ r
        alphas.append(np.array([[alpha]]))
        betas.append(np.array([[beta]]))
    few = conjugate_gradients.smallest_ritz_value(alphas[:3], betas[:3]).item()
    full = conjugate_gradients.smallest_ritz_value(alphas, betas).item()
    assert few > full
    assert full == pytest.approx(0.3)


def equation_at_zero(multi_label):
    x, y = features(200, 10, 3, apart=0.5)
    y = present(200, 3) if multi_label else y
    problem = prepare(x, y, 3, ITERATIVE)
    point, gradient = problem.evaluate(np.zeros((3, problem.width)))
    penalty = problem.penalty(2.0)
    return problem, NewtonEquation(point, gradient + penalty * point.b, penalty)


@pytest.mark.parametrize('multi_label', [False, True])
def test_the_step_is_the_exact_one_within_what_it_says_is_left(multi_label):
    problem, equation = equation_at_zero(multi_label)
    state, goal = State(exact=False), np.full((problem.problems, 1), 1e-5)
    precondition = conjugate_gradients.preconditioner(problem, equation)
    step, gap, left = conjugate_gradients.inexact_step(
        problem, state, equation, precondition, goal
    )
    exact = newton.exact_step(problem, equation)
    true_left = exact.gap + problem.dot(equation.gradient, step.b) / 2
    assert (true_left <= left + 1e-5 * exact.gap).all()
    assert (left <= np.maximum(goal, gap / 10)).all()
    assert (exact.gap <= gap * (1 + 1e-5)).all()
    scores = np.hstack([scores.copy() for _, scores in problem.scores(step.b)])
    np.testing.assert_allclose(step.scores, scores, atol=1e-5)
    assert 1 <= state.passes < 50 and not state.exact
    assert (state.eigenvalue_bound <= 1).all()


def test_where_curvature_is_the_same_at_every_image_one_iteration_is_enough():
    problem, equation = equation_at_zero(multi_label=False)  # p is 1/3 everywhere.
    precondition = conjugate_gradients.preconditioner(problem, equation)
    exact = newton.exact_step(problem, equation).step.b
    near = -precondition(equation.gradient)
    np.testing.assert_allclose(near, exact, atol=1e-4 * np.abs(exact).max())
