"""SGD with Nesterov momentum, or AdamW: what is done with a gradient, and its state.

The state is in three objects, each a list of variables beside the model's own:
`Optimizer.momenta` (and `variances`), `MovingAverages.averages` and `LossScale`'s two
numbers. All of it is in checkpoints. All is called in one replica, but
`MovingAverages.take`.
"""

import collections.abc
import contextlib

import keras
import tensorflow as tf

from tfxfer import config
from tfxfer.training import schedules

BETA_2, EPSILON = 0.999, 1e-8  # Of AdamW: its authors' and PyTorch's.
_GROWTH = 2000  # Steps without overflow after which float16's loss scale doubles.


def kernels(model: keras.Model) -> list[keras.Variable]:
    """The variables that weight decay applies to: no biases, no batch norm."""
    return [v for v in model.trainable_variables if len(v.shape) > 1]


def statistics(model: keras.Model) -> list[keras.Variable]:
    """The variables that are not trained but move: means and variances."""
    return [v for v in model.non_trainable_variables if v.dtype == 'float32']


class MovingAverages:
    """Moving averages of weights and batch-norm statistics, which are evaluated.

    Attributes:
        moved: the model's variables that training moves, its statistics at the end.
        averages: one for each of them; [] where the decay is 0.
    """

    def __init__(self, model: keras.Model, decay: float):
        self.decay = decay
        self.moved = [*model.trainable_variables, *statistics(model)]
        self.averages = [_variable_beside(v, v.value) for v in self.moved if decay]

    def update(self, step: tf.Tensor) -> None:
        """step: steps done before this one.

        As tf.train.ExponentialMovingAverage with num_updates, so that a short
        training's average forgets its start.
        """
        if not self.averages:
            return
        count = tf.cast(step, tf.float32)
        decay = tf.minimum(self.decay, (1 + count) / (10 + count))
        for average, variable in zip(self.averages, self.moved, strict=True):
            assign_here(average, average - (1 - decay) * (average - variable.value))

    def take(self) -> None:
        """Gives the model the averages, if there are any."""
        for variable, average in zip(self.moved, self.averages, strict=False):
            variable.assign(_value_here(average))

    @contextlib.contextmanager
    def taken(self) -> collections.abc.Iterator[None]:
        """The model has the averages, if there are any, within the block."""
        weights = [v.numpy() for v in self.moved] if self.averages else []
        self.take()
        yield
        for variable, value in zip(self.moved, weights, strict=bool(weights)):
            variable.assign(value)


class LossScale:
    """The factor on float16's loss, so that its gradients neither vanish nor overflow.

    Attributes:
        enabled: in other precisions the factor is not used, and never changes.
        scale: f32, a power of two.
        stable: i32, steps without overflow since it changed.
    """

    def __init__(self, model: keras.Model):
        self.enabled = model.dtype_policy.compute_dtype == 'float16'
        self.scale = tf.Variable(2.0**15, trainable=False)
        self.stable = tf.Variable(0, trainable=False)

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        return loss * self.scale if self.enabled else loss

    def unscaled(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        return [g / self.scale for g in gradients] if self.enabled else gradients

    def update(self, finite: tf.Tensor) -> None:
        """Halves the factor after an overflow; doubles it after many steps without."""
        stable = tf.where(finite, self.stable + 1, 0)
        grown = tf.where(stable == _GROWTH, 2 * self.scale, self.scale)
        assign_here(
            self.scale, tf.where(finite, grown, tf.maximum(self.scale / 2, 1.0))
        )
        assign_here(self.stable, stable % _GROWTH)


class Optimizer:
    """Weight decay, clipping, Nesterov momentum, moving averages: one step of each.

    The momentum is that of Sutskever et al. (2013), by TensorFlow's fused kernel, and
    so are the moments of AdamW (Kingma & Ba 2015, section 2, the last lines).

    Attributes:
        schedule: step -> learning rate.
        momenta: a velocity, or first moment, for each trainable variable.
        variances: a second moment for each with AdamW; [] with SGD.
        averages: MovingAverages.
        loss_scale: LossScale.
    """

    def __init__(
        self, model: keras.Model, hparams: config.Sgd, schedule: schedules.Schedule
    ):
        """To be called in the scope of the devices."""
        self.hparams, self.schedule = hparams, schedule
        self.variables = model.trainable_variables
        self.decayed = {id(v) for v in kernels(model)}
        self.momenta = [
            _variable_beside(v, tf.zeros_like(v.value)) for v in self.variables
        ]
        self.variances = [
            _variable_beside(v, tf.zeros_like(v.value))
            for v in self.variables
            if hparams.optimizer == 'adamw'
        ]
        self.averages = MovingAverages(model, hparams.ema)
        self.loss_scale = LossScale(model)

    def apply(self, gradients: list[tf.Tensor], step: tf.Tensor) -> tf.Tensor:
        """Moves the weights; returns the norm of what is applied, before clipping.

        A step whose float16 gradients overflow is left out, and its norm is 0.

        gradients: of the scaled loss, by trainable variable; step: steps done before.
        """
        gradients = self._with_weight_decay(self.loss_scale.unscaled(gradients))
        norm = tf.linalg.global_norm(gradients)
        gradients = self._clipped(gradients, norm)
        if not self.loss_scale.enabled:
            self._move(gradients, step)
            return norm
        finite = tf.math.is_finite(norm)
        tf.cond(finite, lambda: self._move(gradients, step), lambda: None)
        self.loss_scale.update(finite)
        return tf.where(finite, norm, 0.0)

    def _with_weight_decay(self, gradients):
        """wd / lr x w more on kernels: the rate multiplies it, so that wd w remains."""
        hparams = self.hparams
        if not hparams.wd or self.variances:
            return gradients
        return [
            g + hparams.wd / hparams.lr * v.value if id(v) in self.decayed else g
            for g, v in zip(gradients, self.variables, strict=True)
        ]

    def _clipped(self, gradients, norm):
        if not self.hparams.clip:
            return gradients
        shrink = self.hparams.clip / tf.maximum(norm, self.hparams.clip)
        return [g * shrink for g in gradients]

    def _move(self, gradients, step):
        move = self._adamw if self.variances else self._sgd
        move(gradients, self.schedule(step), step)
        self.averages.update(step)

    def _sgd(self, gradients, rate, step):
        del step
        triples = zip(self.variables, self.momenta, gradients, strict=True)
        for variable, momentum, gradient in triples:
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=variable.value.handle, accum=momentum.handle, lr=rate,
                grad=gradient, momentum=self.hparams.momentum, use_nesterov=True,
            )  # fmt: skip

    def _adamw(self, gradients, rate, step):
        """rate x wd x w less on kernels, then Adam's step of the gradient alone."""
        beta, count = self.hparams.momentum, tf.cast(step + 1, tf.float32)
        state = zip(
            self.variables, self.momenta, self.variances, gradients, strict=True
        )
        for variable, first, second, gradient in state:
            if self.hparams.wd and id(variable) in self.decayed:
                kept = 1 - rate * self.hparams.wd
                assign_here(variable.value, kept * variable.value)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.value.handle, m=first.handle, v=second.handle,
                beta1_power=beta**count, beta2_power=BETA_2**count, lr=rate,
                beta1=beta, beta2=BETA_2, epsilon=EPSILON, grad=gradient,
            )  # fmt: skip


def assign_here(variable: tf.Variable, value: tf.Tensor) -> None:
    """Sets a variable in one replica alone."""
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)


def _variable_beside(variable, value):
    """A variable that goes with one of the model's."""
    return tf.Variable(value, trainable=False, name=variable.name)


def _value_here(variable):
    """The value here of a variable that may be mirrored."""
    return getattr(variable, 'values', [variable])[0].numpy()
