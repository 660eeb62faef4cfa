"""What is minimised, and what is counted beside it."""

import tensorflow as tf


def cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0
) -> tf.Tensor:
    """Cross-entropy per image, f32 [b].

    labels i32 [b]: softmax; i32 [b, k] of 1, 0, -1: k sigmoids, summed, without the
    classes that are -1 (difficult) in the image. logits f32 [b, k].
    """
    if labels.shape.rank == 1:
        target = tf.one_hot(labels, logits.shape[-1])
        target += label_smoothing * (1 / logits.shape[-1] - target)
        return tf.nn.softmax_cross_entropy_with_logits(target, logits)
    target = tf.cast(labels, logits.dtype)
    per_class = tf.nn.sigmoid_cross_entropy_with_logits(
        target + label_smoothing * (0.5 - target), logits
    )
    return tf.reduce_sum(tf.where(labels < 0, 0.0, per_class), axis=-1)


def hits(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """How many images of the batch have all their labels right, f32."""
    if labels.shape.rank == 1:
        right = tf.argmax(logits, -1, tf.int32) == labels
    else:
        known = labels >= 0
        right = tf.reduce_all(((logits > 0) == (labels > 0)) | ~known, axis=-1)
    return tf.reduce_sum(tf.cast(right, tf.float32))
