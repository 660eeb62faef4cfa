"""What may happen between two steps, each with its own state.

A checkpoint that is due, a signal to stop, what the workers decide together about both,
a measurement every so many steps, a profile, the time between two reports.
"""

import collections.abc
import contextlib
import pathlib
import signal
import sys
import threading
import time
import typing

import keras
import numpy as np
import tensorflow as tf
import tqdm

from tfxfer import errors
from tfxfer.training import checkpoints, compilation, distribution, step


class StopSignal:
    """SIGTERM, SIGHUP or Ctrl-C: training ends after its step, the second time at once.

    Attributes:
        signum: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    @contextlib.contextmanager
    def awaited(self) -> collections.abc.Iterator[None]:
        """Within the block signals are noted; outside the main thread none comes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # As nohup has it.
            signals.append(signal.SIGHUP)
        before = [signal.signal(signum, self._note) for signum in signals]
        try:
            yield
        finally:
            for signum, handler in zip(signals, before, strict=True):
                signal.signal(signum, handler)

    def _note(self, signum, frame):
        if self.signum is not None:
            raise KeyboardInterrupt
        self.signum = signum
        tqdm.tqdm.write('Stopping after this step.', file=sys.stderr)

    def end(self, steps: int, last: int) -> typing.NoReturn:
        """Ends a training of which `steps` of `last` steps are done, and saved."""
        if self.signum == signal.SIGINT:
            raise KeyboardInterrupt
        raise errors.Stopped(f'Stopped at step {steps} of {last}, which is saved.')


class Saver:
    """Writes a checkpoint when one is due. All workers call it, the chief writes.

    Attributes:
        checkpoints: checkpoints.Checkpoints, or None to write none.
        saved_step: step of the newest.
        choice: how the steps are computed; checkpoints say it.
        saved_time: time.monotonic() of the last call of `save`.
    """

    def __init__(
        self, train_step: step.TrainStep, folder: pathlib.Path | None, *,
        every: int | None, minutes: float,
        check: collections.abc.Callable[[], None] | None = None,
    ):  # fmt: skip
        """folder: or None; every, minutes: see Options; check: loop.Training."""
        self.train_step, self.every, self.minutes = train_step, every, minutes
        self.check = check
        self.checkpoints = folder and checkpoints.Checkpoints(
            folder, train_step.state()
        )
        self.chief = distribution.worker() == 0
        self.saved_step, self.saved_time = 0, time.monotonic()
        self.choice = compilation.Choice(False, compilation.ASKED)

    def restore(self, last: int, resume: pathlib.Path | None) -> int:
        """Reads the newest checkpoint; returns its step, 0 where there is none.

        last: step at which the training ends; resume: folder of another training's
        checkpoints, for where this one has none.
        """
        if self.checkpoints:
            if self.chief:
                self.checkpoints.clear()
                if resume and not self.checkpoints.steps():
                    self.checkpoints.adopt(resume, last)
            self.saved_step = self.checkpoints.restore()
        return self.saved_step

    def begun(self) -> compilation.Choice | None:
        """How the steps up to the restored checkpoint were computed, if any were."""
        if not (self.checkpoints and self.saved_step):
            return None
        note = self.checkpoints.note(self.saved_step)
        return compilation.choice_from(note)

    def due_by_clock(self) -> bool:
        """Whether the chief asks for a checkpoint after the coming step."""
        since = time.monotonic() - self.saved_time
        return self.chief and bool(self.minutes) and since > 60 * self.minutes

    def due_at(self, steps: int) -> bool:
        """Whether one is due after so many steps; every worker knows."""
        return bool(self.every and steps % self.every == 0)

    def save(self, steps: int) -> None:
        """Writes a checkpoint, unless there is one of this step.

        Raises:
            step.Diverged: there is nothing worth saving.
            errors.InputError: the same, as images have changed.
        """
        self.train_step.raise_if_diverged()
        if self.checkpoints and steps > self.saved_step:
            self.train_step.synchronise()
            if self.chief:
                if self.check:
                    self.check()
                self.checkpoints.save(steps, self.choice._asdict())
            self.saved_step = steps
        self.saved_time = time.monotonic()

    def prune(self) -> None:
        """Removes all checkpoints but the last."""
        if self.checkpoints and self.chief:
            self.checkpoints.prune(1)


class ControlFlags(typing.NamedTuple):
    """What is asked for after the coming step."""

    stop: bool
    save: bool

    def vector(self) -> np.ndarray:
        """f32 [2], each 0 or 1, that a step can sum."""
        return np.array(self, np.float32)


class Control:
    """What happens after a step, by all workers alike: to stop, to save a checkpoint.

    Workers must do both after the same step, or those that go on wait for ever for the
    others' gradients. So each says before a step what it asks for; the step sums these
    control flags over all replicas, beside the gradients and at no message of their
    own; and what any of them asked for, all do. A single process asks nobody, and does
    not wait for the step's result.

    Attributes:
        stop_signal: StopSignal, of this worker.
        saver: Saver, whose clock counts at the chief.
    """

    def __init__(self, stop_signal: StopSignal, saver: Saver):
        self.stop_signal, self.saver = stop_signal, saver
        self.several = distribution.workers() > 1

    def flags(self) -> ControlFlags:
        """What this worker asks for."""
        return ControlFlags(
            stop=self.stop_signal.signum is not None, save=self.saver.due_by_clock()
        )

    def decided(self, flags: ControlFlags, sums: tf.Tensor) -> ControlFlags:
        """What all do. flags: this worker's; sums f32 [2]: over all replicas."""
        if not self.several:
            return flags
        stop, save = np.array(sums) > 0
        return ControlFlags(bool(stop), bool(save))


class Measurement:
    """A measurement of the network every so many steps, for TensorBoard.

    Attributes:
        part: under which TensorBoard shows it.
        periods: how many had passed when it was asked last.
    """

    def __init__(
        self, part: str,
        measure: collections.abc.Callable[[keras.Model], dict[str, float]] | None,
        every: int, *, at_end: bool,
    ):  # fmt: skip
        """at_end: whether it is also due at the last step, or never."""
        self.part, self.measure = part, measure
        self.every, self.at_end = every, at_end
        self.periods = 0

    def start(self, steps: int) -> None:
        """Of a training that goes on after so many steps."""
        self.periods = steps // self.every

    def due(self, steps: int, last: int) -> bool:
        passed = steps // self.every > self.periods
        self.periods = steps // self.every
        if self.measure is None:
            return False
        return self.at_end if steps == last else passed


class Profile:
    """A profile of some steps, for TensorBoard."""

    def __init__(self, folder: str | None, steps: tuple[int, int] | None):
        """folder: or None; steps: the first and the last, counted from 1, or None."""
        self.folder, self.steps = folder, steps if folder else None

    def before_step(self, done: int) -> None:
        """done: steps before the coming one."""
        if self.steps:
            first, last = self.steps
            if done + 1 == first:
                tf.profiler.experimental.start(self.folder)
            if done == last:
                tf.profiler.experimental.stop()

    def close(self, done: int) -> None:
        """Ends a profile whose last step did not come, or was the training's last."""
        if self.steps:
            first, last = self.steps
            if first <= done + 1 and done <= last:
                with contextlib.suppress(tf.errors.OpError):
                    tf.profiler.experimental.stop()


class Stopwatch:
    """The seconds since it was made, and how many of them were spent on input."""

    def __init__(self) -> None:
        self.begun, self.input_seconds = time.monotonic(), 0.0

    def next_batch(
        self, batches: collections.abc.Iterator[typing.Any]
    ) -> dict[str, tf.Tensor]:
        begun = time.monotonic()
        batch = next(batches)
        self.input_seconds += time.monotonic() - begun
        return batch

    def rates(self, images: int) -> dict[str, float]:
        """{name: value} for TensorBoard; images: of the steps since it was made."""
        seconds = time.monotonic() - self.begun
        return {
            'images_per_second': images / seconds,
            'share_waiting_for_input': self.input_seconds / seconds,
        }
