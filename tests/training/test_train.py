import dataclasses
import math
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import conftest
from tests.support.fakes import ARCHITECTURE
from tfxfer import config, errors, models
from tfxfer.data import image_set, pipeline
from tfxfer.training import sgd, train

HPARAMS = config.Finetune(lr=0.1, wd=1e-3, steps=12, batch=8)


def made(classes=3, count=24):
    rng = np.random.default_rng(0)
    return image_set.Images(
        labels=(np.arange(count) % classes).astype(np.int32),
        splits={},
        pixels=rng.integers(0, 255, (count, 8, 8, 3)).astype(np.uint8),
    )


def batches(start, share=(0, 1), parts=1, hparams=HPARAMS):
    return pipeline.training(
        made(),
        np.arange(24),
        8,
        hparams.batch,
        seed=0,
        start=start,
        min_area=0.5,
        flip=True,
        share=share,
        parts=parts,
    )


def network(seed=0):
    return models.build(ARCHITECTURE, classes=3, seed=seed)


def weights_of(model):
    return [v.numpy() for v in model.variables]


def fit(model, folder=None, hparams=HPARAMS, feed=batches, validate=None, **options):
    train.fit(
        model,
        feed,
        hparams,
        folder,
        images=24,
        devices=tf.distribute.get_strategy(),
        options=train.Options(**options),
        validate=validate,
    )
    return weights_of(model)


def test_one_step_lowers_the_loss_on_its_batch(fakes):
    model, batch = network(), next(iter(batches(0)))

    def loss():
        logits = model(batch['image'], training=True)['logits']
        return float(tf.reduce_mean(sgd.losses(batch['label'], logits)))

    before = loss()
    fit(
        model,
        hparams=config.Finetune(lr=0.01, steps=1, batch=8),
        feed=lambda *_: tf.data.Dataset.from_tensors(batch).repeat(),
    )
    assert loss() < before


def test_same_seed_same_weights(fakes):
    for first, again in zip(fit(network()), fit(network()), strict=True):
        np.testing.assert_array_equal(first, again)
    other = fit(network(seed=1))
    assert not np.array_equal(fit(network())[0], other[0])


def sending(monkeypatch, kind, step):
    """Lets the process send itself a signal in a training step."""

    def wishes(self):
        if self.at == step - 1:
            os.kill(os.getpid(), kind)
        return original(self)

    original = train._Loop._wishes
    monkeypatch.setattr(train._Loop, '_wishes', wishes)


EVERYTHING = dataclasses.replace(
    HPARAMS, steps=150, ema=0.9, warmup=1.0, dropout=0.3, microbatch=4
)


def with_dropout(seed=0):
    return models.build(ARCHITECTURE, classes=3, seed=seed, dropout=0.3)


@pytest.mark.parametrize(
    'kind, error',
    [(signal.SIGTERM, errors.Stopped), (signal.SIGINT, KeyboardInterrupt)],
)
@pytest.mark.parametrize('stop', [1, 7])
def test_stopped_and_resumed_equals_never_stopped(
    fakes, tmp_path, monkeypatch, kind, error, stop
):
    whole = fit(with_dropout(), tmp_path / 'whole', EVERYTHING)
    before = signal.getsignal(kind)
    with monkeypatch.context() as patch, pytest.raises(error):
        sending(patch, kind, stop)
        fit(with_dropout(), tmp_path / 'stopped', EVERYTHING)
    assert signal.getsignal(kind) == before
    assert [p.name for p in (tmp_path / 'stopped/ckpt').iterdir()] == [str(stop)]
    resumed = fit(with_dropout(seed=5), tmp_path / 'stopped', EVERYTHING)
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    curves = [scalars(tmp_path / name / 'tb/train') for name in ('whole', 'stopped')]
    for name in ('loss', 'accuracy', 'gradient_norm', 'learning_rate'):
        assert curves[0][name] == curves[1][name]


def test_stopped_twice_it_ends_at_once(fakes, tmp_path, monkeypatch):
    def wishes(self):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(train._Loop, '_wishes', wishes)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), tmp_path)
    assert not (tmp_path / 'ckpt').exists()


def test_the_last_two_checkpoints_are_kept(fakes, tmp_path):
    fit(network(), tmp_path, save_every=5)
    assert sorted(p.name for p in (tmp_path / 'ckpt').iterdir()) == ['10', '12']


def test_checkpoints_by_the_clock(fakes, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        train.Checkpoints, 'save', lambda self, step: saved.append(step)
    )
    fit(network(), tmp_path, save_minutes=0.0001 / 60)
    assert saved == list(range(1, 13))
    saved.clear()
    fit(network(), tmp_path, save_minutes=10)
    assert saved == [12]


def shorten(path):
    path.write_bytes(path.read_bytes()[:-100])


def spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))


@pytest.mark.parametrize('harm', [shorten, spoil, pathlib.Path.unlink])
@pytest.mark.parametrize('part', ['state.index', 'state.data-00000-of-00001'])
def test_a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before(
    fakes, tmp_path, caplog, part, harm
):
    whole = fit(network(), tmp_path, save_every=5)
    harm(tmp_path / 'ckpt/12' / part)
    resumed = fit(network(seed=5), tmp_path, save_every=5)
    assert 'checkpoint of step 12 cannot be read' in caplog.text
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    # And with none that can be read from the start, as if there were none.
    for step in ('10', '12'):
        harm(tmp_path / 'ckpt' / step / part)
    again = fit(network(), tmp_path)
    for a, b in zip(whole, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_full_disk_keeps_the_last_good_checkpoint(fakes, small_disk):
    disk, make_room = small_disk

    def fill(*_):
        if not (disk / 'filler').exists():
            room = os.statvfs(disk)
            # The first checkpoint's and the events' room, and no second one's.
            (disk / 'filler').write_bytes(
                b'0' * (room.f_bavail * room.f_bsize - 40_000)
            )
        return batches(*_)

    whole = fit(network())
    with pytest.raises(tf.errors.OpError, match='No space left'):
        fit(network(), disk, feed=fill, save_every=1)
    kept = [int(p.name) for p in (disk / 'ckpt').iterdir()]
    assert kept and max(kept) < 12
    make_room()
    for a, b in zip(whole, fit(network(seed=5), disk), strict=True):
        np.testing.assert_array_equal(a, b)


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
    with pytest.raises(sgd.Diverged, match='gradient is not finite at step 1'):
        fit(network(), hparams=hparams)


def test_a_loss_that_is_not_finite_stops_with_step_and_rate(fakes, tmp_path):
    hparams = config.Finetune(lr=1e30, steps=50, batch=8)
    with pytest.raises(sgd.Diverged, match='learning rate 1e.30'):
        fit(network(), tmp_path, hparams=hparams, save_every=1)
    # What is not finite is not kept.
    state = tf.train.load_checkpoint(
        str(max((tmp_path / 'ckpt').iterdir(), key=lambda p: int(p.name)) / 'state')
    )
    assert np.isfinite(state.get_tensor('sums/loss/.ATTRIBUTES/VARIABLE_VALUE'))


def scalars(folder):
    """{tag: {step: value}} of the event files in a folder."""
    from tensorboard.backend.event_processing import event_accumulator

    events = event_accumulator.EventAccumulator(
        str(folder), size_guidance={'tensors': 0}
    )
    events.Reload()
    return {
        tag: {
            e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)
        }
        for tag in events.Tags()['tensors']
    }


def test_tensorboard_holds_the_curves_of_training(fakes, tmp_path):
    seen = []
    fit(network(), tmp_path, validate=lambda m: seen.append(m) or 0.25, valid_every=5)
    train_curves = scalars(tmp_path / 'tb/train')
    assert set(train_curves) == {
        'loss', 'accuracy', 'gradient_norm', 'learning_rate', 'images_per_second',
        'share_waiting_for_input',
    }  # fmt: skip
    expected = {t: 0.05 * (1 + math.cos(math.pi * t / 12)) for t in range(1, 13)}
    assert train_curves['learning_rate'] == pytest.approx(expected, abs=1e-7)
    assert all(0 < v < 1 for v in train_curves['share_waiting_for_input'].values())
    assert all(0 <= v <= 1 for v in train_curves['accuracy'].values())
    assert scalars(tmp_path / 'tb/valid') == {'accuracy': {5: 0.25, 10: 0.25}}
    assert len(seen) == 2


def test_curves_are_means_over_the_steps_between_reports(fakes, tmp_path):
    hparams = dataclasses.replace(HPARAMS, steps=100)  # A report every two steps.
    fit(network(), tmp_path / 'two', hparams)
    losses = []
    trainer = sgd.Trainer(network(), hparams, 24, devices=tf.distribute.get_strategy())
    before = 0.0
    for batch in batches(0).take(4):
        trainer.advance(batch, tf.zeros(2))
        losses.append(float(trainer.sums['loss']) - before)
        before = float(trainer.sums['loss'])
    found = scalars(tmp_path / 'two/tb/train')['loss']
    assert list(found)[:2] == [2, 4]
    expected = [sum(losses[:2]) / 2, sum(losses[2:]) / 2]
    assert [found[2], found[4]] == pytest.approx(expected, rel=1e-5)


def test_validation_sees_the_average_of_the_weights(fakes, tmp_path):
    hparams, seen = dataclasses.replace(HPARAMS, ema=0.9), []

    def validate(model):
        seen.append(model.get_weights())
        return 0.5

    alone = fit(network(), hparams=hparams)
    final = fit(network(), tmp_path, hparams, validate=validate, valid_every=6)
    for a, b in zip(alone, final, strict=True):  # Looking changes nothing.
        np.testing.assert_array_equal(a, b)
    model = network()
    trainer = sgd.Trainer(model, hparams, 24, devices=tf.distribute.get_strategy())
    for batch in batches(0).take(6):
        trainer.advance(batch, tf.zeros(2))
    own = model.get_weights()
    trainer.take_averages()
    (found,) = seen
    for average, weight, value in zip(model.get_weights(), own, found, strict=True):
        np.testing.assert_allclose(value, average, rtol=1e-6)
        assert np.abs(value - weight).max() > 1e-5


def test_a_profile_is_written(fakes, tmp_path):
    fit(network(), tmp_path, profile=(3, 5))
    assert list((tmp_path / 'tb').rglob('*.xplane.pb'))


REPLICAS = """
import numpy as np, tensorflow as tf, keras
from tests.training import test_train as test_train
from tests.support import fakes
from tfxfer import config, models
from tfxfer.data import pipeline, preprocess
from tfxfer.models import predict
from tfxfer.training import sgd, train
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
train.fit(two, test_train.batches, test_train.HPARAMS, None, images=24, devices=devices)
for v in two.non_trainable_variables:
    a, b = (np.array(copy) for copy in v.value.values)
    np.testing.assert_array_equal(a, b)
loss = {}
for name, model in {'alone': one, 'two': two}.items():
    batch = next(iter(test_train.batches(0)))
    with tf.GradientTape() as tape:
        logits = model(batch['image'], training=True)['logits']
    loss[name] = float(tf.reduce_mean(sgd.losses(batch['label'], logits)))
print('LOSSES', loss['alone'], loss['two'])
images = test_train.made()
indices = np.arange(3, 20)
data = pipeline.evaluation(images, indices, 8, preprocess.whole, 6)
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
