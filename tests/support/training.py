"""Small networks, their batches, and short trainings of them."""

import pathlib

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tests.support.fakes import ARCHITECTURE
from tfxfer import config, models
from tfxfer.data import image_set, pipeline
from tfxfer.models import batch_norm
from tfxfer.training import loop, step
from tfxfer.training.options import Options

ONE_DEVICE = tf.distribute.get_strategy()
HPARAMS = config.Finetune(lr=0.1, wd=1e-3, steps=12, batch=8)


def small_network(norm='per replica', *, aux=False, policy='float32', seed=0):
    """Convolution, batch norm, pool, one or two classifiers, of 6 x 6 images."""
    with models.seeded(seed), models.dtype_policy(policy):
        images = keras.Input((6, 6, 3))
        x = layers.Conv2D(4, 3, 2, use_bias=False)(images)
        if norm:
            x = batch_norm.BatchNormalization(
                momentum=0.9, synchronized=norm == 'synchronised'
            )(x)
        x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
        heads = ('logits', 'aux_logits') if aux else ('logits',)
        outputs = {
            name: layers.Dense(3, name=name, dtype='float32')(x) for name in heads
        }
        return keras.Model(images, outputs)


def random_batches(steps, batch, seed=0):
    """Images f32 [steps, batch, 6, 6, 3] and labels i32 [steps, batch]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (steps, batch)).astype(np.int32)
    images = rng.normal(size=(steps, batch, 6, 6, 3))
    images += 0.5 * labels[..., None, None, None]
    return images.astype(np.float32), labels


def one_device_step(model, hparams, images):
    return step.TrainStep(model, hparams, images, devices=ONE_DEVICE)


def advance(train_step, images, labels):
    """One step for each of the batches."""
    for image, label in zip(images, labels, strict=True):
        batch = {'image': tf.constant(image), 'label': tf.constant(label)}
        train_step.advance(batch, tf.zeros(2))


def noise(classes=3, count=24):
    """24 images of 8 x 8 pixels in three classes."""
    rng = np.random.default_rng(0)
    return image_set.Images(
        labels=(np.arange(count) % classes).astype(np.int32),
        splits={},
        pixels=rng.integers(0, 255, (count, 8, 8, 3)).astype(np.uint8),
    )


def batches(start, share=(0, 1), parts=1, *, image_size=8):
    """Of `noise`, for loop.Training."""
    return pipeline.training(
        noise(),
        np.arange(24),
        pipeline.TrainingStream(
            image_size, HPARAMS.batch, seed=0, min_area=0.5, flip=True
        ),
        start=start,
        shard=pipeline.Shard(*share, parts),
    )


def tiny_network(seed=0, dropout=0.0):
    """Of tests.support.fakes, which must be registered."""
    return models.build(
        ARCHITECTURE,
        classes=3,
        options=models.NetworkOptions(seed=seed, dropout=dropout),
    )


def weights_of(model):
    return [v.numpy() for v in model.variables]


def fit(
    model, folder: pathlib.Path | None = None, hparams=HPARAMS, *, batches=batches,
    validate=None, **options,
):  # fmt: skip
    """Trains on one device; returns the weights."""
    loop.fit(
        loop.Training(model, batches, hparams, images=24, devices=ONE_DEVICE),
        folder,
        options=Options(**options),
        measurements=loop.Measurements(validate=validate),
    )
    return weights_of(model)
