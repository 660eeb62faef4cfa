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

from tfxfer import errors
from tfxfer.models import openvino

Arrays = dict[str, np.ndarray]
Start = Callable[[np.ndarray], Callable[[], Arrays]]  # See openvino.compiled.


@dataclasses.dataclass(frozen=True)
class Inference:
    """How a network predicts.

    Attributes:
        outputs: which of the model's; nothing else is computed.
        precision: of the arithmetic inside, one of openvino_runtime.PRECISIONS.
        devices: tf.distribute.Strategy; the batch must divide by its replicas. None:
            the default one.
        title: of the progress bar.
    """

    outputs: tuple[str, ...] = ('features', 'logits')
    precision: str = 'float32'
    devices: tf.distribute.Strategy | None = None
    title: str = 'Predicting'


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

    On a CPU a network runs compiled (openvino.py), with the weights that it has at the
    first part.
    """
    inference = inference or Inference()
    devices = inference.devices or tf.distribute.get_strategy()
    replicas = devices.num_replicas_in_sync
    # Before openvino.check, so that the answer does not depend on this machine's CPU.
    if inference.precision != 'float32' and replicas > 1:
        raise errors.InputError(
            f'precision={inference.precision} is for one device, a CPU; these are '
            f'{replicas} replicas. Use float32.'
        )
    openvino.check(inference.precision)
    with contextlib.ExitStack() as stack:
        start = None
        if replicas == 1 and openvino.available():
            start = _compiled(stack, model, batches, inference)
        if start:
            parts = _started(start, batches, inference)
        else:
            parts = _distributed(model, batches, inference, devices)
        for part in parts:
            real = part['index'] >= 0
            yield {k: v[real] for k, v in part.items()}


def _progress(
    batches: typing.Any, counted: tf.data.Dataset, inference: Inference
) -> Iterator[typing.Any]:
    total = int(counted.cardinality())
    return iter(tqdm.tqdm(batches, inference.title, total, unit='batch', leave=False))


def _compiled(
    stack: contextlib.ExitStack,
    model: keras.Model,
    batches: tf.data.Dataset,
    inference: Inference,
) -> Start | None:
    """openvino.compiled until `stack` ends; None where TensorFlow must do it.

    Raises:
        errors.InputError: it must not: the precision is OpenVINO's.
    """
    spec = batches.element_spec['image']
    outputs, precision = inference.outputs, inference.precision
    try:
        return stack.enter_context(
            openvino.compiled(model, spec, outputs, precision=precision)
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
        return None


def _started(
    start: Start, batches: tf.data.Dataset, inference: Inference
) -> Iterator[Arrays]:
    """Batches of NumPy arrays, each started before the one before it is waited for."""
    started: collections.deque[tuple[Callable[[], Arrays], Arrays]]
    started = collections.deque()
    for batch in _progress(batches, batches, inference):
        rest = {k: batch[k].numpy() for k in ('label', 'index')}
        started.append((start(batch['image'].numpy()), rest))
        if len(started) > 1:
            finish, rest = started.popleft()
            yield finish() | rest
    for finish, rest in started:
        yield finish() | rest


def _distributed(
    model: keras.Model,
    batches: tf.data.Dataset,
    inference: Inference,
    devices: tf.distribute.Strategy,
) -> Iterator[Arrays]:
    """Shares of batches as NumPy arrays, in order."""

    def replica(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = model(batch['image'], training=False)
        rest = {k: batch[k] for k in ('label', 'index')}
        return {k: outputs[k] for k in inference.outputs} | rest

    step = tf.function(
        lambda batch: devices.run(replica, args=(batch,)), autograph=False
    )
    distributed = devices.experimental_distribute_dataset(batches)
    for batch in _progress(distributed, batches, inference):
        out = step(batch)
        for values in zip(
            *(devices.experimental_local_results(v) for v in out.values()), strict=True
        ):
            yield {k: v.numpy() for k, v in zip(out, values, strict=True)}
