"""Newton's step by preconditioned conjugate gradients, and a bound of what is left.

docs/logistic_regression.md, "Preconditioner", "Conjugate gradients" and "Gauss-Radau
bound".
"""

import dataclasses

import numpy as np

from tfxfer.logreg.iterations import TINY, Preconditioner
from tfxfer.logreg.problem import Problem
from tfxfer.logreg.state import NewtonEquation, NewtonStep, State

ENOUGH = 0.7  # Of the tolerance; the rest is for the estimates' errors.


def preconditioner(problem: Problem, equation: NewtonEquation) -> Preconditioner:
    """A function, r [k, r + 1] -> near inverse of the Hessian x r.

    As if the curvature at an image had nothing to do with its features.
    """
    mean, penalty = problem.mean_curvature(equation.point), equation.penalty
    if problem.binary:
        inverse = 1 / np.maximum(mean * problem.squares + penalty, TINY)
        return Preconditioner(_scaled, problem.put(inverse))
    # Rows sum to 0; so they do where p is all but 0 or 1, too.
    np.fill_diagonal(mean, 0)
    np.fill_diagonal(mean, -mean.sum(axis=1))
    # Softmax leaves a sum over classes undetermined: made the last eigenvector, it is
    # left out.
    values, u = np.linalg.eigh(mean + 2 * np.trace(mean))
    values, u = values[:-1, None], u[:, :-1]
    inverse = 1 / np.maximum(values * problem.squares + penalty, TINY)
    return Preconditioner(_scaled_in_basis, problem.put(u, u.T, inverse))


def _scaled(r, inverse):
    return inverse * r


def _scaled_in_basis(r, u, transposed, inverse):
    return u @ (inverse * (transposed @ r))


def inexact_step(
    problem: Problem,
    state: State,
    equation: NewtonEquation,
    precondition: Preconditioner,
    goal: np.ndarray,
) -> NewtonStep:
    """Solves Newton's equation, to a tenth of the gap or to the goal [m, 1].

    The squared decrement is what the iterations have won of it and, of the rest, the
    Gauss-Radau bound. Ends early where `too_slow`.
    """
    iterations = problem.iterations(equation, precondition, state.workspace)
    won, left = np.zeros_like(goal), np.full(goal.shape, np.inf)
    live = np.ones(goal.shape, bool)
    bound = GaussRadauBound.start(state, goal)
    while True:
        # A problem that is done stands still: going on would only divide rounding by
        # rounding.
        alpha, beta, gain, rho = iterations.advance(live)
        state.passes += 1
        won = won + gain
        enough = np.maximum(won / 10, ENOUGH * goal)
        bound.extend(alpha, beta)
        if (live & (bound.gamma * rho <= enough)).any():
            bound.lower()
        left = np.where(live, bound.gamma * rho, left)
        live &= left > enough
        given_up = too_slow(problem, state) or state.passes >= problem.limits.passes
        if given_up or not live.any():
            state.eigenvalue_bound = bound.smallest
            state.workspace = iterations.workspace
            return NewtonStep(iterations.step, gap=(won + left) / 2, left=left / 2)


def too_slow(problem: Problem, state: State) -> bool:
    """Whether the full Hessian is affordable, and so many passes cost about as much."""
    hessian_size = problem.problems * problem.unknowns**2
    slow = state.passes > max(100, problem.unknowns // 4)
    return slow and hessian_size <= problem.limits.hessian_size


@dataclasses.dataclass
class GaussRadauBound:
    """gamma x r x preconditioned r bounds the squared error of conjugate gradients.

    It needs a number below every eigenvalue of preconditioner x Hessian: a quarter of
    the smallest Ritz value seen on the path, as those come from above.
    """

    smallest: np.ndarray  # Below every eigenvalue [m, 1].
    gamma: np.ndarray  # [m, 1]
    alphas: list[np.ndarray]  # Step lengths and
    betas: list[np.ndarray]  # ratios of successive r x preconditioned r, so far.

    @classmethod
    def start(cls, state: State, goal: np.ndarray) -> 'GaussRadauBound':
        """With the bound of the path, or 1 as for a perfect preconditioner."""
        smallest = state.eigenvalue_bound
        if smallest is None:
            smallest = np.ones_like(goal)
        return cls(smallest, 1 / smallest, [], [])

    def extend(self, alpha: np.ndarray, beta: np.ndarray) -> None:
        """By one iteration."""
        self.alphas.append(alpha)
        self.betas.append(beta)
        self.gamma = next_gamma(self.gamma, self.smallest, alpha, beta)

    def lower(self) -> None:
        """To a quarter of the smallest Ritz value, with gamma as from the start."""
        ritz = smallest_ritz_value(self.alphas, self.betas)
        self.smallest = np.minimum(self.smallest, ritz / 4)
        self.gamma = 1 / self.smallest
        for alpha, beta in zip(self.alphas, self.betas, strict=True):
            self.gamma = next_gamma(self.gamma, self.smallest, alpha, beta)


def next_gamma(
    gamma: np.ndarray, smallest: np.ndarray, alpha: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    """The next gamma: gamma x residual x near inverse x residual bounds the error.

    Error squared in the Hessian's norm, that is twice the gap, after this iteration of
    conjugate gradients; gamma starts as 1 / smallest. It is Gauss and Radau's
    quadrature with a node at `smallest`, an upper bound if that is below every
    eigenvalue, by the recurrence of Meurant and Tichy ("On computing quadrature-based
    bounds for the A-norm of the error in conjugate gradients", Numerical Algorithms
    62, 2013).
    """
    more = np.maximum(gamma - alpha, 0)
    return more / np.maximum(smallest * more + beta, TINY)


def smallest_ritz_value(
    alphas: list[np.ndarray], betas: list[np.ndarray]
) -> np.ndarray:
    """Smallest eigenvalue [m, 1] of the Lanczos matrices of conjugate gradients."""
    alpha, beta = np.maximum(np.hstack(alphas), TINY), np.hstack(betas)[:, :-1]
    i = np.arange(alpha.shape[1])
    lanczos = np.zeros((len(alpha), len(i), len(i)))
    lanczos[:, i, i] = 1 / alpha
    lanczos[:, i[1:], i[1:]] += beta / alpha[:, :-1]
    lanczos[:, i[1:], i[:-1]] = np.sqrt(beta) / alpha[:, :-1]
    # Rounding hides what is smaller.
    return np.maximum(np.linalg.eigvalsh(lanczos)[:, :1], 1e-10)
