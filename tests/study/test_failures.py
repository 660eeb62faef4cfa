import json
import signal

import pytest

from tfxfer.study import failures


def test_failures_of_a_run_add_up_until_they_are_forgotten(tmp_path):
    (tmp_path / 'a').mkdir()
    assert failures.read(tmp_path, 'a') == []
    failures.add(tmp_path, 'a', 1, 'no room')
    failures.add(tmp_path, 'a', -9, '')
    first, second = failures.read(tmp_path, 'a')
    assert (first['status'], first['words'], second['status']) == (1, 'no room', -9)
    stored = json.loads((tmp_path / 'a' / 'failures.json').read_text())
    assert [list(each) for each in stored] == [['status', 'words', 'host', 'time']] * 2
    assert failures.forget(tmp_path) == 1
    assert failures.read(tmp_path, 'a') == []


@pytest.mark.parametrize('text', ['', '[{"status"', '{}'])
def test_damaged_failures_count_for_nothing_and_are_named(tmp_path, caplog, text):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/failures.json').write_text(text)
    failures.add(tmp_path, 'a', 1, '')
    assert 'a/failures.json cannot be read' in caplog.text
    assert [each['status'] for each in failures.read(tmp_path, 'a')] == [1]


@pytest.mark.parametrize(
    'statuses, final',
    [
        ([], False),
        ([1], False),
        ([1, 2], True),
        ([-11, 1], True),
        ([1, -signal.SIGKILL, 128 + signal.SIGTERM], False),
        ([-signal.SIGKILL] * 4, False),
        ([-signal.SIGKILL] * 5, True),
    ],
)
def test_ends_from_outside_count_less(tmp_path, statuses, final):
    (tmp_path / 'a').mkdir()
    for status in statuses:
        failures.add(tmp_path, 'a', status, '')
    assert failures.final(failures.read(tmp_path, 'a')) == final


def test_last_words_are_the_error_line_or_the_end(tmp_path):
    (tmp_path / 'a').mkdir()
    log = tmp_path / 'a' / 'log.txt'
    log.write_text('1\n2\n\nerror: no room\nmore\n')
    assert failures.last_words(tmp_path, 'a') == 'error: no room'
    log.write_text('bar 10 %\rbar 20 %\n\n3\n4\n5\n')
    assert failures.last_words(tmp_path, 'a') == 'bar 20 %\n3\n4\n5'
    assert failures.last_words(tmp_path, 'b') == '(no log)'


def test_last_words_of_any_bytes_are_text(tmp_path):
    (tmp_path / 'a').mkdir()
    log = tmp_path / 'a' / 'log.txt'
    log.write_bytes(b'x' * 200_000 + b'\nerror: caf\xc3\xa9\t\x1b[2J\xc3')
    assert failures.last_words(tmp_path, 'a') == 'error: caf\xe9\t\\x1b[2J\ufffd'
    log.write_bytes(b'\xc3')
    assert failures.last_words(tmp_path, 'a') == '\ufffd'
    log.write_bytes(b'')
    assert failures.last_words(tmp_path, 'a') == ''
