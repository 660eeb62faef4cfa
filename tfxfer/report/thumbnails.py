"""Thumbnails as files, so that a page is drawn again where the images are not."""

import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import logging

from tfxfer import errors, results, storage
from tfxfer.analysis.mistakes import Mistakes
from tfxfer.data import thumbnails

FOLDER = 'thumbnails'  # Beside the page.


def of(
    record: results.Record, wrong: Mistakes, folders: Sequence[pathlib.Path]
) -> tuple[list[bytes], str]:
    """A JPEG of each image, and why there are none; one of both is empty.

    They are read from a file in one of the folders, where there is a sound one of these
    images; else made of the images themselves and written to the first folder.

    Args:
        record: of the Run.
        wrong: its images.
        folders: of the page, and of the Runs.
    """
    name = pathlib.Path(FOLDER) / f'{record.run.id}.npz'
    for folder in folders:
        stored = _read(folder / name, record, wrong)
        if stored:
            return stored, ''
    cache = folders[-1] / 'cache'
    try:
        made = thumbnails.of_run(
            record.run, wrong.image, wrong.label, cache if cache.is_dir() else None
        )
    except (errors.InputError, OSError, ValueError) as error:
        return [], str(error).partition('\n')[0]
    _write(folders[0] / name, record, wrong, made)
    return made, ''


def _write(path, record, wrong, jpegs):
    arrays = {
        'index': wrong.image,
        'length': np.array([len(data) for data in jpegs]),
        'bytes': np.frombuffer(b''.join(jpegs), np.uint8),
        'predictions': np.array(record.predictions or ''),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage.replacing(path) as temporary:
        np.savez(temporary, **arrays, digest=np.array(_digest(arrays)))


def _read(path, record, wrong):
    """The JPEGs in a file, or [] where it is not there, damaged, or of others."""
    arrays = storage.arrays_if_sound(path)
    if arrays is None:
        return []
    try:
        digest = str(arrays.pop('digest'))
        if digest != _digest(arrays):
            raise ValueError('its digest is another')
        if str(arrays['predictions']) != (record.predictions or ''):
            return []  # The Run was carried out again.
        if not np.array_equal(arrays['index'], wrong.image):
            return []
        ends = np.cumsum(arrays['length'])
        data = arrays['bytes'].tobytes()
        jpegs = [
            data[end - length : end]
            for end, length in zip(ends, arrays['length'], strict=True)
        ]
        thumbnails.sizes(jpegs)
    except (KeyError, TypeError, ValueError) as error:
        logging.warning('%s is damaged (%s). It is made anew.', path, error)
        return []
    return jpegs


def _digest(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        digest.update(f'{name} {value.dtype} {value.shape} '.encode() + value.tobytes())
    return digest.hexdigest()
