"""The images of a task: where each is, its labels, which split it is in."""

import dataclasses
import functools
import os
import typing
import weakref
from collections.abc import Mapping, Sequence

import numpy as np

from tfxfer.data import changes, image_files, splits


class Store(typing.Protocol):
    """What gives the bytes of an image."""

    def read(self, index: int) -> bytes:
        """The bytes of one image; safe in several threads."""
        ...


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

    def read(self, index: int) -> bytes:
        """The bytes of one encoded image; safe in several threads."""
        part, length = self.part[index], int(self.length[index])
        data = os.pread(self._open[part], length, int(self.offset[index]))
        if len(data) < length:
            raise OSError(f'{self.files[part]} is shorter than when it was indexed.')
        return data

    @functools.cached_property
    def _open(self) -> list[int]:
        files = [os.open(name, os.O_RDONLY) for name in self.files]
        weakref.finalize(self, _close, files)
        return files


def _close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)


@dataclasses.dataclass(frozen=True, eq=False)
class Cached:
    """Images in memory or in a file on a fast disk, as image_cache.cached leaves them.

    Attributes:
        store: Store.
        shapes: i32 [n, 2], height and width; 0 where the image is not in the store.
        decoded: the store's bytes are pixels u8 [h, w, 3]; else files.
    """

    store: Store
    shapes: np.ndarray
    decoded: bool


@dataclasses.dataclass(frozen=True)
class Images:
    """All images of a task, and which of them are in which split.

    One of pixels, paths and packed is set; the others are None.

    Attributes:
        labels: i32 [n], or [n, k] for a multi-label task: 1, 0, -1 (difficult).
        splits: {'train', 'valid', 'test': sorted i64 indices}, disjoint.
        pixels: u8 [n, h, w, 3] where the images are in memory.
        paths: a file name for each image.
        packed: where they are in larger files.
        orientations: u8 [n], how EXIF says that a file's pixels lie, 1 (upright) to 8;
            None: all upright.
        cached: some of them in memory or on a faster disk.
        digest: of the files' content; None where the dataset's name determines it.
        keys: what names an image whatever else is there; by them subsets are chosen.
        skipped: names of files left out because they could not be read.
        seen: the files as they were when they were checked; None: they are no files.
        originals: the files as users have them, where some of `paths` are copies.
        pixels_of: i64 [n], width x height of each file; None: not known.
        white: the number that is white in 16-bit gray images.
        unverified: names of archives that the images come from and that are not their
            authors' files.
    """

    labels: np.ndarray
    splits: Mapping[str, np.ndarray]
    pixels: np.ndarray | None = None
    paths: tuple[str, ...] | None = None
    packed: Packed | None = None
    orientations: np.ndarray | None = None
    cached: Cached | None = None
    digest: str | None = None
    keys: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()
    originals: tuple[str, ...] | None = None
    pixels_of: np.ndarray | None = None
    white: int = image_files.WHITE
    seen: changes.Seen | None = None
    unverified: tuple[str, ...] = ()

    def refuse_changed(self, indices: np.ndarray | None = None) -> None:
        """See changes.Seen."""
        if self.seen:
            self.seen.refuse_changed(indices)


@dataclasses.dataclass(frozen=True)
class Options:
    """How the images of a task are to be read.

    Attributes:
        skip_broken: leave out files that cannot be read, rather than stop.
        accept_counts: go on where a split has another number of images than the
            record says, rather than stop.
        white: the number that is white in 16-bit gray images; None: by the range that
            those of the dataset use.
        cache: folder that remembers which files were checked; None: check all.
        data: folder of the datasets that tools.prepare_dataset made; None: that of
            TFXFER_DATA, or TensorFlow Datasets' own.
    """

    skip_broken: bool = False
    accept_counts: bool = False
    white: int | None = None
    cache: str | os.PathLike[str] | None = None
    data: str | os.PathLike[str] | None = None


def complete(
    labels: np.ndarray,
    parts: Mapping[str, np.ndarray],
    keys: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Holds out of train, stratified, whichever of test and valid is not given.

    Args:
        labels: as of Images.
        parts: {'train', and perhaps 'valid' and 'test': i64 indices}.
        keys: as of Images.
    """
    parts = dict(parts)
    for name in ('test', 'valid'):
        if name not in parts:
            pool = parts['train']
            names = pool if keys is None else [keys[i] for i in pool]
            # Another seed for each: the same one would leave the hash's tail as train.
            kept, held = splits.hold_out(labels[pool], seed=f'0 {name}', keys=names)
            parts |= {'train': pool[kept], name: pool[held]}
    return parts
