"""Reads a task's images, labels and splits from where they are. No TensorFlow."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import logging
import os
import pathlib

import numpy as np
import tqdm

from tfxfer import config, results, splits

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.gif')
FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF', 'MPO')  # By content: what TensorFlow decodes.
LEVELS = {
    'train': 'train',
    'training': 'train',
    'valid': 'valid',
    'val': 'valid',
    'validation': 'valid',
    'test': 'test',
    'testing': 'test',
}


@dataclasses.dataclass(frozen=True)
class Images:
    """All images of a task, and which of them are in which split.

    Attributes:
        labels: i32 [n], or [n, k] for a multi-label task: 1, 0, -1 (difficult).
        splits: {'train', 'valid', 'test': sorted i64 indices}, disjoint.
        pixels: u8 [n, h, w, 3] where the images are in memory, else None.
        paths: a file name for each image where they are not.
        digest: of the files' content; None where the dataset's name determines it.
        keys: what names an image whatever else is there; for the drawing of subsets.
        skipped: names of files left out because they could not be read.
    """

    labels: np.ndarray
    splits: dict
    pixels: np.ndarray | None = None
    paths: tuple[str, ...] | None = None
    digest: str | None = None
    keys: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()


def read(dataset, *, skip_broken=False, cache=None):
    """Returns (Dataset with nothing left open, Images).

    Args:
        dataset: a Dataset.
        skip_broken: leave out files that cannot be read, rather than stop.
        cache: folder that remembers which files were checked; None: check all.

    Raises:
        config.InputError: what was found is not what the record says, or a folder has
            no classes, an empty class, or (unless skip_broken) a broken file.
    """
    dataset, images = SOURCES[dataset.source](dataset, skip_broken, cache)
    found = tuple(len(images.splits[name]) for name in ('train', 'valid', 'test'))
    if dataset.sizes is not None and dataset.sizes != found:
        raise config.InputError(
            f'{dataset.name} must have {dataset.sizes} images in train, valid and '
            f'test; found {found}.'
        )
    missing = sorted(set(range(dataset.classes)) - _present(images, 'train'))
    if missing:
        names = ', '.join(dataset.class_names[c] for c in missing)
        raise config.InputError(
            f'{dataset.name} has no training image of {names}: every class needs at '
            'least one (and 3 to be in train, valid and test).'
        )
    return dataclasses.replace(dataset, sizes=found), images


def _present(images, split):
    return set(np.unique(images.labels[images.splits[split]]).tolist())


def _digits(dataset, skip_broken, cache):
    del skip_broken, cache  # Nothing is read from files.
    from sklearn import datasets  # Takes a second, and only this task needs it.

    scans = datasets.load_digits()
    half = np.arange(len(scans.target)) < len(scans.target) // 2
    keep = np.isin(scans.target, dataset.keep)
    test = half[keep] == 0
    labels = np.searchsorted(dataset.keep, scans.target[keep]).astype(np.int32)
    gray = np.round(scans.images[keep] * (255 / 16)).astype(np.uint8)
    return dataset, Images(
        labels=labels,
        splits=_complete(
            labels, {'train': np.flatnonzero(~test), 'test': np.flatnonzero(test)}
        ),
        pixels=np.repeat(gray[..., None], 3, axis=-1),
    )


def _complete(labels, parts, keys=None):
    """Holds out of train, stratified, whichever of test and valid is not given."""
    for name in ('test', 'valid'):
        if name not in parts:
            pool = parts['train']
            names = pool if keys is None else [keys[i] for i in pool]
            # Another draw for each: the same one would leave the hash's tail as train.
            kept, held = splits.hold_out(labels[pool], seed=f'0 {name}', keys=names)
            parts = {**parts, 'train': pool[kept], name: pool[held]}
    return parts


def _folder(dataset, skip_broken, cache):
    root = pathlib.Path(dataset.path).expanduser()
    if not root.is_dir():
        raise config.InputError(
            f'No folder {dataset.path!r}. folder:/path needs one sub-folder a class, '
            'and may have train, valid and test above them.'
        )
    names, files = _listing(root)
    checked = _check(root, [str(path) for path, _, _ in files], cache)
    broken = [path for path, (_, fault) in checked.items() if fault]
    if broken and not skip_broken:
        more = f' (and {len(broken) - 1} more)' if len(broken) > 1 else ''
        raise config.InputError(
            f'{root / broken[0]} cannot be read{more}: {checked[broken[0]][1]}. Remove '
            'or replace it, or go on without with --config.skip_broken.'
        )
    for path in broken:
        logging.warning('Left out %s: %s', root / path, checked[path][1])
    files = [file for file in files if str(file[0]) not in set(broken)]
    labels = np.array([label for _, label, _ in files], np.int32)
    keys = tuple(path.as_posix() for path, _, _ in files)
    digest = hashlib.sha256()
    for key, (path, _, _) in zip(keys, files, strict=True):
        digest.update(f'{key} {checked[str(path)][0]}\n'.encode())
    level = np.array([level or 'train' for _, _, level in files])
    parts = {name: np.flatnonzero(level == name) for name in dict.fromkeys(level)}
    if 'train' not in parts:
        raise config.InputError(
            f'{root} has {" and ".join(parts)} but no train folder.'
        )
    counts = collections.Counter(labels.tolist())
    few = [names[c] for c in range(len(names)) if counts[c] < 5]
    if few:
        logging.warning('Fewer than 5 images of: %s.', ', '.join(few))
    record = dataclasses.replace(dataset, classes=len(names), class_names=names)
    return record, Images(
        labels=labels,
        splits=_complete(labels, parts, keys),
        paths=tuple(str(root / path) for path, _, _ in files),
        digest=digest.hexdigest(),
        keys=keys,
        skipped=tuple(broken),
    )


def _listing(root):
    """Class names, and (path below root, label, split or None) of every image."""
    tops = _folders(root)
    levels = {
        top: LEVELS[top.name.lower()] for top in tops if top.name.lower() in LEVELS
    }
    if levels and len(levels) < len(tops):
        other = next(top.name for top in tops if top not in levels)
        raise config.InputError(
            f'{root} has split folders ({", ".join(t.name for t in levels)}) beside '
            f'others ({other}): use either splits with classes in them, or classes.'
        )
    doubled = [s for s, n in collections.Counter(levels.values()).items() if n > 1]
    if doubled:
        raise config.InputError(f'{root} has more than one folder for {doubled[0]}.')
    parents = levels or {root: None}
    found = {parent: _folders(parent) for parent in parents}
    names = tuple(
        sorted({folder.name for folders in found.values() for folder in folders})
    )
    if len(names) < 2:
        raise config.InputError(
            f'{root} has {len(names)} class folders ({", ".join(names)}); at least 2 '
            'are needed, one sub-folder a class.'
        )
    files = []
    for parent, split in parents.items():
        for folder in found[parent]:
            images = [
                path
                for path in sorted(folder.rglob('*'))
                if path.suffix.lower() in SUFFIXES and not path.name.startswith('.')
            ]
            if not images:
                raise config.InputError(
                    f'The class folder {folder} has no image ({", ".join(SUFFIXES)}). '
                    'Add images or remove the folder.'
                )
            label = names.index(folder.name)
            files += [(path.relative_to(root), label, split) for path in images]
    return names, files


def _folders(path):
    return sorted(p for p in path.iterdir() if p.is_dir() and p.name[0] != '.')


def _check(root, paths, cache):
    """Decodes every file once: {path: (sha256 of its bytes, fault or None)}.

    A file of the same size and time of change as when it was last read is not read
    again.
    """
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    memory = cache and pathlib.Path(cache) / f'checked-{name}.json'
    known = {}
    if memory and memory.exists():
        known = json.loads(memory.read_text())
    stamps = {}
    for path in paths:
        stat = os.stat(root / path)
        stamps[path] = [stat.st_size, stat.st_mtime_ns]
    unread = [p for p in paths if known.get(p, [None])[0] != stamps[p]]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        facts = pool.map(lambda path: _read_file(root / path), unread)
        bar = tqdm.tqdm(
            facts, 'Checking images', len(unread), unit='image', delay=1, leave=False
        )
        for path, fact in zip(unread, bar, strict=True):
            known[path] = [stamps[path], *fact]
    if memory and unread:
        memory.parent.mkdir(parents=True, exist_ok=True)
        results.write_json(memory, known)
    return {path: tuple(known[path][1:]) for path in paths}


def _read_file(path):
    """(sha256, None), or (sha256, why the image cannot be used)."""
    from PIL import Image, UnidentifiedImageError

    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return digest, 'the file is empty'
    try:
        with Image.open(path) as image:
            if image.format not in FORMATS:
                return digest, f'{image.format} is not one of {", ".join(FORMATS)}'
            image.load()
    except UnidentifiedImageError:
        return digest, 'not an image'
    except (OSError, SyntaxError, ValueError) as error:  # What Pillow's decoders raise.
        return digest, str(error)
    return digest, None


SOURCES = {'digits': _digits, 'folder': _folder}
