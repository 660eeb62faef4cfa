"""Stated probabilities against simulated races whose truth is known."""

import numpy as np
import pytest
from scipy import special

from tfxfer.analysis import crossed, race_odds

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def simulated(rng, k, *, apart, drift, image=8.0, alike=0.5, shares=SHARES):
    """All Stages of k networks: the model of race_odds, drawn step by step.

    apart, drift: standard deviations in log odds, of networks and of a doubling; image:
    of an image, on 1 / sqrt(images); alike: correlation of networks on an image.
    """
    images = round(16 * 30)
    own = np.full((k, k), alike) + (1 - alike) * np.eye(k)
    noise = image * rng.multivariate_normal(np.zeros(k), own, images)
    level = apart * rng.standard_normal(k)
    stages = []
    for i, share in enumerate(shares):
        if i:
            doublings = np.log2(share / shares[i - 1])
            level = level + drift * np.sqrt(doublings) * rng.standard_normal(k)
        n = round(share * images)
        x = level + noise[:n].mean(axis=0) + 0.5 * i
        names = tuple(map(str, range(k)))
        stages.append(race_odds.Stage(share, names, x, image**2 * own / n))
    return stages


def part(stage, names):
    at = [stage.networks.index(name) for name in names]
    return race_odds.Stage(
        stage.share, tuple(names), stage.x[at], stage.covariance[np.ix_(at, at)]
    )


def seen(stages, upto):
    """What a race sees that halves its networks at each share, and then stops."""
    found, names = [], stages[0].networks
    for stage in stages[:upto]:
        found.append(part(stage, names))
        order = np.argsort(-found[-1].x)
        names = [names[i] for i in order[: max(2, len(names) // 2)]]
    return found


@pytest.mark.parametrize('upto', [1, 2, 4])
def test_probabilities_come_true(upto, monkeypatch):
    """Of networks that were dropped at a smaller share too."""
    monkeypatch.setattr(race_odds, 'SAMPLES', 2000)
    rng = np.random.default_rng(upto)
    stated, came = [], []
    for _ in range(300):
        stages = simulated(rng, 12, apart=race_odds.APART, drift=race_odds.DRIFT)
        chance = race_odds.probabilities(seen(stages, upto))
        names, p = race_odds.likely(chance)
        best = stages[-1].networks[int(np.argmax(stages[-1].x))]
        stated.append(p)
        came.append(best in names)
    # Three standard errors of 300 races are 5 points.
    assert np.mean(stated) == pytest.approx(np.mean(came), abs=0.06)
    assert np.mean(stated) >= 0.9
