"""A network over a split: every image once, as NumPy arrays."""

import numpy as np
import tensorflow as tf
import tqdm


def predict(model, batches, indices, *, devices=None, show='Predicting'):
    """Outputs of `model` for the images of `indices`, in that order.

    Args:
        model: keras.Model: image -> {features f32 [b, d], logits f32 [b, k]}.
        batches: inputs.evaluation of the same indices; index -1 fills up, is dropped.
        indices: i64 [n].
        devices: tf.distribute.Strategy; the batch must divide by its replicas.
        show: what the progress bar says.

    Returns:
        {features f32 [n, d], logits f32 [n, k], label i32 [n, ...], index i64 [n]}.

    Raises:
        RuntimeError: an image was not predicted exactly once.
    """
    devices = devices or tf.distribute.get_strategy()
    keep = ('features', 'logits')

    def replica(batch):
        outputs = model(batch['image'], training=False)
        return {k: outputs[k] for k in keep} | {k: batch[k] for k in ('label', 'index')}

    step = tf.function(lambda batch: devices.run(replica, args=(batch,)))
    parts = []
    total = int(batches.cardinality())
    distributed = devices.experimental_distribute_dataset(batches)
    for batch in tqdm.tqdm(distributed, show, total, unit='batch', leave=False):
        out = step(batch)
        local = [
            dict(zip(out, values, strict=True))
            for values in zip(
                *(devices.experimental_local_results(v) for v in out.values()),
                strict=True,
            )
        ]
        for part in local:
            part = {k: v.numpy() for k, v in part.items()}
            real = part['index'] >= 0
            parts.append({k: v[real] for k, v in part.items()})
    result = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
    if not np.array_equal(result['index'], indices):
        raise RuntimeError(
            f'{len(indices)} images were to be predicted once, in order; got '
            f'{len(result["index"])}, {len(np.unique(result["index"]))} of them '
            'different.'
        )
    return result
