"""Paths that TensorFlow's readers of checkpoints and models take for patterns."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from tfxfer import errors

SIGNS = '*?[]\\'


@contextlib.contextmanager
def literal(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a path of the folder in which nothing is a pattern.

    That is the path itself, or a link to it in a temporary folder.
    """
    folder = pathlib.Path(folder)
    if not _is_pattern(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix='tfxfer-') as temporary:
        link = pathlib.Path(temporary) / 'link'
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


def refuse(folder: str | os.PathLike) -> None:
    """Refuses a folder for an exported model, which TensorFlow could not load there.

    Raises:
        errors.InputError: its path is a pattern to TensorFlow.
    """
    if _is_pattern(folder):
        raise errors.InputError(
            f'TensorFlow reads no model from {str(folder)!r}: {", ".join(SIGNS)} make '
            'a path a pattern. Name another folder.'
        )


def _is_pattern(path: str | os.PathLike) -> bool:
    return bool(set(SIGNS) & set(os.fspath(path)))
