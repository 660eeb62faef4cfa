"""A Keras model as it predicts fastest on a CPU: compiled by OpenVINO.

OpenVINO reads TensorFlow's graph, folds batch norm into the kernels and fuses what is
left. Batches are cut into requests of a few images, which run side by side: what one
layer leaves is still in a core's cache when the next one reads it. The same
mathematics, rounded differently.
"""

import contextlib
import logging
import os
import pathlib
import tempfile
import typing
import weakref
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxfer import config, errors, openvino_runtime, storage
from tfxfer.models import int8

# Any of them multiplies bfloat16 numbers; without, the same takes longer than float32.
BFLOAT16_FLAGS = ('avx512_bf16', 'amx_bf16')

# Any of them multiplies 8-bit integers; without, int8 gains less (docs/benchmarks.md).
INT8_FLAGS = ('avx512_vnni', 'avx_vnni', 'amx_int8')

# Of a request: about five images of 224 x 224. With more, layers' outputs leave the
# caches; with fewer, kernels are read too often.
_PIXELS = 2**18

# {network: (its weights and use, what was compiled of them)}, the last one of each:
# compiling takes seconds, and a Run predicts several splits with the same weights.
_last_compiled: weakref.WeakKeyDictionary[keras.Model, tuple[tuple, typing.Any]]
_last_compiled = weakref.WeakKeyDictionary()


class Unsupported(Exception):
    """OpenVINO cannot run a network; TensorFlow can."""


def available() -> bool:
    """Whether networks run in OpenVINO here: on a CPU, which GPUs outrun."""
    return not tf.config.list_logical_devices('GPU')


def check(precision: str, cpuinfo: str | os.PathLike = '/proc/cpuinfo') -> None:
    """Whether OpenVINO can compute in a precision on this CPU.

    Args:
        precision: one of config.PRECISIONS; OpenVINO has openvino_runtime.PRECISIONS.
        cpuinfo: where Linux says what the CPU can do.

    Raises:
        errors.InputError: unknown, or something that it needs is lacking.
    """
    errors.find('precision', dict.fromkeys(config.PRECISIONS), precision)
    lacking = None
    if precision == 'bfloat16' and not set(BFLOAT16_FLAGS) & _cpu_flags(cpuinfo):
        lacking = f'needs a CPU with {" or ".join(BFLOAT16_FLAGS)}, or a GPU'
    elif precision not in openvino_runtime.PRECISIONS:
        lacking = 'is for GPUs, and TensorFlow sees none'
    if precision == 'int8':
        int8.check()
    if lacking:
        raise errors.InputError(f'precision={precision} {lacking}. Use float32.')


def _cpu_flags(cpuinfo: str | os.PathLike) -> set[str]:
    """Of the first CPU; none where there is no such file."""
    file = pathlib.Path(cpuinfo)
    lines = file.read_text(encoding='utf-8').splitlines() if file.exists() else ()
    flags = (line.partition(':')[2] for line in lines if line.startswith('flags'))
    return set(next(flags, '').split())


@contextlib.contextmanager
def compiled(
    model: keras.Model,
    spec: tf.TensorSpec,
    outputs: Sequence[str],
    *,
    precision: str = 'float32',
    calibration: np.ndarray | None = None,
) -> Iterator[Callable[[np.ndarray], Callable[[], dict[str, np.ndarray]]]]:
    """A function that predicts with the weights that a model has now.

    Args:
        model: keras.Model: image -> {name: array}.
        spec: tf.TensorSpec of a batch of images, its shape known.
        outputs: names of what to compute; the layers that serve others do not run.
        precision: of the arithmetic inside, one of openvino_runtime.PRECISIONS.
        calibration: of int8, images as those of `spec`: a multiple of a batch.

    Yields:
        A function: images, NumPy [b, h, w, 3] -> a function without arguments that
        waits for {name: NumPy array [b, ...]}. The next batch may be started before.

    Raises:
        errors.InputError: weights are not finite; or see check, int8.quantised.
        ValueError: int8 without images to quantise by.
        Unsupported: the network has an operation that OpenVINO lacks.
    """
    check(precision)
    if (precision == 'int8') != (calibration is not None):
        raise ValueError(f'calibration is for int8 alone, which needs it: {precision}')
    size = request_size(spec.shape)
    shape = [size, *spec.shape[1:]]
    key = (*shape, spec.dtype, *outputs, precision, *_digests_of_weights(model))
    if calibration is not None:
        key += (storage.digest(calibration),)
    network: typing.Any
    held, network = _last_compiled.pop(model, (None, None))
    if held != key:
        del network  # Before there are two of them in memory.
        network = compiled_network(
            model, shape, spec.dtype, outputs, precision, calibration
        )
    _last_compiled[model] = key, network
    # All from the caller's thread, whose requests queue up inside.
    idle: list[typing.Any] = []

    def start(images: np.ndarray) -> Callable[[], dict[str, np.ndarray]]:
        requests = []
        for i in range(0, len(images), size):
            requests.append(idle.pop() if idle else network.create_infer_request())
            requests[-1].start_async([images[i : i + size]], share_inputs=True)

        def finish() -> dict[str, np.ndarray]:
            for request in requests:
                request.wait()
            arrays = {
                name: np.concatenate([each.get_tensor(name).data for each in requests])
                for name in outputs
            }
            idle.extend(requests)
            return arrays

        return finish

    yield start


def _digests_of_weights(model: keras.Model) -> Iterator[str]:
    """One of each variable, all of which must be finite.

    OpenVINO's ReLU makes a NaN 0: what follows would look like features.
    """
    for weights in model.variables:
        values = weights.numpy()
        if not np.isfinite(values).all():
            raise errors.InputError(
                f'The weights {weights.path} are not all finite: the file is damaged, '
                'or the training that made them diverged.'
            )
        yield storage.digest(values)


def request_size(shape: Sequence[int]) -> int:
    """Images of a request, so that a batch has a whole number of them."""
    batch, height, width, _ = shape
    most = max(_PIXELS // (height * width), 1)
    return next(size for size in range(most, 0, -1) if batch % size == 0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without TensorFlow's log line for each file that it writes."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def compiled_network(
    model: keras.Model,
    shape: Sequence[int],
    dtype: tf.DType,
    outputs: Sequence[str],
    precision: str,
    calibration: np.ndarray | None = None,
) -> typing.Any:
    """openvino.CompiledModel of images [*shape] whose outputs have these names."""
    module = tf.Module()
    module.network_variables = [each.value for each in model.variables]

    spec = tf.TensorSpec(shape, dtype, 'image')

    @tf.function(input_signature=[spec], autograph=False)
    def infer(image):
        computed = model(tf.cast(image, tf.float32), training=False)
        return {name: computed[name] for name in outputs}

    with tempfile.TemporaryDirectory() as folder:
        with storage.naming(folder), _quiet():
            tf.saved_model.save(module, folder, signatures=infer)
        with _unsupported():
            graph = openvino_runtime.core().read_model(folder)
        if calibration is not None:
            graph = int8.quantised(graph, calibration, model.name)
        with _unsupported():
            return openvino_runtime.compiled(graph, 'THROUGHPUT', precision)


@contextlib.contextmanager
def _unsupported() -> Iterator[None]:
    """Says which operation OpenVINO lacks."""
    try:
        yield
    except Exception as error:  # OpenVINO raises many kinds.
        reason = str(error).strip().splitlines() or ['']
        lacking = [line for line in reason if 'No conversion rule' in line]
        raise Unsupported((lacking or reason)[-1].strip('- ')) from error
