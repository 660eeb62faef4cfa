"""Features of a split, from the disk where they were computed before."""

import hashlib
import json
import pathlib

import numpy as np

from tfxfer import inputs, predict, preprocess, results


def key_of(**facts):
    """Digest of all that determines the numbers; facts: what JSON takes."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(array):
    """Digest of an integer array: of indices, labels."""
    array = np.ascontiguousarray(array)
    head = f'{array.dtype} {array.shape} '.encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def extract(model, images, indices, size, batch, *, cache, facts, devices=None):
    """Features of `images` at `indices` (whole images, shorter side to `size`).

    Args:
        model: a function that returns the keras.Model, called only where the cache
            does not have the features.
        images: sources.Images.
        indices: i64 [n].
        size: side in pixels.
        batch: images a batch; does not change the numbers beyond rounding.
        cache: folder.
        facts: what else determines the numbers: network, weights, task, versions.
        devices: tf.distribute.Strategy.

    Returns:
        (x f32 [n, d], labels i32 [n] or [n, k]).
    """
    facts = {**facts, 'size': size, 'crop': 'whole', 'indices': digest(indices)}
    folder = pathlib.Path(cache) / 'features' / key_of(**facts)
    if not folder.is_dir():  # Moved here when complete.
        batches = inputs.evaluation(images, indices, size, preprocess.whole, batch)
        found = predict.predict(
            model(), batches, indices, devices=devices, show='Features'
        )
        with results.replacing_folder(folder) as aside:
            np.save(aside / 'features.npy', found['features'])
            np.save(aside / 'index.npy', found['index'])
            results.write_json(aside / 'facts.json', facts)
    return np.load(folder / 'features.npy'), images.labels[indices]
