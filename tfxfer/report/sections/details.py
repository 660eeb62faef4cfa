"""Figures of single images: which class is taken for which, and where classes lie."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import figure

from tfxfer.analysis import cells, comparisons
from tfxfer.report import plots

NAMED = 100  # Classes; names of more could not be read.
TSNE_CLASSES = 10  # As in the paper's figure 4.


def draw(found, workdir):
    """The confusion matrix of each task's best Cell; needs its predictions.npz.

    Of several seeds the lowest is taken. Multi-label tasks have no such matrix, and
    one whose predictions are gone is left out.

    Raises:
        errors.InputError: predictions that are not those the record was scored on.
    """
    drawings = []
    for group in cells.tasks(found).values():
        best = cells.best(group)
        if best is None or best.metric == 'voc_map':
            continue
        record = best.records[0]
        try:
            _, label, predicted = comparisons.predictions(record, workdir)
        except FileNotFoundError:
            continue
        drawings.append(confusion(best, label, predicted))
    return drawings


def confusion(cell, label, predicted):
    """Shares of each true class's test images that were taken for each class.

    Args:
        cell: whose predictions they are.
        label, predicted: [n] class numbers.
    """
    names = list(cell.records[0].classes)
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (label, predicted), 1)
    of = counts.sum(axis=1)
    shares = np.divide(
        counts, of[:, None], where=of[:, None] > 0, out=np.full(counts.shape, np.nan)
    )
    title = f'{cell.name}, {cell.dataset}'
    named = len(names) <= NAMED
    longest = min(max(map(len, names)), 24) if named else 6
    with matplotlib.rc_context({**plots.STYLE, 'font.size': 8}):
        side = min(max(0.16 * len(names), 2.4), 12.0)
        margin = 0.45 + 0.075 * longest
        width, height = side + margin + 0.9, side + margin + 0.4
        fig = figure.Figure((width, height))
        place = margin / width, margin / height, side / width, side / height
        panel = fig.add_axes(place)
        image = panel.imshow(
            100 * shares, cmap='cividis', vmin=0, vmax=100, interpolation='nearest'
        )
        if named:
            size = min(7.0, 72 * 0.9 * side / len(names))
            short = [name if len(name) <= 24 else f'{name[:23]}…' for name in names]
            panel.set_xticks(range(len(names)), short, rotation=90, size=size)
            panel.set_yticks(range(len(names)), short, size=size)
            panel.tick_params(length=0)
        panel.set_title(title, size=9)
        fig.text(
            (margin + side / 2) / width, 0.06 / height, 'Taken for', ha='center', size=9
        )
        fig.text(
            0.06 / width, (margin + side / 2) / height, 'True class', rotation=90,
            va='center', size=9,
        )  # fmt: skip
        bar_axes = fig.add_axes([(margin + side + 0.12) / width, margin / height,
                                 0.12 / width, side / height])  # fmt: skip
        fig.colorbar(image, cax=bar_axes).set_label("Share of the class's images, %")
    true, taken = np.nonzero(counts)
    frame = pd.DataFrame(
        {
            'true': [names[i] for i in true],
            'taken_for': [names[j] for j in taken],
            'images': counts[true, taken],
            'share': shares[true, taken],
        }
    )
    seeds = ' Of several seeds the lowest.' if len(cell.records) > 1 else ''
    return plots.Drawing(
        plots.name('confusion', *cell.task),
        'detail',
        f'Which class is taken for which: {title}',
        fig,
        frame,
        f'The best cell of the dataset, {int(of.sum())} test images. Rows add to '
        f'100 %. The .csv has the pairs that occur.{seeds}',
    )


def tsne(features, labels, names, *, seed=0):
    """Features of ten classes in two dimensions, as in the paper's figure 4.

    t-SNE of scikit-learn from a PCA, so that the same features give the same picture on
    one machine. Distances between far groups mean nothing.

    Args:
        features: [n, d]; labels: [n] class numbers.
        names: of the classes, in the order of their numbers. Of more than ten the first
            ten are drawn that have images.

    Raises:
        ValueError: arrays of different lengths, a value that is not finite, or fewer
            than 10 images.
    """
    from sklearn import manifold  # A second that no other figure needs.

    features, labels = np.asarray(features, float), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            'Takes features [n, d] and labels [n]; got shapes '
            f'{features.shape} and {labels.shape}.'
        )
    if not np.isfinite(features).all():
        raise ValueError('Features must be finite.')
    drawn = np.unique(labels)[:TSNE_CLASSES]
    kept = np.isin(labels, drawn)
    features, labels = features[kept], labels[kept]
    if len(features) < 10:
        raise ValueError(f'Needs at least 10 images; got {len(features)}.')
    perplexity = min(30.0, (len(features) - 1) / 3)
    at = manifold.TSNE(
        perplexity=perplexity, init='pca', random_state=seed
    ).fit_transform(features)
    styles = {
        number: {
            'color': plots.COLOURS[i % len(plots.COLOURS)],
            'marker': plots.MARKERS[i],
            'linestyle': 'none',
        }
        for i, number in enumerate(drawn.tolist())
    }
    with matplotlib.rc_context(plots.STYLE):
        legend = {names[number]: style for number, style in styles.items()}
        fig, ((panel,),) = plots.panels(
            1, 1, width=4.4, height=4.4, left=0.15, bottom=0.15, legend=legend
        )
        for number, style in styles.items():
            own = at[labels == number]
            panel.plot(own[:, 0], own[:, 1], markersize=4, **style)
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    frame = pd.DataFrame(
        {'class': [names[i] for i in labels.tolist()], 'x': at[:, 0], 'y': at[:, 1]}
    )
    return plots.Drawing(
        'tsne', 'detail', 'Features of ten classes in two dimensions', fig, frame,
        f't-SNE, perplexity {perplexity:g}. Near points have similar features; '
        'distances between far groups mean nothing.',
    )  # fmt: skip
