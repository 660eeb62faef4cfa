"""The table and the heat map of the diagnostics of networks' features."""

import dataclasses
import os
import typing
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import figure

from tfxfer import number_format
from tfxfer.analysis import training_options
from tfxfer.report import formats, style

LABELLED = 12  # Networks; the numbers of more would not fit into the heat map.
Row = dict[str, typing.Any]


def heat_map(
    labels: Sequence[str], values: np.ndarray, images: int, widest: int
) -> style.Drawing:
    """The CKA of every two networks as a Drawing.

    Args:
        labels: of the networks.
        values: [k, k], of feature_diagnostics.cka_matrix.
        images, widest: how many images, and the most features, it is of.
    """
    count, longest = len(labels), max(map(len, labels))
    with matplotlib.rc_context({**style.RC, 'font.size': 8}):
        side, margin = max(0.42 * count, 1.6), 0.2 + 0.054 * longest
        width, height = margin + side + 0.9, margin + side + 0.2
        fig = figure.Figure((width, height))
        panel = fig.add_axes(
            (margin / width, margin / height, side / width, side / height)
        )
        image = panel.imshow(values, cmap='cividis', vmin=0, vmax=1)
        panel.set_xticks(range(count), labels, rotation=90, size=7)
        panel.set_yticks(range(count), labels, size=7)
        panel.tick_params(length=0)
        for i, j in np.ndindex(values.shape) if count <= LABELLED else ():
            colour = 'black' if values[i, j] > 0.5 else 'white'
            panel.text(
                j, i, f'{values[i, j]:.2f}', ha='center', va='center', color=colour,
                size=7,
            )  # fmt: skip
        bar = fig.add_axes(
            ((margin + side + 0.12) / width, margin / height, 0.12 / width,
             side / height)
        )  # fmt: skip
        fig.colorbar(image, cax=bar).set_label('Linear CKA')
    frame = pd.DataFrame(values, columns=labels)
    frame.insert(0, 'network', labels)
    few = (
        ' These are few for so many features: networks that share nothing would be '
        'alike too.'
        if images < 2 * widest
        else ''
    )
    return style.Drawing(
        'cka', 'experiment', 'How alike the features of networks are: linear CKA', fig,
        frame,
        f'1: the same but for a rotation and a scale. {images} images, up to {widest} '
        f'features.{few}',
    )  # fmt: skip


def table(
    rows: Sequence[Row], options: Sequence[Row], notes: Sequence[str]
) -> formats.Table:
    """The numbers of each network.

    Args:
        rows: of transfer.diagnose.
        options: how each network was trained, {name: value}.
        notes: sentences to stand under the table.
    """
    texts = [training_options.combination(each) for each in options]
    every = dict.fromkeys(name for each in options for name in each)
    described = [
        {
            **row,
            **{f'settings.{name}': each.get(name) for name in every},
            'settings': text,
        }
        for row, each, text in zip(rows, options, texts, strict=True)
    ]

    def plain(name):
        return lambda row: '' if row[name] is None else f'{row[name]:.3g}'

    def percent(name):
        return lambda row: number_format.percent(row[name])

    first = rows[0]
    built = formats.table(
        'diagnostics',
        f'Features on {short(first["dataset"])}, {first["split"]}, {first["images"]} '
        'images',
        described,
        {
            'Network': lambda row: row['network'],
            'Trained with': lambda row: row['settings'],
            'Source %': percent('source_score'),
            'Features': lambda row: str(row['features']),
            'Within / between': plain('within_to_between'),
            'Between classes %': percent('between_share'),
            'Class separation': plain('class_separation'),
            'Zero %': percent('zero'),
            'Dead %': percent('dead'),
            'Participation ratio': plain('participation_ratio'),
            'Effective rank': plain('effective_rank'),
            'Components of 95 %': lambda row: number_format.count(row['components_95']),
        },
        optional=('Trained with', 'Source %'),
        note='Within / between: variance of the features inside classes to that of the '
        'class means; Between classes: share of the latter in all. Class separation: '
        'R^2 of cosine distances, classes alike. Participation ratio, effective rank, '
        'components: of the covariance.' + ''.join(f' {text}' for text in notes),
    )
    # It says what the columns of each option say.
    return dataclasses.replace(built, frame=built.frame.drop(columns='settings'))


def short(dataset: str) -> str:
    """The last part of a folder's name, or the dataset's own."""
    return os.path.basename(dataset.rstrip('/')) or dataset
