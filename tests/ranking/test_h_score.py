import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from tfxfer.ranking import h_score


def sample(n, d, classes, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    scales = np.geomspace(0.1, 2, d)
    return (
        rng.standard_normal((n, d)) + rng.standard_normal((classes, d))[y]
    ) * scales, y


def by_definition(f, y, classes):
    """As the authors' code computes it: all matrices [d, d], a dense pseudo-inverse."""
    f = f - f.mean(axis=0)
    fitted = LedoitWolf().fit(f)
    g = np.zeros_like(f)
    for c in range(classes):
        g[y == c] = f[y == c].mean(axis=0)
    between = (1 - fitted.shrinkage_) * np.cov(g, rowvar=False)
    return np.trace(np.linalg.pinv(fitted.covariance_, rcond=1e-15) @ between)


@pytest.mark.parametrize(('n', 'd', 'classes'), [(80, 10, 4), (30, 70, 3), (50, 50, 5)])
def test_the_regularised_h_score_is_that_of_sklearns_ledoit_wolf(n, d, classes):
    f, y = sample(n, d, classes)
    expected = by_definition(f, y, classes)
    assert h_score.regularised_h_score(f, y, classes) == pytest.approx(expected, 1e-8)


def test_the_shrinkage_is_sklearns_whether_there_are_more_images_or_features():
    for n, d in ((60, 8), (20, 90)):
        x = sample(n, d, 2)[0]
        x = x - x.mean(axis=0)
        expected = LedoitWolf().fit(x).shrinkage_
        assert h_score.shrinkage(x, x.T @ x) == pytest.approx(expected, rel=1e-9)
        assert h_score.shrinkage(x, x @ x.T) == pytest.approx(expected, rel=1e-9)


def test_on_noise_it_does_not_grow_with_the_number_of_features():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 10
    few, many = (
        h_score.regularised_h_score(rng.standard_normal((300, d)), y, 10)
        for d in (32, 512)
    )
    assert few < 0.5 and many < 0.5


def test_features_that_do_not_vary_are_refused():
    with pytest.raises(ValueError, match='do not vary'):
        h_score.regularised_h_score(np.ones((6, 2)), np.arange(6) % 2, 2)
