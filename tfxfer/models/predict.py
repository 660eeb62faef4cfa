"""A network over a split: every image once, as NumPy arrays."""

import collections

import numpy as np
import tensorflow as tf
import tqdm

from tfxfer import errors
from tfxfer.models import openvino


def predict(
    model,
    batches,
    indices,
    *,
    devices=None,
    show='Predicting',
    precision='float32',
    outputs=('features', 'logits'),
):
    """Outputs of `model` for the images of `indices`, in that order.

    Args:
        model: keras.Model: image -> {features f32 [b, d], logits f32 [b, k]}.
        batches: inputs.evaluation of the same indices; index -1 fills up, is dropped.
        indices: i64 [n].
        devices: tf.distribute.Strategy; the batch must divide by its replicas.
        show: what the progress bar says.
        precision: one of config.PRECISIONS, of the arithmetic inside.
        outputs: which of the model's; nothing else is computed.

    Returns:
        {features f32 [n, d], logits f32 [n, k], label i32 [n, ...], index i64 [n]}.

    Raises:
        errors.InputError: see engine.check; or bfloat16 with several replicas.
        RuntimeError: an image was not predicted exactly once.
    """
    parts = list(
        stream(
            model,
            batches,
            devices=devices,
            show=show,
            precision=precision,
            outputs=outputs,
        )
    )
    result = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
    if not np.array_equal(result['index'], indices):
        raise RuntimeError(
            f'{len(indices)} images were to be predicted once, in order; got '
            f'{len(result["index"])}, {len(np.unique(result["index"]))} of them '
            'different.'
        )
    return result


def stream(model, batches, *, devices, show, precision, outputs):
    """Yields what `predict` returns in parts, as they are computed.

    On a processor a network runs compiled (engine.py), with the weights that it has at
    the first part.
    """
    devices = devices or tf.distribute.get_strategy()
    replicas = devices.num_replicas_in_sync
    # First: on another processor it would be refused for this reason all the same.
    if precision != 'float32' and replicas > 1:
        raise errors.InputError(
            f'precision={precision} is for one device; these are {replicas} replicas. '
            'Use float32.'
        )
    openvino.check(precision)
    if replicas == 1 and openvino.available():
        parts = _compiled(model, batches, outputs, precision, show)
    else:
        parts = _distributed(model, batches, outputs, devices, show)
    for part in parts:
        real = part['index'] >= 0
        yield {k: v[real] for k, v in part.items()}


def _progress(batches, total, show):
    return tqdm.tqdm(batches, show, total, unit='batch', leave=False)


def _compiled(model, batches, outputs, precision, show):
    """Batches of NumPy arrays, each started before the one before it is waited for."""
    spec = batches.element_spec['image']
    with openvino.compiled(model, spec, outputs, precision=precision) as start:
        begun = collections.deque()
        for batch in _progress(batches, int(batches.cardinality()), show):
            facts = {k: batch[k].numpy() for k in ('label', 'index')}
            begun.append((start(batch['image'].numpy()), facts))
            if len(begun) > 1:
                finish, facts = begun.popleft()
                yield finish() | facts
        for finish, facts in begun:
            yield finish() | facts


def _distributed(model, batches, outputs, devices, show):
    """Shares of batches as NumPy arrays, in order."""

    def replica(batch):
        given = model(batch['image'], training=False)
        facts = {k: batch[k] for k in ('label', 'index')}
        return {k: given[k] for k in outputs} | facts

    step = tf.function(lambda batch: devices.run(replica, args=(batch,)))
    distributed = devices.experimental_distribute_dataset(batches)
    for batch in _progress(distributed, int(batches.cardinality()), show):
        out = step(batch)
        for values in zip(
            *(devices.experimental_local_results(v) for v in out.values()), strict=True
        ):
            yield {k: v.numpy() for k, v in zip(out, values, strict=True)}
