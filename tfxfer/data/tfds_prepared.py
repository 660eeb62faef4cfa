"""Reads what TensorFlow Datasets (TFDS) prepared; needs neither it nor TensorFlow.

A prepared dataset is a folder of TFRecord files whose records are tf.train.Example
messages with an encoded image each, and of JSON files that describe them.
"""

import dataclasses
import logging
import os
import pathlib
import typing
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tfxfer import datasets, errors, storage
from tfxfer.data import image_set, splits, tfds_index

ENV = 'TFXFER_DATA'
# Features that may name an image, the first that is there.
NAMES = ('file_name', 'image/file_name', 'image/filename', 'filename', 'id')
VALID = ('validation', 'valid', 'val', 'dev')
# Before the SHA-256 sum, in dataset_info.json, of an archive that is not the authors'.
UNVERIFIED = 'unverified:'

Parts = tuple[tuple[str, tuple[str, ...]], ...]  # (our split, TFDS' splits).
Info = Mapping[str, typing.Any]  # What a JSON file holds.


def read(
    dataset: datasets.Dataset, options: image_set.Options
) -> tuple[datasets.Dataset, image_set.Images]:
    """(Dataset, Images) of a dataset that tools.prepare_dataset made.

    Raises:
        errors.InputError: it is not there (names the command that makes it), is no
            image classification, or its files are damaged.
    """
    folder = location(dataset, options.data)
    if not is_prepared(dataset, options.data):
        raise errors.InputError(_absent(dataset, folder, options.data))
    info = storage.read_json(folder / 'dataset_info.json', _remedy(dataset, folder))
    try:
        parts, unverified = _parts(dataset, info), _unverified(info)
        layout = _layout(dataset, folder, info, parts)
    except (AttributeError, LookupError, TypeError) as error:
        raise errors.InputError(
            f'The JSON files in {folder} are not those of a dataset '
            f'({type(error).__name__}: {error}). {_remedy(dataset, folder)}'
        ) from error
    index = tfds_index.index(layout, options.cache)
    labels = index['labels']
    keys = tuple(index['keys'].tobytes().decode().split('\0'))
    names = list(index['names'])
    indices = {
        part: np.flatnonzero(np.isin(index['split'], [names.index(n) for n in theirs]))
        for part, theirs in parts
    }
    if dataset.train_per_class:
        indices = _chosen(dataset, layout.class_names, labels, keys)
    record = dataclasses.replace(
        dataset, classes=len(layout.class_names), class_names=layout.class_names
    )
    return record, image_set.Images(
        labels=labels,
        splits=image_set.complete(labels, indices, keys),
        packed=image_set.Packed(
            files=tuple(str(folder / shard.file) for shard in layout.shards),
            part=index['part'],
            offset=index['offset'],
            length=index['length'],
        ),
        digest=str(index['digest']),
        keys=keys,
        unverified=unverified,
    )


def _remedy(dataset: datasets.Dataset, folder: pathlib.Path) -> str:
    return f'Remove {folder} and prepare {dataset.name} again.'


def data_folder(data: str | os.PathLike | None = None) -> pathlib.Path:
    """Where prepared datasets are: `data`, or what the environment says, or TFDS's."""
    folder = data or os.environ.get(ENV) or os.environ.get('TFDS_DATA_DIR')
    return pathlib.Path(folder or '~/tensorflow_datasets').expanduser()


def location(
    dataset: datasets.Dataset, data: str | os.PathLike | None = None
) -> pathlib.Path:
    """The folder of a Dataset's prepared data, whether it is there or not."""
    name, _, version = dataset.tfds.rpartition(':')
    return data_folder(data) / name / version


def is_prepared(
    dataset: datasets.Dataset, data: str | os.PathLike | None = None
) -> bool:
    """Whether it is there, complete: TFDS moves the whole folder into place."""
    return (location(dataset, data) / 'dataset_info.json').is_file()


def _absent(
    dataset: datasets.Dataset, folder: pathlib.Path, data: str | os.PathLike | None
) -> str:
    """What to do where it is not there."""
    name, _, version = dataset.tfds.rpartition(':')
    flag = f' --data={data}' if data else ''
    configurations = sorted(folder.parent.glob(f'*/{version}/dataset_info.json'))
    if configurations and '/' not in name:
        return (
            f'{dataset.name}: {name} has configurations; name one, such as '
            f'tfds:{name}/{configurations[0].parts[-3]}:{version}.'
        )
    return (
        f'{dataset.name} is not prepared (nothing in {folder}). Make it: '
        f'python -m tools.prepare_dataset --dataset={dataset.name}{flag}'
    )


def _parts(dataset: datasets.Dataset, info: Info) -> Parts:
    """Which of the builder's splits make ours."""
    names = [split['name'] for split in info.get('splits', ())]
    if dataset.parts:
        lacking = {n for _, theirs in dataset.parts for n in theirs} - set(names)
        if lacking:
            raise errors.InputError(
                f'{dataset.name} was prepared without {", ".join(sorted(lacking))} '
                f'(it has {", ".join(names)}). Remove its folder and prepare it again.'
            )
        return dataset.parts
    if 'train' not in names:
        raise errors.InputError(
            f'{dataset.name} has no split train; it has {", ".join(names)}.'
        )
    parts: dict[str, tuple[str, ...]] = {'train': ('train',)}
    valid = next((name for name in VALID if name in names), None)
    if 'test' in names:
        parts['test'] = ('test',)
        if valid:
            parts['valid'] = (valid,)
    elif valid:
        logging.info('%s has no split test: %s is taken.', dataset.name, valid)
        parts['test'] = (valid,)
    return tuple(parts.items())


def _unverified(info: Info) -> tuple[str, ...]:
    """Names of the archives that were not the authors' files."""
    read = [access.get('url', {}) for access in info.get('dataSourceAccesses', ())]
    return tuple(
        url['url'] for url in read if url.get('checksum', '').startswith(UNVERIFIED)
    )


def _layout(
    dataset: datasets.Dataset, folder: pathlib.Path, info: Info, parts: Parts
) -> tfds_index.Layout:
    if info.get('fileFormat', 'tfrecord') != 'tfrecord':
        raise errors.InputError(
            f'{dataset.name} in {folder} was prepared as {info["fileFormat"]}; only '
            'tfrecord can be read. Prepare it in another --data folder.'
        )
    features = storage.read_json(folder / 'features.json', _remedy(dataset, folder))
    features = features.get('featuresDict', {}).get('features', {})
    difficult = None
    if dataset.multi_label:
        image, label, difficult = 'image', 'objects/label', 'objects/is_difficult'
    else:
        image, label = _supervised(dataset, info, features)
    class_names = _class_names(folder, features, label)
    if dataset.classes not in (0, len(class_names)):
        raise errors.InputError(
            f'{dataset.name} should have {dataset.classes} classes; {folder} has '
            f'{len(class_names)}.'
        )
    return tfds_index.Layout(
        name=dataset.name,
        folder=str(folder),
        shards=tuple(_shards(info, [name for _, theirs in parts for name in theirs])),
        image=image,
        label=label,
        difficult=difficult,
        names=next((n for n in NAMES if 'text' in features.get(n, {})), None),
        class_names=class_names,
        pooled=dataset.train_per_class is not None,
    )


def _class_names(folder: pathlib.Path, features: Info, label: str) -> tuple[str, ...]:
    """Those that the builder gives, or numbers."""
    file = folder / f'{label.replace("/", "-")}.labels.txt'
    if file.exists():
        return tuple(file.read_text(encoding='utf-8').splitlines())
    count = int(features[label]['classLabel']['numClasses'])
    return tuple(map(str, range(count)))


def _supervised(
    dataset: datasets.Dataset, info: Info, features: Info
) -> tuple[str, str]:
    """The image feature and the label feature of a classification dataset."""
    items = info.get('supervisedKeys', {}).get('tuple', {}).get('items', ())
    keys = [item.get('featureKey') for item in items]
    images = [n for n, f in features.items() if f.get('image', {}).get('dtype')]
    labels = [n for n, f in features.items() if 'classLabel' in f]
    pair = []
    for kind, names in (('image', images), ('label', labels)):
        choice = [name for name in names if name in keys] or names
        if len(choice) != 1:
            raise errors.InputError(
                f'{dataset.name} is no image classification: it has '
                f'{len(names) or "no"} {kind}s to choose from; its features are '
                f'{", ".join(sorted(features))}.'
            )
        pair += choice
    dtype = features[pair[0]]['image']['dtype']
    if dtype != 'uint8':
        raise errors.InputError(
            f'{dataset.name}: its feature {pair[0]} has {dtype} pixels; only uint8 '
            'images can be read.'
        )
    image, label = pair
    return image, label


def _shards(info: Info, names: Sequence[str]) -> Iterator[tfds_index.Shard]:
    template = '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
    for split in info['splits']:
        if split['name'] in names:
            lengths = split.get('shardLengths', [])
            for i, length in enumerate(lengths):
                file = split.get('filepathTemplate', template).format(
                    DATASET=info['name'],
                    SPLIT=split['name'],
                    FILEFORMAT='tfrecord',
                    SHARD_INDEX=f'{i:05d}',
                    NUM_SHARDS=f'{len(lengths):05d}',
                    SHARD_X_OF_Y=f'{i:05d}-of-{len(lengths):05d}',
                )
                yield tfds_index.Shard(split['name'], file, int(length))


def _chosen(
    dataset: datasets.Dataset,
    class_names: Sequence[str],
    labels: np.ndarray,
    keys: Sequence[str],
) -> dict[str, np.ndarray]:
    """train: `train_per_class` random images of each class; test: all others."""
    number = dataset.train_per_class or 0
    ordered = splits.order(labels, '0 train', keys)
    for c, name in enumerate(class_names):
        if len(ordered.get(c, ())) <= number:
            raise errors.InputError(
                f'{dataset.name} has {len(ordered.get(c, ()))} images of {name}; more '
                f'than {number} are needed, {number} to train on and the rest to test.'
            )
    train = np.sort(np.concatenate([part[:number] for part in ordered.values()]))
    return {'train': train, 'test': np.setdiff1d(np.arange(len(labels)), train)}
