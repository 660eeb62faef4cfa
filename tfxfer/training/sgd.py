"""One step of training: losses, learning rate, SGD with Nesterov momentum."""

import contextlib
import math

import orbit
import tensorflow as tf

from tfxfer import errors

_GROWTH = 2000  # Steps without overflow after which float16's loss scale doubles.


class Diverged(Exception):
    """Loss or gradient is not finite. `step` and `lr`: where, from what peak rate."""

    def __init__(self, step, hparams):
        self.step, self.lr = step, hparams.rate
        super().__init__(
            f'Loss or gradient is not finite at step {step}: learning rate '
            f'{hparams.rate:g} with weight decay {hparams.wd:g} is too much here.'
        )


def batch_norm_momentum(images, batch):
    """max(1 - 10/s, 0.9) with s steps an epoch (paper, section A.3)."""
    return max(1 - 10 * batch / images, 0.9)


class Schedule:
    """Linear rise over the warm-up, then cosine to 0 or stairs down, one an epoch."""

    def __init__(self, hparams, images):
        """images: of the training set; they make an epoch of images / batch steps."""
        self.hparams, self.epoch = hparams, images / hparams.batch
        self.warmup = hparams.warmup * self.epoch

    def __call__(self, step):
        """f32 rate of a step, counted from 0."""
        step, hparams = tf.cast(step, tf.float32), self.hparams
        since = tf.maximum(step - self.warmup, 0)
        if hparams.decay:
            rate = hparams.decay ** tf.floor(since / self.epoch)
        else:
            share = since / max(hparams.steps - self.warmup, 1)
            rate = (1 + tf.cos(math.pi * share)) / 2
        if self.warmup:
            rate *= tf.minimum(step / self.warmup, 1)
        return hparams.rate * rate


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


def hits(labels, logits):
    """How many images [b] have all their labels right, f32."""
    if labels.shape.rank == 1:
        right = tf.argmax(logits, -1, tf.int32) == labels
    else:
        known = labels >= 0
        right = tf.reduce_all(((logits > 0) == (labels > 0)) | ~known, axis=-1)
    return tf.reduce_sum(tf.cast(right, tf.float32))


def kernels(model):
    """The variables that weight decay applies to: no biases, no batch norm."""
    return [v for v in model.trainable_variables if len(v.shape) > 1]


def statistics(model):
    """The variables that are not trained but move: means and variances."""
    return [v for v in model.non_trainable_variables if v.dtype == 'float32']


class Trainer:
    """The network, all that changes beside it, and one step of SGD.

    Gradients and counts are summed over the replicas; then each replica makes the same
    step: the loss' gradient plus wd / lr x w on kernels, clipped, through Nesterov
    momentum as Sutskever et al. (2013) have it and TensorFlow's fused kernel does it.
    """

    def __init__(self, model, hparams, images, *, devices, jit_compile=False):
        self.model, self.hparams, self.devices = model, hparams, devices
        self.replicas = devices.num_replicas_in_sync
        self.own = hparams.batch // self.replicas  # Images of a replica's step, and
        small = min(hparams.microbatch or self.own, self.own)
        self.parts = self.own // small  # in how many parts.
        if self.own * self.replicas != hparams.batch or small * self.parts != self.own:
            raise errors.InputError(
                f'A batch of {hparams.batch} does not divide by {self.replicas} devices'
                + (f' x microbatches of {small}.' if small < self.own else '.')
            )
        self.schedule = Schedule(hparams, images)
        self.scaled = model.dtype_policy.compute_dtype == 'float16'
        self.moved = [*model.trainable_variables, *statistics(model)]
        with devices.scope():
            self.step = orbit.utils.create_global_step()
            self.momenta = [
                _beside(v, tf.zeros_like(v.value)) for v in model.trainable_variables
            ]
            self.averages = [_beside(v, v.value) for v in self.moved if hparams.ema]
            # Of the loss, so that float16 gradients neither vanish nor overflow.
            self.scale = tf.Variable(2.0**15, trainable=False)
            self.stable = tf.Variable(0, trainable=False)
        self.sums = {
            name: tf.Variable(0.0, trainable=False)
            for name in ('loss', 'accuracy', 'gradient_norm')
        }
        self.diverged = tf.Variable(-1, trainable=False, dtype=tf.int64)  # At step.
        self.replica_step = tf.function(self._replica_step, jit_compile=jit_compile)

    def state(self):
        """All that a checkpoint must hold, as tf.train.Checkpoint takes it."""
        return tf.train.Checkpoint(
            model=[v.value for v in self.model.variables],
            **{name: getattr(self, name) for name in ('momenta', 'averages', 'sums')},
            step=self.step,
            scale=self.scale,
            stable=self.stable,
        )

    @tf.function
    def advance(self, batch, wishes):
        """One step; returns the sum over replicas of `wishes` f32 [2].

        batch: {'image' [b, s, s, 3], 'label'}, of all replicas.
        """
        facts = self.devices.run(self.replica_step, args=(batch, wishes))
        facts = self.devices.experimental_local_results(facts)[0]
        loss, right, *wishes, norm = tf.unstack(facts)
        for name, value in zip(self.sums, (loss, right, norm), strict=True):
            self.sums[name].assign_add(value)
        bad = ~tf.math.is_finite(loss + norm) & (self.diverged < 0)
        self.diverged.assign(tf.where(bad, self.step + 1, self.diverged))
        self.step.assign_add(1)
        return tf.stack(wishes)

    def _replica_step(self, batch, wishes):
        images, labels = batch['image'], batch['label']
        if self.parts > 1:
            gradients, counts = self._accumulated(images, labels)
        else:
            gradients, counts = self._gradients(images, labels)
        facts = tf.concat([counts, wishes], 0)
        if self.replicas > 1:
            context = tf.distribute.get_replica_context()
            *gradients, facts = context.all_reduce('SUM', [*gradients, facts])
        norm = self._apply(gradients)
        return tf.concat([facts, [norm]], 0)

    def _gradients(self, images, labels):
        """Of the loss, and [loss, hits]: this replica's share of the batch's means."""
        hparams = self.hparams
        with tf.GradientTape() as tape:
            outputs = self.model(images, training=True)
            each = losses(labels, outputs['logits'], hparams.label_smoothing)
            loss = total = tf.reduce_sum(each) / hparams.batch
            if hparams.aux:
                each = losses(labels, outputs['aux_logits'], hparams.label_smoothing)
                total += hparams.aux * tf.reduce_sum(each) / hparams.batch
            if self.scaled:
                total *= self.scale
        gradients = tape.gradient(
            total, self.model.trainable_variables, unconnected_gradients='zero'
        )
        right = hits(labels, outputs['logits']) / hparams.batch
        return gradients, tf.stack([loss, right])

    def _accumulated(self, images, labels):
        """The same, some images at a time: batch norm sees no more of them at once."""
        images, labels = (
            tf.reshape(a, [self.parts, self.own // self.parts, *a.shape[1:]])
            for a in (images, labels)
        )
        sums = [tf.zeros(v.shape) for v in self.model.trainable_variables]

        def add(part, sums, counts):
            more, new = self._gradients(images[part], labels[part])
            return (
                part + 1,
                [a + b for a, b in zip(sums, more, strict=True)],
                counts + new,
            )

        _, sums, counts = tf.while_loop(
            lambda part, *_: part < self.parts,
            add,
            (0, sums, tf.zeros(2)),
            parallel_iterations=1,
        )
        return sums, counts

    def _apply(self, gradients):
        """The step itself; returns the norm of what is applied, before clipping."""
        hparams = self.hparams
        if self.scaled:
            gradients = [g / self.scale for g in gradients]
        if hparams.wd:
            decayed = {id(v) for v in kernels(self.model)}
            gradients = [
                g + hparams.wd / hparams.lr * v.value if id(v) in decayed else g
                for g, v in zip(gradients, self.model.trainable_variables, strict=True)
            ]
        norm = tf.linalg.global_norm(gradients)
        if hparams.clip:
            shrink = hparams.clip / tf.maximum(norm, hparams.clip)
            gradients = [g * shrink for g in gradients]
        if not self.scaled:
            self._move(gradients)
            return norm
        fine = tf.math.is_finite(norm)
        tf.cond(fine, lambda: self._move(gradients), lambda: None)
        stable = tf.where(fine, self.stable + 1, 0)
        grown = tf.where(stable == _GROWTH, 2 * self.scale, self.scale)
        _assign(self.scale, tf.where(fine, grown, tf.maximum(self.scale / 2, 1.0)))
        _assign(self.stable, stable % _GROWTH)
        return tf.where(fine, norm, 0.0)

    def _move(self, gradients):
        rate = self.schedule(self.step)
        triples = zip(
            self.model.trainable_variables, self.momenta, gradients, strict=True
        )
        for variable, momentum, gradient in triples:
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=variable.value.handle, accum=momentum.handle, lr=rate,
                grad=gradient, momentum=self.hparams.momentum, use_nesterov=True,
            )  # fmt: skip
        if self.averages:
            # As tf.train.ExponentialMovingAverage with num_updates, so that a short
            # training's average forgets its start.
            count = tf.cast(self.step, tf.float32)
            keep = tf.minimum(self.hparams.ema, (1 + count) / (10 + count))
            for average, variable in zip(self.averages, self.moved, strict=True):
                _assign(average, average - (1 - keep) * (average - variable.value))

    def synchronise(self):
        """Makes the replicas' batch-norm statistics, and their averages, their mean.

        Each replica has seen its own share; the mean of moving averages is the moving
        average of the means. Without this only replica 0's would be kept.
        """
        if self.replicas > 1:
            self._synchronise()

    @tf.function
    def _synchronise(self):
        own = [v.value for v in statistics(self.model)]
        if self.averages:
            own += self.averages[-len(own) :] if own else []

        def replica():
            context = tf.distribute.get_replica_context()
            means = context.all_reduce('MEAN', [tf.identity(v) for v in own])
            for variable, mean in zip(own, means, strict=True):
                _assign(variable, mean)

        if own:
            self.devices.run(replica)

    @contextlib.contextmanager
    def averaged(self):
        """The model has the moving averages of its weights, if there are any."""
        own = [v.numpy() for v in self.moved] if self.averages else []
        self.take_averages()
        yield self.model
        for variable, value in zip(self.moved, own, strict=bool(own)):
            variable.assign(value)

    def take_averages(self):
        """Gives the model the moving averages of its weights, if there are any."""
        for variable, average in zip(self.moved, self.averages, strict=False):
            variable.assign(_local(average))

    def raise_if_diverged(self):
        if (step := int(self.diverged.numpy())) >= 0:
            raise Diverged(step, self.hparams)


def _beside(variable, value):
    """A variable that goes with one of the model's."""
    return tf.Variable(value, trainable=False, name=variable.name)


def _assign(variable, value):
    """Sets a variable in one replica alone."""
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)


def _local(variable):
    """The value here of a variable that may be mirrored."""
    return getattr(variable, 'values', [variable])[0].numpy()
