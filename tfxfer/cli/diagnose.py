"""What the features of pretrained networks are like on a dataset, and how alike.

    python -m tools.diagnose --workdir=runs/mine --dataset=digits_5_9
    python -m tools.diagnose --dataset=pets --archs=resnet_50,nasnet_mobile

takes every finished pretrain Run of the folder, or those of --runs, or public weights.
Of each it computes the features that the setting logistic uses (cached in
WORKDIR/cache/features/: nothing is computed twice) and writes into
WORKDIR/diagnostics/DATASET_SPLIT/

    diagnostics.csv .md    a row per network: spread of the classes, sparsity, rank
    cka.csv .png .pdf      how alike every two networks are: linear CKA
    tsne_ID.png .pdf .csv  ten classes in two dimensions: t-SNE, a figure per network

tfxfer/analysis/feature_diagnostics.py says what each number is. One network's features
are in memory at a time; for CKA all are in a temporary folder of the cache.
"""

import dataclasses
import os
import pathlib
import typing
from collections.abc import Iterator

import numpy as np
from absl import flags

from tfxfer import config, datasets, errors, storage
from tfxfer.cli import app, diagnosed_networks
from tfxfer.transfer import diagnosed

if typing.TYPE_CHECKING:
    from tfxfer.report import style

FORMATS = ('csv', 'md')
TSNE_IMAGES = 2000  # Of ten classes together; t-SNE takes seconds per thousand.


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string(
        'workdir', 'runs', 'Folder of a study: its pretrain Runs, its cached features.'
    )
    define.string(
        'output', None, 'Folder to write. Default: WORKDIR/diagnostics/DATASET_SPLIT.'
    )
    _define_networks(define)
    _define_images(define)
    define.checkpoints()
    define.data()
    return define.given


def _define_networks(define: app.Define) -> None:
    define.strings(
        'runs', [], 'Ids of Runs that keep weights. Default: every pretrain Run.'
    )
    define.strings(
        'archs', [], 'Networks with public weights, instead of Runs or beside --runs.'
    )
    define.string('weights', 'slim', "Those of --archs: slim, keras, or a file's path.")
    define.choice(
        'precision', 'float32', config.PRECISIONS, "Of the networks' products."
    )


def _define_images(define: app.Define) -> None:
    define.string('dataset', None, 'Whose images: a name, folder:/path, csv:/path, ...')
    define.choice('split', 'test', diagnosed.SPLITS, 'Which images.')
    define.integer('limit', 50_000, 'At most so many of them.', least=2)
    define.integer(
        'image_size',
        None,
        'Pixels. Default: as trained.',
        least=1,
        most=config.LARGEST_IMAGE,
    )
    define.choice(
        'feature_dtype', 'float32', config.FEATURE_DTYPES, 'Of the cached features.'
    )
    define.number(
        'threshold', 0.0, 'Up to which size a feature counts as 0.', least=0.0
    )
    define.boolean('skip_broken', False, 'Leave out image files that cannot be read.')
    define.boolean(
        'accept_counts', False, 'Go on where a split has another number of images.'
    )


def main(given: app.Given) -> None:
    if not given.dataset:
        raise errors.InputError('Say on which images: --dataset=digits_5_9, ...')
    datasets.find(given.dataset)  # A wrong one is named before the Runs are read.
    networks = _networks(given)
    from tfxfer.transfer import environment

    environment.check_keras()
    from tfxfer.report import feature_diagnostics, figure_files, formats, style
    from tfxfer.transfer import diagnose  # TensorFlow.
    from tfxfer.transfer.options import ExecutionOptions

    output = given.output or os.path.join(
        given.workdir,
        'diagnostics',
        style.file_name(feature_diagnostics.short(given.dataset), given.split),
    )
    storage.writable(given.workdir)
    storage.writable(output)
    drawings: list[style.Drawing] = []
    rows, similarity, notes = diagnose.diagnose(
        networks,
        ExecutionOptions(given.workdir, given.checkpoints, given.data),
        diagnosed.Selection(given.split, given.limit, given.threshold),
        lambda *features: drawings.extend(tsne_figures(*features)),
    )
    if similarity:
        drawings.append(feature_diagnostics.heat_map(*similarity))
        notes.append(f'CKA: {drawings[-1].caption}')
    else:
        notes.append('CKA takes 2 networks that vary; it is left out.')
    options = diagnosed_networks.options_of(networks)
    table = feature_diagnostics.table(rows, options, notes)
    for path in pathlib.Path(output).glob('cka.*'):
        path.unlink()  # Of other networks.
    paths = formats.write([table], output, FORMATS)
    paths += figure_files.save(drawings, output)
    print(formats.md(table))
    for path in paths:
        print(path)


def _networks(given):
    fields = {
        name: getattr(given, name)
        for name in (
            'dataset',
            'image_size',
            'precision',
            'feature_dtype',
            'skip_broken',
            'accept_counts',
        )
    }
    networks = diagnosed_networks.public(given.archs, given.weights, fields)
    if given.runs or not networks:
        pretrained = diagnosed_networks.pretrained(given.workdir, given.runs, fields)
        networks = pretrained + networks
    return networks


def tsne_figures(
    network: diagnosed.Network,
    dataset: datasets.Dataset,
    x: np.ndarray,
    labels: np.ndarray,
) -> 'Iterator[style.Drawing]':
    """Yields the t-SNE Drawing of a network, where it has images and classes for it."""
    from tfxfer.report import feature_diagnostics, style, tsne
    from tfxfer.transfer import diagnose

    if labels.ndim > 1 or len(x) < tsne.LEAST:
        return
    rows = diagnose.sample(labels, tsne.CLASSES, TSNE_IMAGES)
    drawing = tsne.draw(x[rows], labels[rows], dataset.class_names)
    yield dataclasses.replace(
        drawing,
        name=style.file_name(
            'tsne', network.trained.id if network.trained else network.name
        ),
        title=f'{drawing.title}: {network.name} on '
        f'{feature_diagnostics.short(dataset.name)}',
        caption=f'{len(rows)} images. {drawing.caption}',
    )
