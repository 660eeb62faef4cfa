"""How many images a second a network takes on this machine, from a few steps of it."""

import gc
import json
import pathlib
import statistics
import time
import typing

import keras
import numpy as np
import tensorflow as tf

from tfxfer import architectures, config, models, storage
from tfxfer.models import openvino
from tfxfer.training import distribution, sgd

BATCH = 16  # Images; larger ones are little faster, and all networks have room.
ROUNDS = 3  # Timed, after one that is not; the median counts.
CLASSES = 100  # The head hardly counts.


class Rate(typing.NamedTuple):
    """Images a second: in a training step, and once through for features or scores."""

    train: float
    infer: float


def measure(name, size=None, precision='float32'):
    """The Rate of an architecture with images in memory; input is left out.

    Args:
        name: key of ARCHITECTURES.
        size: pixels; None: the architecture's own.
        precision: a key of config.POLICIES, of training; features are in float32.
    """
    try:
        return _measured(architectures.ARCHITECTURES[name], size, precision)
    finally:
        keras.backend.clear_session()
        gc.collect()


def _measured(arch, size, precision):
    side = size or arch.input_size
    devices = distribution.strategy()
    batch = BATCH * devices.num_replicas_in_sync
    policy = config.POLICIES[precision]
    with devices.scope():
        model = models.build(
            arch, classes=CLASSES, weights=None, image_size=side, policy=policy
        )
    hparams = config.Finetune(batch=batch, wd=1e-6)
    trainer = sgd.Trainer(model, hparams, images=batch, devices=devices)
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (batch, side, side, 3)).astype(np.float32)
    labels = np.arange(batch, dtype=np.int32) % CLASSES
    data = tf.data.Dataset.from_tensors({'image': images, 'label': labels}).repeat()
    feed = iter(
        devices.experimental_distribute_dataset(data.unbatch().batch(batch, True))
    )
    wishes = tf.zeros(2)

    def step():
        return trainer.advance(next(feed), wishes).numpy()

    train = _rate(step, batch)
    spec = tf.TensorSpec((BATCH, side, side, 3), tf.float32)
    if devices.num_replicas_in_sync == 1 and openvino.available():  # As in predict.
        with openvino.compiled(model, spec, ('features',)) as start:
            infer = _rate(lambda: start(images[:BATCH])(), BATCH)
    else:
        infer = 3 * train  # A forward pass is about a third of a step.
    return Rate(train, infer)


def _rate(step, images):
    step()
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begun)
    return images / statistics.median(seconds)


def read(path):
    """Rates measured before: {key: Rate}."""
    try:
        return {
            k: Rate(*v) for k, v in json.loads(pathlib.Path(path).read_text()).items()
        }
    except FileNotFoundError:
        return {}


def write(path, rates):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_json(path, rates)
