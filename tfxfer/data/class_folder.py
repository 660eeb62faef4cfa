"""A folder with one sub-folder of images per class. No TensorFlow."""

import collections
import logging
import os
import pathlib
from collections.abc import Iterator

from tfxfer import datasets, errors
from tfxfer.data import file_list, image_set

SUFFIXES = ('.jpg', '.jpeg', '.jfif', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff')


def read(
    dataset: datasets.Dataset, options: image_set.Options
) -> tuple[datasets.Dataset, image_set.Images]:
    """(Dataset, Images) of a folder with one sub-folder per class.

    Raises:
        errors.InputError: no classes, an empty class, or (unless options.skip_broken)
            a broken file.
    """
    root = pathlib.Path(dataset.path).expanduser()
    if not root.is_dir():
        raise errors.InputError(
            f'No folder {dataset.path!r}. folder:/path needs one sub-folder per class, '
            'and may have train, valid and test above them.'
        )
    return file_list.gather(dataset, options, root, _listing(root))


def _listing(root: pathlib.Path) -> list[file_list.File]:
    """The images below the root."""
    folders = _class_folders(root)
    others: collections.Counter[str] = collections.Counter()
    files = []
    start = len(str(root / 'x')) - 1
    for folder, split in folders:
        paths, unread = _class_files(folder)
        others += unread
        files += [
            file_list.File(_posix(path[start:]), folder.name, split) for path in paths
        ]
    if others:
        logging.warning('Files of formats that are not read: %s.', _tally(others))
    return files


def _class_folders(root: pathlib.Path) -> list[tuple[pathlib.Path, str | None]]:
    """(folder of a class, its split); a class may have one in each split."""
    tops = _folders(root)
    levels = {
        top: file_list.SPLITS[top.name.lower()]
        for top in tops
        if top.name.lower() in file_list.SPLITS
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
    parents: dict[pathlib.Path, str | None] = {**levels} or {root: None}
    folders = [
        (folder, split)
        for parent, split in parents.items()
        for folder in _folders(parent)
    ]
    names = sorted({folder.name for folder, _ in folders})
    if len(names) < 2:
        raise errors.InputError(
            f'{root} has {len(names)} class folders ({", ".join(names)}); at least 2 '
            'are needed, one sub-folder per class.'
        )
    return folders


def _folders(path: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and p.name[0] != '.')


def _class_files(
    folder: pathlib.Path,
) -> tuple[list[str], collections.Counter[str]]:
    """Sorted paths of a class's images, and how many other files of each suffix."""
    paths: list[str] = []
    others: collections.Counter[str] = collections.Counter()
    for path in walk(folder):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in SUFFIXES:
            paths.append(path)
        else:
            others[suffix or 'no suffix'] += 1
    if not paths:
        only = f', only {_tally(others)}' if others else ''
        raise errors.InputError(
            f'The class folder {folder} has no image{only}. Read are '
            f'{", ".join(SUFFIXES)}: add or convert images, or remove the folder.'
        )
    return sorted(paths), others


def walk(folder: str | pathlib.Path) -> Iterator[str]:
    """Yields the path of every file in a folder and below, but not what is hidden.

    Links to folders are followed, a folder that is reached twice is read once. The
    order is that of the file system.
    """
    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(str(folder), followlinks=True):
        stat = os.stat(parent)
        identity = stat.st_dev, stat.st_ino
        if identity in seen:
            folders.clear()
            continue
        seen.add(identity)
        folders[:] = [name for name in folders if name[0] != '.']
        yield from (os.path.join(parent, name) for name in names if name[0] != '.')


def _posix(path: str) -> str:
    return path.replace(os.sep, '/')


def _tally(counts: collections.Counter[str]) -> str:
    return ', '.join(f'{count} {name}' for name, count in counts.most_common())
