"""Where in a prepared dataset's files every image lies: found once, then read."""

import concurrent.futures
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import struct
import typing
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tqdm

from tfxfer import errors, storage
from tfxfer.data import tfrecord

INDEX = 'tfxfer_index.npz'
SCHEMA = 1  # Of the index; another number makes it anew.

Arrays = dict[str, np.ndarray]


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


class Row(typing.NamedTuple):
    """One image: where it is, in which of the files; label, name and digest."""

    part: int
    offset: int
    length: int
    label: typing.Any  # An int, or a list of one for each class.
    name: str
    sha256: str


def index(layout: Layout, cache: str | os.PathLike | None) -> Arrays:
    """The index of a prepared dataset, made where there is none of just these files.

    It is beside the data, or in `cache` where the data's folder is read-only.

    Returns:
        {'part', 'offset', 'length': as of image_set.Packed; 'labels': as of Images;
        'split': i16 [n], which of `names`; 'names': the splits; 'keys': u8, names of
        the images with zero bytes between; 'digest': of names, labels and bytes}.

    Raises:
        errors.InputError: a file is missing or damaged, or an image has no label.
    """
    folder = pathlib.Path(layout.folder)
    try:
        stats = [os.stat(folder / shard.file) for shard in layout.shards]
    except FileNotFoundError as error:
        raise errors.InputError(
            f'{layout.name}: {error.filename} is missing. Remove {folder} and prepare '
            'it again.'
        ) from error
    files = [[stat.st_size, stat.st_mtime_ns] for stat in stats]
    fields = dataclasses.asdict(layout)
    # Moved or renamed, the data are the same.
    del fields['name'], fields['folder']
    fingerprint = json.dumps([SCHEMA, fields, files])
    places = [folder / INDEX]
    if cache:
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        places.append(pathlib.Path(cache) / f'index-{digest}.npz')
    for place in places:
        arrays = _load(place, fingerprint)
        if arrays is not None:
            return arrays
    arrays = _made(layout, [size for size, _ in files])
    file: dict[str, typing.Any] = {**arrays, 'fingerprint': np.array(fingerprint)}
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with storage.replacing(place) as temporary:
                np.savez(temporary, **file)
            break
        except OSError as error:  # A read-only folder: the next place, or none.
            logging.warning('No index in %s: %s', place, error)
    return arrays


def _load(place: pathlib.Path, fingerprint: str) -> Arrays | None:
    arrays = storage.arrays_if_sound(place)
    if arrays is None or str(arrays.get('fingerprint')) != fingerprint:
        return None
    return arrays


def _made(layout: Layout, sizes: Sequence[int]) -> Arrays:
    """The index, from all records; sizes: bytes of each file."""
    splits = list(dict.fromkeys(shard.split for shard in layout.shards))
    rows = list(_rows(layout, sizes))
    part = np.array([row.part for row in rows], np.int32)
    split_of_part = [splits.index(shard.split) for shard in layout.shards]
    split = np.array([split_of_part[row.part] for row in rows], np.int16)
    keys = _keys(layout, rows, [splits[s] for s in split])
    numbers: Sequence[int] = range(len(keys))
    if layout.pooled:
        numbers = sorted(numbers, key=keys.__getitem__)
    order = np.array(numbers, np.int64)
    return {
        'part': part[order],
        'offset': np.array([row.offset for row in rows], np.int64)[order],
        'length': np.array([row.length for row in rows], np.int64)[order],
        'labels': np.array([row.label for row in rows], np.int32)[order],
        'split': split[order],
        'names': np.array(splits, str),
        'keys': np.frombuffer('\0'.join(keys[i] for i in order).encode(), np.uint8),
        'digest': np.array(_digest(layout, rows, keys, [splits[s] for s in split])),
    }


def _rows(layout: Layout, sizes: Sequence[int]) -> Iterator[Row]:
    """A Row of every record, in the order of the files."""
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
        parts = range(len(layout.shards))
        shards = pool.map(lambda part: _read_shard(layout, part), parts)
        for rows, size in zip(shards, sizes, strict=True):
            yield from rows
            bar.update(size)


def _digest(
    layout: Layout, rows: Sequence[Row], keys: Sequence[str], splits: Sequence[str]
) -> str:
    """Of names, labels and bytes, whatever order the images were written in."""
    lines = [
        f'{key}\0{"" if layout.pooled else split}\0{row.label}\0{row.sha256}'
        for key, split, row in zip(keys, splits, rows, strict=True)
    ]
    digest = hashlib.sha256('\0'.join(layout.class_names).encode())
    for line in sorted(lines):
        digest.update(line.encode())
    return digest.hexdigest()


def _keys(layout: Layout, rows: Sequence[Row], splits: Sequence[str]) -> list[str]:
    """A name for each image: the builder's, with class or split where it must."""
    names = [row.name for row in rows]
    if layout.names:
        choices = [names, list(map('/'.join, zip(splits, names, strict=True)))]
        if not layout.difficult:
            classed = [f'{layout.class_names[r.label]}/{r.name}' for r in rows]
            choices.insert(1, classed)
        for choice in choices:
            if len(set(choice)) == len(choice):
                return choice
    numbers = dict.fromkeys(splits, 0)
    keys = []
    for split in splits:
        keys.append(f'{split}/{numbers[split]:07d}')
        numbers[split] += 1
    return keys


def _read_shard(layout: Layout, part: int) -> list[Row]:
    """A Row of every record of a file, the number `part` of the layout's."""
    shard = layout.shards[part]
    path = pathlib.Path(layout.folder) / shard.file
    rows: list[Row] = []
    try:
        for offset, data in tfrecord.records(path):
            rows.append(_row(layout, part, offset, data))
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
    unlabelled = sum(row.label == -1 for row in rows if not layout.difficult)
    if unlabelled:
        raise errors.InputError(
            f'{layout.name}: {unlabelled} images of split {shard.split} have no label.'
        )
    return rows


def _row(layout: Layout, part: int, offset: int, data: bytes) -> Row:
    """Of one record, which begins at `offset` of its file."""
    features = tfrecord.features(data)
    start, end = tfrecord.spans(data, features[layout.image])[0]
    name = ''
    if layout.names:
        name = data[slice(*tfrecord.spans(data, features[layout.names])[0])].decode()
    label = _label(layout, data, features)
    sha256 = hashlib.sha256(data[start:end]).hexdigest()
    return Row(part, offset + start, end - start, label, name, sha256)


def _label(
    layout: Layout, data: bytes, features: Mapping[str, tfrecord.Span]
) -> typing.Any:
    """The label; or [k]: 1 present, -1 only difficult objects, 0 none (VOC)."""
    labels = tfrecord.ints(data, features[layout.label])
    if not layout.difficult:
        return labels[0]
    difficult = tfrecord.ints(data, features[layout.difficult])
    result = [0] * len(layout.class_names)
    for label, hard in zip(labels, difficult, strict=True):
        if not hard or not result[label]:
            result[label] = -1 if hard else 1
    return result
