"""Image files that change while a Run reads them. No TensorFlow."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfxfer import errors
from tfxfer.data import image_files


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """The files of a task, as they were when they were checked.

    Attributes:
        paths: of the files; '' where a copy is read instead, which nobody changes.
        stamps: i64 [n, 4], as of image_files.stamp.
        digests: sha256 of each file's bytes.
    """

    paths: tuple[str, ...]
    stamps: np.ndarray
    digests: tuple[str | None, ...]

    def refuse_changed(self, indices: np.ndarray | None = None) -> None:
        """Raises where files (all, or those at i64 `indices`) have other bytes now.

        Raises:
            errors.InputError: their names.
        """
        chosen = range(len(self.paths)) if indices is None else indices.tolist()
        changed = [self.paths[i] for i in chosen if self.paths[i] and self._differs(i)]
        if changed:
            more = f' (and {len(changed) - 1} more)' if len(changed) > 1 else ''
            raise errors.InputError(
                f'{changed[0]}{more} changed while it was being used, so nothing was '
                'recorded. Start the same command again to use the images as they are '
                'now.'
            )

    def _differs(self, index: int) -> bool:
        path = pathlib.Path(self.paths[index])
        if image_files.stamp(path) == self.stamps[index].tolist():
            return False
        try:  # Copying a folder by links, say, changes a stamp and no byte.
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return True
        return digest != self.digests[index]


def seen(
    root: pathlib.Path,
    checked: Mapping[str, image_files.Checked],
    stamps: Sequence[image_files.Stamp | None],
) -> Seen:
    """The Seen of files that were found sound.

    Args:
        root: folder that their names are below.
        checked: {name: Checked}.
        stamps: of each, from before they were checked.
    """
    return Seen(
        tuple('' if c.copied else str(root / name) for name, c in checked.items()),
        np.array([stamp or [0] * 4 for stamp in stamps], np.int64).reshape(-1, 4),
        tuple(check.digest for check in checked.values()),
    )
