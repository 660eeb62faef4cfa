"""Features on disk: one row per image, each with a checksum. No TensorFlow."""

import os
import pathlib
import typing
import zipfile
import zlib
from collections.abc import Iterable, Mapping

import numpy as np

from tfxfer import errors, storage
from tfxfer.data import image_set

_REMEDY = 'Remove its folder: the next Run that takes these features makes it anew.'
_NAMES_REMEDY = 'Remove it: the next Run that takes these features writes it anew.'
# In the checksum of every row that was computed; what was not has 0.
_COMPUTED = 1 << 32


class Store:
    """One row of features per image, as far as they have been computed.

    A folder of features.npy [n, d], checksums.npy u64 [n], facts.json, images.npz
    (labels, names, splits) and cost.json (seconds of how many rows). A row is written
    before its checksum, so that one whose checksum fits is complete and undamaged,
    whenever the process ends and whatever happens to the disk. There is no memory map:
    it would lengthen a truncated file with zeros, and end the process by SIGBUS where
    the disk is full.

    Attributes:
        path: the folder.
        metadata: all that determines the numbers; the folder's name is its digest.
        width: features per image.
        dtype: of the rows.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        """A store that is there.

        Raises:
            FileNotFoundError, errors.InputError: a file is missing or damaged beyond
                single rows, or of another version.
        """
        self.path = pathlib.Path(path)
        self.metadata = storage.read_json(self.path / 'facts.json', _REMEDY)
        self.width = self.metadata.pop('width', None)
        if storage.key_of(self.metadata) != self.path.name:
            raise errors.InputError(
                f'{self.path}/facts.json is of other features. {_REMEDY}'
            )
        self.dtype = np.dtype(self.metadata['dtype'])
        count = self.metadata['images']
        self._start = self._checked('features', (count, self.width), self.dtype)
        self._sums_start = self._checked('checksums', (count,), np.dtype(np.uint64))
        sums = np.fromfile(self._file('checksums'), np.uint64, offset=self._sums_start)
        if len(sums) != count:
            raise errors.InputError(
                f'{self._file("checksums")} has {len(sums)} rows of {count}. {_REMEDY}'
            )
        self._sums = sums

    @classmethod
    def create(
        cls,
        path: str | pathlib.Path,
        metadata: Mapping[str, typing.Any],
        images: image_set.Images,
        width: int,
    ) -> typing.Self:
        """An empty store.

        Args:
            path: its folder, named by the digest of metadata.
            metadata: with the number of `images` and the `dtype` of rows.
            images: of the task.
            width: features per image.
        """
        count = len(images.labels)
        with storage.replacing_folder(path) as temporary:
            for name, shape, dtype in (
                ('features', (count, width), np.dtype(metadata['dtype'])),
                ('checksums', (count,), np.dtype(np.uint64)),
            ):
                with open(temporary / f'{name}.npy', 'wb') as file:
                    header = {'descr': dtype.str, 'fortran_order': False}
                    np.lib.format.write_array_header_1_0(
                        file, header | {'shape': shape}
                    )
                    # Sparse: what is not computed takes no room.
                    file.truncate(file.tell() + int(np.prod(shape)) * dtype.itemsize)
            _write_images(temporary, images)
            facts = {**metadata, 'width': width}
            storage.write_json(temporary / 'facts.json', facts)
        return cls(path)

    @property
    def done(self) -> np.ndarray:
        """bool [n]: of which images the features were computed."""
        return self._sums != 0

    def put(self, index: np.ndarray, rows: np.ndarray) -> None:
        """Writes rows [m, d] of images `index`; they are on disk when it returns."""
        rows = np.ascontiguousarray(rows, self.dtype)
        self._write('features', self._start, index, rows)
        self._mark(index, np.array(_checksums(index, rows), np.uint64))

    def read(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows [m, d], bool [m]: whether each is what was computed of its image)."""
        rows = np.zeros((len(index), self.width), self.dtype)
        path, stride = self._file('features'), rows.strides[0]
        with storage.naming(path), open(path, 'rb', buffering=0) as file:
            for row, i in zip(rows, index, strict=True):
                file.seek(self._start + int(i) * stride)
                file.readinto(row)
        return rows, np.array(_checksums(index, rows)) == self._sums[index]

    def forget(self, index: np.ndarray) -> None:
        """Marks the rows of images `index` as not computed."""
        self._mark(index, np.zeros(len(index), np.uint64))

    def add_cost(self, seconds: float, count: int, backend: str) -> None:
        """Notes that `count` rows took so long to compute, and what computed them."""
        known = self._cost()
        storage.write_json(
            self.path / 'cost.json',
            {
                'seconds': known['seconds'] + seconds,
                'images': known['images'] + count,
                'backends': sorted({*self.backends(), backend}),
            },
        )

    def backends(self) -> tuple[str, ...]:
        """What computed the rows, sorted; () where that was not noted."""
        known = storage.read_if_sound(self.path / 'cost.json') or {}
        named = known.get('backends')
        if isinstance(named, list) and all(isinstance(name, str) for name in named):
            return tuple(named)
        return ()

    def cost(self, index: np.ndarray) -> float:
        """Seconds that those of the images `index` took which were computed.

        The mean of all that were; 0 where that was not noted.
        """
        known = self._cost()
        if not known['images']:
            return 0.0
        return known['seconds'] / known['images'] * int(np.sum(self.done[index]))

    def _cost(self) -> dict[str, float]:
        known = storage.read_if_sound(self.path / 'cost.json') or {}
        seconds, images = known.get('seconds'), known.get('images')
        if isinstance(seconds, int | float) and isinstance(images, int):
            return {'seconds': seconds, 'images': images}
        return {'seconds': 0.0, 'images': 0}

    def images(self) -> dict[str, np.ndarray]:
        """{labels, names, split_train, ...} of the task.

        Raises:
            FileNotFoundError, errors.InputError: they cannot be read.
        """
        return storage.read_arrays(self.path / 'images.npz', _NAMES_REMEDY)

    def complete(self, images: image_set.Images) -> None:
        """Writes images.npz where it is missing or was cut short."""
        if not zipfile.is_zipfile(self.path / 'images.npz'):
            _write_images(self.path, images)

    def size(self) -> int:
        """Bytes that its files take on the disk."""
        return sum(512 * file.stat().st_blocks for file in self.path.iterdir())

    def _file(self, name: str) -> pathlib.Path:
        return self.path / f'{name}.npy'

    def _checked(
        self, name: str, shape: tuple[int | None, ...], dtype: np.dtype
    ) -> int:
        """Where the rows of a file begin, whose header must say this."""
        if not self._file(name).is_file():  # A pipe would be waited for.
            raise FileNotFoundError(f'There is no file {self._file(name)}.')
        with open(self._file(name), 'rb') as file:
            try:
                np.lib.format.read_magic(file)
                found = np.lib.format.read_array_header_1_0(file)
            except (ValueError, SyntaxError, TypeError):
                found = None
            if found != (shape, False, dtype):
                raise errors.InputError(
                    f'{file.name} does not begin as it should. {_REMEDY}'
                )
            return file.tell()

    def _mark(self, index: np.ndarray, sums: np.ndarray) -> None:
        self._write('checksums', self._sums_start, index, sums)
        self._sums[index] = sums

    def _write(
        self, name: str, start: int, index: np.ndarray, rows: np.ndarray
    ) -> None:
        path, stride = self._file(name), rows.strides[0]
        with storage.naming(path), open(path, 'r+b') as file:
            for row, i in zip(rows, index, strict=True):
                file.seek(start + int(i) * stride)
                file.write(row.tobytes())
            file.flush()
            os.fsync(file.fileno())


def _checksums(index: np.ndarray, rows: np.ndarray) -> list[int]:
    """CRC-32 of each row, begun with its image's number: of this row in this place."""
    return [
        zlib.crc32(row, int(i) & 0xFFFFFFFF) | _COMPUTED
        for i, row in zip(index, rows, strict=True)
    ]


def _write_images(folder: pathlib.Path, images: image_set.Images) -> None:
    names: Iterable[typing.Any]
    names = range(len(images.labels)) if images.keys is None else images.keys
    arrays: dict[str, typing.Any] = {
        'labels': images.labels,
        'names': np.array(list(names), str),
        **{f'split_{name}': part for name, part in images.splits.items()},
    }
    with storage.replacing(folder / 'images.npz') as temporary:
        np.savez_compressed(temporary, **arrays)
