"""Files are complete or not there, whatever the process and the disk do."""

import os
import signal
import stat
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.conftest import ROOT
from tfxfer import errors, storage


def names(folder):
    return sorted(path.name for path in folder.iterdir())


KILLED = """
import os, signal, sys
from tfxfer import storage
with getattr(storage, sys.argv[1])(sys.argv[2]) as temporary:
    if temporary.is_dir():
        temporary = temporary / 'part'
    temporary.write_text('half')
    print('in', flush=True)
    if sys.argv[3] == 'killed':
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def writer(kind, path, fate):
    """A process in the middle of writing `path`, or killed there."""
    process = subprocess.Popen(
        [sys.executable, '-c', KILLED, kind, str(path), fate],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b'in\n'
    if fate == 'killed':
        assert process.wait() == -signal.SIGKILL
    return process


def written(kind, path, text):
    with getattr(storage, kind)(path) as temporary:
        if kind == 'replacing_folder':
            temporary = temporary / 'part'
        temporary.write_text(text)


@pytest.mark.parametrize('kind', ['replacing', 'replacing_folder'])
def test_what_a_killed_process_left_goes_with_the_next_that_writes(tmp_path, kind):
    writer(kind, tmp_path / 'x', 'killed').communicate()
    assert names(tmp_path) == ['.0.x', '.0.x.lock']
    written(kind, tmp_path / 'x', 'whole')
    assert names(tmp_path) == ['x']


@pytest.mark.parametrize('kind', ['replacing', 'replacing_folder'])
def test_what_a_living_process_writes_is_left_alone(tmp_path, kind):
    other = writer(kind, tmp_path / 'x', 'alive')
    written(kind, tmp_path / 'x', 'ours')
    assert names(tmp_path) == ['.0.x', '.0.x.lock', 'x']
    other.communicate()  # It goes on, and is the last.
    path = tmp_path / 'x' if kind == 'replacing' else tmp_path / 'x/part'
    assert path.read_text() == 'half' and names(tmp_path) == ['x']


@pytest.mark.parametrize('umask', [0o027, 0o002, 0o077])
def test_modes_are_those_of_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        storage.write_json(tmp_path / 'x.json', {})
        written('replacing_folder', tmp_path / 'folder', '')
        with storage.locked(tmp_path / 'thing'):
            pass
    finally:
        os.umask(before)

    def mode(name):
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    files = [mode(name) for name in ('x.json', 'folder/part', 'thing.lock')]
    assert files == 3 * [0o666 & ~umask] and mode('folder') == 0o777 & ~umask


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, 'fsync', lambda f: (calls.append(os.fstat(f).st_ino), fsync(f))
    )
    monkeypatch.setattr(os, 'replace', lambda *p: (calls.append('moved'), replace(*p)))
    storage.write_json(tmp_path / 'x.json', {})
    file, folder = (path.stat().st_ino for path in (tmp_path / 'x.json', tmp_path))
    assert calls == [file, 'moved', folder]


def npy(path):
    with open(path, 'wb') as file:
        np.save(file, np.zeros(10**6))


def npz(path):
    with open(path, 'wb') as file:
        np.savez(file, np.zeros(10**6))


def hdf5(path):
    with h5py.File(path, 'w') as file:
        file['x'] = np.zeros(10**6)


@pytest.mark.parametrize('write', [npy, npz, hdf5])
def test_a_full_disk_is_said_with_the_name_of_the_file(small_disk, write):
    disk, make_room = small_disk
    with pytest.raises(OSError) as caught, storage.replacing(disk / 'x') as temporary:
        write(temporary)
    assert storage.disk_is_full(caught.value)
    assert caught.value.filename == str(disk / 'x')
    assert names(disk) == []
    make_room()
    with storage.replacing(disk / 'x') as temporary:
        write(temporary)
    assert (disk / 'x').stat().st_size > 8 * 10**6


@pytest.mark.parametrize('data', [b'', b'{"a": 1', b'\xff\xfe', b'[1]', b'[' * 10**5])
def test_json_that_cannot_be_read_is_named_with_what_to_do(tmp_path, data):
    path = tmp_path / 'x.json'
    path.write_bytes(data)
    with pytest.raises(errors.InputError, match=r'x\.json cannot be read \(.+\)\. Do'):
        storage.read_json(path, 'Do this.')
    with pytest.raises(FileNotFoundError):
        storage.read_json(tmp_path / 'y.json', 'Do this.')


@pytest.mark.parametrize('kind', ['pipe', 'device', 'folder', 'loop'])
def test_only_plain_files_are_read_and_nothing_is_waited_for(tmp_path, kind):
    path = tmp_path / 'study.json'
    {
        'pipe': lambda: os.mkfifo(path),
        'device': lambda: path.symlink_to('/dev/zero'),
        'folder': path.mkdir,
        'loop': lambda: path.symlink_to(path.name),
    }[kind]()
    with pytest.raises(errors.InputError, match=r'study\.json.*Start again'):
        storage.read_json(path, 'Start again.')
