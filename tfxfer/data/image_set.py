"""The images of a task: where each is, its labels, which split it is in."""

import dataclasses
import functools
import os
import weakref

import numpy as np

from tfxfer.data import splits


@dataclasses.dataclass(frozen=True, eq=False)
class Packed:
    """Encoded images (JPEG, PNG, ...) that lie in larger files, such as TFRecords.

    Attributes:
        files: names of the files.
        part: i32 [n], which of the files an image is in.
        offset: i64 [n], its first byte there.
        length: i64 [n], bytes.
    """

    files: tuple[str, ...]
    part: np.ndarray
    offset: np.ndarray
    length: np.ndarray

    def read(self, index):
        """The bytes of one encoded image; safe in several threads."""
        part, length = self.part[index], int(self.length[index])
        data = os.pread(self._open[part], length, int(self.offset[index]))
        if len(data) < length:
            raise OSError(f'{self.files[part]} is shorter than when it was indexed.')
        return data

    @functools.cached_property
    def _open(self):
        files = [os.open(name, os.O_RDONLY) for name in self.files]
        weakref.finalize(self, lambda: [os.close(file) for file in files])
        return files


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """Images that are nearer at hand, as imagecache.keep leaves them.

    Attributes:
        store: Packed or imagecache.InMemory.
        shapes: i32 [n, 2], height and width; 0 where the image is not in the store.
        decoded: the store's bytes are pixels u8 [h, w, 3]; else files.
    """

    store: object
    shapes: np.ndarray
    decoded: bool


@dataclasses.dataclass(frozen=True)
class Images:
    """All images of a task, and which of them are in which split.

    One of pixels, paths and packed is given.

    Attributes:
        labels: i32 [n], or [n, k] for a multi-label task: 1, 0, -1 (difficult).
        splits: {'train', 'valid', 'test': sorted i64 indices}, disjoint.
        pixels: u8 [n, h, w, 3] where the images are in memory.
        paths: a file name for each image.
        packed: where they are in larger files.
        orientations: u8 [n], how EXIF says that a file's pixels lie, 1 (upright) to 8;
            None: all upright.
        kept: some of them nearer at hand.
        digest: of the files' content; None where the dataset's name determines it.
        keys: what names an image whatever else is there; for the drawing of subsets.
        skipped: names of files left out because they could not be read.
    """

    labels: np.ndarray
    splits: dict
    pixels: np.ndarray | None = None
    paths: tuple[str, ...] | None = None
    packed: Packed | None = None
    orientations: np.ndarray | None = None
    kept: Kept | None = None
    digest: str | None = None
    keys: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Options:
    """How a task's images are to be read.

    Attributes:
        skip_broken: leave out files that cannot be read, rather than stop.
        accept_counts: go on where a split has another number of images than the
            record says, rather than stop.
        cache: folder that remembers which files were checked; None: check all.
        data: folder of the datasets that tools.prepare_dataset made; None: that of
            TFXFER_DATA, or TensorFlow Datasets' own.
    """

    skip_broken: bool = False
    accept_counts: bool = False
    cache: str | os.PathLike[str] | None = None
    data: str | os.PathLike[str] | None = None


def complete(labels, parts, keys=None):
    """Holds out of train, stratified, whichever of test and valid is not given.

    Args:
        labels: as of Images.
        parts: {'train', and perhaps 'valid' and 'test': i64 indices}.
        keys: as of Images.
    """
    for name in ('test', 'valid'):
        if name not in parts:
            pool = parts['train']
            names = pool if keys is None else [keys[i] for i in pool]
            # Another draw for each: the same one would leave the hash's tail as train.
            kept, held = splits.hold_out(labels[pool], seed=f'0 {name}', keys=names)
            parts = {**parts, 'train': pool[kept], name: pool[held]}
    return parts
