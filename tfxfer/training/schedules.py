"""What follows from the number of steps: learning rate and batch norm's momentum."""

import math

import tensorflow as tf

from tfxfer import config


def batch_norm_momentum(images: int, batch: int) -> float:
    """max(1 - 10/s, 0.9) with s steps per epoch (paper, section A.3)."""
    return max(1 - 10 * batch / images, 0.9)


class Schedule:
    """Linear rise in the warm-up, then cosine to 0 or a factor per epoch.

    Attributes:
        epoch: steps, not rounded.
        warmup: steps, not rounded.
    """

    def __init__(self, hparams: config.Sgd, images: int):
        """images: of the training set; they make an epoch of images / batch steps."""
        self.hparams, self.epoch = hparams, images / hparams.batch
        self.warmup = hparams.warmup * self.epoch

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """The learning rate, f32, of a step counted from 0."""
        step, hparams = tf.cast(step, tf.float32), self.hparams
        since = tf.maximum(step - self.warmup, 0)
        if hparams.decay:
            factor = hparams.decay ** tf.floor(since / self.epoch)
        else:
            share = since / max(hparams.steps - self.warmup, 1)
            factor = (1 + tf.cos(math.pi * share)) / 2
        if self.warmup:
            factor *= tf.minimum(step / self.warmup, 1)
        return hparams.rate * factor
