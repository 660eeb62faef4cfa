"""Processes that answer, fail, are late, or are gone."""

import os
import time

import pytest

from tools.benchmarks import child


def echo(pipe, first):
    pipe.send(first)
    while True:
        pipe.send(pipe.recv())


def late(pipe):
    time.sleep(60)


def fail(pipe):
    raise ValueError('of the child')


def leave(pipe):
    os._exit(3)


def alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_answers_and_ends_with_the_block():
    with child.Child(echo, 'ready') as process:
        assert process.answer() == 'ready'
        assert process.ask({'a': 1}) == {'a': 1}
        assert 5 < process.peak() < 5000
        number = process._process.pid
        assert alive(number)
    assert not alive(number)


def test_a_late_child_is_not_waited_for():
    start = time.monotonic()
    with child.Child(late) as process, pytest.raises(TimeoutError):
        process.answer(0.1)
    assert time.monotonic() - start < 30


def test_what_a_child_raises_is_said():
    with (
        child.Child(fail) as process,
        pytest.raises(RuntimeError, match='of the child'),
    ):
        process.answer()


def test_a_child_that_is_gone_is_noticed():
    with child.Child(leave) as process, pytest.raises(child.Ended, match='status 3'):
        process.answer()


def test_a_function_is_called_in_another_process():
    assert child.call(os.getpid) != os.getpid()
