import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tests import conftest
from tests.fakes import ARCHITECTURE
from tfxfer import config, imagesets, inputs, models, train

HPARAMS = config.Finetune(lr=0.1, wd=1e-3, steps=12, batch=8)


def made(classes=3, count=24):
    rng = np.random.default_rng(0)
    return imagesets.Images(
        labels=(np.arange(count) % classes).astype(np.int32),
        splits={},
        pixels=rng.integers(0, 255, (count, 8, 8, 3)).astype(np.uint8),
    )


def batches(start, hparams=HPARAMS):
    return inputs.training(
        made(),
        np.arange(24),
        8,
        hparams.batch,
        seed=0,
        start=start,
        min_area=0.5,
        flip=True,
    )


def network(seed=0):
    return models.build(ARCHITECTURE, classes=3, seed=seed)


def weights_of(model):
    return [v.numpy() for v in model.variables]


def fit(model, folder=None, hparams=HPARAMS, save_every=1000, feed=batches):
    train.fit(
        model,
        feed,
        hparams,
        folder,
        devices=tf.distribute.get_strategy(),
        save_every=save_every,
    )
    return weights_of(model)


def test_batch_norm_momentum_by_hand():
    assert train.batch_norm_momentum(25_600, 256) == pytest.approx(0.9)  # s = 100
    assert train.batch_norm_momentum(256_000, 256) == pytest.approx(0.99)
    assert train.batch_norm_momentum(100, 256) == 0.9


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_softmax_loss_equals_scipy(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = (
        rng.normal(size=(5, 4)).astype(np.float32),
        np.array([0, 3, 1, 1, 2]),
    )
    target = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    expected = -(target * special.log_softmax(logits, axis=1)).sum(1)
    got = train.losses(tf.constant(labels, tf.int32), tf.constant(logits), smoothing)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_sigmoid_loss_leaves_difficult_classes_out():
    logits = np.array([[1.0, -2.0, 3.0]], np.float32)
    expected = -special.log_expit(1.0) - special.log_expit(-3.0)
    got = train.losses(tf.constant([[1, -1, 0]]), tf.constant(logits))
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_weight_decay_is_on_kernels_only(fakes):
    assert [v.path for v in train.kernels(network())] == [
        'conv/kernel',
        'logits/kernel',
    ]


def test_steps_equal_nesterov_with_cosine_decay_by_hand(fakes):
    """Nesterov momentum as Sutskever et al. 2013 have it, on a known gradient."""
    model = network()
    for variable in model.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    hparams = config.Finetune(lr=0.1, wd=0.0, steps=6, batch=6)
    # Zero kernels: logits are the bias b, the same for all images, and its gradient is
    # softmax(b) minus the classes' share in the batch: 1/3 each, as b stays 0 then.
    fit(model, hparams=hparams, feed=lambda start: shares([0, 0, 0, 1, 1, 2]))
    bias = [v.numpy() for v in model.trainable_variables if v.path == 'logits/bias'][0]
    w, v = np.zeros(3), np.zeros(3)
    for t in range(6):
        rate = 0.1 * 0.5 * (1 + math.cos(math.pi * t / 6))
        g = special.softmax(w) - np.array([3, 2, 1]) / 6
        v = 0.9 * v - rate * g
        w = w + 0.9 * v - rate * g
    np.testing.assert_allclose(bias, w, atol=1e-6)


def shares(labels):
    """Endless batches of black images with these labels."""
    count = len(labels)
    batch = {
        'image': np.zeros((count, 8, 8, 3), np.float32),
        'label': np.array(labels, np.int32),
        'index': np.arange(count),
    }
    return tf.data.Dataset.from_tensors(batch).repeat()


def test_weight_decay_is_the_gradient_of_half_the_square_over_the_learning_rate(fakes):
    """A kernel that no image moves shrinks by wd a step, through the momentum."""
    model = network()
    by_path = {v.path: v for v in model.trainable_variables}
    by_path['norm/gamma'].assign(tf.zeros(8))  # The convolution gets no gradient.
    by_path['logits/kernel'].assign(tf.zeros((8, 3)))
    before = by_path['conv/kernel'].numpy()
    hparams = config.Finetune(lr=0.1, wd=0.01, steps=2, batch=3)
    fit(model, hparams=hparams, feed=lambda start: shares([0, 1, 2]))
    w, v = before.astype(float), 0.0
    for rate in (0.1, 0.05):  # Cosine decay over 2 steps.
        g = 0.01 / 0.1 * w
        v = 0.9 * v - rate * g
        w = w + 0.9 * v - rate * g
    np.testing.assert_allclose(by_path['conv/kernel'].numpy(), w, rtol=1e-5)


def test_one_step_lowers_the_loss_on_its_batch(fakes):
    model, batch = network(), next(iter(batches(0)))

    def loss():
        logits = model(batch['image'], training=True)['logits']
        return float(tf.reduce_mean(train.losses(batch['label'], logits)))

    before = loss()
    fit(
        model,
        hparams=config.Finetune(lr=0.01, steps=1, batch=8),
        feed=lambda start: tf.data.Dataset.from_tensors(batch).repeat(),
    )
    assert loss() < before


def test_same_seed_same_weights(fakes):
    for first, again in zip(fit(network()), fit(network()), strict=True):
        np.testing.assert_array_equal(first, again)
    other = fit(network(seed=1))
    assert not np.array_equal(fit(network())[0], other[0])


@pytest.mark.parametrize('stop', [1, 5, 8])
def test_stopped_and_resumed_equals_never_stopped(fakes, tmp_path, monkeypatch, stop):
    whole = fit(network())

    def stopping(self):
        result = original(self)
        if int(self.step) == stop:
            raise KeyboardInterrupt
        return result

    original = train.Trainer.train_loop_end
    monkeypatch.setattr(train.Trainer, 'train_loop_end', stopping)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), tmp_path, save_every=2)
    monkeypatch.setattr(train.Trainer, 'train_loop_end', original)
    resumed = fit(network(seed=5), tmp_path, save_every=2)
    if stop == 1:  # Nothing was saved yet: another seed's start.
        assert not np.array_equal(resumed[0], whole[0])
    else:
        for a, b in zip(whole, resumed, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_loss_that_is_not_finite_stops_with_step_and_rate(fakes):
    hparams = config.Finetune(lr=1e30, steps=50, batch=8)
    with pytest.raises(train.Diverged, match='learning rate 1e.30'):
        fit(network(), hparams=hparams)


def test_tensorboard_holds_loss_accuracy_and_learning_rate(fakes, tmp_path):
    from tensorboard.backend.event_processing import event_accumulator

    fit(network(), tmp_path)
    events = event_accumulator.EventAccumulator(
        str(tmp_path / 'tb'), size_guidance={'tensors': 0}
    )
    events.Reload()
    names = set(events.Tags()['tensors'])
    assert {'loss', 'train_accuracy', 'learning_rate', 'steps_per_second'} <= names
    rates = [tf.make_ndarray(e.tensor_proto) for e in events.Tensors('learning_rate')]
    expected = [0.05 * (1 + math.cos(math.pi * t / 12)) for t in range(1, 13)]
    np.testing.assert_allclose(rates, expected, atol=1e-7)


REPLICAS = """
import numpy as np, tensorflow as tf, keras
from tests import test_train, fakes
from tfxfer import architectures, config, models, predict, inputs, preprocess, train
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
models.BUILDERS['tiny'] = fakes.tiny
one = test_train.network()
alone = test_train.fit(one)
devices = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'],
    cross_device_ops=tf.distribute.ReductionToOneDevice())
with devices.scope():
    two = test_train.network()
train.fit(two, test_train.batches, test_train.HPARAMS, None, devices=devices)
for v in two.non_trainable_variables:
    a, b = (np.array(copy) for copy in v.value.values)
    np.testing.assert_array_equal(a, b)
loss = {}
for name, model in {'alone': one, 'two': two}.items():
    batch = next(iter(test_train.batches(0)))
    with tf.GradientTape() as tape:
        logits = model(batch['image'], training=True)['logits']
    loss[name] = float(tf.reduce_mean(train.losses(batch['label'], logits)))
print('LOSSES', loss['alone'], loss['two'])
images = test_train.made()
indices = np.arange(3, 20)
data = inputs.evaluation(images, indices, 8, preprocess.whole, 6)
many = predict.predict(two, data, indices, devices=devices)
single = predict.predict(two, data, indices)
np.testing.assert_array_equal(many['index'], indices)
np.testing.assert_allclose(many['logits'], single['logits'], rtol=1e-5, atol=1e-5)
print('SAME')
"""


def test_two_replicas_share_statistics_and_predict_each_image_once():
    done = subprocess.run(
        [sys.executable, '-c', REPLICAS],
        cwd=conftest.ROOT,
        capture_output=True,
        text=True,
    )
    assert 'SAME' in done.stdout, done.stderr[-3000:]
    line = next(s for s in done.stdout.splitlines() if s.startswith('LOSSES'))
    alone, two = map(float, line.split()[1:])
    # Per-replica batch norm differs a little from whole-batch; not by much.
    assert abs(alone - two) < 0.1


def test_a_batch_that_does_not_divide_by_the_replicas_is_refused(fakes):
    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(ValueError, match='batch of 8 does not divide by 3'):
        train.fit(network(), batches, HPARAMS, None, devices=Three())
