"""Seconds of all processes of a Run."""

import json
import time

import pytest

from tests.support.pretraining import pretrain
from tfxfer import results
from tfxfer.transfer import execute, methods
from tfxfer.transfer.options import ExecutionOptions
from tfxfer.transfer.run_clock import RunClock


def test_a_killed_process_loses_at_most_the_last_interval(tmp_path):
    RunClock(tmp_path, time.monotonic() - 100, interval=1.0)  # Never stopped.
    deadline = time.monotonic() + 60
    while not (tmp_path / 'seconds.json').exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 101 <= RunClock(tmp_path, time.monotonic()).earlier < 160


def test_a_stopped_process_loses_nothing(tmp_path):
    RunClock(tmp_path, time.monotonic() - 100).stop()
    RunClock(tmp_path, time.monotonic() - 50).stop()
    assert 150 <= RunClock(tmp_path, time.monotonic()).earlier < 200


@pytest.mark.parametrize('text', ['', '-5', 'x', 'nan', 'Infinity'])
def test_a_damaged_note_counts_as_none(tmp_path, text):
    (tmp_path / 'seconds.json').write_text(text)
    assert RunClock(tmp_path, time.monotonic()).earlier == 0


def test_the_record_of_a_resumed_run_has_the_seconds_of_all(
    fakes, tmp_path, monkeypatch
):
    options, run = ExecutionOptions(tmp_path), pretrain()
    work = methods.METHODS['pretrain']

    def stopped(task):
        time.sleep(1)
        raise KeyboardInterrupt

    monkeypatch.setitem(methods.METHODS, 'pretrain', stopped)
    with pytest.raises(KeyboardInterrupt):
        execute.execute(run, options)
    (note,) = tmp_path.glob('*/seconds.json')
    before = json.loads(note.read_text())
    monkeypatch.setitem(methods.METHODS, 'pretrain', work)
    seconds = execute.execute(run, options).seconds
    assert before >= 1 and seconds['earlier'] == pytest.approx(before, abs=0.01)
    own = seconds['prepare'] + seconds['measure']
    assert seconds['total'] == pytest.approx(before + own, abs=0.5)
    assert not note.exists() and results.read(note.parent).seconds == seconds
