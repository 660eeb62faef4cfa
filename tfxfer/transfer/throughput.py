"""How many images per second a network takes on this machine, from a few steps."""

import collections.abc
import contextlib
import gc
import os
import pathlib
import statistics
import time
import typing

import keras
import numpy as np
import tensorflow as tf

from tfxfer import architectures, config, models, storage
from tfxfer.models import float32, model_file, openvino
from tfxfer.training import distribution, step
from tfxfer.transfer import environment

BATCH = 16  # Images; larger ones are little faster, and all networks have room.
ROUNDS = 3  # Timed, after one that is not; the median counts.
CLASSES = 100  # The head hardly counts.


class Rate(typing.NamedTuple):
    """Images per second: in training steps, and once through for features or scores."""

    train: float
    infer: float


def measure(
    name: str,
    size: int | None = None,
    precision: str = 'float32',
) -> Rate:
    """The Rate of an architecture with images in memory; input is left out.

    Args:
        name: as architectures.find takes it.
        size: image size in pixels; None: the architecture's own.
        precision: of training, a key of config.POLICIES; another is taken for float32.
            Features are in float32, or TF32.

    Raises:
        errors.InputError: no GPU here has TF32.
    """
    with _built(name, size, precision) as (model, devices, fixed):
        train = None if fixed else _train_rate(model, devices)
        infer = _openvino_rate(model, devices)
        if train is None:  # A SavedModel, which is not trained.
            infer = infer or _tensorflow_rate(model)
            return Rate(infer / 3, infer)
        # A forward pass is about a third of a step.
        return Rate(train, infer or 3 * train)


def measure_inference(
    name: str, size: int | None = None, precision: str = 'float32'
) -> float:
    """Images per second of an architecture once through; arguments as of `measure`.

    Raises:
        errors.InputError: see measure.
    """
    with _built(name, size, precision) as (model, devices, _):
        return _openvino_rate(model, devices) or _tensorflow_rate(model)


@contextlib.contextmanager
def _built(name, size, precision):
    """(The network, the devices it is on, whether it is fixed), and then no more."""
    float32.allow_tf32(precision == 'tf32')
    arch = architectures.find(name)
    fixed = arch.file is not None and model_file.is_saved_model(arch.file.path)
    devices = distribution.strategy()
    try:
        with devices.scope():
            policy = config.POLICIES.get(precision, 'float32')
            weights = architectures.MODEL if fixed else None
            options = models.NetworkOptions(size, policy=policy)
            model = models.build(arch, CLASSES, weights, options)
        yield model, devices, fixed
    finally:
        keras.backend.clear_session()
        gc.collect()


def _openvino_rate(model, devices):
    """As in predict; None where TensorFlow computes."""
    if devices.num_replicas_in_sync == 1 and openvino.available():
        with contextlib.suppress(openvino.Unsupported):
            return _inference_rate(model)
    return None


def _train_rate(model, devices):
    batch = BATCH * devices.num_replicas_in_sync
    hparams = config.Finetune(batch=batch, wd=1e-6)
    train_step = step.TrainStep(model, hparams, images=batch, devices=devices)
    labels = np.arange(batch, dtype=np.int32) % CLASSES
    data = tf.data.Dataset.from_tensors(
        {'image': _noise(model, batch), 'label': labels}
    )
    batches = iter(
        devices.experimental_distribute_dataset(
            data.repeat().unbatch().batch(batch, True)
        )
    )
    control_flags = tf.zeros(2)
    return batch / _median_seconds(
        lambda: train_step.advance(next(batches), control_flags).numpy()
    )


def _inference_rate(model):
    images = _noise(model, BATCH)
    spec = tf.TensorSpec(images.shape, tf.float32)
    with openvino.compiled(model, spec, ('features',)) as start:
        return BATCH / _median_seconds(lambda: start(images)())


def _tensorflow_rate(model):
    images = tf.constant(_noise(model, BATCH))
    predict = tf.function(model, autograph=False)
    return BATCH / _median_seconds(lambda: predict(images)['features'].numpy())


def _noise(model, count):
    rng = np.random.default_rng(0)
    shape = (count, *model.inputs[0].shape[1:])
    return rng.uniform(0, 255, shape).astype(np.float32)


def _median_seconds(step: collections.abc.Callable[[], typing.Any]) -> float:
    step()
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def once(
    path: str | os.PathLike[str],
    name: str,
    size: int | None,
    precision: str,
    *,
    train: bool = True,
) -> Rate:
    """The Rate of a network on this machine: from a file, or measured and added to it.

    Args:
        path: of the file.
        name, size, precision: see measure.
        train: False: images once through are all that is asked for; of training the
            rate is then taken to be a third of that.
    """
    versions = environment.versions()
    device = f'{versions["device"]}, {versions["threads"]} threads'
    key = f'{name}, {size or "own"} pixels, {precision}, {device}'
    known = read(path)
    keys = (key,) if train else (key, f'{key}, once through')
    for one in keys:
        if one in known:
            return known[one]
    if train:
        rate = measure(name, size, precision)
    else:
        infer = measure_inference(name, size, precision)
        rate = Rate(infer / 3, infer)
    write(path, known | {keys[-1]: rate})
    return rate


def read(path: str | os.PathLike[str]) -> dict[str, Rate]:
    """Rates measured before, by what they are of; {} where the file is not there."""
    return {key: Rate(*rate) for key, rate in storage.read_cache(path).items()}


def write(path: str | os.PathLike[str], rates: dict[str, Rate]) -> None:
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_cache(path, rates)
