"""The user's own images: a folder of class folders, or a CSV. No TensorFlow."""

import collections
import csv
import dataclasses
import hashlib
import io
import json
import logging
import os
import pathlib

import numpy as np

from tfxfer import errors
from tfxfer.data import image_files, image_set

SUFFIXES = ('.jpg', '.jpeg', '.jfif', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff')
LEVELS = {
    'train': 'train',
    'training': 'train',
    'valid': 'valid',
    'val': 'valid',
    'validation': 'valid',
    'test': 'test',
    'testing': 'test',
}
COLUMNS = {
    'path': ('path', 'file', 'filename', 'image'),
    'label': ('label', 'class'),
    'split': ('split', 'subset'),
}
UNEVEN = 10  # Times the smallest class's images that the largest may have unremarked.


@dataclasses.dataclass(frozen=True)
class File:
    """One image: its path (absolute or from the root, and its key), label, split."""

    path: str
    label: str
    split: str | None


def read(dataset, options):
    """(Dataset, Images) of a folder with one sub-folder a class.

    Raises:
        errors.InputError: no classes, an empty class, or (unless options.skip_broken)
            a broken file.
    """
    root = pathlib.Path(dataset.path).expanduser()
    if not root.is_dir():
        raise errors.InputError(
            f'No folder {dataset.path!r}. folder:/path needs one sub-folder a class, '
            'and may have train, valid and test above them.'
        )
    return _gather(dataset, options, root, _listing(root))


def read_csv(dataset, options):
    """(Dataset, Images) of a CSV of path, label and perhaps split.

    A line of column names may come first (those of COLUMNS, in any order). Paths are
    absolute or from the CSV's folder; the separator is a comma, semicolon or tab.

    Raises:
        errors.InputError: a line that cannot be right, with its number; one class;
            or (unless options.skip_broken) a broken file.
    """
    path = pathlib.Path(dataset.path).expanduser()
    if not path.is_file():
        raise errors.InputError(
            f'No file {dataset.path!r}. csv:/path needs a text file with a path, a '
            'label and perhaps a split (train, valid, test) a line.'
        )
    return _gather(dataset, options, path.parent, _csv_files(path))


def _gather(dataset, options, root, files):
    """(Dataset, Images) of Files, each of them checked."""
    names = tuple(sorted({file.label for file in files}))
    place = image_files.copies(options.cache)
    checked = image_files.check(
        root, [file.path for file in files], options.cache, place
    )
    broken = [path for path, fact in checked.items() if fact.fault]
    if broken and not options.skip_broken:
        more = f' (and {len(broken) - 1} more)' if len(broken) > 1 else ''
        raise errors.InputError(
            f'{root / broken[0]} cannot be read{more}: {checked[broken[0]].fault}. '
            'Remove or replace it, or go on without with --config.skip_broken.'
        )
    for path in broken:
        # Printable, whatever bytes the name has.
        shown = os.fsencode(root / path).decode(errors='backslashreplace')
        logging.warning('Left out %s: %s', shown, checked[path].fault)
    files = [file for file in files if not checked[file.path].fault]
    if not files:
        raise errors.InputError(f'No image of {dataset.path} can be read.')
    facts = [checked[file.path] for file in files]
    keys = tuple(file.path for file in files)
    label_of = {name: c for c, name in enumerate(names)}
    labels = np.array([label_of[file.label] for file in files], np.int32)
    level = np.array([file.split or 'train' for file in files])
    parts = {name: np.flatnonzero(level == name) for name in dict.fromkeys(level)}
    if 'train' not in parts:
        raise errors.InputError(
            f'{dataset.path} has {" and ".join(parts)} but no train images.'
        )
    splits = image_set.complete(labels, parts, keys)
    _warn_of_classes(names, labels)
    _warn_of_leaks(keys, facts, splits)
    record = dataclasses.replace(dataset, classes=len(names), class_names=names)
    return record, image_set.Images(
        labels=labels,
        splits=splits,
        paths=_paths(root, place, keys, facts),
        orientations=np.array([fact.orientation for fact in facts], np.uint8),
        digest=_digest(files, facts),
        keys=keys,
        skipped=tuple(broken),
    )


def _paths(root, place, keys, facts):
    """What to read for each image: the file itself, or its copy."""
    paths = tuple(
        str(place / f'{fact.digest}.png') if fact.copied else str(root / key)
        for key, fact in zip(keys, facts, strict=True)
    )
    copies = [path for path, fact in zip(paths, facts, strict=True) if fact.copied]
    if copies:
        logging.info(
            '%d of %d images are read from upright opaque RGB copies, %.1f MB in %s.',
            len(copies),
            len(paths),
            sum(os.path.getsize(path) for path in set(copies)) / 1e6,
            place,
        )
    return paths


def _digest(files, facts):
    digest = hashlib.sha256()
    for file, fact in zip(files, facts, strict=True):
        line = [file.path, file.label, file.split, fact.digest]
        digest.update(f'{json.dumps(line)}\n'.encode())
    return digest.hexdigest()


def _warn_of_classes(names, labels):
    counts = np.bincount(labels, minlength=len(names))
    few = [name for name, count in zip(names, counts, strict=True) if count < 5]
    if few:
        logging.warning('Fewer than 5 images of: %s.', ', '.join(few))
    most, least = np.argmax(counts), np.argmin(counts)
    if counts[most] > UNEVEN * counts[least]:
        logging.warning(
            'Uneven classes: %d images of %s, %d of %s. top1 then follows the large '
            'classes; --config.metric=mean_per_class counts all alike.',
            counts[most],
            names[most],
            counts[least],
            names[least],
        )


def _warn_of_leaks(keys, facts, splits):
    """Warns of files with the same bytes in several splits."""
    seen = collections.defaultdict(dict)
    for part in ('train', 'valid', 'test'):
        for i in splits[part]:
            seen[facts[i].digest].setdefault(part, keys[i])
    leaks = [places for places in seen.values() if len(places) > 1]
    if leaks:
        logging.warning(
            '%d image(s) are in several splits byte for byte, which flatters the '
            'scores: for example %s.',
            len(leaks),
            ' and '.join(f'{key} ({part})' for part, key in leaks[0].items()),
        )


# A folder.


def _listing(root):
    """Files below the root."""
    tops = _folders(root)
    levels = {
        top: LEVELS[top.name.lower()] for top in tops if top.name.lower() in LEVELS
    }
    if levels and len(levels) < len(tops):
        other = next(top.name for top in tops if top not in levels)
        raise errors.InputError(
            f'{root} has split folders ({", ".join(t.name for t in levels)}) beside '
            f'others ({other}): use either splits with classes in them, or classes.'
        )
    doubled = [s for s, n in collections.Counter(levels.values()).items() if n > 1]
    if doubled:
        raise errors.InputError(f'{root} has more than one folder for {doubled[0]}.')
    found = [
        (folder, split)
        for parent, split in (levels or {root: None}).items()
        for folder in _folders(parent)
    ]
    names = sorted({folder.name for folder, _ in found})
    if len(names) < 2:
        raise errors.InputError(
            f'{root} has {len(names)} class folders ({", ".join(names)}); at least 2 '
            'are needed, one sub-folder a class.'
        )
    files, others = [], collections.Counter()
    start = len(str(root / 'x')) - 1
    for folder, split in found:
        paths, unread = _class_files(folder)
        others += unread
        files += [File(_posix(p[start:]), folder.name, split) for p in paths]
    if others:
        logging.warning('Files of formats that are not read: %s.', _tally(others))
    return files


def _folders(path):
    return sorted(p for p in path.iterdir() if p.is_dir() and p.name[0] != '.')


def _class_files(folder):
    """Sorted paths of a class's images, and how many other files of each suffix."""
    paths, others = [], collections.Counter()
    for path in walk(folder):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in SUFFIXES:
            paths.append(path)
        else:
            others[suffix or 'no suffix'] += 1
    if not paths:
        found = f', only {_tally(others)}' if others else ''
        raise errors.InputError(
            f'The class folder {folder} has no image{found}. Read are '
            f'{", ".join(SUFFIXES)}: add or convert images, or remove the folder.'
        )
    return sorted(paths), others


def walk(folder):
    """Yields the path of every file in a folder and below, but not what is hidden.

    Links to folders are followed, a folder that is reached twice is read once. The
    order is that of the file system.
    """
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        stat = os.stat(place)
        here = stat.st_dev, stat.st_ino
        folders[:] = [] if here in seen else [f for f in folders if f[0] != '.']
        if here not in seen:
            yield from (os.path.join(place, name) for name in names if name[0] != '.')
        seen.add(here)


def _posix(path):
    return path.replace(os.sep, '/')


def _tally(counts):
    return ', '.join(f'{count} {name}' for name, count in counts.most_common())


# A CSV.


def _csv_files(path):
    """Files of a CSV's rows."""
    rows = _csv_rows(path)
    order = _columns(path, *rows[0])
    if order and len(rows) == 1:
        raise errors.InputError(f'{path} has no row below its line of names.')
    if order:
        rows = rows[1:]
    order = order or list(COLUMNS)[: len(rows[0][1])]
    files, lines = [], {}
    for number, row in rows:
        cells = dict(zip(order, row, strict=True))
        for name, cell in cells.items():
            if name != 'split' and not cell:
                raise errors.InputError(f'{path} line {number} has no {name}.')
        place = os.path.normpath(path.parent / cells['path'])
        if place in lines:
            raise errors.InputError(
                f'{path} names {cells["path"]} twice, in lines {lines[place]} and '
                f'{number}: an image has one label and is in one split.'
            )
        lines[place] = number
        split = cells.get('split', '').lower()
        if split and split not in LEVELS:
            raise errors.InputError(
                f'{path} line {number}: no split is named {cells["split"]!r}. Known: '
                f'{", ".join(LEVELS)}.'
            )
        files.append(File(cells['path'], cells['label'], LEVELS.get(split)))
    _check_rows(path, files, lines)
    return files


def _check_rows(path, files, lines):
    """Raises InputError where the rows of a CSV do not make a task."""
    numbers = list(lines.values())
    with_split = [file.split is not None for file in files]
    if any(with_split) and not all(with_split):
        raise errors.InputError(
            f'{path} line {numbers[with_split.index(False)]} has no split, but line '
            f'{numbers[with_split.index(True)]} has one: give all rows a split, or '
            'none.'
        )
    missing = [
        (number, path.parent / file.path)
        for number, file in zip(numbers, files, strict=True)
        if not os.path.isfile(path.parent / file.path)
    ]
    if missing:
        (number, place), *others = missing
        more = f' (and {len(others)} more)' if others else ''
        raise errors.InputError(
            f'{path} line {number}: no file {place}{more}. Paths are '
            "absolute or from the CSV's folder; a first line of names must have "
            'path and label.'
        )
    names = {file.label for file in files}
    if len(names) < 2:
        raise errors.InputError(
            f'All rows of {path} have the label {names.pop()!r}; at least 2 classes '
            'are needed.'
        )


def _csv_rows(path):
    """[(line number, cells)] of the rows that are not blank, all of one length."""
    data = path.read_bytes()
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b'\n') + 1
        raise errors.InputError(
            f'{path} line {line} is not UTF-8. Save the file as "CSV UTF-8".'
        ) from error
    delimiter = max('\t;,', key=lambda delimiter: _suiting(text, delimiter))
    rows = _parsed(path, text, delimiter)
    if not rows:
        raise errors.InputError(
            f'{path} is empty. It needs a path, a label and perhaps a split a line.'
        )
    columns = len(rows[0][1])
    for number, row in rows:
        if len(row) != columns or columns not in (2, 3):
            first = f'; line {rows[0][0]} has {columns}' if len(row) != columns else ''
            raise errors.InputError(
                f'{path} line {number} has {len(row)} column(s){first}. Needed are 2 '
                'or 3 in all: path, label and perhaps split, with a comma, semicolon '
                'or tab between them.'
            )
    return rows


def _suiting(text, delimiter):
    """How many rows have 2 or 3 cells, and how many have several."""
    try:
        cells = [len(row) for row in csv.reader(_lines(text), delimiter=delimiter)]
    except csv.Error:
        return 0, 0
    return sum(n in (2, 3) for n in cells), sum(n > 1 for n in cells)


def _parsed(path, text, delimiter):
    """[(number of its first line, cells)] of the rows that are not blank."""
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    rows, line = [], 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise errors.InputError(f'{path} line {line}: {error}.') from error
    return rows


def _lines(text):
    return io.StringIO(text, newline='')  # Line ends as they are: csv wants them so.


def _columns(path, number, row):
    """The COLUMNS that a line of names gives, or None where it is a row of data."""
    known = {name: column for column, names in COLUMNS.items() for name in names}
    order = [known.get(cell.lower(), cell) for cell in row]
    if not {'path', 'label'} <= set(order):
        return None
    if len(set(order)) < len(order) or not set(order) <= set(COLUMNS):
        raise errors.InputError(
            f'{path} line {number} names the columns {", ".join(row)}. Known are '
            f'{", ".join("/".join(names) for names in COLUMNS.values())}, each once.'
        )
    return order
