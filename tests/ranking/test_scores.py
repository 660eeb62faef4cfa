import numpy as np
import pytest

from tfxfer.ranking import scores, source_labels


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    y, v = np.arange(60) % 3, np.arange(24) % 3
    f, g = (rng.standard_normal((len(y_), 6)) + 2 * np.eye(6)[y_] for y_ in (y, v))
    return scores.Sample(f, y, g, v, 3)


def test_scores_that_need_a_source_classifier_are_none_without_one(sample):
    found = scores.measure(sample)
    assert list(found) == list(scores.SCORES)
    assert [name for name in found if found[name] is None] == ['leep', 'nce']
    with pytest.raises(ValueError, match='source classifier'):
        scores.SCORES['leep'].compute(sample)


def test_with_one_all_are_numbers(sample):
    p = source_labels.probabilities(sample.f, np.eye(6), np.zeros(6))
    one = scores.Sample(sample.f, sample.y, sample.g, sample.v, 3, 'mean_per_class', p)
    assert all(np.isfinite(value) for value in scores.measure(one).values())


@pytest.mark.parametrize('name', scores.SCORES)
def test_higher_is_better_of_every_score(sample, name):
    """Features of which the classes are further apart; a surer source classifier."""

    def at(signal):
        f, g = (
            part + signal * np.eye(6)[labels]
            for part, labels in ((sample.f, sample.y), (sample.g, sample.v))
        )
        p = source_labels.probabilities(f, np.eye(6), np.zeros(6))
        return scores.SCORES[name].compute(
            scores.Sample(f, sample.y, g, sample.v, 3, p=p)
        )

    assert at(-1.5) < at(4)


def test_validation_accuracies_are_shares_of_right_images(sample):
    found = scores.measure(sample)
    for name in ('knn', 'ncm'):
        assert found[name] * len(sample.v) == pytest.approx(
            round(found[name] * len(sample.v))
        )
