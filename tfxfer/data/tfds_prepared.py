"""Reads what TensorFlow Datasets (TFDS) prepared; needs neither it nor TensorFlow.

A prepared dataset is a folder of TFRecord files whose records are tf.train.Example
messages with an encoded image each. Where every image's bytes lie is found once, kept
beside the data as an index, and read from there ever after.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import struct
import zipfile

import numpy as np
import tqdm

from tfxfer import errors, storage
from tfxfer.data import image_set, splits

ENV = 'TFXFER_DATA'
INDEX = 'tfxfer_index.npz'
SCHEMA = 1  # Of the index; another number makes it anew.
# Features that may name an image, the first that is there.
NAMES = ('file_name', 'image/file_name', 'image/filename', 'filename', 'id')
VALID = ('validation', 'valid', 'val', 'dev')


@dataclasses.dataclass(frozen=True)
class Shard:
    """A TFRecord file of a split, and the records that it must hold."""

    split: str
    file: str
    records: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is where in a prepared dataset.

    Attributes:
        name: of the task, for messages.
        folder: the prepared dataset's.
        shards: of the splits that are read.
        image: feature of the encoded image.
        label: feature of the label, or of the labels of all objects.
        difficult: feature that says which objects are difficult; None: one label.
        names: feature that names an image, or None.
        class_names: in the labels' order.
        pooled: the builder's own splits mean nothing; images are sorted by key.
    """

    name: str
    folder: str
    shards: tuple[Shard, ...]
    image: str
    label: str
    difficult: str | None
    names: str | None
    class_names: tuple[str, ...]
    pooled: bool


def read(dataset, options):
    """(Dataset, Images) of a dataset that tools.prepare_dataset made.

    Raises:
        errors.InputError: it is not there (names the command that makes it), is no
            image classification, or its files are damaged.
    """
    folder = location(dataset, options.data)
    if not is_prepared(dataset, options.data):
        raise errors.InputError(_absent(dataset, folder, options.data))
    info = json.loads((folder / 'dataset_info.json').read_text())
    parts = _parts(dataset, info)
    layout = _layout(dataset, folder, info, parts)
    index = _index(layout, options.cache)
    labels = index['labels']
    keys = tuple(index['keys'].tobytes().decode().split('\0'))
    names = list(index['names'])
    found = {
        part: np.flatnonzero(np.isin(index['split'], [names.index(n) for n in ours]))
        for part, ours in parts
    }
    if dataset.train_per_class:
        found = _drawn(dataset, layout.class_names, labels, keys)
    record = dataclasses.replace(
        dataset, classes=len(layout.class_names), class_names=layout.class_names
    )
    return record, image_set.Images(
        labels=labels,
        splits=image_set.complete(labels, found, keys),
        packed=image_set.Packed(
            files=tuple(str(folder / shard.file) for shard in layout.shards),
            part=index['part'],
            offset=index['offset'],
            length=index['length'],
        ),
        digest=str(index['digest']),
        keys=keys,
    )


def data_folder(data=None):
    """Where prepared datasets are: `data`, or what the environment says, or TFDS's."""
    places = (data, os.environ.get(ENV), os.environ.get('TFDS_DATA_DIR'))
    return pathlib.Path(
        next(filter(None, places), '~/tensorflow_datasets')
    ).expanduser()


def location(dataset, data=None):
    """The folder of a Dataset's prepared data, whether it is there or not."""
    name, _, version = dataset.tfds.rpartition(':')
    return data_folder(data) / name / version


def is_prepared(dataset, data=None):
    """Whether it is there, complete: TFDS moves the whole folder into place."""
    return (location(dataset, data) / 'dataset_info.json').is_file()


def _absent(dataset, folder, data):
    name, _, version = dataset.tfds.rpartition(':')
    where = f' --data={data}' if data else ''
    found = sorted(folder.parent.glob(f'*/{version}/dataset_info.json'))
    if found and '/' not in name:
        return (
            f'{dataset.name}: {name} has configurations; name one, such as '
            f'tfds:{name}/{found[0].parts[-3]}:{version}.'
        )
    return (
        f'{dataset.name} is not prepared (nothing in {folder}). Make it: '
        f'python -m tools.prepare_dataset --dataset={dataset.name}{where}'
    )


def _parts(dataset, info):
    """((our split, (TFDS splits, ...)), ...)."""
    names = [split['name'] for split in info.get('splits', ())]
    if dataset.parts:
        lacking = {n for _, ours in dataset.parts for n in ours} - set(names)
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
    parts = {'train': ('train',)}
    valid = next((name for name in VALID if name in names), None)
    if 'test' in names:
        parts['test'] = ('test',)
        if valid:
            parts['valid'] = (valid,)
    elif valid:
        logging.info('%s has no split test: %s is taken.', dataset.name, valid)
        parts['test'] = (valid,)
    return tuple(parts.items())


def _layout(dataset, folder, info, parts):
    if info.get('fileFormat', 'tfrecord') != 'tfrecord':
        raise errors.InputError(
            f'{dataset.name} in {folder} was prepared as {info["fileFormat"]}; only '
            'tfrecord can be read. Prepare it in another --data folder.'
        )
    features = json.loads((folder / 'features.json').read_text())
    features = features.get('featuresDict', {}).get('features', {})
    if dataset.multi_label:
        image, label, difficult = 'image', 'objects/label', 'objects/is_difficult'
    else:
        image, label = _supervised(dataset, info, features)
        difficult = None
    names_file = folder / f'{label.replace("/", "-")}.labels.txt'
    if names_file.exists():
        class_names = tuple(names_file.read_text().splitlines())
    else:
        count = int(features[label]['classLabel']['numClasses'])
        class_names = tuple(map(str, range(count)))
    if dataset.classes not in (0, len(class_names)):
        raise errors.InputError(
            f'{dataset.name} should have {dataset.classes} classes; {folder} has '
            f'{len(class_names)}.'
        )
    used = [name for _, ours in parts for name in ours]
    return Layout(
        name=dataset.name,
        folder=str(folder),
        shards=tuple(_shards(info, used)),
        image=image,
        label=label,
        difficult=difficult,
        names=next((n for n in NAMES if 'text' in features.get(n, {})), None),
        class_names=class_names,
        pooled=dataset.train_per_class is not None,
    )


def _supervised(dataset, info, features):
    """The image feature and the label feature of a classification dataset."""
    items = info.get('supervisedKeys', {}).get('tuple', {}).get('items', ())
    keys = [item.get('featureKey') for item in items]
    images = [n for n, f in features.items() if f.get('image', {}).get('dtype')]
    labels = [n for n, f in features.items() if 'classLabel' in f]
    pair = []
    for kind, found in (('image', images), ('label', labels)):
        supervised = [name for name in found if name in keys]
        choice = supervised or found
        if len(choice) != 1:
            raise errors.InputError(
                f'{dataset.name} is no image classification: it has '
                f'{len(found) or "no"} {kind}s to choose from; its features are '
                f'{", ".join(sorted(features))}.'
            )
        pair += choice
    dtype = features[pair[0]]['image']['dtype']
    if dtype != 'uint8':
        raise errors.InputError(
            f'{dataset.name}: its feature {pair[0]} has {dtype} pixels; only uint8 '
            'images can be read.'
        )
    return pair


def _shards(info, names):
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
                yield Shard(split['name'], file, int(length))


def _drawn(dataset, class_names, labels, keys):
    """train: `train_per_class` random images of each class; test: all others."""
    number = dataset.train_per_class
    ordered = splits.order(labels, '0 train', keys)
    for c, name in enumerate(class_names):
        if len(ordered.get(c, ())) <= number:
            raise errors.InputError(
                f'{dataset.name} has {len(ordered.get(c, ()))} images of {name}; more '
                f'than {number} are needed, {number} to train on and the rest to test.'
            )
    train = np.sort(np.concatenate([part[:number] for part in ordered.values()]))
    return {'train': train, 'test': np.setdiff1d(np.arange(len(labels)), train)}


def _index(layout, cache):
    """Arrays of the index, made where there is none of just these files."""
    folder = pathlib.Path(layout.folder)
    try:
        stats = [os.stat(folder / shard.file) for shard in layout.shards]
    except FileNotFoundError as error:
        raise errors.InputError(
            f'{layout.name}: {error.filename} is missing. Remove {folder} and prepare '
            'it again.'
        ) from error
    files = [[stat.st_size, stat.st_mtime_ns] for stat in stats]
    facts = dataclasses.asdict(layout)
    # Moved or renamed, the data are the same.
    del facts['name'], facts['folder']
    fingerprint = json.dumps([SCHEMA, facts, files])
    places = [folder / INDEX]
    if cache:
        where = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        places.append(pathlib.Path(cache) / f'index-{where}.npz')
    for place in places:
        index = _load(place, fingerprint)
        if index is not None:
            return index
    index = _made(layout, [size for size, _ in files])
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with storage.replacing(place) as aside:
                np.savez(aside, fingerprint=np.array(fingerprint), **index)
            break
        except OSError as error:  # A read-only folder: the next place, or none.
            logging.warning('No index in %s: %s', place, error)
    return index


def _load(place, fingerprint):
    try:
        with np.load(place) as arrays:
            if str(arrays['fingerprint']) == fingerprint:
                return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        logging.warning('%s is made anew: %s', place, error)
    return None


def _made(layout, sizes):
    """The index of a prepared dataset, from all its records.

    Returns:
        {'part', 'offset', 'length': as of imagesets.Packed; 'labels': as of Images;
        'split': i16 [n], which of `names`; 'names': the splits; 'keys': u8, names of
        the images with zero bytes between; 'digest': of names, labels and bytes}.
    """
    names = list(dict.fromkeys(shard.split for shard in layout.shards))
    columns = {n: [] for n in ('offset', 'length', 'label', 'name', 'sha256', 'part')}
    with (
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm.tqdm(
            desc=f'Indexing {layout.name}',
            total=sum(sizes),
            unit='B',
            unit_scale=True,
            delay=1,
            leave=False,
        ) as bar,
    ):
        rows = pool.map(lambda shard: _read_shard(layout, shard), layout.shards)
        for part, (found, size) in enumerate(zip(rows, sizes, strict=True)):
            for row in found:
                for column, value in zip(columns.values(), (*row, part), strict=True):
                    column.append(value)
            bar.update(size)
    part = np.array(columns['part'], np.int32)
    split = np.array([names.index(shard.split) for shard in layout.shards], np.int16)
    split = split[part] if len(part) else np.empty(0, np.int16)
    keys = _keys(layout, columns, [names[s] for s in split])
    lines = [
        f'{key}\0{"" if layout.pooled else names[s]}\0{label}\0{sha}'
        for key, s, label, sha in zip(
            keys, split, columns['label'], columns['sha256'], strict=True
        )
    ]
    digest = hashlib.sha256('\0'.join(layout.class_names).encode())
    for line in sorted(lines):  # Whatever order the images were written in.
        digest.update(line.encode())
    order = sorted(range(len(keys)), key=keys.__getitem__)
    order = np.array(order if layout.pooled else range(len(keys)), np.int64)
    return {
        'part': part[order],
        'offset': np.array(columns['offset'], np.int64)[order],
        'length': np.array(columns['length'], np.int64)[order],
        'labels': np.array(columns['label'], np.int32)[order],
        'split': split[order],
        'names': np.array(names, str),
        'keys': np.frombuffer('\0'.join(keys[i] for i in order).encode(), np.uint8),
        'digest': np.array(digest.hexdigest()),
    }


def _keys(layout, columns, split_names):
    """A name for each image: the builder's, with class or split where it must."""
    names = columns['name']
    if layout.names:
        choices = [names, list(map('/'.join, zip(split_names, names, strict=True)))]
        if not layout.difficult:
            classes = [layout.class_names[label] for label in columns['label']]
            classed = [f'{c}/{n}' for c, n in zip(classes, names, strict=True)]
            choices.insert(1, classed)
        for choice in choices:
            if len(set(choice)) == len(choice):
                return choice
    numbers = dict.fromkeys(split_names, 0)
    keys = []
    for split in split_names:
        keys.append(f'{split}/{numbers[split]:07d}')
        numbers[split] += 1
    return keys


def _read_shard(layout, shard):
    """(offset, length, label, name, sha256 of the image) of every record of a file."""
    path = pathlib.Path(layout.folder) / shard.file
    rows = []
    try:
        for start, data in _records(path):
            found = _features(data)
            at, end = _spans(data, found[layout.image])[0]
            name = ''
            if layout.names:
                name = data[slice(*_spans(data, found[layout.names])[0])].decode()
            label = _label(layout, data, found)
            sha = hashlib.sha256(data[at:end]).hexdigest()
            rows.append((start + at, end - at, label, name, sha))
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise errors.InputError(
            f'{layout.name}: record {len(rows)} of {path} is damaged ({error}). Remove '
            'its folder and prepare the dataset again.'
        ) from error
    if len(rows) != shard.records:
        raise errors.InputError(
            f'{layout.name}: {path} should have {shard.records} records and has '
            f'{len(rows)}. Remove the folder and prepare it again.'
        )
    unlabelled = sum(label == -1 for *_, label, _, _ in rows if not layout.difficult)
    if unlabelled:
        raise errors.InputError(
            f'{layout.name}: {unlabelled} images of split {shard.split} have no label.'
        )
    return rows


def _label(layout, data, found):
    """The label; or [k]: 1 present, -1 only difficult objects, 0 none (VOC)."""
    labels = _ints(data, found[layout.label])
    if not layout.difficult:
        return labels[0]
    result = [0] * len(layout.class_names)
    for label, hard in zip(labels, _ints(data, found[layout.difficult]), strict=True):
        if not hard or not result[label]:
            result[label] = -1 if hard else 1
    return result


# A TFRecord file: for each record u64 length, u32 checksum of it, the bytes, u32
# checksum of these. A record here is a tf.train.Example, whose protocol buffer is read
# by hand because the library gives no offsets.


def _records(path):
    """(offset, bytes) of every record of a TFRecord file."""
    with open(path, 'rb') as file:
        while head := file.read(12):
            (length,) = struct.unpack('<Q', head[:8])
            start = file.tell()
            data = file.read(length)
            if len(data) < length or len(file.read(4)) < 4:
                raise ValueError('the file ends within it')
            yield start, data


def _features(data):
    """{name of a feature: (start, end) of its list of values} of a tf.train.Example."""
    found = {}
    for _, start, end in _fields(data, 0, len(data)):  # features
        for _, at, stop in _fields(data, start, end):  # map entries
            entry = {n: (a, b) for n, a, b in _fields(data, at, stop)}
            name = data[slice(*entry[1])].decode()
            for _, a, b in _fields(data, *entry[2]):  # bytes, float or int64 list
                found[name] = a, b
    return found


def _spans(data, span):
    """(start, end) of each value of a list of bytes."""
    return [(start, end) for _, start, end in _fields(data, *span)]


def _ints(data, span):
    values = []
    for _, at, end in _fields(data, *span):
        while at < end:
            value, at = _varint(data, at)
            values.append(value - (1 << 64) if value >> 63 else value)
    return values


def _fields(data, at, end):
    """(number, start, end) of each field of a message."""
    while at < end:
        tag, at = _varint(data, at)
        if tag & 7 == 2:  # Length and bytes.
            length, at = _varint(data, at)
            stop = at + length
        elif tag & 7 == 0:  # One number.
            _, stop = _varint(data, at)
        else:
            raise ValueError(f'a field of type {tag & 7}')
        if stop > end:
            raise ValueError('a field ends outside')
        yield tag >> 3, at, stop
        at = stop


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
