import numpy as np
import pytest
from scipy import stats

from tfxfer.ranking import relation


def made(ratio, tasks=40, networks=6, seed=0):
    """Tasks of a table whose fine-tuned log odds follow the score with this ratio."""
    rng = np.random.default_rng(seed)
    for i in range(tasks):
        h, t = rng.normal(1.0, 0.4, networks), rng.normal(1.1, 0.1, networks)
        y = 0.1 * (stats.zscore(h) + stats.zscore(t)) + 2
        y = y + 0.1 / ratio * rng.standard_normal(networks)
        names = tuple(f'n{j}' for j in range(networks))
        yield relation.Task(f'd{i}', names, *(1 / (1 + np.exp(-x)) for x in (t, h, y)))


def test_the_score_is_a_sum_of_scipys_z_scores():
    h, t = np.array([0.1, 1.4, 0.8]), np.array([1.0, 1.1, 1.3])
    np.testing.assert_allclose(
        relation.score(h, t), stats.zscore(h) + stats.zscore(t), rtol=1e-12
    )
    several = relation.score(np.stack([h, 2 * h + 1]), t)
    np.testing.assert_allclose(several[0], several[1], rtol=1e-12)


def test_accuracies_that_are_all_the_same_say_nothing():
    h = np.array([0.1, 1.4, 0.8])
    np.testing.assert_allclose(relation.score(h, np.full(3, 1.1)), stats.zscore(h))
    assert not relation.score(np.full(3, 0.7), np.full(3, 1.1)).any()


def test_the_probability_of_the_best_is_that_of_the_normal_distribution():
    s = np.array([0.4, -0.3])
    expected = stats.norm.logcdf(relation.RATIOS * 0.7 / np.sqrt(2))
    np.testing.assert_allclose(relation._log_chance(s, 0), expected, atol=1e-4)


def test_the_probability_of_the_best_is_that_of_a_simulation():
    s, at = np.array([0.5, 0.2, -1.1, 0.4]), 60
    rng = np.random.default_rng(0)
    drawn = relation.RATIOS[at] * s + rng.standard_normal((200_000, 4))
    shares = np.bincount(drawn.argmax(axis=1)) / len(drawn)
    found = [np.exp(relation._log_chance(s, best)[at]) for best in range(4)]
    np.testing.assert_allclose(found, shares, atol=0.005)


@pytest.mark.parametrize('ratio', [0.8, 2.0])
def test_what_is_learned_is_what_the_table_was_made_with(ratio):
    """Within what so many tasks say; parts of the networks have other z scores."""
    profiles = [relation.profile(task, 2) for task in made(ratio)]
    found = relation.learn(profiles)
    assert found.slope / found.spread == pytest.approx(ratio, rel=0.3)
    assert found.slope == pytest.approx(0.1, rel=0.3)
    assert found.gain == pytest.approx(1.0, abs=0.1)
    spread = relation.residual_spread(profiles)
    assert spread == pytest.approx(0.1 / ratio, rel=0.3)


def test_resampled_tasks_have_parts_of_the_networks_with_their_numbers():
    (task,) = made(1.0, tasks=1)
    parts = relation.resampled(task, 5)
    assert sorted({len(part.networks) for part in parts}) == [4, 5, 6]
    for part in parts:
        assert len(set(part.networks)) == len(part.networks)
        index = [task.networks.index(name) for name in part.networks]
        np.testing.assert_array_equal(part.finetuned, task.finetuned[index])
        np.testing.assert_array_equal(part.source, task.source[index])


def test_a_table_that_contradicts_the_score_is_refused():
    tasks = [task._replace(finetuned=1 - task.finetuned) for task in made(3.0, tasks=5)]
    with pytest.raises(ValueError, match='says nothing'):
        relation.learn(relation.profile(task, 2) for task in tasks)
    with pytest.raises(ValueError, match='3 networks'):
        relation.profile(tasks[0].part([0, 1, 2]))
