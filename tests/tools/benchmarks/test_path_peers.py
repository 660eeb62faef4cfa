"""Every peer's solution is a minimum of the objective of logreg."""

import importlib.util

import numpy as np
import pytest

from tfxfer import logreg
from tools.benchmarks import child, path_peers
from tools.benchmarks.path_peers import Peer

L2 = 3.0


def problem(classes, n=80, d=6):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d))
    return x, np.arange(n) % classes


def gradient(w, x, y):
    """The largest entry of that of the objective, as a mean over images."""
    w = w - w.mean(axis=1, keepdims=True)  # scikit-learn's saga leaves the mean free.
    return np.abs(logreg.loss_and_grad(w, x, y, L2)[1]).max() / len(y)


def assert_solved(fit, classes, start):
    x, y = problem(classes)
    first, _ = fit(L2, None, 1e-1, 10**5)
    assert first.shape == (7, classes)
    w, count = fit(L2, first if start else None, 1e-9, 10**5)
    assert gradient(w.astype(np.float64), x, y) < 1e-5
    if start:  # From the solution there is nothing left to do.
        assert fit(L2, w, 1e-4, 10**5)[1] <= 1
    return w


SCIKIT_LEARN = ['lbfgs', 'newton-cg', 'newton-cholesky', 'saga']


@pytest.mark.parametrize('classes', [2, 3])
@pytest.mark.parametrize('key', SCIKIT_LEARN)
def test_scikit_learn_solves_the_same_problem(key, classes):
    fit = Peer(key, 'float64').make(*problem(classes), classes)
    # saga forgets the gradients of its images, and goes on even from the solution.
    assert_solved(fit, classes, start=key != 'saga')


@pytest.mark.parametrize('classes', [2, 3])
def test_scikit_learn_intelex_solves_the_same_problem(classes):
    pytest.importorskip('sklearnex', reason='scikit-learn-intelex is not installed')
    fit = Peer('intelex', 'float64').make(*problem(classes), classes)
    assert_solved(fit, classes, start=True)


@pytest.mark.parametrize('classes', [2, 3])
def test_torch_solves_the_same_problem(classes):
    if not importlib.util.find_spec('torch'):
        pytest.skip('torch is not installed')
    child.call(solve_by_torch, classes)


def solve_by_torch(classes):
    """In a process of its own, as in the benchmark: beside TensorFlow it may crash."""
    fit = path_peers.torch_lbfgs('cpu')(*problem(classes), classes)
    assert_solved(fit, classes, start=True)


@pytest.mark.parametrize('classes', [2, 3])
def test_cuml_solves_the_same_problem(classes):
    if path_peers.missing('cuml', 6, classes):
        pytest.skip(path_peers.missing('cuml', 6, classes))
    fit = Peer('cuml', 'float64').make(*problem(classes), classes)
    assert_solved(fit, classes, start=False)


def test_more_iterations_are_a_continuation_of_fewer():
    """So that a failed attempt costs no more than the one that succeeds."""
    fit = Peer('lbfgs', 'float64').make(*problem(3), 3)
    counts = [fit(L2, None, 10.0**-i, 10**5)[1] for i in range(1, 8)]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    loose, _ = fit(L2, None, 1e-3, 10**5)
    cut, _ = fit(L2, None, 1e-12, fit(L2, None, 1e-3, 10**5)[1])
    np.testing.assert_allclose(loose, cut, rtol=0, atol=1e-12)


def test_who_cannot_take_part_is_said():
    for key, maker in path_peers.MAKERS.items():
        if not importlib.util.find_spec(maker.module):
            assert path_peers.missing(key, 6, 3) == f'{maker.module} is not installed'
    assert path_peers.missing('lbfgs', 10**6, 100) == ''
    # 3 x 8 x 10^14 bytes.
    assert 'GiB' in path_peers.missing('newton-cholesky', 10**5, 100)


def test_a_peer_says_another_precision_than_float32():
    assert str(Peer('saga')) == 'scikit-learn saga'
    assert str(Peer('saga', 'float64')) == 'scikit-learn saga, float64'
