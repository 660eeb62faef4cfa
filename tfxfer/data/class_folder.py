"""A folder with one sub-folder of images per class. No TensorFlow."""

import collections
import logging
import os
import pathlib
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence

from tfxfer import datasets, errors
from tfxfer.data import file_list, image_files, image_set

SUFFIXES = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff',
    '.avif',
)  # fmt: skip
_WAY_OUT = (
    'If they are classes, list the images in a CSV file, one path,label per line, and '
    'use csv:/path instead of folder:/path.'
)


class Found(typing.NamedTuple):
    """What is in a folder and below.

    Attributes:
        images: sorted paths.
        others: how many other files of each suffix, and `no suffix`.
        faults: why sub-folders could not be read.
    """

    images: list[str]
    others: collections.Counter[str]
    faults: list[OSError]


def read(
    dataset: datasets.Dataset, options: image_set.Options
) -> tuple[datasets.Dataset, image_set.Images]:
    """(Dataset, Images) of a folder with one sub-folder per class.

    Raises:
        errors.InputError: no classes, an empty class, splits whose names are not
            known, or (unless options.skip_broken) a broken file or a sub-folder that
            cannot be read.
    """
    root = pathlib.Path(dataset.path).expanduser()
    if not root.is_dir():
        raise errors.InputError(
            f'No folder {dataset.path!r}. folder:/path needs one sub-folder per class, '
            'and may have train, valid and test above them.'
        )
    files = _listing(root, skip=options.skip_broken)
    return file_list.gather(dataset, options, root, files)


def _listing(root: pathlib.Path, *, skip: bool) -> list[file_list.File]:
    """The images below the root; skip: leave out folders that cannot be read."""
    others: collections.Counter[str] = collections.Counter()
    files = []
    faults: list[OSError] = []
    start = len(str(root / 'x')) - 1
    for folder, split in _class_folders(root):
        found = find(folder)
        faults += found.faults
        if not skip:
            _refuse_faults(faults)
        _check_not_empty(folder, found)
        others += found.others
        files += [
            file_list.File(_posix(path[start:]), folder.name, split)
            for path in found.images
        ]
    for fault in faults:
        logging.warning('Left out %s: %s', fault.filename, fault.strerror)
    if others:
        logging.warning('Files of formats that are not read: %s.', tally(others))
    return files


def _refuse_faults(faults: Sequence[OSError]) -> None:
    if faults:
        more = f' (and {len(faults) - 1} more)' if len(faults) > 1 else ''
        raise errors.InputError(
            f'The folder {faults[0].filename} cannot be read{more}: '
            f'{faults[0].strerror}. Make it readable or remove it, or leave it out '
            'with --config.skip_broken.'
        )


def _class_folders(root: pathlib.Path) -> list[tuple[pathlib.Path, str | None]]:
    """(folder of a class, its split); a class may have one in each split."""
    tops = _folders(root)
    levels = {
        top: file_list.SPLITS[top.name.lower()]
        for top in tops
        if top.name.lower() in file_list.SPLITS
    }
    named = ', '.join(top.name for top in levels)
    if levels and len(levels) < len(tops):
        other = next(top.name for top in tops if top not in levels)
        raise errors.InputError(
            f'{root} has split folders ({named}) beside others ({other}): use either '
            f'splits with classes in them, or classes. {_WAY_OUT}'
        )
    doubled = [s for s, n in collections.Counter(levels.values()).items() if n > 1]
    if doubled:
        raise errors.InputError(f'{root} has more than one folder for {doubled[0]}.')
    parents: dict[pathlib.Path, str | None] = {**levels} or {root: None}
    inside = {parent: _folders(parent) for parent in parents}
    folders = [(folder, parents[p]) for p, below in inside.items() for folder in below]
    names = sorted({file_list.composed(folder.name) for folder, _ in folders})
    if len(names) < 2:
        hint = f' {named} are read as splits. {_WAY_OUT}' if levels else ''
        found = f' ({", ".join(names)})' if names else ''
        raise errors.InputError(
            f'{root} has {len(names)} class folders{found}; at least 2 are needed, one '
            f'sub-folder per class.{hint}'
        )
    if not levels:
        _refuse_other_splits(root, tops)
    _warn_of_loose(inside, parents)
    return folders


def _refuse_other_splits(root: pathlib.Path, tops: Sequence[pathlib.Path]) -> None:
    """Refuses folders that are splits by what is in them, not classes.

    Such as training_set and test_set: their names speak of splits and they hold
    nothing but folders, or they all hold the same folders.
    """
    splits = {top.name: split for top in tops if (split := _split_within(top.name))}
    if not splits and len(_folders(tops[0])) < 2:
        return  # Most often so; folders of a million images are not listed for this.
    inside = {top: {folder.name for folder in _folders(top)} for top in tops}
    bare = all(inside[top] and not _files(top) for top in tops if top.name in splits)
    same = len(set(map(frozenset, inside.values()))) == 1 and len(inside[tops[0]]) > 1
    if (len(set(splits.values())) > 1 and bare) or (splits and same):
        raise errors.InputError(
            f'{root} seems to hold splits, not classes: '
            f'{", ".join(top.name for top in tops)}. Name them train, valid and test, '
            f'each with the class folders directly in it. {_WAY_OUT}'
        )
    if same:
        logging.warning(
            'All class folders (%s) hold the same folders (%s). Are these the classes?',
            ', '.join(top.name for top in tops),
            ', '.join(sorted(inside[tops[0]])),
        )


def _split_within(name: str) -> str | None:
    """The split of a name such as seg_train, TrainingSet or test-images, or None."""
    words = re.findall('[A-Z]?[a-z]+|[A-Z]+', name)
    plain = (re.sub('(set|data|images)$', '', word.lower()) for word in words)
    return next((file_list.SPLITS[w] for w in plain if w in file_list.SPLITS), None)


def _warn_of_loose(
    inside: Mapping[pathlib.Path, Sequence[pathlib.Path]],
    parents: Mapping[pathlib.Path, str | None],
) -> None:
    """Says which images are not read, as they lie in no class folder."""
    for parent, folders in inside.items():
        count = sum(_is_image(path) for path in _files(parent))
        if folders and count:
            logging.warning(
                '%s: %d images lie beside the class folders, without a class. They '
                'are not read.', parent, count,
            )  # fmt: skip
        elif not folders:
            logging.warning(
                '%s: %d images and no class folders. Images without a class are not '
                'read; the %s images are held out of train instead.',
                parent, count, parents[parent],
            )  # fmt: skip


def _folders(path: pathlib.Path) -> list[pathlib.Path]:
    return _listed(path)[0]


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    return _listed(path)[1]


def _listed(path: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """(folders, files) directly in a folder, as `_scan`.

    Raises:
        errors.InputError: it cannot be read.
    """
    try:
        folders, files = _scan(path)
    except OSError as error:
        raise errors.InputError(
            f'The folder {path} cannot be read: {error.strerror}.'
        ) from error
    return list(map(pathlib.Path, folders)), list(map(pathlib.Path, files))


def _scan(path: str | pathlib.Path) -> tuple[list[str], list[str]]:
    """Paths of (folders, files) directly in a folder, not hidden, sorted."""
    folders, files = list[str](), list[str]()
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name[0] != '.':
                (folders if _is_folder(entry) else files).append(entry.path)
    return folders, files


def find(folder: str | pathlib.Path) -> Found:
    """The images in a folder and below: files with an image's suffix, or with none
    and an image's first bytes."""
    found = Found([], collections.Counter(), [])
    for path in walk(folder, found.faults.append):
        if _is_image(path):
            found.images.append(path)
        else:
            found.others[os.path.splitext(path)[1].lower() or 'no suffix'] += 1
    found.images.sort()
    return found


def _is_image(path: str | pathlib.Path) -> bool:
    suffix = os.path.splitext(path)[1].lower()
    return suffix in SUFFIXES if suffix else image_files.begins_as_image(path)


def _check_not_empty(folder: pathlib.Path, found: Found) -> None:
    if not found.images:
        only = f', only {tally(found.others)}' if found.others else ''
        raise errors.InputError(
            f'The class folder {folder} has no image{only}. Files with these suffixes '
            f'are read: {", ".join(SUFFIXES)}. Add or convert images, or remove the '
            'folder.'
        )


def walk(
    folder: str | pathlib.Path, unreadable: Callable[[OSError], typing.Any]
) -> Iterator[str]:
    """Yields the path of every file in a folder and below, but not what is hidden.

    Links to folders are followed, a folder that is reached twice is read once, by the
    first of its names.

    Args:
        folder: where to start.
        unreadable: called with the error of each folder that cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [str(folder)]  # No recursion: folders may lie a thousand deep.
    while waiting:
        parent = waiting.pop()
        try:
            place = os.stat(parent)
            if (place.st_dev, place.st_ino) in seen:
                continue
            folders, files = _scan(parent)
        except OSError as error:
            unreadable(error)
            continue
        seen.add((place.st_dev, place.st_ino))
        yield from files
        waiting += reversed(folders)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link that leads nowhere: reading it as a file gives the reason.
        return False


def _posix(path: str) -> str:
    return path.replace(os.sep, '/')


def tally(counts: collections.Counter[str]) -> str:
    """Such as: 2 .heic, 1 .txt."""
    return ', '.join(f'{count} {name}' for name, count in counts.most_common())
