import numpy as np
import pytest

from tfxfer.report import tsne


def test_tsne_keeps_clusters_apart_and_ten_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 12)
    features = 20 * np.eye(12)[labels] + rng.normal(size=(144, 12))
    drawing = tsne.draw(features, labels, [f'class {i}' for i in range(12)])
    assert sorted(drawing.frame['class'].unique()) == sorted(
        f'class {i}' for i in range(10)
    )
    at = drawing.frame[['x', 'y']].to_numpy()
    own = labels[:120]
    distance = np.linalg.norm(at[:, None] - at[None], axis=-1)
    distance[np.diag_indices(120)] = np.inf
    assert (own[distance.argmin(axis=1)] == own).all()
    again = tsne.draw(features, labels, [f'class {i}' for i in range(12)])
    assert again.frame.equals(drawing.frame)


@pytest.mark.parametrize(
    ('features', 'labels', 'said'),
    [
        (np.zeros((20, 3)), np.zeros(19), 'got shapes'),
        (np.full((20, 3), np.nan), np.zeros(20), 'finite'),
        (np.zeros((5, 3)), np.zeros(5), 'at least 10 images; got 5'),
    ],
)
def test_tsne_refuses_what_it_cannot_draw(features, labels, said):
    with pytest.raises(ValueError, match=said):
        tsne.draw(features, labels, ['a'])
