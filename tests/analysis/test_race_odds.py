"""Stated probabilities against simulated races whose truth is known."""

import numpy as np
import pytest

from tfxfer.analysis import crossed, race_odds

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def simulated(rng, k, *, drift=race_odds.DRIFT, image=8.0, alike=0.5):
    """(all Stages of k networks, their ImageNet accuracy): the model, step by step.

    drift: standard deviation in log odds of a doubling; image: of an image; alike: the
    correlation of networks on an image.
    """
    images = 16 * 30
    own = np.full((k, k), alike) + (1 - alike) * np.eye(k)
    noise = image * rng.multivariate_normal(np.zeros(k), own, images)
    names = tuple(map(str, range(k)))
    source = rng.uniform(0.5, 0.8, k)
    slope = race_odds.SLOPE + race_odds.SLOPE_APART * rng.standard_normal()
    level = slope * np.log(source / (1 - source))
    level = level + race_odds.APART * rng.standard_normal(k)
    anew = race_odds.RETRAINED * image**2 * (1 - alike)
    stages = []
    for i, share in enumerate(SHARES):
        if i:  # All gain, and some gain more.
            level = level + 0.5 + drift * rng.standard_normal(k)
        n = round(share * images)
        x = level + noise[:n].mean(axis=0)
        x = x + np.sqrt(anew / n) * rng.standard_normal(k)
        stages.append(race_odds.Stage(share, names, x, image**2 * own / n))
    return stages, dict(zip(names, source, strict=True))


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


@pytest.mark.parametrize('upto', [1, 4])
def test_probabilities_come_true(upto, monkeypatch):
    """Of the networks that were dropped at a smaller share too."""
    monkeypatch.setattr(race_odds, 'SAMPLES', 1000)
    rng = np.random.default_rng(upto)
    sets, single = [], []
    for _ in range(150):
        stages, source = simulated(rng, 8)
        chance = race_odds.probabilities(seen(stages, upto), source)
        names, p = race_odds.likely(chance)
        best = stages[-1].networks[int(np.argmax(stages[-1].x))]
        sets.append((p, best in names))
        single += [(value, name == best) for name, value in chance.items()]
    stated, came = np.mean(sets, axis=0)
    # Three standard errors of 150 races are 7 points.
    assert 0.9 <= stated == pytest.approx(came, abs=0.075)
    single = np.array(single, float)
    for low, high in ((0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1.01)):
        here = single[(single[:, 0] >= low) & (single[:, 0] < high)]
        error = 3 * np.sqrt(0.25 / max(len(here), 1))
        assert len(here) == 0 or here[:, 0].mean() == pytest.approx(
            here[:, 1].mean(), abs=error
        )


def test_on_all_images_nothing_is_uncertain():
    stages, source = simulated(np.random.default_rng(0), 6)
    chance = race_odds.probabilities(stages[-1:], source)
    best = stages[-1].networks[int(np.argmax(stages[-1].x))]
    assert next(iter(chance.items())) == (best, 1.0)


@pytest.mark.parametrize('drift', [0.2, 0.5])
def test_the_drift_of_many_networks_is_found(drift):
    """Among 60 networks what is said beforehand counts little."""
    rng = np.random.default_rng(1)
    races = [simulated(rng, 60, drift=drift, image=2.0)[0] for _ in range(10)]
    found = [race_odds.drift(stages) for stages in races]
    assert np.sqrt(np.mean(found)) == pytest.approx(drift, rel=0.15)


def test_without_what_a_race_has_shown_drift_is_the_usual():
    stages, _ = simulated(np.random.default_rng(0), 5)
    assert race_odds.drift(stages[:1]) == pytest.approx(race_odds.DRIFT**2)


def test_the_stage_of_outcomes_by_hand():
    """80 and 60 of 100 images right, on the same ones where they can be."""
    right = np.zeros((2, 100))
    right[0, :80] = right[1, :60] = 1
    outcomes = crossed.Outcomes(
        list(right[:, None]), np.full(100, 0.01), np.zeros(100, int), [False] * 2
    )
    stage = race_odds.of_outcomes(0.5, ('a', 'b'), outcomes)
    assert stage.x == pytest.approx(np.log([80.5 / 20.5, 60.5 / 40.5]))
    # p (1 - p) / n over (p (1 - p))^2, and of both p_b (1 - p_a).
    expected = [[1 / 16, 0.12 / 0.16 / 24], [0.12 / 0.16 / 24, 1 / 24]]
    assert stage.covariance == pytest.approx(np.array(expected), rel=0.05)


def test_the_likely_are_the_fewest_that_hold_the_best():
    found = {'a': 0.6, 'b': 0.25, 'c': 0.1, 'd': 0.05}
    assert race_odds.likely(found) == (['a', 'b', 'c'], pytest.approx(0.95))
    assert race_odds.likely(found, 0.5) == (['a'], 0.6)
    assert race_odds.likely({}) == ([], 0.0)


def test_imagenet_accuracy_alone_says_something():
    chance = race_odds.probabilities([], {'good': 0.78, 'bad': 0.5})
    assert 0.6 < chance['good'] < 0.95
    assert race_odds.probabilities([]) == {}
