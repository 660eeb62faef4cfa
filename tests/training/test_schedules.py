import numpy as np
import pytest
import tensorflow as tf

from tfxfer import config
from tfxfer.training import schedules


def test_batch_norm_momentum_by_hand():
    assert schedules.batch_norm_momentum(25_600, 256) == pytest.approx(0.9)  # s = 100
    assert schedules.batch_norm_momentum(256_000, 256) == pytest.approx(0.99)
    assert schedules.batch_norm_momentum(100, 256) == 0.9


def test_cosine_decay_and_warm_up_by_hand():
    hparams = config.Finetune(lr=0.4, steps=110, batch=8, warmup=2.5)
    schedule = schedules.Schedule(
        hparams, images=32
    )  # 4 steps an epoch: 10 of warm-up.
    rates = [float(schedule(step)) for step in (0, 5, 10, 60, 110)]
    np.testing.assert_allclose(rates, [0, 0.2, 0.4, 0.2, 0], atol=1e-7)


def test_stairs_after_the_warm_up_by_hand():
    hparams = config.Pretrain(lr=1.6, steps=100, batch=8, warmup=10.0, decay=0.975)
    schedule = schedules.Schedule(hparams, images=32)
    rates = [float(schedule(step)) for step in (20, 40, 43, 44, 80)]
    expected = [0.8, 1.6, 1.6, 1.6 * 0.975, 1.6 * 0.975**10]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


# TensorFlow's own definitions, which TF-Slim trains by.


def test_stairs_are_tensorflows_exponential_decay():
    hparams = config.Pretrain(lr=1.6, steps=60, batch=8, warmup=0.0, decay=0.94)
    schedule = schedules.Schedule(hparams, images=24)
    for step in range(0, 60, 7):
        expected = tf.compat.v1.train.exponential_decay(1.6, step, 3, 0.94, True)()
        assert float(schedule(step)) == pytest.approx(float(expected), rel=1e-6)


def test_the_cosine_is_tensorflows():
    schedule = schedules.Schedule(config.Finetune(lr=0.3, steps=50, batch=8), images=24)
    for step in range(0, 51, 5):
        expected = tf.compat.v1.train.cosine_decay(0.3, step, 50)()
        assert float(schedule(step)) == pytest.approx(float(expected), abs=1e-7)
