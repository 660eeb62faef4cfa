import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.fakes import ARCHITECTURE
from tests.support.training import (
    advance,
    one_device_step,
    random_batches,
    small_network,
)
from tfxfer import config, models
from tfxfer.training import optimizer, schedules


def test_weight_decay_is_on_kernels_only(fakes):
    model = models.build(ARCHITECTURE, classes=3)
    assert [v.path for v in optimizer.kernels(model)] == [
        'conv/kernel',
        'logits/kernel',
    ]


def test_a_step_that_overflows_float16_is_left_out_and_the_scale_halved():
    images, labels = random_batches(3, 16)
    hparams = config.Finetune(lr=0.1, wd=1e-3, steps=20, batch=16)
    model = small_network(policy='mixed_float16')
    train_step = one_device_step(model, hparams, 64)
    loss_scale = train_step.optimizer.loss_scale
    loss_scale.scale.assign(2.0**30)
    before = [v.numpy() for v in model.trainable_variables]
    advance(train_step, images[:1], labels[:1])
    assert float(loss_scale.scale) == 2.0**29
    for old, new in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)
    loss_scale.scale.assign(2.0**10)
    loss_scale.stable.assign(1998)
    advance(train_step, images[1:], labels[1:])
    assert float(loss_scale.scale) == 2.0**11 and int(loss_scale.stable) == 0
    assert not np.array_equal(before[0], model.trainable_variables[0])
    train_step.raise_if_diverged()


def test_the_average_is_tensorflows_with_num_updates():
    hparams = config.Finetune(lr=0.05, steps=30, batch=8, ema=0.8)
    train_step = one_device_step(small_network(), hparams, 24)
    averages = train_step.optimizer.averages
    moved = averages.moved
    images, labels = random_batches(30, 8)
    # min(0.8, (1 + n) / (10 + n)) of what was: 0.1 at first, 0.8 from n = 35 on.
    count = tf.Variable(0.0)
    reference = tf.train.ExponentialMovingAverage(0.8, num_updates=count)
    copies = [tf.Variable(v.value) for v in moved]
    reference.apply(copies)
    by_hand = [copy.numpy() for copy in copies]
    for step in range(30):
        advance(train_step, images[step : step + 1], labels[step : step + 1])
        count.assign(step)
        decay = min(0.8, (1 + step) / (10 + step))
        for i, (copy, variable) in enumerate(zip(copies, moved, strict=True)):
            copy.assign(variable.value)
            by_hand[i] = decay * by_hand[i] + (1 - decay) * copy.numpy()
        reference.apply(copies)
    for ours, copy, hand in zip(averages.averages, copies, by_hand, strict=True):
        np.testing.assert_allclose(ours, reference.average(copy), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours, hand, rtol=1e-5, atol=1e-6)


def test_the_rate_follows_the_batch_and_the_decay_of_weights_does_not():
    short = {'batch': 8, 'steps': 3, 'warmup': 0.0, 'decay': 0.0, 'ema': 0.0}
    plain = config.Pretrain(lr=0.2, wd=0.002, **short)
    ruled = config.Pretrain(lr=1.6, wd=0.016, lr_batch=64, **short)
    assert ruled.rate == pytest.approx(0.2) and plain.rate == 0.2
    weights = []
    for hparams in (plain, ruled):
        model = small_network()
        advance(one_device_step(model, hparams, 24), *random_batches(3, 8))
        weights.append([v.numpy() for v in model.trainable_variables])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('most, length', [(0.0, 10.0), (2.0, 2.0), (20.0, 10.0)])
def test_a_gradient_is_shortened_to_the_largest_norm(most, length):
    model = small_network(norm=None)
    hparams = config.Finetune(lr=1.0, clip=most, momentum=0.0, steps=5, batch=8)
    sgd = one_device_step(model, hparams, 24).optimizer
    before = [v.numpy() for v in model.trainable_variables]
    gradients = [tf.random.stateless_normal(v.shape, [1, 2]) for v in before]
    norm = tf.linalg.global_norm(gradients)
    gradients = [10 * g / norm for g in gradients]
    assert float(sgd.apply(gradients, tf.constant(0))) == pytest.approx(10)
    moved = [a - v.numpy() for a, v in zip(before, model.variables, strict=True)]
    assert float(tf.linalg.global_norm(moved)) == pytest.approx(length, rel=1e-5)


def test_adamw_is_kerass_with_decay_of_kernels_alone():
    hparams = config.Finetune(
        lr=0.01, wd=0.1, steps=30, batch=8, warmup=2.0, optimizer='adamw'
    )
    model, other = small_network(), small_network()
    schedule = schedules.Schedule(hparams, images=24)
    own = optimizer.Optimizer(model, hparams, schedule)
    theirs = keras.optimizers.AdamW(
        0.0, weight_decay=0.1, beta_2=optimizer.BETA_2, epsilon=optimizer.EPSILON
    )
    theirs.exclude_from_weight_decay([v for v in other.variables if v.ndim == 1])
    theirs.build(other.trainable_variables)
    rng = np.random.default_rng(0)
    for step in range(30):
        gradients = [
            tf.constant(rng.normal(size=v.shape), tf.float32) for v in own.variables
        ]
        own.apply(gradients, tf.constant(step, tf.int64))
        theirs.learning_rate = float(schedule(step))
        theirs.apply_gradients(zip(gradients, other.trainable_variables, strict=True))
    start = small_network().trainable_variables
    for a, b, before in zip(
        own.variables, other.trainable_variables, start, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
        assert np.abs(a.numpy() - before.numpy()).max() > 0.01
