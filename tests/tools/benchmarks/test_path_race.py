"""Peers go down a path to the tolerance, or it is said how far they came."""

import numpy as np
import pytest

from tests.support.logistic import Reference, allowed
from tfxfer import logreg
from tools.benchmarks import path_race
from tools.benchmarks.path_peers import Peer

L2S = [100.0, 1.0, 0.01]


@pytest.fixture
def problem(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 5)).astype(np.float32), np.arange(90) % 3
    np.save(tmp_path / 'x.npy', x)
    np.save(tmp_path / 'y.npy', y)
    found = path_race.Problem(tmp_path, L2S)
    for i, (_, w) in enumerate(logreg.path(x, y, 3, L2S)):
        found.objective(i, w)
    return found


def driven(problem, key='lbfgs', limit=np.inf):
    way, said = path_race.Way(Peer(key)), []
    path_race.drive(way, problem, limit, said.append)
    return way, said


@pytest.mark.slow
def test_every_l2_is_solved_to_the_tolerance_of_ours(problem):
    way, said = driven(problem)
    assert way.ended == '' and not way.lost
    assert len(way.seconds) == len(said) == 3
    reference = Reference(problem.x, problem.y)
    for l2, w in zip(L2S, way.weights, strict=True):
        value = logreg.loss_and_grad(w.astype(float), problem.x, problem.y, l2)[0]
        least = reference.minimum(l2)
        assert value - least <= 1.01 * allowed(least, 90, 3)
    assert way.total == pytest.approx(sum(way.seconds))
    assert 0 < path_race.again(way, problem) < 60


def test_the_gap_is_counted_in_tolerances(problem):
    value = problem.least[0] * (1 + 2e-4) + 2e-7 * 90 * np.log(3)
    assert problem.gap(0, value) == pytest.approx(2)


@pytest.mark.slow
def test_without_time_the_bound_is_what_the_first_l2_took(problem):
    way, said = driven(problem, limit=0.0)
    assert not said and not way.seconds and not way.beyond
    assert way.ended.startswith('stopped after')
    assert way.total == way.lost > 0


@pytest.mark.slow
def test_a_peer_that_gets_no_closer_is_given_up(problem):
    problem.least[1] *= 0.9  # No solution is there.
    way, said = driven(problem, 'newton-cg')
    assert len(said) == 1 and way.beyond
    assert way.ended.endswith('above at l2 1')
    assert way.lost > 0
