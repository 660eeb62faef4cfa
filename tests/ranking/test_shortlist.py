import numpy as np
import pytest
from scipy import special, stats

from tfxfer.ranking import relation, shortlist

FOLLOWING = relation.Relation(slope=0.1, spread=0.08, gain=0.5)
SOURCE = special.logit([0.70, 0.74, 0.76, 0.71])


def sure(probe, source=SOURCE):
    """Evidence of probes on endlessly many images."""
    k = len(probe)
    return shortlist.Evidence(
        tuple(map(str, range(k))),
        special.logit(probe),
        np.zeros((k, k)),
        np.asarray(source),
    )


def predictions(n=300, seed=0):
    """What four probes have right of the same images, which are as hard for all."""
    rng = np.random.default_rng(seed)
    level = np.array([[0.6], [0.7], [0.9], [0.75]])
    hard = rng.standard_normal(n)
    return level + hard + 0.5 * rng.standard_normal((4, n)) > 0


def test_the_covariance_is_that_of_a_bootstrap_of_images():
    right = predictions()
    known = shortlist.evidence('abcd', right, SOURCE)
    rng = np.random.default_rng(1)
    counts = rng.multinomial(300, np.full(300, 1 / 300), size=20_000)
    drawn = special.logit((counts @ right.T + 0.5) / 301)
    np.testing.assert_allclose(known.covariance, np.cov(drawn.T), rtol=0.08)
    np.testing.assert_allclose(
        known.probe, special.logit((right.sum(axis=1) + 0.5) / 301)
    )


def test_of_two_networks_the_probability_is_the_normal_distributions():
    known = sure([0.8, 0.83], [0.85, 1.05])
    found = shortlist.shortlist(known, following=FOLLOWING, samples=200_000)
    # Two z scores of -1 and 1 each.
    expected = stats.norm.cdf(0.1 * 4 / (0.08 * np.sqrt(2)))
    np.testing.assert_allclose(found.score, [-2, 2])
    assert found.chance[1] == pytest.approx(expected, abs=0.002)


def test_it_is_the_smallest_set_with_the_probability():
    known = sure([0.80, 0.83, 0.84, 0.78])
    for level in (0.3, 0.6, 0.8, 0.95, 0.999):
        found = shortlist.shortlist(known, level=level, following=FOLLOWING)
        chances = sorted(found.chance, reverse=True)
        size = next(i for i in range(1, 5) if sum(chances[:i]) >= level - 1e-9)
        assert len(found.chosen) == size
        assert found.probability == pytest.approx(sum(chances[:size]))
        assert found.probability >= level - 1e-9
        assert found.chance.sum() == pytest.approx(1)


def test_the_loss_is_that_of_a_simulation_by_hand():
    known = sure([0.80, 0.83, 0.84, 0.78])
    found = shortlist.shortlist(known, level=0.5, following=FOLLOWING)
    rng = np.random.default_rng(5)
    h, t = special.logit([0.80, 0.83, 0.84, 0.78]), SOURCE
    y = 0.1 * (stats.zscore(h) + stats.zscore(t)) + h.mean() + 0.5
    y = special.expit(y + 0.08 * rng.standard_normal((100_000, 4)))
    lost = 100 * (y.max(axis=1) - y[:, list(found.chosen)].max(axis=1))
    assert found.loss == pytest.approx(lost.mean(), abs=0.02)
    assert found.most == pytest.approx(np.quantile(lost, 0.95), abs=0.05)
    assert shortlist.shortlist(known, level=0.9999, following=FOLLOWING).most < 0.01


def test_probes_of_few_images_are_taken_for_less():
    """Of two networks: their difference is that of a textbook's normal prior."""
    known = shortlist.Evidence(
        ('a', 'b'),
        np.array([1.0, 1.6]),
        np.diag([0.02, 0.03]),
        special.logit([0.7, 0.7]),
    )
    drawn = shortlist.true_probes(known, 200_000, np.random.default_rng(0))
    difference = drawn[:, 1] - drawn[:, 0]
    noise = 0.05
    prior = 0.6**2 - noise  # Of the difference.
    assert difference.mean() == pytest.approx(0.6 * prior / (prior + noise), abs=0.003)
    assert difference.var() == pytest.approx(prior * noise / (prior + noise), rel=0.02)


def test_probes_that_differ_by_chance_alone_do_not_decide():
    right = predictions(n=40)
    right[:] = right[0]
    right[1, :2] = True  # One or two images more.
    known = shortlist.evidence('abcd', right, special.logit([0.70, 0.701, 0.699, 0.76]))
    found = shortlist.shortlist(known, following=FOLLOWING)
    assert found.chance.argmax() == 3  # That of the best source accuracy.


def test_more_images_make_the_shortlist_shorter():
    few, many = (
        shortlist.shortlist(
            shortlist.evidence('abcd', predictions(n), SOURCE), following=FOLLOWING
        )
        for n in (60, 20_000)
    )
    assert few.chance.max() < many.chance.max()


@pytest.mark.slow
@pytest.mark.parametrize('images', [200, 2000])
def test_what_is_said_is_true_of_tasks_that_follow_the_model(images):
    """Tasks whose true probes and fine-tuned accuracies are known."""
    rng = np.random.default_rng(0)
    held, said = [], []
    for _ in range(1000):
        h, t = rng.normal(0.9, 0.25, 6), rng.normal(1.1, 0.15, 6)
        y = FOLLOWING.slope * (stats.zscore(h) + stats.zscore(t))
        y += FOLLOWING.spread * rng.standard_normal(6)
        level = special.ndtri(special.expit(h)) * np.sqrt(1.25)
        right = (
            level[:, None]
            + rng.standard_normal(images)
            + 0.5 * rng.standard_normal((6, images))
            > 0
        )
        known = shortlist.evidence('abcdef', right, t)
        found = shortlist.shortlist(known, following=FOLLOWING, samples=2000)
        said.append(found.probability)
        held.append(int(y.argmax()) in found.chosen)
    assert np.mean(held) == pytest.approx(np.mean(said), abs=0.04)


def test_what_has_no_answer_is_refused():
    with pytest.raises(ValueError, match='between 0 and 1'):
        shortlist.shortlist(sure([0.8, 0.9, 0.7, 0.6]), level=1)
    with pytest.raises(ValueError, match='at least 2'):
        sure([0.8], [0.7])
    with pytest.raises(ValueError, match='finite'):
        sure([0.8, 1.0], [0.7, 0.6])
