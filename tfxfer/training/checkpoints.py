"""The last states of a training, on disk."""

import json
import os
import pathlib
import shutil
import typing

import tensorflow as tf
from absl import logging

from tfxfer import path_patterns, storage

NOTE = 'note.json'
_NEWEST = 2  # So many stay; the older is for when the newer cannot be read.


class Checkpoints:
    """FOLDER/STEP/: the last two states of a training, each complete or not there."""

    def __init__(self, folder: pathlib.Path, state: tf.train.Checkpoint):
        self.folder, self.state = folder, state

    def steps(self) -> list[int]:
        """Of the checkpoints in the folder, newest first."""
        return _steps_in(self.folder)

    def save(self, step: int, note: dict[str, typing.Any] | None = None) -> None:
        """Writes the state; note: what JSON holds of how it came about."""
        with storage.replacing_folder(self.folder / str(step)) as temporary:
            self.state.write(str(temporary / 'state'))
            (temporary / NOTE).write_text(json.dumps(note or {}), encoding='utf-8')
        self.prune(_NEWEST)

    def prune(self, count: int) -> None:
        """Removes all but the newest."""
        for old in self.steps()[count:]:
            shutil.rmtree(self.folder / str(old), ignore_errors=True)

    def restore(self) -> int:
        """Reads the newest that can be read; returns its step, 0 where there is none.

        One that cannot be read, as after a power cut, is left out with a warning.
        """
        with path_patterns.literal(self.folder) as folder:
            for step in self.steps():
                path = str(folder / str(step) / 'state')
                try:
                    _read_through(path)
                except (
                    tf.errors.OpError, IndexError, ValueError, RuntimeError
                ) as error:  # fmt: skip
                    reason = str(error).partition('\n')[0]
                    logging.warning(
                        'The checkpoint of step %d cannot be read (%s): going on from '
                        'the one before.', step, reason,
                    )  # fmt: skip
                    continue
                self.state.read(path).assert_consumed()
                return step
        return 0

    def note(self, step: int) -> dict[str, typing.Any]:
        """The note of a checkpoint; {} of one that an earlier version wrote."""
        return storage.read_if_sound(self.folder / str(step) / NOTE) or {}

    def adopt(self, folder: pathlib.Path, last: int) -> None:
        """Takes over the newest checkpoint up to step `last` of another training.

        Where there is none nothing happens. The files are shared, not copied, where the
        file system can do so.
        """
        for step in [step for step in _steps_in(folder) if step <= last][:1]:
            self.folder.mkdir(parents=True, exist_ok=True)
            source, target = folder / str(step), self.folder / str(step)
            try:
                with storage.replacing_folder(target) as temporary:
                    shutil.copytree(
                        source, temporary, copy_function=_share, dirs_exist_ok=True
                    )
            except (FileNotFoundError, shutil.Error):  # It was removed meanwhile.
                logging.info('%s is gone: from the beginning.', source)

    def clear(self) -> None:
        """Removes what a killed process left half-written."""
        for path in self.folder.glob('.*'):
            shutil.rmtree(path, ignore_errors=True)


def _steps_in(folder):
    names = [p.name for p in folder.glob('*') if p.name.isdigit()]
    return sorted(map(int, names), reverse=True)


def _read_through(path):
    """Raises what TensorFlow does where a checksum is wrong, before any is taken."""
    reader = tf.train.load_checkpoint(path)
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)


def _share(source, target):
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
