"""Training under tf.distribute: SGD with Nesterov momentum, cosine decay, resume.

orbit (of tf-models-official) runs the loop and keeps the checkpoints; this module says
what one step is.
"""

import contextlib
import math
import sys

import keras
import orbit
import tensorflow as tf
import tqdm
from absl import logging


class Diverged(Exception):
    """The loss is no longer finite."""


def strategy():
    """All GPUs of this machine as replicas, or the one device there is."""
    if len(tf.config.list_logical_devices('GPU')) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def batch_norm_momentum(images, batch):
    """max(1 - 10/s, 0.9) with s steps an epoch (paper, section A.3)."""
    return max(1 - 10 * batch / images, 0.9)


def losses(labels, logits, label_smoothing=0.0):
    """Cross-entropy of each image, f32 [b].

    labels i32 [b]: softmax; i32 [b, k] of 1, 0, -1: k sigmoids, summed, without the
    classes that are -1 (difficult) in the image.
    """
    if labels.shape.rank == 1:
        target = tf.one_hot(labels, logits.shape[-1])
        target += label_smoothing * (1 / logits.shape[-1] - target)
        return tf.nn.softmax_cross_entropy_with_logits(target, logits)
    target = tf.cast(labels, logits.dtype)
    each = tf.nn.sigmoid_cross_entropy_with_logits(
        target + label_smoothing * (0.5 - target), logits
    )
    return tf.reduce_sum(tf.where(labels < 0, 0.0, each), axis=-1)


def kernels(model):
    """The variables that weight decay applies to: no biases, no batch norm."""
    return [v for v in model.trainable_variables if len(v.shape) > 1]


class Trainer(orbit.StandardTrainer):
    """One step of SGD; counts images, sums losses, shows a progress bar."""

    def __init__(self, model, hparams, devices, report):
        super().__init__(train_dataset=None)
        self.model, self.hparams, self.strategy = model, hparams, devices
        self.report = report
        with devices.scope():
            self.step = orbit.utils.create_global_step()
            schedule = keras.optimizers.schedules.CosineDecay(hparams.lr, hparams.steps)
            self.optimizer = keras.optimizers.SGD(
                schedule, momentum=hparams.momentum, nesterov=True
            )
            self.optimizer.build(model.trainable_variables)
        self.sums = {
            name: tf.Variable(0.0, trainable=False) for name in ('loss', 'hits')
        }

    def train_loop_begin(self):
        for value in self.sums.values():
            value.assign(0.0)

    def train_step(self, iterator):
        sums = self.strategy.run(self._replica_step, args=(next(iterator),))
        for name, value in self.sums.items():
            value.assign_add(self.strategy.reduce('SUM', sums[name], axis=None))
        self.step.assign_add(1)

    def _replica_step(self, batch):
        hparams, replicas = self.hparams, self.strategy.num_replicas_in_sync
        labels = batch['label']
        with tf.GradientTape() as tape:
            logits = self.model(batch['image'], training=True)['logits']
            each = losses(labels, logits, hparams.label_smoothing)
            # Gradients are summed over replicas, so each takes its share.
            loss = data_loss = tf.reduce_sum(each) / hparams.batch
            if hparams.wd:
                l2 = tf.add_n([tf.nn.l2_loss(v) for v in kernels(self.model)])
                loss += hparams.wd / hparams.lr * l2 / replicas
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        if labels.shape.rank == 1:
            right = tf.argmax(logits, -1, tf.int32) == labels
        else:
            right = tf.reduce_all((logits > 0) == (labels > 0), axis=-1)
        hits = tf.reduce_sum(tf.cast(right, tf.float32)) / hparams.batch
        return {'loss': data_loss, 'hits': hits}

    def train_loop_end(self):
        step = self.step.numpy()
        average_replicas(self.model)
        steps = step - self.report.last
        loss = float(self.sums['loss']) / steps
        self.report.update(step, loss)
        if not math.isfinite(loss):
            raise Diverged(
                f'The loss is {loss} at step {step}: learning rate {self.hparams.lr:g} '
                f'with weight decay {self.hparams.wd:g} is too much here.'
            )
        return {
            'loss': loss,
            'train_accuracy': float(self.sums['hits']) / steps,
            'learning_rate': float(self.optimizer.learning_rate.numpy()),
        }


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


class _Progress:
    """A tqdm bar over steps, told every loop."""

    def __init__(self, steps):
        self.last = 0
        self.bar = tqdm.tqdm(total=steps, unit='step', desc='Training')

    def resume(self, step):
        """Starts at a checkpoint's step; returns it."""
        if step:
            self.bar.write(f'Going on at step {step}.', file=sys.stderr)
        self.last = self.bar.n = self.bar.initial = step
        return step

    def update(self, step, loss):
        self.bar.set_postfix(loss=f'{loss:.4f}', refresh=False)
        self.bar.update(int(step) - self.last)
        self.last = int(step)


def average_replicas(model):
    """Makes the replicas' batch-norm statistics their mean.

    Each replica has seen its own share; the mean of moving averages is the moving
    average of the means. Without this only replica 0's would be kept.
    """
    for variable in model.non_trainable_variables:
        copies = getattr(variable.value, 'values', None)
        if copies and variable.dtype == 'float32':
            mean = tf.add_n([tf.identity(copy) for copy in copies]) / len(copies)
            for copy in copies:
                copy.assign(mean)


def fit(model, batches, hparams, folder, *, devices, save_every=1000):
    """Trains `model` in place, from the last checkpoint in `folder` if there is one.

    Args:
        model: keras.Model built in the scope of `devices`: image -> {logits, ...}.
        batches: start step -> endless tf.data of global batches.
        hparams: config.Sgd.
        folder: for `ckpt/` and `tb/` (TensorBoard), or None to keep neither.
        devices: tf.distribute.Strategy.
        save_every: steps between checkpoints.

    Raises:
        Diverged: the loss is not finite.
        ValueError: the batch does not divide by the number of replicas.
    """
    if hparams.batch % devices.num_replicas_in_sync:
        raise ValueError(
            f'A batch of {hparams.batch} does not divide by '
            f'{devices.num_replicas_in_sync} devices.'
        )
    progress = _Progress(hparams.steps)
    trainer = Trainer(model, hparams, devices, progress)
    manager = folder and tf.train.CheckpointManager(
        tf.train.Checkpoint(
            model=model, optimizer=trainer.optimizer, step=trainer.step
        ),
        str(folder / 'ckpt'),
        max_to_keep=2,
        step_counter=trainer.step,
        checkpoint_interval=save_every,
    )
    with _quiet_orbit(), contextlib.closing(progress.bar):
        controller = orbit.Controller(
            global_step=trainer.step,
            trainer=trainer,
            strategy=devices,
            steps_per_loop=max(1, min(save_every, hparams.steps // 50, 100)),
            checkpoint_manager=manager,
            summary_dir=folder and str(folder / 'tb'),
        )
        start = progress.resume(int(trainer.step.numpy()))
        trainer.train_dataset = devices.experimental_distribute_dataset(batches(start))
        controller.train(hparams.steps)
