"""Training that may be stopped at any moment: the loop around sgd.Trainer's steps.

orbit (of tf-models-official) drives it and writes what a loop returns to TensorBoard;
this module says when a checkpoint is due and what ends the training.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import sys
import threading
import time

import numpy as np
import orbit
import tensorflow as tf
import tqdm
from absl import logging

from tfxfer import errors, storage
from tfxfer.training import distribution, sgd

_KEPT = 2  # Checkpoints; the older is for when the newer cannot be read.


@dataclasses.dataclass(frozen=True)
class Options:
    """How training is carried out; none of it is part of what is measured.

    Attributes:
        save_every: steps between checkpoints; None: by the clock alone.
        save_minutes: minutes between checkpoints; 0: by steps alone.
        valid_every: steps between validations that TensorBoard shows.
        probe_every: steps between the probes of a network that is being trained.
        profile: (first, last) step of a profile for TensorBoard, or None.
        jit_compile: by XLA. It rounds differently, so records say it.
    """

    save_every: int | None = None
    save_minutes: float = 10.0
    valid_every: int = 2000
    probe_every: int = 2000
    profile: tuple[int, int] | None = None
    jit_compile: bool = False


class Checkpoints:
    """FOLDER/STEP/: the last two states of a training, each complete or not there."""

    def __init__(self, folder, state):
        self.folder, self.state = pathlib.Path(folder), state

    def steps(self):
        """Of those that there are, newest first."""
        names = [p.name for p in self.folder.glob('*') if p.name.isdigit()]
        return sorted(map(int, names), reverse=True)

    def save(self, step):
        with storage.replacing_folder(self.folder / str(step)) as aside:
            self.state.write(str(aside / 'state'))
        self.prune(_KEPT)

    def prune(self, count):
        """Removes all but the newest."""
        for old in self.steps()[count:]:
            shutil.rmtree(self.folder / str(old), ignore_errors=True)

    def restore(self):
        """Takes the newest that can be read; returns its step, 0 where there is none.

        One that cannot be read, as after a power cut, is left out with a warning.
        """
        for step in self.steps():
            path = str(self.folder / str(step) / 'state')
            try:
                # All of it before any of it is taken: its checksums are seen here.
                reader = tf.train.load_checkpoint(path)
                for name in reader.get_variable_to_shape_map():
                    reader.get_tensor(name)
            except (tf.errors.OpError, IndexError, ValueError, RuntimeError) as error:
                reason = str(error).partition('\n')[0]
                logging.warning(
                    'The checkpoint of step %d cannot be read (%s): going on from the '
                    'one before.', step, reason,
                )  # fmt: skip
                continue
            self.state.read(path).assert_consumed()
            return step
        return 0

    def adopt(self, others, most):
        """Takes the newest checkpoint of another training up to a step, where it is.

        The files are shared, not copied, where the file system can do so.
        """
        found = Checkpoints(others, None).steps()
        for step in [step for step in found if step <= most][:1]:
            self.folder.mkdir(parents=True, exist_ok=True)
            source, target = pathlib.Path(others) / str(step), self.folder / str(step)
            try:
                with storage.replacing_folder(target) as aside:
                    shutil.copytree(
                        source, aside, copy_function=_share, dirs_exist_ok=True
                    )
            except (FileNotFoundError, shutil.Error):  # It was removed meanwhile.
                logging.info('%s is gone: from the beginning.', source)

    def clear(self):
        """Removes what a killed process left half-written."""
        for path in self.folder.glob('.*'):
            shutil.rmtree(path, ignore_errors=True)


def _share(source, target):
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


class _Loop(orbit.AbstractTrainer):
    """Steps between two reports, and what may happen after each of them."""

    def __init__(self, trainer, folder, options, validate, until=None, probe=None):
        self.trainer, self.options, self.validate = trainer, options, validate
        self.probe, self.probed = probe, 0
        self.steps = until or trainer.hparams.steps
        # Steps between reports.
        self.every = max(1, min(self.steps // 50, 100))
        self.chief, self.several = (
            distribution.worker() == 0,
            distribution.workers() > 1,
        )
        self.board = str(folder / 'tb') if folder and self.chief else None
        self.checkpoints = folder and Checkpoints(folder / 'ckpt', trainer.state())
        self.batches = self.signal = None
        self.at = self.saved_at = self.validated = 0
        self.saved = self.begun = time.monotonic()
        self.waited = self.seen = 0
        self.bar = tqdm.tqdm(
            total=self.steps, unit='step', desc='Training', disable=not self.chief
        )

    def restore(self, resume=None):
        """Goes to the last checkpoint; returns its step.

        resume: folder of another training's, for where this one has none.

        Raises:
            errors.InputError: the workers do not see the same one.
        """
        if self.checkpoints:
            if self.chief:
                self.checkpoints.clear()
                if resume and not self.checkpoints.steps():
                    self.checkpoints.adopt(resume, self.steps)
            self.at = self.checkpoints.restore()
        if self.several and not self._agreed():
            raise errors.InputError(
                f'Worker {distribution.worker()} would start at step {self.at}, '
                'another elsewhere: they do not see the same --workdir. It must be on '
                'a file system that they share.'
            )
        if self.at:
            self.bar.write(f'Going on at step {self.at}.', file=sys.stderr)
        self.bar.n = self.bar.initial = self.saved_at = self.at
        self.validated = self.at // self.options.valid_every
        self.probed = self.at // self.options.probe_every
        return self.at

    def _agreed(self):
        total = distribution.total(self.trainer.devices, self.at)
        return total == self.at * self.trainer.replicas

    def until_report(self, step):
        """Steps from `step` to the next report, which is at a multiple of `every`."""
        return self.every - int(step) % self.every

    def train(self, num_steps):
        self.begun, self.waited, self.seen = time.monotonic(), 0, int(num_steps)
        for _ in range(int(num_steps)):
            self._profile()
            begun = time.monotonic()
            batch = next(self.batches)
            self.waited += time.monotonic() - begun
            wishes = self._wishes()
            asked = self.trainer.advance(batch, tf.constant(wishes))
            self.at += 1
            self.bar.update()
            # Workers decide together what any of them wishes.
            stop, save = np.array(asked if self.several else wishes) > 0
            every = self.options.save_every
            if stop or save or (every and self.at % every == 0):
                self.save()
            if stop:
                self._stop()
        return self._report()

    def _wishes(self):
        """[to stop, to save], each 0 or 1."""
        minutes = self.options.save_minutes
        due = minutes and time.monotonic() - self.saved > 60 * minutes
        return np.array([self.signal is not None, self.chief and bool(due)], np.float32)

    def save(self):
        """Writes a checkpoint, unless there is one of this step.

        Raises:
            sgd.Diverged: there is nothing to be kept.
        """
        self.trainer.raise_if_diverged()
        if self.checkpoints and self.at > self.saved_at:
            self.trainer.synchronise()
            if self.chief:
                self.checkpoints.save(self.at)
            self.saved_at = self.at
        self.saved = time.monotonic()

    def _stop(self):
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        where = f'at step {self.at} of {self.steps}'
        raise errors.Stopped(f'Stopped {where}, which is saved.')

    def _report(self):
        """What TensorBoard gets; at every multiple of `every` and at the end."""
        self.trainer.raise_if_diverged()
        seconds = time.monotonic() - self.begun
        steps = self.at - (self.at - 1) // self.every * self.every
        shown = {
            name: float(value) / steps for name, value in self.trainer.sums.items()
        }
        for value in self.trainer.sums.values():
            value.assign(0.0)
        self.bar.set_postfix(loss=f'{shown["loss"]:.4f}', refresh=False)
        shown |= {
            'learning_rate': float(self.trainer.schedule(self.at)),
            'images_per_second': self.seen * self.trainer.hparams.batch / seconds,
            'share_waiting_for_input': self.waited / seconds,
        }
        report = {'train': shown}
        due = self.at // self.options.valid_every
        if self.validate and due > self.validated and self.at < self.steps:
            self.trainer.synchronise()
            with self.trainer.averaged() as model:
                report['valid'] = {'accuracy': self.validate(model)}
        self.validated = due
        due = self.at // self.options.probe_every
        if self.probe and (due > self.probed or self.at == self.steps):
            self.trainer.synchronise()
            with self.trainer.averaged() as model:
                report['transfer'] = self.probe(model)
        self.probed = due
        return report

    def _profile(self):
        if self.board and self.options.profile:
            first, last = self.options.profile
            if self.at + 1 == first:
                tf.profiler.experimental.start(self.board)
            if self.at == last:
                tf.profiler.experimental.stop()

    def close(self):
        self.bar.close()
        if self.board and self.options.profile:
            first, last = self.options.profile
            if first <= self.at + 1 and self.at <= last:
                with contextlib.suppress(tf.errors.OpError):
                    tf.profiler.experimental.stop()


@contextlib.contextmanager
def _signals(loop):
    """SIGTERM and Ctrl-C end the loop after its step; the second time at once."""

    def note(signum, frame):
        if loop.signal is not None:
            raise KeyboardInterrupt
        loop.signal = signum
        loop.bar.write('Stopping after this step.', file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = signal.SIGTERM, signal.SIGINT
    before = [signal.signal(kind, note) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextlib.contextmanager
def _quiet_orbit():
    """Drops the lines orbit prints each loop: the bar and TensorBoard show the same."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        with contextlib.redirect_stdout(None):
            yield
    finally:
        logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _explained(loop):
    """Errors of TensorFlow that a user can do something about, in words."""
    hparams = loop.trainer.hparams
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if 'No space left' in str(error):
            raise
        small = loop.trainer.own // loop.trainer.parts
        raise errors.InputError(
            f'Out of memory with {small} images at once on a device. Lower hparams.'
            f'microbatch (to {max(1, small // 2)}, say: it sums the gradients of a '
            'batch part by part), image_size, or take precision=bfloat16.'
        ) from error
    except (
        tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
        tf.errors.InternalError, tf.errors.DeadlineExceededError,
    ) as error:  # fmt: skip
        if not loop.several:
            raise
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if 'aborted by' in line), lines[0])
        raise errors.Stopped(
            f'Another worker is gone (after step {loop.at} of {hparams.steps}; saved '
            f'at {loop.saved_at}): {reason.strip()} Start all workers again.'
        ) from error


def fit(
    model, batches, hparams, folder, *, images, devices, options=None, validate=None,
    until=None, resume=None, probe=None,
):  # fmt: skip
    """Trains `model` in place, from the last checkpoint in `folder` if there is one.

    Args:
        model: keras.Model built in the scope of `devices`: image -> {logits, ...}.
        batches: (start step, share, parts) -> tf.data as inputs.training makes it.
        hparams: config.Sgd.
        folder: for `ckpt/` and `tb/` (TensorBoard), or None to keep neither.
        images: how many the training set has.
        devices: tf.distribute.Strategy.
        options: Options.
        validate: model -> accuracy, for TensorBoard; or None.
        until: step to stop at, of hparams.steps; None: the last.
        resume: folder of the checkpoints of the same training, stopped earlier; used
            where `folder` has none of its own.
        probe: model -> {name: value}, for TensorBoard every options.probe_every steps
            and at the end; or None.

    Raises:
        sgd.Diverged: the loss or its gradient is not finite.
        errors.Stopped: SIGTERM came, or another worker is gone; the same call goes on.
        errors.InputError: the batch does not divide by devices and microbatch; memory
            does not suffice; workers that do not share their folder.
    """
    options = options or Options()
    trainer = sgd.Trainer(
        model, hparams, images, devices=devices, jit_compile=options.jit_compile
    )
    loop = _Loop(trainer, folder, options, validate, until, probe)
    with (
        contextlib.closing(loop), _explained(loop), _quiet_orbit(), _signals(loop)
    ):  # fmt: skip
        start = loop.restore(resume)
        loop.batches = iter(
            devices.distribute_datasets_from_function(
                lambda context: batches(
                    start,
                    (distribution.worker(), distribution.workers()),
                    context.num_replicas_in_sync // distribution.workers(),
                )
            )
        )
        controller = orbit.Controller(
            global_step=trainer.step,
            trainer=loop,
            strategy=devices,
            steps_per_loop=loop.until_report,
            summary_dir=loop.board,
        )
        controller.train(loop.steps)
        loop.save()
        if until and loop.checkpoints and loop.chief:
            loop.checkpoints.prune(1)  # There may be many such trainings at a time.
    trainer.synchronise()
    trainer.take_averages()
