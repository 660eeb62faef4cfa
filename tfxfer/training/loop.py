"""Training that may be stopped at any moment: the loop around the steps.

orbit (of tf-models-official) drives it and writes what a report returns to TensorBoard;
hooks.py says when a checkpoint is due and what ends the training.
"""

import collections.abc
import contextlib
import dataclasses
import pathlib
import sys
import typing

import keras
import orbit
import tensorflow as tf
import tqdm
from absl import logging

from tfxfer import config, errors
from tfxfer.training import compilation, distribution, hooks, step
from tfxfer.training.options import Options

_REPORTS = 50  # At least so many in a training of as many steps, and
_MOST_STEPS = 100  # never more steps than this between two.


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained.

    Attributes:
        model: built in the scope of `devices`: image -> {logits, ...}.
        batches: (start step, share, parts) -> batches as data.pipeline.training makes
            them: of the share (i, n) of worker i of n, each in `parts` parts.
        hparams: its steps, batch and so on.
        images: how many the training set has.
        devices: what trains it.
        check: raises where the images are no longer what they were, and the state
            of training is not worth saving; None: they cannot change.
    """

    model: keras.Model
    batches: collections.abc.Callable[[int, tuple[int, int], int], tf.data.Dataset]
    hparams: config.Sgd
    images: int
    devices: tf.distribute.Strategy
    check: collections.abc.Callable[[], None] | None = None


@dataclasses.dataclass(frozen=True)
class Measurements:
    """What TensorBoard shows of the network while it is trained; none changes it.

    Attributes:
        validate: model -> accuracy, every options.valid_every steps; or None.
        probe: model -> {name: value}, every options.probe_every steps and at the end;
            or None.
    """

    validate: collections.abc.Callable[[keras.Model], float] | None = None
    probe: collections.abc.Callable[[keras.Model], dict[str, float]] | None = None

    def hooks(self, options: Options) -> tuple[hooks.Measurement, ...]:
        """In the order in which they are taken."""
        accuracy = _named('accuracy', self.validate)
        return (
            hooks.Measurement('valid', accuracy, options.valid_every, at_end=False),
            hooks.Measurement('transfer', self.probe, options.probe_every, at_end=True),
        )


def _named(name, measure):
    return measure and (lambda model: {name: measure(model)})


def fit(
    training: Training,
    folder: pathlib.Path | None = None,
    *,
    options: Options | None = None,
    measurements: Measurements | None = None,
    until: int | None = None,
    resume: pathlib.Path | None = None,
) -> compilation.Choice:
    """Trains the model in place, from the last checkpoint in `folder` if there is one.

    Args:
        training: what is trained.
        folder: for `ckpt/` and `tb/` (TensorBoard), or None to write neither.
        options: how; None: by default.
        measurements: on the way, for TensorBoard; None: none.
        until: step to stop at, of hparams.steps; None: the last.
        resume: folder of the checkpoints of the same training, stopped earlier; used
            where `folder` has none of its own.

    Returns:
        How the steps were computed, by XLA or not.

    Raises:
        step.Diverged: the loss or its gradient is not finite.
        errors.Stopped: SIGTERM came, or another worker is gone; the same call goes on.
        errors.InputError: the batch does not divide by devices and microbatch; memory
            does not suffice; XLA cannot compile the step; workers that do not share
            their folder; what training.check raises.
    """
    options, hparams = options or Options(), training.hparams
    train_step = step.TrainStep(
        training.model, hparams, training.images, devices=training.devices
    )
    saver = hooks.Saver(
        train_step, folder and folder / 'ckpt',
        every=options.save_every, minutes=options.save_minutes, check=training.check,
    )  # fmt: skip
    tensorboard = str(folder / 'tb') if folder and saver.chief else None
    loop = _Loop(
        train_step,
        saver,
        measurements=(measurements or Measurements()).hooks(options),
        profile=hooks.Profile(tensorboard, options.profile),
        last=until or hparams.steps,
    )
    with (
        contextlib.closing(loop),
        _divergence_told(saver),
        _out_of_memory_explained(train_step),
        _lost_worker_explained(loop),
        _quiet_orbit(),
        loop.control.stop_signal.awaited(),
    ):
        loop.restore(resume)
        loop.choose_compilation(options.jit_compile)
        loop.batches = _distributed(training, loop.done)
        controller = orbit.Controller(
            global_step=train_step.step,
            trainer=loop,
            strategy=training.devices,
            steps_per_loop=loop.until_report,
            summary_dir=tensorboard,
        )
        controller.train(loop.last)
        saver.save(loop.done)
        if until:
            saver.prune()  # There may be many such trainings at a time.
    train_step.synchronise()
    train_step.optimizer.averages.take()
    return saver.choice


def _distributed(training, start):
    """Iterator over the batches of all replicas of this worker, from a step on."""
    share = distribution.worker(), distribution.workers()

    def batches(context):
        parts = context.num_replicas_in_sync // distribution.workers()
        return training.batches(start, share, parts)

    return iter(training.devices.distribute_datasets_from_function(batches))


class _Loop(orbit.AbstractTrainer):
    """Steps between two reports, and what may happen after each of them.

    Attributes:
        done: steps, as this process counts them: it waits for no device to know.
        last: the step at which the training ends.
        every: steps between two reports, which are at its multiples.
        batches: iterator, set once `done` is known.
    """

    def __init__(
        self, train_step: step.TrainStep, saver: hooks.Saver, *,
        measurements: tuple[hooks.Measurement, ...], profile: hooks.Profile, last: int,
    ):  # fmt: skip
        self.train_step, self.saver = train_step, saver
        self.control = hooks.Control(hooks.StopSignal(), saver)
        self.measurements, self.profile = measurements, profile
        self.done, self.last = 0, last
        self.first = True  # The next step is the first of this process.
        self.every = max(1, min(last // _REPORTS, _MOST_STEPS))
        self.batches: collections.abc.Iterator[typing.Any] = iter(())
        self.bar = tqdm.tqdm(
            total=last, unit='step', desc='Training', disable=not saver.chief
        )

    def restore(self, resume: pathlib.Path | None = None) -> None:
        """Goes to the last checkpoint; resume: see `fit`.

        Raises:
            errors.InputError: the workers do not see the same one.
        """
        self.done = self.saver.restore(self.last, resume)
        if self.control.several and not self._at_the_same_step():
            raise errors.InputError(
                f'Worker {distribution.worker()} would start at step {self.done}, '
                'another elsewhere: they do not see the same --workdir. It must be on '
                'a file system that they share.'
            )
        if self.done:
            self.bar.write(f'Going on at step {self.done}.', file=sys.stderr)
        self.bar.n = self.bar.initial = self.done
        for measurement in self.measurements:
            measurement.start(self.done)

    def choose_compilation(self, asked: bool | None) -> None:
        """Decides whether XLA compiles the steps; asked: see Options."""
        work = compilation.work_of(
            self.train_step.model,
            self.train_step.hparams,
            gpu=bool(tf.config.list_logical_devices('GPU')),
            replicas=self.train_step.replicas,
        )
        choice = compilation.choose(asked, work, self.saver.begun())
        compilation.log(choice, work)
        self._compute_as(choice)

    def _compute_as(self, choice):
        self.saver.choice = choice
        self.train_step.compile(choice.jit_compile)

    def _at_the_same_step(self):
        devices = self.train_step.devices
        total = distribution.sum_over_replicas(devices, self.done)
        return total == self.done * self.train_step.replicas

    def until_report(self, step: tf.Tensor) -> int:
        """Steps from `step` to the next report."""
        return self.every - int(step) % self.every

    def train(self, num_steps: tf.Tensor) -> dict[str, dict[str, float]]:
        """So many steps; returns what TensorBoard gets, {part: {name: value}}."""
        steps, stopwatch = int(num_steps), hooks.Stopwatch()
        for _ in range(steps):
            self.profile.before_step(self.done)
            self._advance(stopwatch.next_batch(self.batches))
        return self._report(stopwatch, steps)

    def _advance(self, batch):
        """One step, and what the workers decide together after it."""
        flags = self.control.flags()
        sums = self._computed(batch, tf.constant(flags.vector()))
        self.done += 1
        self.bar.update()
        flags = self.control.decided(flags, sums)
        if flags.stop or flags.save or self.saver.due_at(self.done):
            self.saver.save(self.done)
        if flags.stop:
            self.control.stop_signal.end(self.done, self.last)

    def _computed(self, batch, flags):
        """The step itself; where XLA fails at the first, without, unless asked for."""
        first, self.first = self.first, False
        if not (first and self.train_step.jit_compile):
            return self.train_step.advance(batch, flags)
        try:
            return self.train_step.advance(batch, flags)
        except compilation.FAILURES as error:
            reason = compilation.reason_of(error)
            kept = self.done or self.saver.choice.reason == compilation.ASKED
            if kept or self.control.several:
                raise errors.InputError(
                    compilation.refusal(reason, self.done)
                ) from error
            logging.warning(
                'XLA could not compile the training step (%s): it runs without.', reason
            )
        self._compute_as(compilation.Choice(False, compilation.FAILED))
        return self.train_step.advance(batch, flags)

    def _report(self, stopwatch, steps):
        """What TensorBoard gets; at every multiple of `every` and at the end."""
        self.train_step.raise_if_diverged()  # Waits for the steps.
        rates = stopwatch.rates(images=steps * self.train_step.hparams.batch)
        metrics, schedule = self.train_step.metrics, self.train_step.optimizer.schedule
        # Since the last report, be it of a process before this one.
        train = metrics.means(self.done - (self.done - 1) // self.every * self.every)
        metrics.reset()
        self.bar.set_postfix(loss=f'{train["loss"]:.4f}', refresh=False)
        train |= {'learning_rate': float(schedule(self.done)), **rates}
        report = {'train': train}
        for measurement in self.measurements:
            if measurement.due(self.done, self.last):
                report[measurement.part] = self._measured(measurement.measure)
        return report

    def _measured(self, measure):
        """Of the network as it would be evaluated now; it goes on as it was."""
        self.train_step.synchronise()
        with self.train_step.optimizer.averages.taken():
            return measure(self.train_step.model)

    def close(self) -> None:
        self.bar.close()
        self.profile.close(self.done)


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
def _divergence_told(saver):
    try:
        yield
    except step.Diverged as diverged:
        diverged.choice = saver.choice
        raise


@contextlib.contextmanager
def _out_of_memory_explained(train_step):
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if 'No space left' in str(error):  # On the disk.
            raise
        images = train_step.share.images_at_once
        raise errors.InputError(
            f'Out of memory with {images} images at once on a device. Lower hparams.'
            f'microbatch (to {max(1, images // 2)}, say: it sums the gradients of a '
            'batch part by part), image_size, or take precision=bfloat16.'
        ) from error


@contextlib.contextmanager
def _lost_worker_explained(loop):
    try:
        yield
    except (
        tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
        tf.errors.InternalError, tf.errors.DeadlineExceededError,
    ) as error:  # fmt: skip
        if not loop.control.several:
            raise
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if 'aborted by' in line), lines[0])
        raise errors.Stopped(
            f'Another worker is gone (after step {loop.done} of '
            f'{loop.train_step.hparams.steps}; saved at {loop.saver.saved_step}): '
            f'{reason.strip()} Start all workers again.'
        ) from error
