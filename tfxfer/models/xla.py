"""A Keras model as it predicts fastest on a GPU: one function, compiled by XLA.

Images cross to the GPU as bytes and become numbers there. A call returns while the GPU
computes, so that the next batch is copied and started before the last one is waited
for. Weights are inputs of the function, not constants of its graph: hundreds of MB of
them are neither copied nor optimised. The same mathematics, rounded differently.
"""

import typing
import weakref
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from keras import layers

from tfxfer import config, errors
from tfxfer.models import float32

# Of config.PRECISIONS. TF32 is TensorFlow's choice of float32 products, which
# float32.allow_tf32 sets for the whole process.
PRECISIONS = ('float32', 'tf32', 'bfloat16', 'float16')
# Below so many images, compiling takes longer than it saves (docs/gpu.md).
COMPILED_FROM = 32_768
SMALLEST_BATCH, LARGEST_BATCH = 16, 256  # Beyond 256 images a GPU gains nothing.
# Of an image while a network computes, per pixel: 256 float32 channels at full size,
# more than any network here has at once.
_BYTES_PER_PIXEL = 4 * 256
_SHARE = 0.25  # Of the GPU's memory; the rest is for weights and for other layouts.

# {network: (its use, the function)}, the last one of each: compiling takes seconds, and
# a Run predicts several splits.
_last_compiled: weakref.WeakKeyDictionary[keras.Model, tuple[tuple, '_Function']]
_last_compiled = weakref.WeakKeyDictionary()


def device() -> str:
    """Where networks run: the first GPU; without one, the CPU."""
    return '/GPU:0' if tf.config.list_logical_devices('GPU') else '/CPU:0'


def batch_size(size: int, memory: int | None = None) -> int:
    """Images per batch, a power of two that the GPU's memory allows.

    Args:
        size: side of the images in pixels.
        memory: of the GPU, in bytes; None: of the first one here.
    """
    if memory is None:
        memory = _memory()
    fit = memory * _SHARE / (size * size * _BYTES_PER_PIXEL)
    power = 2 ** int(np.log2(max(fit, 1)))
    return min(max(power, SMALLEST_BATCH), LARGEST_BATCH)


def _memory() -> int:
    """Bytes that TensorFlow may take of the first GPU; 0 where there is none."""
    from tensorflow.python.client import device_lib

    found = [d for d in device_lib.list_local_devices() if d.device_type == 'GPU']
    return found[0].memory_limit if found else 0


def forward(
    model: keras.Model, outputs: Sequence[str], precision: str
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Images [b, h, w, 3] of any type -> {name: f32 [b, ...]}, in inference mode.

    Args:
        model: keras.Model: image -> {name: array}, whose layers compute in `precision`.
        outputs: names of what to compute.
        precision: one of config.PRECISIONS. In bfloat16 and float16 the mean over
            pixels is still taken in float32, where it is the last step.

    Raises:
        errors.InputError: the layers compute in another precision.
    """
    half = precision in config.HALF
    if half and not _computes_in(model, precision):
        raise errors.InputError(
            f'{model.name} does not compute in {precision} on a GPU: its graph has a '
            'precision of its own. Use float32.'
        )
    pooled = {name: model.output[name] for name in outputs}
    maps = {name: _before_pool(pooled[name]) for name in outputs} if half else {}
    maps = {name: tensor for name, tensor in maps.items() if tensor is not None}
    computed = keras.Model(model.inputs, pooled | maps)

    def infer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        found = computed(tf.cast(images, tf.float32), training=False)
        found = {name: tf.cast(found[name], tf.float32) for name in outputs}
        means = {name: tf.reduce_mean(found[name], (1, 2)) for name in maps}
        return found | means

    return infer


def _computes_in(model: keras.Model, precision: str) -> bool:
    """Whether any layer with weights does, but classifiers, which never do."""
    return any(
        layer.compute_dtype == precision and layer.weights
        for layer in model._flatten_layers(include_self=False)
    )


def _before_pool(tensor: keras.KerasTensor) -> keras.KerasTensor | None:
    """The maps [b, h, w, c] of which a tensor is the plain mean; None: of none."""
    pool = tensor._keras_history.operation
    if type(pool) is not layers.GlobalAveragePooling2D or pool.keepdims:
        return None
    return pool.input


def compiled(
    model: keras.Model,
    spec: tf.TensorSpec,
    outputs: Sequence[str],
    *,
    precision: str = 'float32',
    jit_compile: bool = True,
) -> '_Function':
    """A function that predicts, with the weights that a model has when it is called.

    Args:
        model: keras.Model: image -> {name: array}.
        spec: tf.TensorSpec of a batch of images, its shape known.
        outputs: names of what to compute; the layers that serve others do not run.
        precision: one of config.PRECISIONS, see forward.
        jit_compile: by XLA. Where XLA cannot, TensorFlow computes without it.

    Returns:
        A function: images [b, h, w, 3] -> a function without arguments that waits for
        {name: NumPy f32 [b, ...]}. The next batch may be started before.

    Raises:
        errors.InputError: see forward.
    """
    key = (
        *spec.shape, spec.dtype, *outputs, precision, jit_compile,
        float32.tf32_allowed(),
    )  # fmt: skip
    held, function = _last_compiled.get(model, (None, None))
    if held != key or function is None:
        infer = forward(model, outputs, precision)
        function = _Function(model.name, infer, spec, jit_compile=jit_compile)
        _last_compiled[model] = key, function
    return function


class _Function:
    """What `compiled` returns; it knows whether XLA could compile it.

    Attributes:
        backend: what computes: 'xla' or 'tensorflow'.
    """

    def __init__(
        self,
        name: str,
        infer: Callable[[tf.Tensor], dict[str, tf.Tensor]],
        spec: tf.TensorSpec,
        *,
        jit_compile: bool,
    ) -> None:
        """name: of the network, for messages; spec: of a batch of images."""
        self.backend = 'xla' if jit_compile else 'tensorflow'
        self._name = name
        # TensorFlow's graph is made along with XLA's: both are without the network,
        # whose entry in a table this is.
        self._plain = _graph(infer, spec, jit_compile=False)
        self._run = (
            _graph(infer, spec, jit_compile=True) if jit_compile else self._plain
        )
        self._tried = False

    def __call__(self, images: tf.Tensor) -> Callable[[], dict[str, np.ndarray]]:
        """Starts a batch; returns what waits for its outputs.

        Raises:
            errors.InputError: the batch does not fit into the device's memory.
        """
        with tf.device(device()):
            try:
                found = self._run(images) if self._tried else self._first(images)
            except tf.errors.ResourceExhaustedError as error:
                raise errors.InputError(
                    f'Out of memory: {self._name} with {len(images)} images at once. '
                    'Take smaller images, or precision=bfloat16.'
                ) from error
        return lambda: {name: value.numpy() for name, value in found.items()}

    def _first(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The first batch, at which XLA says what it cannot compile."""
        try:
            found = self._run(images)
        except tf.errors.ResourceExhaustedError:
            raise
        except tf.errors.OpError as error:
            if self._run is self._plain:
                raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            logging.warning(
                'XLA cannot compile %s (%s). TensorFlow runs it without, more slowly.',
                self._name, reason[0],
            )  # fmt: skip
            self._run, self.backend = self._plain, 'tensorflow'
            found = self._run(images)
        self._tried = True
        return found


def _graph(
    infer: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    spec: tf.TensorSpec,
    *,
    jit_compile: bool,
) -> typing.Any:
    function = tf.function(infer, autograph=False, jit_compile=jit_compile)
    return function.get_concrete_function(spec)
