import numpy as np
import pytest
from scipy import optimize, stats

from tfxfer.ranking import logme


def sample(n, d, classes, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    f = np.maximum(rng.standard_normal((n, d)) + 0.3, 0)
    f[:, : classes - 1] += signal * np.eye(classes)[y][:, : classes - 1]
    return f, y


def by_definition(f, y, classes):
    """The density of each target, maximised over alpha and beta by scipy."""
    n, found = len(f), []
    for c in range(classes):
        target = (y == c).astype(float)

        def lost(logs, target=target):
            alpha, beta = np.exp(logs)
            covariance = np.eye(n) / beta + f @ f.T / alpha
            return -stats.multivariate_normal.logpdf(
                target, np.zeros(n), covariance, allow_singular=True
            )

        starts = [(0.0, 0.0), (3.0, 1.0), (8.0, 2.0), (-2.0, 3.0)]
        best = min(
            (optimize.minimize(lost, start, method='Nelder-Mead') for start in starts),
            key=lambda one: one.fun,
        )
        found.append(-best.fun / n)
    return np.mean(found)


@pytest.mark.parametrize(('n', 'd'), [(40, 6), (24, 60)])
def test_logme_is_the_mean_log_density_of_the_targets_at_its_maximum(n, d):
    f, y = sample(n, d, 3)
    assert logme.logme(f, y, 3) == pytest.approx(by_definition(f, y, 3), abs=2e-6)


def test_logme_of_few_features_is_that_of_more_images_than_features():
    """Features of zeros change nothing, but make d larger than n."""
    f, y = sample(40, 6, 3)
    wide = np.concatenate([f, np.zeros((40, 60))], axis=1)
    assert logme.logme(wide, y, 3) == pytest.approx(logme.logme(f, y, 3), rel=1e-9)


def test_logme_has_no_intercept_as_its_authors():
    f, y = sample(200, 12, 3)
    assert abs(logme.logme(f + 1, y, 3) - logme.logme(f, y, 3)) > 1e-3


def test_logme_does_not_depend_on_the_unit_of_features():
    f, y = sample(60, 8, 3)
    assert logme.logme(1e4 * f, y, 3) == pytest.approx(logme.logme(f, y, 3), rel=1e-9)


def test_logme_of_features_that_say_nothing_is_that_of_noise_around_zero():
    """Without features a target's best density is normal, of its own mean square."""
    y = np.arange(30) % 3
    f = np.zeros((30, 2))
    f[:, 0] = np.tile(np.repeat([1.0, -1.0], 3), 5)  # Balanced within each class.
    nothing = -0.5 * (np.log(2 * np.pi / 3) + 1)
    assert logme.logme(f, y, 3) == pytest.approx(nothing, abs=1e-9)


def test_more_signal_is_a_higher_logme():
    scores = [logme.logme(*sample(90, 8, 3, signal=s), 3) for s in (0.0, 1.0, 3.0)]
    assert scores == sorted(scores)


def test_features_of_zeros_are_refused():
    with pytest.raises(ValueError, match='0'):
        logme.logme(np.zeros((6, 2)), np.arange(6) % 2, 2)
