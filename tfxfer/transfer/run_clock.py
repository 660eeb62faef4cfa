"""The seconds that a Run has taken, over all processes that worked on it."""

import contextlib
import math
import pathlib
import threading
import time

from tfxfer import storage

INTERVAL = 20.0  # Seconds; a process that is killed loses what it worked since.


class RunClock:
    """Counts on where earlier processes stopped, noted in FOLDER/seconds.json.

    Attributes:
        earlier: seconds of the processes before this one.
    """

    def __init__(
        self, folder: pathlib.Path, start: float, interval: float = INTERVAL
    ) -> None:
        """start: time.monotonic() at which this process began."""
        self._file, self._start, self._interval = (
            folder / 'seconds.json',
            start,
            interval,
        )
        self.earlier = self._read()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._note_on, daemon=True)
        self._thread.start()

    def total(self) -> float:
        return self.earlier + time.monotonic() - self._start

    def stop(self) -> None:
        """Notes the last seconds; the Run goes on in another process, or is done."""
        self._over.set()
        self._thread.join()
        self._note()

    def remove(self) -> None:
        """Of a Run that is done: its record says it."""
        self._over.set()
        self._thread.join()
        self._file.unlink(missing_ok=True)

    def _note_on(self) -> None:
        while not self._over.wait(self._interval):
            self._note()

    def _note(self) -> None:
        with contextlib.suppress(OSError):  # A full disk stops training itself.
            storage.write_json(self._file, round(self.total(), 3))

    def _read(self) -> float:
        try:
            seconds = float(self._file.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return 0.0
        return seconds if 0 <= seconds < math.inf else 0.0
