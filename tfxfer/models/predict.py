"""A network over a split: every image once, as NumPy arrays."""

import collections
import contextlib
import dataclasses
import typing
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from tfxfer import config, errors
from tfxfer.models import openvino, xla

Arrays = dict[str, np.ndarray]
# Images -> what waits for their outputs; see openvino.compiled and xla.compiled.
Start = Callable[[tf.Tensor], Callable[[], Arrays]]
CPU_BATCH = 64  # Images that OpenVINO is given at once.


@dataclasses.dataclass(frozen=True, eq=False)
class Inference:
    """How a network predicts.

    Attributes:
        outputs: which of the model's; nothing else is computed.
        precision: of the arithmetic inside, one of config.PRECISIONS; on a CPU, of
            openvino_runtime.PRECISIONS.
        devices: tf.distribute.Strategy; the batch must divide by its replicas. None:
            the default one.
        title: of the progress bar.
        gpu: as on a GPU, or as on a CPU; None: as this machine is.
        jit_compile: on a GPU, by XLA; None: where there are enough images for it.
        calibration: of int8, images [n, h, w, 3] as those of the batches.
        used: called with what computes: 'openvino', 'xla' or 'tensorflow'.
    """

    outputs: tuple[str, ...] = ('features', 'logits')
    precision: str = 'float32'
    devices: tf.distribute.Strategy | None = None
    title: str = 'Predicting'
    gpu: bool | None = None
    jit_compile: bool | None = None
    calibration: np.ndarray | None = None
    used: Callable[[str], None] = lambda backend: None


def check(precision: str, *, gpu: bool | None = None) -> None:
    """Whether networks can predict in a precision here.

    Args:
        precision: one of config.PRECISIONS.
        gpu: as Inference.gpu.

    Raises:
        errors.InputError: unknown, or something that it needs is lacking.
    """
    errors.find('precision', dict.fromkeys(config.PRECISIONS), precision)
    if not _on_gpu(gpu):
        openvino.check(precision)
    elif precision not in xla.PRECISIONS:
        raise errors.InputError(
            f'precision={precision} is for CPUs, and TensorFlow uses a GPU. Use '
            f'{" or ".join(xla.PRECISIONS)}.'
        )


def policy(precision: str) -> str:
    """Keras' dtype policy of the layers of a network that predicts in a precision.

    On a CPU OpenVINO makes a float32 network one of another precision.
    """
    return config.POLICIES.get(precision, 'float32') if _on_gpu(None) else 'float32'


def batch_size(size: int, devices: tf.distribute.Strategy | None = None) -> int:
    """Images per batch that are fastest here.

    Args:
        size: side of the images in pixels.
        devices: as Inference.devices.
    """
    replicas = devices.num_replicas_in_sync if devices else 1
    return replicas * (xla.batch_size(size) if _on_gpu(None) else CPU_BATCH)


def _on_gpu(gpu: bool | None) -> bool:
    return not openvino.available() if gpu is None else gpu


def predict(
    model: keras.Model,
    batches: tf.data.Dataset,
    indices: np.ndarray,
    inference: Inference | None = None,
) -> Arrays:
    """Outputs of `model` for the images of `indices`, in that order.

    Args:
        model: image -> {features f32 [b, d], logits f32 [b, k]}.
        batches: pipeline.evaluation of the same indices; index -1 fills up, is dropped.
        indices: i64 [n].
        inference: Inference.

    Returns:
        {features f32 [n, d], logits f32 [n, k], label i32 [n, ...], index i64 [n]}.

    Raises:
        errors.InputError: see openvino.check; or bfloat16 with several replicas.
        RuntimeError: an image was not predicted exactly once.
    """
    parts = list(stream(model, batches, inference))
    result = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
    if not np.array_equal(result['index'], indices):
        raise RuntimeError(
            f'{len(indices)} images were to be predicted once, in order; got '
            f'{len(result["index"])}, {len(np.unique(result["index"]))} of them '
            'different.'
        )
    return result


def stream(
    model: keras.Model, batches: tf.data.Dataset, inference: Inference | None = None
) -> Iterator[Arrays]:
    """Yields what `predict` returns in parts, as they are computed.

    On a CPU a network runs compiled by OpenVINO, with the weights that it has at the
    first part; on a GPU compiled by XLA.
    """
    inference = inference or Inference()
    devices = inference.devices or tf.distribute.get_strategy()
    replicas = devices.num_replicas_in_sync
    on_gpu = _on_gpu(inference.gpu)
    # Before check, so that the answer does not depend on this machine's CPU.
    if not on_gpu and inference.precision != 'float32' and replicas > 1:
        raise errors.InputError(
            f'precision={inference.precision} is for one device here, and these are '
            f'{replicas} replicas. Use float32.'
        )
    check(inference.precision, gpu=inference.gpu)
    with contextlib.ExitStack() as stack:
        if replicas > 1:
            parts = _distributed(model, batches, inference, devices)
        elif on_gpu:
            parts = _by_xla(model, batches, inference)
        else:
            parts = _by_openvino(stack, model, batches, inference)
        for part in parts:
            real = part['index'] >= 0
            yield {k: v[real] for k, v in part.items()}


def _progress(
    batches: typing.Any, total: int, inference: Inference
) -> Iterator[typing.Any]:
    return iter(tqdm.tqdm(batches, inference.title, total, unit='batch', leave=False))


def _by_openvino(
    stack: contextlib.ExitStack,
    model: keras.Model,
    batches: tf.data.Dataset,
    inference: Inference,
) -> Iterator[Arrays]:
    """As OpenVINO computes them; as TensorFlow does where OpenVINO cannot.

    Raises:
        errors.InputError: it must not: the precision is OpenVINO's.
    """
    spec = batches.element_spec['image']
    outputs, precision = inference.outputs, inference.precision
    try:
        start = stack.enter_context(
            openvino.compiled(
                model,
                spec,
                outputs,
                precision=precision,
                calibration=inference.calibration,
            )
        )
    except openvino.Unsupported as error:
        if precision != 'float32':
            raise errors.InputError(
                f'OpenVINO, which computes in {precision}, cannot run {model.name} '
                f'({error}). Use float32.'
            ) from error
        logging.warning(
            'OpenVINO cannot run %s (%s). TensorFlow does, more slowly.',
            model.name,
            error,
        )
        plain = xla.compiled(model, spec, outputs, jit_compile=False)
        inference.used('tensorflow')
        return _started(plain, batches, int(batches.cardinality()), inference)
    inference.used('openvino')
    total = int(batches.cardinality())
    return _started(lambda image: start(image.numpy()), batches, total, inference)


def _by_xla(
    model: keras.Model, batches: tf.data.Dataset, inference: Inference
) -> Iterator[Arrays]:
    """As one GPU computes them, or TensorFlow's CPU in its place.

    The next batches are copied to the device while it computes.
    """
    spec = batches.element_spec['image']
    total, jit_compile = int(batches.cardinality()), inference.jit_compile
    if jit_compile is None:
        jit_compile = total * spec.shape[0] >= xla.COMPILED_FROM
    function = xla.compiled(
        model,
        spec,
        inference.outputs,
        precision=inference.precision,
        jit_compile=jit_compile,
    )
    ahead = tf.data.experimental.prefetch_to_device(xla.device(), buffer_size=2)
    for part in _started(function, batches.apply(ahead), total, inference):
        inference.used(function.backend)
        yield part


def _started(
    start: Start, batches: tf.data.Dataset, total: int, inference: Inference
) -> Iterator[Arrays]:
    """Batches of NumPy arrays, each started before the one before it is waited for."""
    started: collections.deque[tuple[Callable[[], Arrays], dict[str, tf.Tensor]]]
    started = collections.deque()
    for batch in _progress(batches, total, inference):
        started.append((start(batch['image']), batch))
        if len(started) > 1:
            yield _finished(*started.popleft())
    for finish, batch in started:
        yield _finished(finish, batch)


def _finished(finish: Callable[[], Arrays], batch: dict[str, tf.Tensor]) -> Arrays:
    return finish() | {k: batch[k].numpy() for k in ('label', 'index')}


def _distributed(
    model: keras.Model,
    batches: tf.data.Dataset,
    inference: Inference,
    devices: tf.distribute.Strategy,
) -> Iterator[Arrays]:
    """Shares of batches as NumPy arrays, in order."""
    infer = xla.forward(model, inference.outputs, inference.precision)

    def replica(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return infer(batch['image']) | {k: batch[k] for k in ('label', 'index')}

    step = tf.function(
        lambda batch: devices.run(replica, args=(batch,)), autograph=False
    )
    inference.used('tensorflow')
    distributed = devices.experimental_distribute_dataset(batches)
    total = int(batches.cardinality())
    for batch in _progress(distributed, total, inference):
        out = step(batch)
        for values in zip(
            *(devices.experimental_local_results(v) for v in out.values()), strict=True
        ):
            yield {k: v.numpy() for k, v in zip(out, values, strict=True)}
