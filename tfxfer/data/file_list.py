"""Files with labels and splits -> Images, each of them checked. No TensorFlow."""

import collections
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfxfer import datasets, errors, escaping
from tfxfer.data import changes, image_files, image_set

# What people call the splits.
SPLITS = {
    'train': 'train',
    'training': 'train',
    'valid': 'valid',
    'val': 'valid',
    'validation': 'valid',
    'test': 'test',
    'testing': 'test',
}
FEW = 5  # A class with fewer images is warned about.
SHOWN = 3  # Examples in a warning.
UNEVEN = 10  # A class of more than so many times the smallest is warned about.


@dataclasses.dataclass(frozen=True)
class File:
    """One image: its path (absolute or from the root, and its key), label, split."""

    path: str
    label: str
    split: str | None


def gather(
    dataset: datasets.Dataset,
    options: image_set.Options,
    root: pathlib.Path,
    files: Sequence[File],
) -> tuple[datasets.Dataset, image_set.Images]:
    """(Dataset, Images) of Files below a root, each of them checked.

    Raises:
        errors.InputError: no file can be read, or (unless options.skip_broken) one
            cannot; no train images.
    """
    files = _with_composed_labels(dataset, files)
    names = tuple(sorted({file.label for file in files}))
    check_names(dataset, names)
    copies = image_files.copies(options.cache)
    stamps = image_files.stamps_of(root, [file.path for file in files])
    checked = image_files.check(root, stamps, options.cache, copies)
    broken = [path for path, check in checked.items() if check.fault]
    _refuse_or_report(root, checked, broken, skip=options.skip_broken)
    files = [file for file in files if not checked[file.path].fault]
    if not files:
        raise errors.InputError(f'No image of {dataset.path} can be read.')
    checks = [checked[file.path] for file in files]
    keys = tuple(file.path for file in files)
    white = _white(dataset, checks, options.white)
    sound = dict(zip(keys, checks, strict=True))
    image_files.whiten(root, sound, copies, white)
    label_of = {name: c for c, name in enumerate(names)}
    labels = np.array([label_of[file.label] for file in files], np.int32)
    splits = image_set.complete(labels, _parts(dataset, files), keys)
    _warn_of_classes(names, labels)
    digests = [check.digest for check in checks]
    _warn_of_copies(
        'splits',
        'which makes scores too high',
        (
            (digests[i], part, keys[i])
            for part in ('train', 'valid', 'test')
            for i in splits[part].tolist()
        ),
    )
    _warn_of_copies(
        'classes',
        'so that labels contradict one another',
        zip(digests, [file.label for file in files], keys, strict=True),
    )
    record = dataclasses.replace(dataset, classes=len(names), class_names=names)
    return record, image_set.Images(
        labels=labels,
        splits=splits,
        paths=_paths(root, copies, sound, white),
        orientations=np.array([check.orientation for check in checks], np.uint8),
        digest=_digest(files, checks, white),
        keys=keys,
        skipped=tuple(broken),
        seen=changes.seen(root, sound, [stamps[key] for key in keys]),
        originals=tuple(str(root / key) for key in keys),
        pixels_of=np.array([check.pixels for check in checks], np.int64),
        white=white,
    )


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC), in which names are compared.

    The same name may be written with one code point per letter or, as macOS' file
    system does, with accents as code points of their own.
    """
    return unicodedata.normalize('NFC', name)


def _with_composed_labels(
    dataset: datasets.Dataset, files: Sequence[File]
) -> Sequence[File]:
    """The Files with labels in NFC; those that differ in nothing else are one class."""
    forms = collections.defaultdict(list)
    for label in sorted({file.label for file in files}):
        forms[composed(label)].append(label)
    for name, labels in forms.items():
        if len(labels) > 1:
            logging.warning(
                '%s: %s is written in %d ways that differ in Unicode composition '
                'alone (accents as code points of their own). It is one class.',
                dataset.name, name, len(labels),
            )  # fmt: skip
    return [dataclasses.replace(f, label=composed(f.label)) for f in files]


def check_names(dataset: datasets.Dataset, names: Sequence[str]) -> None:
    """Warns of class names that look alike.

    Raises:
        errors.InputError: a name that no table can hold, or that is there twice.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.InputError(f'{dataset.path} names the class {twice!r} twice.')
    for name in names:
        if escaping.control(name):
            raise errors.InputError(
                f'{dataset.path} has a class named {name!r}, with a control character '
                'in it. Rename it.'
            )
    alike = collections.defaultdict(list)
    for name in names:
        alike[_likeness(name)].append(repr(name))
    pairs = [' and '.join(group) for group in alike.values() if len(group) > 1]
    if pairs:
        logging.warning(
            'Names of classes that hardly differ: %s. They are classes of their own; '
            'where one is meant, give it one name.', '; '.join(pairs),
        )  # fmt: skip


def _likeness(name: str) -> str | float:
    """The same for names that differ in case or spaces, or are the same number."""
    if re.fullmatch(r'[+-]?\d+([.,]0*)?', name):
        return float(name.replace(',', '.'))
    return ' '.join(name.casefold().split())


def _refuse_or_report(
    root: pathlib.Path,
    checked: Mapping[str, image_files.Checked],
    broken: Sequence[str],
    *,
    skip: bool,
) -> None:
    if broken and not skip:
        more = f' (and {len(broken) - 1} more)' if len(broken) > 1 else ''
        raise errors.InputError(
            f'{root / broken[0]} cannot be read{more}: {checked[broken[0]].fault}. '
            'Remove or replace it, or leave it out with --config.skip_broken.'
        )
    for path in broken:
        logging.warning('Left out %s: %s', root / path, checked[path].fault)


def _parts(dataset: datasets.Dataset, files: Sequence[File]) -> dict[str, np.ndarray]:
    """Indices of the files in each split that is given; all are train without one."""
    split = np.array([file.split or 'train' for file in files])
    parts = {name: np.flatnonzero(split == name) for name in dict.fromkeys(split)}
    if 'train' not in parts:
        raise errors.InputError(
            f'{dataset.path} has {" and ".join(parts)} but no train images.'
        )
    return parts


def _paths(
    root: pathlib.Path,
    copies: pathlib.Path,
    checked: Mapping[str, image_files.Checked],
    white: int,
) -> tuple[str, ...]:
    """What to read for each image: the file itself, or its copy."""
    paths = tuple(
        str(copies / check.copy_name(white)) if check.copied else str(root / key)
        for key, check in checked.items()
    )
    pairs = zip(paths, checked.values(), strict=True)
    copied = [path for path, check in pairs if check.copied]
    if copied:
        logging.info(
            '%d of %d images are read from upright opaque RGB copies, %.1f MB in %s.',
            len(copied),
            len(paths),
            sum(os.path.getsize(path) for path in set(copied)) / 1e6,
            copies,
        )
    return paths


def _white(
    dataset: datasets.Dataset,
    checks: Sequence[image_files.Checked],
    asked: int | None,
) -> int:
    """The number that is white in 16-bit gray images; says it where it is not usual."""
    white = asked or image_files.white_of(checks)
    gray = [check.peak for check in checks if check.peak is not None]
    if gray and white != image_files.WHITE:
        logging.warning(
            'The %d images of 16-bit gray in %s have numbers up to %d: %d is taken for '
            'white%s.', len(gray), dataset.name, max(gray), white,
            '' if asked else ' (--config.white names another, such as 65535)',
        )  # fmt: skip
    deep = [check for check in checks if check.dark is not None]
    if deep and all(check.dark for check in deep):
        logging.warning(
            'The %d images of 16-bit colours in %s use a sixteenth of the range or '
            'less, and are nearly black: if they hold 12-bit numbers, save them with '
            '8 bits per channel.', len(deep), dataset.name,
        )  # fmt: skip
    return white


def _digest(
    files: Sequence[File], checks: Sequence[image_files.Checked], white: int
) -> str:
    digest = hashlib.sha256()
    if white != image_files.WHITE and any(c.peak is not None for c in checks):
        digest.update(f'white {white}\n'.encode())  # Other pixels of the same files.
    for file, check in zip(files, checks, strict=True):
        line = [file.path, file.label, file.split, check.digest]
        digest.update(f'{json.dumps(line)}\n'.encode())
    return digest.hexdigest()


def _warn_of_classes(names: Sequence[str], labels: np.ndarray) -> None:
    counts = np.bincount(labels, minlength=len(names))
    few = [name for name, count in zip(names, counts, strict=True) if count < FEW]
    if few:
        logging.warning('Fewer than %d images of: %s.', FEW, ', '.join(few))
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[most] > UNEVEN * counts[least]:
        logging.warning(
            'Uneven classes: %d images of %s, %d of %s. top1 then follows the large '
            'classes; --config.metric=mean_per_class weights all classes equally.',
            counts[most],
            names[most],
            counts[least],
            names[least],
        )


def _warn_of_copies(
    groups: str, consequence: str, files: Iterable[tuple[str | None, str, str]]
) -> None:
    """Warns of files with the same bytes in several groups.

    Args:
        groups: what they are called.
        consequence: of such copies.
        files: (digest, group, key) of each.
    """
    seen: dict[str | None, dict[str, str]] = collections.defaultdict(dict)
    for digest, group, key in files:
        seen[digest].setdefault(group, key)
    copies = [places for places in seen.values() if len(places) > 1]
    if copies:
        logging.warning(
            '%d image(s) occur in several %s, byte for byte, %s: for example %s.',
            len(copies),
            groups,
            consequence,
            '; '.join(
                ' and '.join(f'{key} ({group})' for group, key in places.items())
                for places in copies[:SHOWN]
            ),
        )
