import numpy as np
import pytest
from sklearn import neighbors as sklearn_neighbors

from tfxfer.ranking import neighbours


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    y, v = np.arange(90) % 3, np.arange(40) % 3
    centres = rng.standard_normal((3, 5))
    return (
        centres[y] + rng.standard_normal((90, 5)),
        y,
        centres[v] + rng.standard_normal((40, 5)),
    )


def test_votes_are_those_of_a_loop(images):
    f, y, g = images
    ((k, votes),) = neighbours.votes(f, y, g, 3, (7,))
    assert k == 7
    for row, x in zip(votes, g, strict=True):
        s = [x @ one / np.linalg.norm(x) / np.linalg.norm(one) for one in f]
        expected = [0.0, 0.0, 0.0]
        for i in sorted(range(len(f)), key=lambda i: -s[i])[:7]:
            expected[y[i]] += np.exp(s[i] / 0.07)
        np.testing.assert_allclose(row, expected, rtol=1e-9)


def test_predictions_are_sklearns_with_the_same_weights(images):
    f, y, g = images
    for k, votes in neighbours.votes(f, y, g, 3):
        peer = sklearn_neighbors.KNeighborsClassifier(
            k, metric='cosine', weights=lambda distance: np.exp((1 - distance) / 0.07)
        ).fit(f, y)
        np.testing.assert_array_equal(votes.argmax(axis=1), peer.predict(g))


def test_k_is_at_most_the_number_of_images(images):
    f, y, g = images
    assert [k for k, _ in neighbours.votes(f, y, g, 3)] == [5, 10, 20, 50]
    assert [k for k, _ in neighbours.votes(f[:3], y[:3], g, 3)] == [3]


def test_images_beyond_one_chunk_get_the_same_votes(images, monkeypatch):
    f, y, g = images
    whole = dict(neighbours.votes(f, y, g, 3))
    monkeypatch.setattr(neighbours, '_CHUNK', 7)
    for k, votes in neighbours.votes(f, y, g, 3):
        np.testing.assert_allclose(votes, whole[k], rtol=1e-12)


def test_the_nearest_class_mean_is_sklearns(images):
    f, y, g = images
    scores = neighbours.class_mean_scores(f, y, g, 3)
    peer = sklearn_neighbors.NearestCentroid().fit(f, y)
    np.testing.assert_array_equal(scores.argmax(axis=1), peer.predict(g))
    distance = np.linalg.norm(g[:, None] - peer.centroids_, axis=2)
    np.testing.assert_allclose(-scores, distance**2, rtol=1e-9)


@pytest.mark.parametrize(
    ('change', 'word'),
    [
        (lambda f, y, g: (f[:, :3], y, g), '3 features'),
        (lambda f, y, g: (f, y[:4], g), 'one label per image'),
        (lambda f, y, g: (np.where(f > 2, np.nan, f), y, g), 'not finite'),
        (lambda f, y, g: (f, y + 1, g), 'from 0 to 2'),
        (lambda f, y, g: (f, y % 2, g), r'Classes \[2\]'),
        (lambda f, y, g: (f, y, np.full_like(g, np.inf)), 'not all finite'),
    ],
)
def test_what_has_no_answer_is_refused(images, change, word):
    f, y, g = change(*images)
    with pytest.raises(ValueError, match=word):
        list(neighbours.votes(f, y, g, 3))
    with pytest.raises(ValueError, match=word):
        neighbours.class_mean_scores(f, y, g, 3)
