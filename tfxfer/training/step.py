"""One step of training on all replicas."""

import collections.abc
import typing

import keras
import tensorflow as tf

from tfxfer import config, errors
from tfxfer.training import compilation, losses, optimizer, schedules


class Diverged(Exception):
    """Loss or gradient is not finite.

    Attributes:
        step, lr: where, from what peak rate.
        choice: how the steps of the training were computed, where that is known.
    """

    choice: compilation.Choice | None = None

    def __init__(self, step: int, hparams: config.Sgd):
        self.step, self.lr = step, hparams.rate
        super().__init__(
            f'Loss or gradient is not finite at step {step}: learning rate '
            f'{hparams.rate:g} with weight decay {hparams.wd:g} is too much here.'
        )


class Share(typing.NamedTuple):
    """What one replica has of a batch: `images`, in so many `microbatches`."""

    images: int
    microbatches: int

    @property
    def images_at_once(self) -> int:
        return self.images // self.microbatches


def share_of_batch(hparams: config.Sgd, replicas: int) -> Share:
    """A replica's share of a batch.

    Raises:
        errors.InputError: the batch does not divide.
    """
    images = hparams.batch // replicas
    at_once = min(hparams.microbatch or images, images)
    share = Share(images, images // at_once)
    if images * replicas != hparams.batch or at_once * share.microbatches != images:
        raise errors.InputError(
            f'A batch of {hparams.batch} does not divide by {replicas} devices'
            + (f' x microbatches of {at_once}.' if at_once < images else '.')
        )
    return share


class Metrics:
    """What is counted over the steps between two reports.

    Attributes:
        sums: {name: f32}, sums over steps of the loss, the accuracy and the gradient's
            norm.
        diverged: i64, the first step whose loss or gradient was not finite, or -1.
    """

    def __init__(self) -> None:
        self.sums = {
            name: tf.Variable(0.0, trainable=False)
            for name in ('loss', 'accuracy', 'gradient_norm')
        }
        self.diverged = tf.Variable(-1, trainable=False, dtype=tf.int64)

    def add(
        self, loss: tf.Tensor, accuracy: tf.Tensor, norm: tf.Tensor, step: tf.Tensor
    ) -> None:
        """step: steps done before."""
        for name, value in zip(self.sums, (loss, accuracy, norm), strict=True):
            self.sums[name].assign_add(value)
        bad = ~tf.math.is_finite(loss + norm) & (self.diverged < 0)
        self.diverged.assign(tf.where(bad, step + 1, self.diverged))

    def means(self, steps: int) -> dict[str, float]:
        """{name: mean over the steps since the last reset}."""
        return {name: float(value) / steps for name, value in self.sums.items()}

    def reset(self) -> None:
        for value in self.sums.values():
            value.assign(0.0)


class TrainStep:
    """The network, all that changes beside it, and one step of SGD.

    Gradients and counts are summed over the replicas; then each replica applies the
    same gradient. Losses are means over the whole batch: each replica, and each
    microbatch, has its images' share of them.

    Attributes:
        share: Share, of a replica.
        step: i64, steps done.
        optimizer: optimizer.Optimizer, with its state.
        metrics: Metrics.
        jit_compile: whether XLA compiles the step.
        advance: a function of a batch, {'image' [b, s, s, 3], 'label'} of all replicas,
            and of control flags f32 [2] of this worker, see hooks.Control: one step. It
            returns the sum over replicas of the control flags, f32 [2].
    """

    advance: collections.abc.Callable[[dict[str, tf.Tensor], tf.Tensor], tf.Tensor]

    def __init__(
        self, model: keras.Model, hparams: config.Sgd, images: int, *,
        devices: tf.distribute.Strategy, jit_compile: bool = False,
    ):  # fmt: skip
        """images: of the training set; jit_compile: by XLA, which rounds differently.

        Raises:
            errors.InputError: the batch does not divide by devices and microbatches.
        """
        self.model, self.hparams, self.devices = model, hparams, devices
        self.share = share_of_batch(hparams, self.replicas)
        with devices.scope():
            self.step = tf.Variable(
                0,
                name='global_step',
                dtype=tf.int64,
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            self.optimizer = optimizer.Optimizer(
                model, hparams, schedules.Schedule(hparams, images)
            )
        self.metrics = Metrics()
        self.compile(jit_compile)

    def compile(self, jit_compile: bool) -> None:
        """Makes the functions of a step anew, by XLA or without."""
        self.jit_compile = jit_compile
        self.replica_step = tf.function(
            self._replica_step, jit_compile=jit_compile, autograph=False
        )
        self.advance = tf.function(self._advance, autograph=False)

    @property
    def replicas(self) -> int:
        return self.devices.num_replicas_in_sync

    def state(self) -> tf.train.Checkpoint:
        """All that a checkpoint must hold. Files that exist have these names."""
        adamw = self.hparams.optimizer == 'adamw'
        return tf.train.Checkpoint(
            model=[v.value for v in self.model.variables],
            momenta=self.optimizer.momenta,
            averages=self.optimizer.averages.averages,
            sums=self.metrics.sums,
            step=self.step,
            scale=self.optimizer.loss_scale.scale,
            stable=self.optimizer.loss_scale.stable,
            # No such name in the files of SGD, which are older.
            **({'variances': self.optimizer.variances} if adamw else {}),
        )

    def _advance(
        self, batch: dict[str, tf.Tensor], control_flags: tf.Tensor
    ) -> tf.Tensor:
        sums = self.devices.run(self.replica_step, args=(batch, control_flags))
        sums = self.devices.experimental_local_results(sums)[0]
        loss, accuracy, *control_flags, norm = tf.unstack(sums)
        self.metrics.add(loss, accuracy, norm, self.step)
        self.step.assign_add(1)
        return tf.stack(control_flags)

    def _replica_step(self, batch, control_flags):
        """[loss, accuracy, *control flags, gradient's norm], of the whole batch."""
        images, labels = batch['image'], batch['label']
        if self.share.microbatches > 1:
            gradients, counts = self._accumulated(images, labels)
        else:
            gradients, counts = self._gradients(images, labels)
        sums = tf.concat([counts, control_flags], 0)
        if self.replicas > 1:
            context = tf.distribute.get_replica_context()
            *gradients, sums = context.all_reduce('SUM', [*gradients, sums])
        norm = self.optimizer.apply(gradients, self.step)
        return tf.concat([sums, [norm]], 0)

    def _gradients(self, images, labels):
        """Of the scaled loss; and [loss, accuracy]: these images' share of the means.

        A variable on which the loss does not depend has a gradient of zeros.
        """
        hparams, variables = self.hparams, self.model.trainable_variables
        suited = compilation.gradients_for(self.model, self.jit_compile)
        with suited, tf.GradientTape() as tape:
            outputs = self.model(images, training=True)
            loss = total = self._summed(labels, outputs['logits']) / hparams.batch
            if hparams.aux:
                aux = self._summed(labels, outputs['aux_logits'])
                total += hparams.aux * aux / hparams.batch
            total = self.optimizer.loss_scale.scaled(total)
        # Not unconnected_gradients='zero': it fails on variables of Keras.
        gradients = [
            tf.zeros(v.shape) if gradient is None else gradient
            for v, gradient in zip(
                variables, tape.gradient(total, variables), strict=True
            )
        ]
        accuracy = losses.hits(labels, outputs['logits']) / hparams.batch
        return gradients, tf.stack([loss, accuracy])

    def _summed(self, labels, logits):
        return tf.reduce_sum(
            losses.cross_entropy(labels, logits, self.hparams.label_smoothing)
        )

    def _accumulated(self, images, labels):
        """The same by microbatches: batch norm sees no more images at once."""
        count = self.share.microbatches
        images, labels = (
            tf.reshape(a, [count, self.share.images_at_once, *a.shape[1:]])
            for a in (images, labels)
        )
        zeros = [tf.zeros(v.shape) for v in self.model.trainable_variables]

        def add(part, gradients, counts):
            more, more_counts = self._gradients(images[part], labels[part])
            gradients = [a + b for a, b in zip(gradients, more, strict=True)]
            return part + 1, gradients, counts + more_counts

        _, gradients, counts = tf.while_loop(
            lambda part, *_: part < count,
            add,
            (0, zeros, tf.zeros(2)),
            parallel_iterations=1,
        )
        return gradients, counts

    def synchronise(self) -> None:
        """Makes the replicas' batch-norm statistics, and their averages, their mean.

        Each replica has seen its own share; the mean of moving averages is the moving
        average of the means. Without this only replica 0's would be saved.
        """
        if self.replicas > 1:
            self._synchronise()

    @tf.function(autograph=False)
    def _synchronise(self):
        differing = [v.value for v in optimizer.statistics(self.model)]
        if differing:  # Their averages are the last; there may be none.
            differing += self.optimizer.averages.averages[-len(differing) :]

        def replica():
            context = tf.distribute.get_replica_context()
            means = context.all_reduce('MEAN', [tf.identity(v) for v in differing])
            for variable, mean in zip(differing, means, strict=True):
                optimizer.assign_here(variable, mean)

        if differing:
            self.devices.run(replica)

    def raise_if_diverged(self) -> None:
        """Waits for the steps so far.

        Raises:
            Diverged: the loss or gradient of one of them was not finite.
        """
        if (step := int(self.metrics.diverged.numpy())) >= 0:
            raise Diverged(step, self.hparams)
