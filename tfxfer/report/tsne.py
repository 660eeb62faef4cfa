"""Features of ten classes in two dimensions: t-SNE, as in the paper's figure 4."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd

from tfxfer.report import style

CLASSES = 10  # As in the paper.
LEAST = 10  # Images.


def draw(
    features: np.ndarray, labels: np.ndarray, names: Sequence[str], *, seed: int = 0
) -> style.Drawing:
    """Features of ten classes in two dimensions, as in the paper's figure 4.

    t-SNE of scikit-learn, started from a PCA, so that the same features give the same
    picture on one machine. Distances between far groups mean nothing.

    Args:
        features: [n, d]; labels: [n] class numbers.
        names: of the classes, in the order of their numbers. Of more than ten the first
            ten are drawn that have images.

    Raises:
        ValueError: arrays of different lengths, a value that is not finite, or fewer
            than 10 images.
    """
    features, labels = _checked(features, labels)
    perplexity = min(30.0, (len(features) - 1) / 3)
    places = _places(features, perplexity, seed)
    styles = {
        number: {
            'color': style.COLOURS[i % len(style.COLOURS)],
            'marker': style.MARKERS[i],
            'linestyle': 'none',
        }
        for i, number in enumerate(np.unique(labels).tolist())
    }
    with matplotlib.rc_context(style.RC):
        legend = {names[number]: look for number, look in styles.items()}
        fig, ((panel,),) = style.panels(
            style.Layout(1, 1, 4.4, 4.4, left=0.15, bottom=0.15), legend
        )
        for number, look in styles.items():
            x, y = places[labels == number].T
            panel.plot(x, y, markersize=4, **look)
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    frame = pd.DataFrame(
        {
            'class': [names[i] for i in labels.tolist()],
            'x': places[:, 0],
            'y': places[:, 1],
        }
    )
    return style.Drawing(
        'tsne', 'detail', 'Features of ten classes in two dimensions', fig, frame,
        f't-SNE, perplexity {perplexity:g}. Near points have similar features; '
        'distances between far groups mean nothing.',
    )  # fmt: skip


def _checked(features, labels):
    """Features and labels of the first ten classes that occur.

    Raises:
        ValueError: as `draw` says.
    """
    features, labels = np.asarray(features, float), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            'Takes features [n, d] and labels [n]; got shapes '
            f'{features.shape} and {labels.shape}.'
        )
    if not np.isfinite(features).all():
        raise ValueError('Features must be finite.')
    shown = np.isin(labels, np.unique(labels)[:CLASSES])
    features, labels = features[shown], labels[shown]
    if len(features) < LEAST:
        raise ValueError(f'Needs at least {LEAST} images; got {len(features)}.')
    return features, labels


def _places(features, perplexity, seed):
    """[n, 2] of features [n, d]."""
    from sklearn import manifold  # A second that no other figure needs.

    method = manifold.TSNE(perplexity=perplexity, init='pca', random_state=seed)
    return method.fit_transform(features)
