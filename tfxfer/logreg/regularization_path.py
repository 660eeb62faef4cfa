"""The path: every l2, strongest first, each started from the solutions before it."""

import typing
from collections.abc import Iterable, Iterator

import numpy as np
from absl import logging

from tfxfer.logreg import newton, warm_start
from tfxfer.logreg.checks import check
from tfxfer.logreg.limits import Limits
from tfxfer.logreg.problem import Problem, prepare
from tfxfer.logreg.state import Solution, State

Trace = list[dict[str, typing.Any]]


def path(
    x: np.ndarray,
    y: np.ndarray,
    classes: int,
    l2s: Iterable[float],
    trace: Trace | None = None,
    limits: Limits | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Solves every distinct l2, strongest first, each started from those before it.

    Args:
        x: features [n, d]; may be a memory map.
        y: labels [n] in [0, classes), or [n, classes] of 1, 0 and -1 (left out).
        classes: how many, k.
        l2s: penalties in any order.
        trace: a list that gets a dict for every l2: l2, objective, iterations (passes
            over the images), gap (estimate of objective - f*, meant to be above it)
            and solved. An l2 that is not solved is also logged as a warning.
        limits: tolerances and sizes other than the defaults.

    Returns:
        An iterator over (l2, w); w is [d + 1, k] float32, its last row the bias.

    Raises:
        ValueError: at once, if x, y or l2s allow no solution; says what would.
    """
    x, y, l2s = np.asanyarray(x), np.asarray(y), list(l2s)
    check(x, y, classes, l2s)

    def solved():
        yield from solutions(prepare(x, y, classes, limits), l2s, trace)

    return solved()


def fit(
    x: np.ndarray,
    y: np.ndarray,
    classes: int,
    l2: float,
    trace: Trace | None = None,
    limits: Limits | None = None,
) -> np.ndarray:
    """w [d + 1, k] float32 at one l2, from zero; arguments and errors as in path."""
    ((_, w),) = path(x, y, classes, [l2], trace, limits)
    return w


def solutions(
    problem: Problem, l2s: Iterable[float], trace: Trace | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """As path, of a problem that is prepared."""
    state = State(exact=problem.unknowns <= problem.limits.exact_unknowns)
    l2s = sorted(set(l2s), reverse=True)
    above = max(problem.n, l2s[0])
    for l2 in l2s:
        entry, w = _solve_from(problem, state, above, l2)
        if trace is not None:
            trace.append(entry)
        above = l2
        yield l2, w


def _solve_from(problem, state, above, l2):
    """The trace's entry and w at l2, by way of the l2s between it and that above."""
    state.passes = 0
    for between in warm_start.intermediate_l2s(above, l2):
        if state.passes < problem.limits.passes:
            solve(problem, state, between)
    solution = solve(problem, state, l2)
    entry = {
        'l2': l2,
        'objective': float(problem.objective(solution.point, l2).sum()),
        'iterations': state.passes,
        'gap': float(solution.gap.sum()),
        'solved': bool((solution.gap <= solution.goal).all()),
    }
    if not entry['solved']:
        _warn(entry, solution)
    return entry, problem.original(solution.point.b)


def solve(problem: Problem, state: State, l2: float) -> Solution:
    """The solution at l2, started from those before, if any."""
    with problem.backend.computing(by_blas=state.exact):
        start = warm_start.start(problem, state, l2)
        solution = newton.descend(problem, state, start, l2, recycled=state.solution)
        state.remember(problem, solution.point)
    return solution


def _warn(entry, solution):
    logging.warning(
        'l2 %g is not solved: after %d passes over the images the objective is at most '
        'about %.2g above its minimum, and %.2g was wanted. Features of very different '
        'scales are the usual reason: standardise them.',
        *(entry['l2'], entry['iterations'], entry['gap'], solution.goal.sum()),
    )
