import dataclasses
import itertools
import math
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import conftest
from tests.support import events
from tests.support.training import HPARAMS, batches, fit, one_device_step, tiny_network
from tfxfer import config, errors, models
from tfxfer.training import hooks, losses, step


def test_one_step_lowers_the_loss_on_its_batch(fakes):
    model, batch = tiny_network(), next(iter(batches(0)))

    def loss():
        logits = model(batch['image'], training=True)['logits']
        return float(tf.reduce_mean(losses.cross_entropy(batch['label'], logits)))

    before = loss()
    fit(
        model,
        hparams=config.Finetune(lr=0.01, steps=1, batch=8),
        batches=lambda *_: tf.data.Dataset.from_tensors(batch).repeat(),
    )
    assert loss() < before


def test_same_seed_same_weights(fakes):
    weights = fit(tiny_network())
    for first, again in zip(weights, fit(tiny_network()), strict=True):
        np.testing.assert_array_equal(first, again)
    other = fit(tiny_network(seed=1))
    assert not np.array_equal(weights[0], other[0])


def sending(monkeypatch, kind, step):
    """Lets the process send itself a signal in a training step."""

    def flags(self):
        if next(steps) == step:
            os.kill(os.getpid(), kind)
        return original(self)

    steps, original = itertools.count(1), hooks.Control.flags
    monkeypatch.setattr(hooks.Control, 'flags', flags)


EVERYTHING = dataclasses.replace(
    HPARAMS, steps=150, ema=0.9, warmup=1.0, dropout=0.3, microbatch=4
)


@pytest.mark.parametrize(
    'kind, error',
    [(signal.SIGTERM, errors.Stopped), (signal.SIGINT, KeyboardInterrupt)],
)
@pytest.mark.parametrize('stop', [1, pytest.param(7, marks=pytest.mark.slow)])
def test_stopped_and_resumed_equals_never_stopped(
    fakes, tmp_path, monkeypatch, kind, error, stop
):
    whole = fit(tiny_network(dropout=0.3), tmp_path / 'whole', EVERYTHING)
    before = signal.getsignal(kind)
    with monkeypatch.context() as patch, pytest.raises(error):
        sending(patch, kind, stop)
        fit(tiny_network(dropout=0.3), tmp_path / 'stopped', EVERYTHING)
    assert signal.getsignal(kind) == before
    assert [p.name for p in (tmp_path / 'stopped/ckpt').iterdir()] == [str(stop)]
    resumed = fit(tiny_network(seed=5, dropout=0.3), tmp_path / 'stopped', EVERYTHING)
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    curves = [
        events.scalars(tmp_path / name / 'tb/train') for name in ('whole', 'stopped')
    ]
    for name in ('loss', 'accuracy', 'gradient_norm', 'learning_rate'):
        assert curves[0][name] == curves[1][name]


def test_a_training_by_adamw_goes_on_where_it_stopped(fakes, tmp_path, monkeypatch):
    hparams = config.Finetune(lr=0.01, wd=0.1, steps=8, batch=8, optimizer='adamw')
    whole = fit(tiny_network(), hparams=hparams)
    with monkeypatch.context() as patch, pytest.raises(errors.Stopped):
        sending(patch, signal.SIGTERM, 5)
        fit(tiny_network(), tmp_path, hparams)
    resumed = fit(tiny_network(seed=5), tmp_path, hparams)
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_stopped_twice_it_ends_at_once(fakes, tmp_path, monkeypatch):
    def flags(self):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(hooks.Control, 'flags', flags)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_network(), tmp_path)
    assert not (tmp_path / 'ckpt').exists()


@pytest.mark.slow
def test_out_of_memory_says_what_to_lower(fakes):
    with models.seeded(0):
        images = keras.Input((8, 8, 3))

        def huge(x):
            # 4 TB, of a size that is not known before: no machine of today gives it.
            side = tf.cast(tf.reduce_max(x) >= 0, tf.int32) * 10**6
            return tf.reduce_sum(tf.fill([side, side], tf.reduce_sum(x)))

        wide = keras.layers.Lambda(huge, output_shape=())(images)
        pool = keras.layers.GlobalAveragePooling2D()(images)
        model = keras.Model(images, {'logits': keras.layers.Dense(3)(pool) + wide})
    with pytest.raises(errors.InputError, match='with 8 images.*microbatch .to 4'):
        fit(model)


def test_a_gradient_that_is_not_finite_is_noticed_before_its_weights_are_used(fakes):
    """The loss of the last step is finite, the weights after it are not."""
    hparams = dataclasses.replace(HPARAMS, lr=1e-9, wd=1e31, steps=1)
    with pytest.raises(step.Diverged, match='gradient is not finite at step 1'):
        fit(tiny_network(), hparams=hparams)


def test_a_loss_that_is_not_finite_stops_with_step_and_rate(fakes, tmp_path):
    hparams = config.Finetune(lr=1e30, steps=50, batch=8)
    with pytest.raises(step.Diverged, match='learning rate 1e.30'):
        fit(tiny_network(), tmp_path, hparams=hparams, save_every=1)
    # What is not finite is not saved.
    state = tf.train.load_checkpoint(
        str(max((tmp_path / 'ckpt').iterdir(), key=lambda p: int(p.name)) / 'state')
    )
    assert np.isfinite(state.get_tensor('sums/loss/.ATTRIBUTES/VARIABLE_VALUE'))


def test_tensorboard_holds_the_curves_of_training(fakes, tmp_path):
    seen = []

    def validate(model):
        seen.append(model)
        return 0.25

    fit(tiny_network(), tmp_path, validate=validate, valid_every=5)
    train_curves = events.scalars(tmp_path / 'tb/train')
    assert set(train_curves) == {
        'loss', 'accuracy', 'gradient_norm', 'learning_rate', 'images_per_second',
        'share_waiting_for_input',
    }  # fmt: skip
    expected = {t: 0.05 * (1 + math.cos(math.pi * t / 12)) for t in range(1, 13)}
    assert train_curves['learning_rate'] == pytest.approx(expected, abs=1e-7)
    assert all(0 < v < 1 for v in train_curves['share_waiting_for_input'].values())
    assert all(0 <= v <= 1 for v in train_curves['accuracy'].values())
    assert events.scalars(tmp_path / 'tb/valid') == {'accuracy': {5: 0.25, 10: 0.25}}
    assert len(seen) == 2


def test_curves_are_means_over_the_steps_between_reports(fakes, tmp_path):
    hparams = dataclasses.replace(HPARAMS, steps=100)  # A report every two steps.
    fit(tiny_network(), tmp_path / 'two', hparams)
    per_step = []
    train_step = one_device_step(tiny_network(), hparams, 24)
    before = 0.0
    for batch in batches(0).take(4):
        train_step.advance(batch, tf.zeros(2))
        per_step.append(float(train_step.metrics.sums['loss']) - before)
        before = float(train_step.metrics.sums['loss'])
    found = events.scalars(tmp_path / 'two/tb/train')['loss']
    assert list(found)[:2] == [2, 4]
    expected = [sum(per_step[:2]) / 2, sum(per_step[2:]) / 2]
    assert [found[2], found[4]] == pytest.approx(expected, rel=1e-5)


def test_validation_sees_the_average_of_the_weights(fakes, tmp_path):
    hparams, seen = dataclasses.replace(HPARAMS, ema=0.9), []

    def validate(model):
        seen.append(model.get_weights())
        return 0.5

    alone = fit(tiny_network(), hparams=hparams)
    final = fit(tiny_network(), tmp_path, hparams, validate=validate, valid_every=6)
    for a, b in zip(alone, final, strict=True):  # Looking changes nothing.
        np.testing.assert_array_equal(a, b)
    model = tiny_network()
    train_step = one_device_step(model, hparams, 24)
    for batch in batches(0).take(6):
        train_step.advance(batch, tf.zeros(2))
    own = model.get_weights()
    train_step.optimizer.averages.take()
    (found,) = seen
    for average, weight, value in zip(model.get_weights(), own, found, strict=True):
        np.testing.assert_allclose(value, average, rtol=1e-6)
        assert np.abs(value - weight).max() > 1e-5


REPLICAS = """
import numpy as np, tensorflow as tf, keras
from tests.support import fakes
from tests.support.training import HPARAMS, batches, fit, noise, tiny_network
from tfxfer import config, models
from tfxfer.data import pipeline, preprocess
from tfxfer.models import predict
from tfxfer.training import loop, losses
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
models.BUILDERS['tiny'] = fakes.tiny
one = tiny_network()
alone = fit(one)
devices = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'],
    cross_device_ops=tf.distribute.ReductionToOneDevice())
with devices.scope():
    two = tiny_network()
loop.fit(loop.Training(two, batches, HPARAMS, 24, devices))
for v in two.non_trainable_variables:
    a, b = (np.array(copy) for copy in v.value.values)
    np.testing.assert_array_equal(a, b)
loss = {}
for name, model in {'alone': one, 'two': two}.items():
    batch = next(iter(batches(0)))
    with tf.GradientTape() as tape:
        logits = model(batch['image'], training=True)['logits']
    loss[name] = float(tf.reduce_mean(losses.cross_entropy(batch['label'], logits)))
print('LOSSES', loss['alone'], loss['two'])
images = noise()
indices = np.arange(3, 20)
data = pipeline.evaluation(images, indices, 8, preprocess.whole, 6)
many = predict.predict(two, data, indices, predict.Inference(devices=devices))
single = predict.predict(two, data, indices)
np.testing.assert_array_equal(many['index'], indices)
np.testing.assert_allclose(many['logits'], single['logits'], rtol=1e-5, atol=1e-5)
print('SAME')
"""


@pytest.mark.slow
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
