"""What several test files use."""

import gc
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator

import numpy as np
import pytest
from PIL import Image

from tfxfer.cli import app

# As tfxfer.cli.app does for programs: without a GPU one error is that CUDA is absent.
os.environ.setdefault(
    'TF_CPP_MIN_LOG_LEVEL', '2' if shutil.which('nvidia-smi') else '3'
)

# Ray's workers are polite (nice 15): beside other tests they would hardly move.
os.environ.setdefault('RAY_worker_niceness', '0')

pytest_plugins = [
    'tests.support.fakes',
    'tests.support.exported',  # Which imports the fakes.
    'tests.support.offline',
    'tests.support.studies',
]

# A test run that is left in the background (nohup, &) ignores these, and what it starts
# would too.
for _signum in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(_signum) == signal.SIG_IGN:
        signal.signal(_signum, signal.SIG_DFL)

app._collect_rarely()  # As in programs.

ROOT = pathlib.Path(__file__).parents[1]
SHARED = ROOT.parent / 'shared'


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: tests that wait for other processes leave theirs idle."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_finish() -> None:
    """What TensorFlow's import leaves is not searched for garbage again and again."""
    gc.collect()
    gc.freeze()


Reports = Generator[None, pytest.TestReport, pytest.TestReport]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Reports:
    """Escapes names of files that are not UTF-8 in what was logged: xdist sends it."""
    report = yield
    report.sections = [
        (name, text.encode('utf-8', 'backslashreplace').decode())
        for name, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def _not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that a test runs in its own process does not end that process."""
    monkeypatch.setattr(app, '_leave', lambda ended: None)


@pytest.fixture
def shared():
    """The folder of golden data beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f'{SHARED.name}/ is not beside the project: no golden data')
    return SHARED


@pytest.fixture
def program():
    """Runs `python -m MODULE ARGUMENTS` in the project: a finished process."""

    def run(module, *arguments, **options):
        return subprocess.run(
            [sys.executable, '-m', module, *map(str, arguments)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def photographs(tmp_path):
    """Makes tmp_path/NAME/CLASS/i.png: `count` noisy images of each colour."""

    def make(name='images', classes=('blue', 'green', 'red'), count=10, size=(20, 24)):
        root = tmp_path / name
        rng = np.random.default_rng(0)
        for c, folder in enumerate(classes):
            (root / folder).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (*size, 3))
                pixels[..., 2 - c % 3] += 150
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(root / folder / f'{i}.png')
        return root

    return make


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, and a function that makes room on it."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True)
    except FileNotFoundError:
        pytest.skip('there is no mount command')
    if mounted.returncode:
        pytest.skip('a file system cannot be mounted without being root')
    yield (
        disk,
        lambda: subprocess.run(
            ['mount', '-o', 'remount,size=100m', str(disk)], check=True
        ),
    )
    subprocess.run(['umount', str(disk)], check=True)
