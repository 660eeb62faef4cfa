"""Functions in processes of their own, which end with whoever waits for them."""

import multiprocessing
import pathlib
import re
import signal
import traceback
import types
import typing
from collections.abc import Callable


class Ended(Exception):
    """A process ended without an answer, as where the system had no more memory."""


class Child:
    """A process that runs serve(pipe, *arguments); killed when the block ends."""

    def __init__(self, serve: Callable[..., None], *arguments: typing.Any):
        context = multiprocessing.get_context('spawn')
        self._pipe, there = context.Pipe()
        self._process = context.Process(
            target=_guarded, args=(serve, there, *arguments), daemon=True
        )
        self._process.start()
        there.close()

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def ask(self, question: typing.Any, seconds: float | None = None) -> typing.Any:
        """Sends a question; returns what the process answers.

        Raises:
            TimeoutError: there was no answer within so many seconds.
        """
        self._pipe.send(question)
        return self.answer(seconds)

    def answer(self, seconds: float | None = None) -> typing.Any:
        """What the process sends next.

        Raises:
            TimeoutError: that was nothing within so many seconds.
            Ended: the process ended.
            RuntimeError: it raised an exception, which the message has.
        """
        if not self._pipe.poll(seconds):
            raise TimeoutError
        try:
            kind, value = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise Ended(
                f'its process ended with status {self._process.exitcode}'
            ) from None
        if kind == 'raised':
            raise RuntimeError(value)
        return value

    def peak(self) -> float:
        """MiB that it had in memory at most."""
        status = pathlib.Path(f'/proc/{self._process.pid}/status').read_text()
        match = re.search(r'^VmHWM:\s*(\d+) kB', status, re.MULTILINE)
        return int(match[1]) / 1024 if match else 0.0


def call(function: Callable[..., typing.Any], *arguments: typing.Any) -> typing.Any:
    """What a function returns in a process of its own."""
    with Child(_once, function, arguments) as child:
        return child.answer()


def _once(pipe, function, arguments):
    pipe.send(function(*arguments))


class _Pipe:
    """A process' end of the pipe: what it sends is an answer."""

    def __init__(self, pipe):
        self._pipe, self.recv = pipe, pipe.recv

    def send(self, value):
        self._pipe.send(('answer', value))


def _guarded(serve, pipe, *arguments):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who waits for it.
    try:
        serve(_Pipe(pipe), *arguments)
    except EOFError:  # Nobody does.
        return
    except Exception:
        pipe.send(('raised', traceback.format_exc()))
