"""What the features of pretrained networks are like on a dataset, and how alike.

    python -m tools.diagnose --workdir=runs/mine --dataset=digits_5_9
    python -m tools.diagnose --dataset=pets --archs=resnet_50,nasnet_mobile

takes every finished pretrain Run of the folder, or those of --runs, or public weights.
Of each it computes the features that the setting logistic uses (kept in
WORKDIR/cache/features/: nothing is computed twice) and writes into
WORKDIR/diagnostics/DATASET_SPLIT/

    diagnostics.csv .md    a row a network: spread of the classes, sparsity, rank
    cka.csv .png .pdf      how alike every two networks are: linear CKA
    tsne_ID.png .pdf .csv  ten classes in two dimensions: t-SNE, a figure a network

tfxfer/diagnostics.py says what each number is. One network's features are in memory at
a time; for CKA all are in a temporary folder of the cache.
"""

import collections
import dataclasses
import os
import pathlib
import tempfile
import typing

import matplotlib
import numpy as np
import pandas as pd
from absl import flags, logging
from matplotlib import figure

from tfxfer import (
    architectures,
    config,
    datasets,
    errors,
    number_format,
    results,
    storage,
)
from tfxfer.analysis import cells, feature_diagnostics, training_options
from tfxfer.cli import app
from tfxfer.data import splits
from tfxfer.report import figure_files, formats, style, tsne
from tfxfer.transfer import resolve
from tfxfer.transfer.options import ExecutionOptions

SPLITS = ('test', 'train', 'valid', 'train+valid')
FORMATS = ('csv', 'md')
TSNE_IMAGES = 2000  # Of ten classes together; t-SNE takes seconds a thousand.
LABELLED = 12  # Networks; the numbers of more would not fit into the heat map.


class Network(typing.NamedTuple):
    """One row of the table.

    Attributes:
        name: what tells it from the others.
        run: a Run of setting logistic, whose features are looked at.
        trained: the Run that made its weights; None of public ones.
    """

    name: str
    run: config.Run
    trained: config.Run | None


# Which networks.


def pretrained(workdir, ids, **fields):
    """Networks of a results folder: those of Runs `ids`, or of every pretrain Run.

    Args:
        fields: of config.Run, what else determines the features.

    Raises:
        errors.InputError: no such Run, or none, that is finished and has its weights.
    """
    known = {
        record.run.id: record.run
        for record in cells.read(workdir)
        if (results.folder(workdir, record.run) / 'model.weights.h5').exists()
    }
    own = [name for name, made in known.items() if made.setting == 'pretrain']
    if not (ids or own):
        raise errors.InputError(
            f'{str(workdir)!r} holds no finished pretrain Run that has its weights. '
            'Make one: python -m tfxfer.run --config=configs/pretrain.py; or name '
            'public weights: --archs=resnet_50 --weights=slim.'
        )
    runs = [
        errors.find('finished Run with weights', known, name)
        for name in dict.fromkeys(ids or own)
    ]
    found = [
        Network(name, _logistic(made.arch, f'run:{made.id}', made, fields), made)
        for name, made in zip(names(runs), runs, strict=True)
    ]
    return found if ids else sorted(found, key=lambda network: network.name)


def public(archs, weights, **fields):
    """Networks with public weights, or those of a file; arguments as `pretrained`.

    Raises:
        errors.InputError: an unknown architecture, or one without such weights.
    """
    found = []
    for name in dict.fromkeys(archs):
        arch = errors.find('architecture', architectures.ARCHITECTURES, name)
        if weights == 'keras' and weights not in arch.weights:
            raise errors.InputError(
                f'Keras offers no weights of {name}. Its sources of weights: '
                f'{", ".join(arch.weights) or "none; pretrain it"}.'
            )
        label = f'{name} ({pathlib.PurePath(weights).name})'
        found.append(Network(label, _logistic(name, weights, None, fields), None))
    return found


def _logistic(arch, weights, trained, fields):
    fields = dict(fields)
    if trained and fields.get('image_size') is None:
        fields['image_size'] = trained.image_size
    return config.from_dict(
        {'arch': arch, 'setting': 'logistic', 'weights': weights, **fields}
    )


def names(runs):
    """Of each Run the architecture, and where several have it what differs."""
    found = []
    flat = [{**vars(one), **vars(one.hparams)} for one in runs]
    for one, facts in zip(runs, flat, strict=True):
        own = [other for other in flat if other['arch'] == one.arch]
        differ = {
            name: facts[name]
            for name in facts
            if name not in ('id', 'hparams', 'trials', 'search', 'resume')
            and len({str(other.get(name)) for other in own}) > 1
        }
        text = training_options.combination(differ)
        found.append(', '.join(filter(None, (one.arch, text))))
    counts = collections.Counter(found)
    return [
        f'{name} {one.id[-6:]}' if counts[name] > 1 else name
        for name, one in zip(found, runs, strict=True)
    ]


def settings_of(networks):
    """How each was trained: a dict a network, empty of public weights.

    Those training settings whose effect on transfer is studied, and what else of the
    hyperparameters differs.
    """
    hparams = [vars(n.trained.hparams) if n.trained else {} for n in networks]
    every = dict.fromkeys(name for own in hparams for name in own)
    shown = [
        name
        for name in every
        if name in training_options.OPTIONS
        or len({own[name] for own in hparams if name in own}) > 1
    ]
    return [{name: own[name] for name in shown if name in own} for own in hparams]


# Their features.


def limited(images, split, limit):
    """Images with at most `limit` of `split` in it: the first in order of a hash."""
    parts = split.split('+')
    indices = np.concatenate([images.splits[part] for part in parts])
    if len(indices) < 2:
        raise errors.InputError(f'{split} has {len(indices)} images; it takes 2.')
    if len(indices) <= limit:
        return images
    keys = indices if images.keys is None else [images.keys[i] for i in indices]
    (order,) = splits.order(np.zeros(len(indices), int), seed=0, keys=keys).values()
    kept = indices[order[:limit]]
    own = {part: np.intersect1d(images.splits[part], kept) for part in parts}
    return dataclasses.replace(images, splits={**images.splits, **own})


def tasks(networks, options, *, split, limit):
    """[(Task, source of the weights), ...], as execute.execute makes them.

    Raises:
        errors.InputError: as resolve.resolve.
    """
    resolved = [resolve.resolve(network.run, options) for network in networks]
    # TensorFlow, once all that was asked for is there.
    import keras
    import tensorflow as tf

    from tfxfer.training import distribution
    from tfxfer.transfer.task import Task

    devices = distribution.strategy()
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    return [
        (
            Task(
                dataclasses.replace(one, images=limited(one.images, split, limit)),
                options,
                devices,
            ),
            one.source,
        )
        for one in resolved
    ]


# What they are like.


def measure(x, labels, threshold=0.0):
    """({name of a number: it, or None}, [sentence about one that there is not]).

    x [n, d]; labels [n], or [n, k] of a task with several labels an image, which has no
    classes to be apart.
    """
    found, notes = {}, []

    def put(columns, function, *arguments):
        try:
            values = function(*arguments)
        except ValueError as error:
            notes.append(str(error))
            values = [None] * len(columns)
        found.update(zip(columns, values, strict=True))

    def spread(x, labels):
        one = feature_diagnostics.spread(x, labels)
        return one.within, one.between, one.ratio, one.share

    def separation(x, labels):
        return [feature_diagnostics.class_separation(x, labels)]

    def rank(x):
        values = feature_diagnostics.spectrum(x)
        return [
            feature_diagnostics.participation_ratio(values),
            feature_diagnostics.effective_rank(values),
            feature_diagnostics.components(values),
        ]

    of_classes = ('within', 'between', 'within_to_between', 'between_share')
    if labels.ndim == 1:
        put(of_classes, spread, x, labels)
        put(('class_separation',), separation, x, labels)
    else:
        found |= dict.fromkeys((*of_classes, 'class_separation'))
        notes.append('Images have several labels: there are no classes to separate.')
    of_units = 'zero', 'dead', 'active', 'least_active'
    put(of_units, feature_diagnostics.sparsity, x, threshold)
    put(('participation_ratio', 'effective_rank', 'components_95'), rank, x)
    return found, notes


def features_figure(network, dataset, x, labels):
    """The t-SNE Drawing of a network, of as many images of each of ten classes."""
    order = splits.order(labels, seed=0)
    first = list(order.values())[: tsne.CLASSES]
    rows = np.sort(np.concatenate([r[: TSNE_IMAGES // len(first)] for r in first]))
    drawing = tsne.draw(x[rows], labels[rows], dataset.class_names)
    own = network.trained.id if network.trained else network.name
    return dataclasses.replace(
        drawing,
        name=style.file_name('tsne', own),
        title=f'{drawing.title}: {network.name} on {short(dataset.name)}',
        caption=f'{len(rows)} images. {drawing.caption}',
    )


def heat_map(labels, values, images, widest):
    """The CKA of every two networks as a Drawing.

    Args:
        labels: of the networks.
        values: [k, k], of diagnostics.cka_matrix.
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


def diagnose(networks, workdir, *, split, limit, threshold=0.0, **where):
    """(rows of the table, Drawings, sentences about what is left out).

    Args:
        networks: [Network, ...].
        workdir: folder whose cache keeps the features.
        split: one of SPLITS.
        limit: at most so many of its images, the same for all networks.
        threshold: as diagnostics.sparsity.
        where: checkpoints and data, as resolve.resolve.

    Raises:
        errors.InputError: as resolve.resolve.
    """
    rows, drawings, notes, kept = [], [], [], {}
    options = ExecutionOptions(workdir, **where)
    prepared = tasks(networks, options, split=split, limit=limit)
    cache = pathlib.Path(workdir) / 'cache'
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.diagnose.', dir=cache) as scratch:
        for i, network in enumerate(networks):
            task, source = prepared[i]
            prepared[i] = None  # Lets go of the network.
            x, labels = task.features(split)
            logging.info('%s: %d images, %d features', network.name, *x.shape)
            found, lacks = measure(x, labels, threshold)
            rows.append(
                {
                    'network': network.name,
                    'run': network.trained.id if network.trained else None,
                    'weights': network.run.weights,
                    'dataset': task.dataset.name,
                    'split': split,
                    'images': len(x),
                    'pixels': task.resolved.image_size,
                    'features': x.shape[1],
                    'source_dataset': source and source['dataset'],
                    'source_score': source and source['score'],
                    **found,
                }
            )
            if found['participation_ratio'] is not None:  # Else they do not vary.
                path = pathlib.Path(scratch) / f'{i}.npy'
                np.save(path, x)
                kept[network.name] = np.load(path, mmap_mode='r')
                if labels.ndim == 1 and len(x) >= 10:  # As t-SNE asks for.
                    drawings.append(features_figure(network, task.dataset, x, labels))
            notes += [f'{network.name}: {text}' for text in lacks]
        if len(kept) > 1:
            logging.info('CKA of %d networks', len(kept))
            values = feature_diagnostics.cka_matrix(kept.values())
            widest = max(x.shape[1] for x in kept.values())
            drawing = heat_map(list(kept), values, rows[0]['images'], widest)
            drawings.append(drawing)
            notes.append(f'CKA: {drawing.caption}')
        else:
            notes.append('CKA takes 2 networks that vary; it is left out.')
        kept.clear()
    return rows, drawings, notes


def table(rows, settings, notes):
    """The formats.Table of `diagnose`; settings: of settings_of."""
    texts = [training_options.combination(own) for own in settings]
    every = dict.fromkeys(name for own in settings for name in own)
    rows = [
        {
            **row,
            **{f'settings.{name}': own.get(name) for name in every},
            'settings': text,
        }
        for row, own, text in zip(rows, settings, texts, strict=True)
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
        rows,
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
    # It says what the columns of each setting say.
    return dataclasses.replace(built, frame=built.frame.drop(columns='settings'))


def short(dataset):
    """The last part of a folder's name, or the dataset's own."""
    return os.path.basename(dataset.rstrip('/')) or dataset


def main(argv):
    del argv
    if not DATASET.value:
        raise errors.InputError('Say on which images: --dataset=digits_5_9, ...')
    datasets.find(DATASET.value)  # A wrong one is named before the Runs are read.
    fields = {
        'dataset': DATASET.value,
        'image_size': IMAGE_SIZE.value,
        'precision': PRECISION.value,
        'feature_dtype': FEATURE_DTYPE.value,
        'skip_broken': SKIP_BROKEN.value,
        'accept_counts': ACCEPT_COUNTS.value,
    }
    networks = public(ARCHS.value, WEIGHTS.value, **fields)
    if RUNS.value or not networks:
        networks = pretrained(WORKDIR.value, RUNS.value, **fields) + networks
    output = OUTPUT.value or os.path.join(
        WORKDIR.value, 'diagnostics', style.file_name(short(DATASET.value), SPLIT.value)
    )
    storage.writable(WORKDIR.value)
    storage.writable(output)
    rows, drawings, notes = diagnose(
        networks, WORKDIR.value, split=SPLIT.value, limit=LIMIT.value,
        threshold=THRESHOLD.value, checkpoints=CHECKPOINTS.value, data=DATA.value,
    )  # fmt: skip
    built = table(rows, settings_of(networks), notes)
    for path in pathlib.Path(output).glob('cka.*'):
        path.unlink()  # Of other networks.
    paths = formats.write([built], output, FORMATS)
    paths += figure_files.save(drawings, output)
    print(formats.md(built))
    for path in paths:
        print(path)


if __name__ == '__main__':
    WORKDIR = flags.DEFINE_string(
        'workdir', 'runs', 'Folder of a study: its pretrain Runs, its kept features.'
    )
    DATASET = flags.DEFINE_string(
        'dataset', None, 'Whose images: a name, folder:/path, csv:/path, ...'
    )
    RUNS = flags.DEFINE_list(
        'runs', [], 'Ids of Runs that keep weights. Default: every pretrain Run.'
    )
    ARCHS = flags.DEFINE_list(
        'archs', [], 'Networks with public weights, instead of Runs or beside --runs.'
    )
    WEIGHTS = flags.DEFINE_string(
        'weights', 'slim', "Those of --archs: slim, keras, or a file's path."
    )
    SPLIT = flags.DEFINE_enum('split', 'test', SPLITS, 'Which images.')
    LIMIT = flags.DEFINE_integer(
        'limit', 50_000, 'At most so many of them.', lower_bound=2
    )
    THRESHOLD = flags.DEFINE_float(
        'threshold', 0.0, 'Up to which size a feature counts as 0.', lower_bound=0.0
    )
    IMAGE_SIZE = flags.DEFINE_integer(
        'image_size', None, 'Pixels. Default: as trained.', lower_bound=1
    )
    PRECISION = flags.DEFINE_enum(
        'precision', 'float32', config.PRECISIONS, "Of the networks' products."
    )
    FEATURE_DTYPE = flags.DEFINE_enum(
        'feature_dtype', 'float32', config.FEATURE_DTYPES, 'As the features are kept.'
    )
    SKIP_BROKEN = flags.DEFINE_bool(
        'skip_broken', False, 'Leave out image files that cannot be read.'
    )
    ACCEPT_COUNTS = flags.DEFINE_bool(
        'accept_counts', False, 'Go on where a split has another number of images.'
    )
    OUTPUT = flags.DEFINE_string(
        'output', None, 'Folder to write. Default: WORKDIR/diagnostics/DATASET_SPLIT.'
    )
    CHECKPOINTS = app.checkpoints_folder()
    DATA = app.data_folder()
    app.run(main)
