import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from tfxfer import errors, leases

CLAIM = """
import os, sys, time
from tfxfer import errors, leases
print('ready', flush=True)
while not os.path.exists(sys.argv[2]):
    pass
try:
    leases.claim(sys.argv[1], 'work')
    print('mine', flush=True)
except errors.Busy:
    print('busy', flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def survivors(monkeypatch):
    """Leases that tests take from themselves do not end pytest."""
    monkeypatch.setattr(leases, '_terminate', lambda: None)


def process(workdir, start='/'):
    """A process that tries to claim 'work' once `start` exists, and then sleeps."""
    return subprocess.Popen(
        [sys.executable, '-c', CLAIM, str(workdir), str(start)],
        stdout=subprocess.PIPE,
        text=True,
    )


def files(workdir):
    return sorted(os.listdir(pathlib.Path(workdir) / 'leases'))


def rewritten(workdir, **fields):
    """Changes what the newest lease says of its holder."""
    path = pathlib.Path(workdir) / 'leases' / files(workdir)[-1]
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def silent(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_one_holder_at_a_time(tmp_path):
    lease = leases.claim(tmp_path, 'work')
    with pytest.raises(errors.Busy, match=f'process {os.getpid()} on '):
        leases.claim(tmp_path, 'work')
    assert leases.holders(tmp_path)['work'].pid == os.getpid()
    other = leases.claim(tmp_path, 'other.work')
    assert lease.held() and other.held()
    lease.release(done=False)
    assert set(leases.holders(tmp_path)) == {'other.work'}
    again = leases.claim(tmp_path, 'work')
    assert again.held() and not lease.held()
    again.release(done=True)
    other.release(done=True)
    assert files(tmp_path) == []


def test_of_many_processes_at_once_one_gets_it(tmp_path):
    for attempt in range(3):
        start = tmp_path / f'start {attempt}'
        several = [process(tmp_path, start) for _ in range(6)]
        assert {each.stdout.readline() for each in several} == {'ready\n'}
        start.touch()
        said = [each.stdout.readline().strip() for each in several]
        for each in several:
            each.kill()
            each.communicate()
        # From the second attempt on there is a lease of a dead process to be taken.
        assert sorted(said) == ['busy'] * 5 + ['mine'], attempt


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path):
    other = process(tmp_path)
    assert [other.stdout.readline() for _ in range(2)] == ['ready\n', 'mine\n']
    with pytest.raises(errors.Busy):
        leases.claim(tmp_path, 'work')
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert leases.holders(tmp_path) == {}
    leases.claim(tmp_path, 'work').release(done=True)


def test_a_number_that_another_process_has_now_is_not_the_holder(tmp_path):
    leases.claim(tmp_path, 'work')
    rewritten(tmp_path, born=12345)  # This process' number, another birth.
    leases.claim(tmp_path, 'work').release(done=True)


def test_a_silent_machines_lease_expires(tmp_path):
    first = leases.claim(tmp_path, 'work')
    path = rewritten(tmp_path, machine='elsewhere', host='node7', pid=1)
    silent(path, leases.EXPIRES - 30)
    with pytest.raises(errors.Busy, match='process 1 on node7'):
        leases.claim(tmp_path, 'work')
    assert str(leases.holders(tmp_path)['work']) == 'process 1 on node7'
    silent(path, leases.EXPIRES + 30)
    assert leases.holders(tmp_path) == {}
    second = leases.claim(tmp_path, 'work')
    assert second.held() and not first.held()
    first.release(done=True)  # It comes back, late, and spoils nothing.
    assert second.held() and set(leases.holders(tmp_path)) == {'work'}


def test_a_lease_is_renewed_and_its_loss_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, 'RENEWED', 0.02)
    lost = threading.Event()
    leases.claim(tmp_path, 'work', lost=lost.set)
    path = rewritten(tmp_path, machine='elsewhere')
    silent(path, 1000)
    deadline = time.monotonic() + 20
    while time.time() - path.stat().st_mtime > 500:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not lost.is_set()
    # Another process takes it over, as after a silence.
    path.rename(path.with_name('work.7'))
    assert lost.wait(20)


def test_by_default_who_loses_a_lease_is_told_to_stop(tmp_path):
    code = (
        'import sys, time\n'
        'from tfxfer import leases\n'
        'leases.RENEWED = 0.05\n'
        "leases.claim(sys.argv[1], 'work')\n"
        "print('mine', flush=True)\n"
        'time.sleep(60)\n'
    )
    other = subprocess.Popen(
        [sys.executable, '-c', code, str(tmp_path)], stdout=subprocess.PIPE
    )
    other.stdout.readline()
    (path,) = (tmp_path / 'leases').glob('work.*')
    path.rename(path.with_name('work.2'))
    assert other.wait(20) == -signal.SIGTERM
    other.communicate()


def test_half_a_lease_counts_until_it_is_old(tmp_path):
    (tmp_path / 'leases').mkdir()
    path = tmp_path / 'leases' / 'work.1'
    path.write_text('{"host": "n')
    with pytest.raises(errors.Busy, match='another machine'):
        leases.claim(tmp_path, 'work')
    silent(path, leases.EXPIRES + 1)
    assert leases.claim(tmp_path, 'work').held()


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    folder = tmp_path / 'leases'
    folder.mkdir()
    strays = ['README', 'Thumbs.db', '.DS_Store', 'work.txt', 'work.1.orig', 'work.01']
    for name in strays:
        (folder / name).write_text('not a lease')
    (folder / 'folder.1').mkdir()
    os.mkfifo(folder / 'pipe.1')
    os.mkfifo(folder / 'pipe')
    assert leases.holders(tmp_path) == {}
    lease = leases.claim(tmp_path, 'work')
    assert lease.held() and set(leases.holders(tmp_path)) == {'work'}
    with pytest.raises(errors.Busy):
        leases.claim(tmp_path, 'work')
    lease.release(done=True)
    assert files(tmp_path) == sorted([*strays, 'folder.1', 'pipe.1', 'pipe'])
    # Work of the same names as a folder and a pipe.
    for name in ('folder', 'pipe'):
        leases.claim(tmp_path, name).release(done=True)
        assert leases.holders(tmp_path) == {}


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path):
    (tmp_path / 'leases').touch()
    for look in (leases.holders, lambda workdir: leases.claim(workdir, 'work')):
        with pytest.raises(errors.InputError, match='leases is a file'):
            look(tmp_path)


def test_a_lease_that_cannot_be_read_counts_until_it_is_old(tmp_path):
    leases.claim(tmp_path, 'work')
    path = tmp_path / 'leases' / 'work.1'
    path.write_bytes(b'{"host": "\xc3')
    assert leases.holders(tmp_path)['work'].host == 'another machine'
    silent(path, leases.EXPIRES + 1)
    assert leases.holders(tmp_path) == {}


def test_a_lease_from_the_future_expires_as_well(tmp_path):
    """As where a clock was put right, or a folder came from a machine whose is off."""
    first = leases.claim(tmp_path, 'work')
    path = rewritten(tmp_path, machine='elsewhere', host='node7', pid=1)
    silent(path, -leases.EXPIRES + 30)
    assert set(leases.holders(tmp_path)) == {'work'}
    silent(path, -365 * 24 * 3600)
    assert leases.holders(tmp_path) == {}
    second = leases.claim(tmp_path, 'work')
    assert second.held() and not first.held()


@pytest.mark.parametrize('hours', [-1, 1])
def test_the_clock_that_counts_is_the_file_systems(tmp_path, monkeypatch, hours):
    leases.claim(tmp_path, 'work')
    rewritten(tmp_path, machine='elsewhere')
    right = time.time
    monkeypatch.setattr(time, 'time', lambda: right() + hours * 3600)
    assert abs(leases.holders(tmp_path)['work'].silent) < 60
    assert files(tmp_path) == ['work.1']


def test_a_file_system_without_hard_links(tmp_path, monkeypatch):
    def refuse(*paths):
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'link', refuse)
    lease = leases.claim(tmp_path, 'work')
    with pytest.raises(errors.Busy, match=str(os.getpid())):
        leases.claim(tmp_path, 'work')
    lease.release(done=True)
    assert files(tmp_path) == []
