"""Max pooling whose gradient XLA computes without a scatter."""

from collections.abc import Callable

import tensorflow as tf
from keras import layers


class MaxPooling2D(layers.MaxPooling2D):
    """Keras' layer, with a choice of how its gradient is computed.

    Attributes:
        by_comparison: whether it is made by comparing; it goes to the first maximum of
            a window in either case. XLA's own is a scatter, of which a GPU adds up
            overlapping windows in any order, or one after the other where operations
            must be deterministic. Whoever compiles the gradient sets it.
    """

    by_comparison = False

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if not self.by_comparison or self.data_format != 'channels_last':
            return super().call(inputs)
        return max_pool(inputs, self.pool_size, self.strides, self.padding.upper())


def max_pool(
    x: tf.Tensor, size: tuple[int, int], strides: tuple[int, int], padding: str
) -> tf.Tensor:
    """tf.nn.max_pool2d of x [b, h, w, c], whose gradient compares instead of scatters.

    padding: 'SAME' or 'VALID'.
    """

    @tf.custom_gradient
    def pooled(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        y = tf.nn.max_pool2d(x, size, strides, padding)

        def gradient(dy: tf.Tensor) -> tf.Tensor:
            return _max_pool_gradient(x, y, dy, size, strides, padding)

        return y, gradient

    return pooled(x)


def _max_pool_gradient(x, y, dy, size, strides, padding):
    """dx: each dy goes to the first place of its window at which x is the maximum y."""
    sides = [
        _padded(x.shape[1 + i], y.shape[1 + i], size[i], strides[i], padding)
        for i in range(2)
    ]
    around = [[0, 0], sides[0], sides[1], [0, 0]]
    padded = tf.pad(x, around, constant_values=x.dtype.min)
    height, width = padded.shape[1:3]
    free = tf.ones_like(y, tf.bool)  # Windows of which no place was the maximum yet.
    total = tf.zeros_like(padded)
    for i in range(size[0]):
        for j in range(size[1]):
            rows, columns = (
                start + step * (count - 1) + 1
                for start, step, count in zip(
                    (i, j), strides, y.shape[1:3], strict=True
                )
            )
            place = padded[:, i : rows : strides[0], j : columns : strides[1]]
            chosen = free & (place == y)
            free &= ~chosen
            part = tf.where(chosen, dy, tf.zeros_like(dy))
            part = _spread(_spread(part, 1, strides[0]), 2, strides[1])
            total += tf.pad(
                part,
                [[0, 0], [i, height - rows], [j, width - columns], [0, 0]],
            )
    (top, _), (left, _) = sides
    return total[:, top : top + x.shape[1], left : left + x.shape[2]]


def _padded(length, windows, size, stride, padding):
    """[before, after]: places that a side of an image gets."""
    if padding == 'VALID':
        return [0, 0]
    whole = max((windows - 1) * stride + size - length, 0)
    return [whole // 2, whole - whole // 2]


def _spread(x, axis, stride):
    """With stride - 1 zeros between two neighbours along an axis."""
    if stride == 1:
        return x
    shape = [-1, *x.shape[1:]]
    shape[axis] *= stride
    x = tf.expand_dims(x, axis + 1)
    x = tf.pad(x, [[0, stride - 1] if i == axis + 1 else [0, 0] for i in range(5)])
    shape_of_result = [*shape]
    shape_of_result[axis] -= stride - 1
    return tf.slice(tf.reshape(x, shape), [0] * 4, shape_of_result)
