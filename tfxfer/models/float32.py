"""Whether float32 is float32 on a GPU, or TF32, with a mantissa of 10 bits."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tfxfer import errors

CAPABILITY = 8, 0  # The first GPUs that have it, Ampere's.


def allow_tf32(allowed: bool) -> None:
    """Sets whether float32 products and convolutions may be computed in TF32.

    TensorFlow's default is that they are, wherever the GPU can; outputs of networks are
    then wrong by up to 1e-3 of the largest. Every program that computes with a network
    says which it wants, before it does.

    Raises:
        errors.InputError: it is asked for, and no GPU here has it.
    """
    if allowed and not _available():
        raise errors.InputError(
            'precision=tf32 is for NVIDIA GPUs of compute capability 8.0 (A100, RTX '
            '30) and newer, and there is none here. Use precision=float32.'
        )
    tf.config.experimental.enable_tensor_float_32_execution(allowed)


def tf32_allowed() -> bool:
    """Whether they may be."""
    return tf.config.experimental.tensor_float_32_execution_enabled()


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Float32 products are float32 for as long, whatever they were before and after."""
    allowed = tf32_allowed()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(allowed)


def _available() -> bool:
    details = map(
        tf.config.experimental.get_device_details,
        tf.config.list_physical_devices('GPU'),
    )
    return any(one.get('compute_capability', (0, 0)) >= CAPABILITY for one in details)
