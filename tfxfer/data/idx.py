"""Images in the IDX files of MNIST (http://yann.lecun.com/exdb/mnist). No TensorFlow.

A folder of train-images-idx3-ubyte and train-labels-idx1-ubyte, and perhaps of
t10k-images... and t10k-labels..., each as it is or as .gz.
"""

import dataclasses
import gzip
import hashlib
import os
import pathlib

import numpy as np

from tfxfer import datasets, errors
from tfxfer.data import file_list, image_set

PLACES = ('/usr/share/datasets',)  # Where Debian's packages put such folders.
PARTS = {'train': 'train', 'test': 't10k'}
KINDS = {'images': 'idx3-ubyte', 'labels': 'idx1-ubyte'}


def read(
    dataset: datasets.Dataset, options: image_set.Options
) -> tuple[datasets.Dataset, image_set.Images]:
    """(Dataset, Images) of a folder of IDX files.

    The folder of a registered dataset is looked for by its name in options.data,
    TFXFER_DATA and PLACES. Its images are grey, or RGB in a fourth dimension. Names of
    classes are the lines of classes.txt beside them, or numbers.

    Raises:
        errors.InputError: no such folder, a file that is missing or not what it should
            be, labels without images.
    """
    folder = _folder(dataset, options.data)
    pixels, labels, part = _arrays(dataset, folder)
    names = dataset.class_names or _names(folder, labels)
    names = tuple(map(file_list.composed, names))
    file_list.check_names(dataset, names)
    record = dataclasses.replace(dataset, classes=len(names), class_names=names)
    digest = hashlib.sha256('\0'.join(names).encode())
    if dataset.keep:
        rows = np.flatnonzero(np.isin(labels, dataset.keep))
        pixels, part = pixels[rows], part[rows]
        labels = np.searchsorted(dataset.keep, labels[rows])
    for array in (part == 'test', labels.astype(np.uint8), pixels):
        digest.update(np.ascontiguousarray(array).tobytes())
    labels = labels.astype(np.int32)
    parts = {name: np.flatnonzero(part == name) for name in dict.fromkeys(part)}
    if pixels.ndim == 3:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    return record, image_set.Images(
        labels=labels,
        splits=image_set.complete(labels, parts),
        pixels=pixels,
        digest=digest.hexdigest(),
    )


def _arrays(
    dataset: datasets.Dataset, folder: pathlib.Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels and the part, of PARTS, of each image in a folder."""
    pairs = {part: _part(folder, part) for part in PARTS}
    arrays = {part: pair for part, pair in pairs.items() if pair}
    if 'train' not in arrays:
        raise errors.InputError(
            f'{folder} has no train-images-idx3-ubyte (or .gz), which is what '
            f'{dataset.name} is read from.'
        )
    sides = {images.shape[1:] for images, _ in arrays.values()}
    if len(sides) > 1:
        raise errors.InputError(f'Images of {folder} differ in shape: {sides}.')
    columns = zip(*arrays.values(), strict=True)
    pixels, labels = (np.concatenate(column) for column in columns)
    part = np.repeat(list(arrays), [len(labels) for _, labels in arrays.values()])
    return pixels, labels, part


def _folder(dataset: datasets.Dataset, data: str | os.PathLike | None) -> pathlib.Path:
    if not dataset.keep:  # It is an idx:/path.
        folder = pathlib.Path(dataset.path).expanduser()
        if not folder.is_dir():
            raise errors.InputError(f'No folder {dataset.path!r} of IDX files.')
        return folder
    data = data or os.environ.get('TFXFER_DATA')
    for place in (*([data] if data else []), *PLACES):
        folder = pathlib.Path(place) / dataset.path
        if folder.is_dir():
            return folder
    raise errors.InputError(
        f'{dataset.name} is read from a folder {dataset.path} in --data, TFXFER_DATA '
        f'or {PLACES[0]}; there is none. python -m tools.registry_images --data=DATA '
        'makes it, or put train-images-idx3-ubyte.gz and the other three files there.'
    )


def _part(folder: pathlib.Path, part: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(images u8 [n, h, w] or [n, h, w, 3], labels i64 [n]), or None."""
    files = {kind: _file(folder, part, kind) for kind in KINDS}
    if not any(files.values()):
        return None
    paths = {}
    for kind, path in files.items():
        if path is None:
            raise errors.InputError(f'{folder} has no {_name(part, kind)} (or .gz).')
        paths[kind] = path
    images, labels = (_array(path) for path in paths.values())
    if (
        labels.ndim != 1
        or images.ndim not in (3, 4)
        or images.shape[3:] not in ((), (3,))
    ):
        raise errors.InputError(
            f'{paths["images"]} and its labels have shapes {images.shape} and '
            f'{labels.shape}; [n, h, w] or [n, h, w, 3] and [n] can be read.'
        )
    if len(images) != len(labels):
        raise errors.InputError(
            f'{paths["images"]} has {len(images)} images, {paths["labels"]} '
            f'{len(labels)} labels.'
        )
    return images, labels.astype(np.int64)


def _name(part: str, kind: str) -> str:
    return f'{PARTS[part]}-{kind}-{KINDS[kind]}'


def _file(folder: pathlib.Path, part: str, kind: str) -> pathlib.Path | None:
    for name in (_name(part, kind), f'{_name(part, kind)}.gz'):
        if (folder / name).is_file():
            return folder / name
    return None


def _array(path: pathlib.Path) -> np.ndarray:
    """The array of bytes that an IDX file holds."""
    try:
        with (gzip.open if path.suffix == '.gz' else open)(path, 'rb') as file:
            data = file.read()
    except (OSError, EOFError) as error:
        raise errors.InputError(f'{path} cannot be read: {error}') from error
    kind, dims = (data[2], data[3]) if len(data) > 4 and data[:2] == b'\0\0' else (0, 0)
    if kind != 8 or not dims or len(data) < 4 + 4 * dims:
        raise errors.InputError(
            f'{path} is no IDX file of bytes: it begins with {data[:4].hex()}, not '
            'with 000008 and the number of dimensions.'
        )
    shape = np.frombuffer(data, '>u4', dims, 4).astype(int)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * dims)
    if len(values) != shape.prod():
        raise errors.InputError(
            f'{path} should hold {" x ".join(map(str, shape))} bytes after its header '
            f'and has {len(values)}. Is it complete?'
        )
    return values.reshape(shape)


def _names(folder: pathlib.Path, labels: np.ndarray) -> tuple[str, ...]:
    path = folder / 'classes.txt'
    count = int(labels.max()) + 1 if len(labels) else 0
    names = (
        tuple(path.read_text(encoding='utf-8').splitlines()) if path.is_file() else ()
    )
    if path.is_file() and len(names) < count:
        raise errors.InputError(
            f'{path} names {len(names)} classes; labels go up to {count - 1}.'
        )
    return names or tuple(map(str, range(count)))
