"""Kills work at random moments and looks at what it leaves: a process of its own.

It imports everything once and forks for each attempt, as imports take longer than the
work.
"""

import contextlib
import hashlib
import os
import pathlib
import random
import signal
import sys
import time
import traceback

TIMES = 6


def begun(work):
    """The process id of a fork, leader of its own group, that does the work."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def seconds(work):
    """How long the work takes; it must succeed."""
    start = time.monotonic()
    _, status = os.waitpid(begun(work), 0)
    assert status == 0, status
    return time.monotonic() - start


def killed(work, after):
    """Kills the work, and what it started, after so many seconds."""
    pid = begun(work)
    time.sleep(after)
    with contextlib.suppress(ProcessLookupError):  # Not yet leader of its group.
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def files(folder):
    """{name: digest} of the files that are not hidden, and the names of the hidden."""
    found, hidden = {}, []
    for path in pathlib.Path(folder).rglob('*'):
        name = path.relative_to(folder)
        if any(part.startswith('.') for part in name.parts):
            hidden.append(str(name))
        elif path.is_file():
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found, hidden


def report(results, folder):
    """Whatever is there under its own name is what an undisturbed report has."""
    from tfxfer.report import build

    def work(name):
        return lambda: build.write(results, folder / name / 'report.html')

    # The first may wait for the disk, for Matplotlib's list of fonts.
    took = min(seconds(work(name)) for name in ('whole', 'again'))
    whole, _ = files(folder / 'whole')
    chance, ends = random.Random(0), 0
    for _ in range(TIMES):
        ends += killed(work('cut'), chance.uniform(0, took))
        left, _ = files(folder / 'cut')
        assert left.items() <= whole.items()
    assert ends >= TIMES // 3, ends
    seconds(work('cut'))
    assert files(folder / 'cut') == (whole, [])


def prepare(folder):
    """A dataset is not prepared, or is the one that is prepared undisturbed."""
    import pytest

    from tests.support import archives
    from tfxfer import datasets
    from tfxfer.data import image_set, prepare, readers, tfds_prepared

    name = 'tfds:fgvc_aircraft:1.0.0'
    archives.aircraft(folder)
    archives.accept(pytest.MonkeyPatch(), 'aircraft', folder)

    def work(data):
        return lambda: prepare.prepare(name, data=folder / data, archives=folder)

    def digest(data):
        options = image_set.Options(data=folder / data)
        return readers.read(datasets.find(name), options)[1].digest

    took = min(seconds(work(name)) for name in ('whole', 'again'))
    whole, record = digest('whole'), datasets.find(name)
    chance, ends = random.Random(0), 0
    for i in range(TIMES):
        data = f'cut{i // 3}'  # Some begin with what others left.
        ends += killed(work(data), chance.uniform(0, took))
        if tfds_prepared.is_prepared(record, folder / data):
            assert digest(data) == whole
    assert ends >= TIMES // 3, ends
    for i in range(TIMES // 3 + 1):
        seconds(work(f'cut{i}'))
        assert digest(f'cut{i}') == whole
        assert not list((folder / f'cut{i}').rglob('incomplete*'))


if __name__ == '__main__':
    {'report': report, 'prepare': prepare}[sys.argv[1]](
        *map(pathlib.Path, sys.argv[2:])
    )
