import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy import special

from tests import conftest
from tests.support.fakes import ARCHITECTURE
from tfxfer import config, errors, models
from tfxfer.models import batch_norm
from tfxfer.training import sgd

DEFAULT = tf.distribute.get_strategy()


def test_batch_norm_momentum_by_hand():
    assert sgd.batch_norm_momentum(25_600, 256) == pytest.approx(0.9)  # s = 100
    assert sgd.batch_norm_momentum(256_000, 256) == pytest.approx(0.99)
    assert sgd.batch_norm_momentum(100, 256) == 0.9


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_softmax_loss_equals_scipy(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = (
        rng.normal(size=(5, 4)).astype(np.float32),
        np.array([0, 3, 1, 1, 2]),
    )
    target = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    expected = -(target * special.log_softmax(logits, axis=1)).sum(1)
    got = sgd.losses(tf.constant(labels, tf.int32), tf.constant(logits), smoothing)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_sigmoid_loss_leaves_difficult_classes_out():
    logits = np.array([[1.0, -2.0, 3.0]], np.float32)
    expected = -special.log_expit(1.0) - special.log_expit(-3.0)
    got = sgd.losses(tf.constant([[1, -1, 0]]), tf.constant(logits))
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_weight_decay_is_on_kernels_only(fakes):
    model = models.build(ARCHITECTURE, classes=3)
    assert [v.path for v in sgd.kernels(model)] == [
        'conv/kernel',
        'logits/kernel',
    ]


@pytest.mark.parametrize(
    'labels, logits, expected',
    [
        ([0, 1, 1], [[2.0, 1], [0, 1], [1, 0]], 2),
        # All labels of an image count together; a difficult one does not count.
        ([[1, 0], [1, 0], [1, -1]], [[1.0, -1], [1, 1], [1, 1]], 2),
    ],
)
def test_hits_by_hand(labels, logits, expected):
    assert sgd.hits(tf.constant(labels), tf.constant(logits)) == expected


def test_cosine_decay_and_warm_up_by_hand():
    hparams = config.Finetune(lr=0.4, steps=110, batch=8, warmup=2.5)
    schedule = sgd.Schedule(hparams, images=32)  # 4 steps an epoch: 10 of warm-up.
    rates = [float(schedule(step)) for step in (0, 5, 10, 60, 110)]
    np.testing.assert_allclose(rates, [0, 0.2, 0.4, 0.2, 0], atol=1e-7)


def test_stairs_after_the_warm_up_by_hand():
    hparams = config.Pretrain(lr=1.6, steps=100, batch=8, warmup=10.0, decay=0.975)
    schedule = sgd.Schedule(hparams, images=32)
    rates = [float(schedule(step)) for step in (20, 40, 43, 44, 80)]
    expected = [0.8, 1.6, 1.6, 1.6 * 0.975, 1.6 * 0.975**10]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def network(norm='per replica', *, aux=False, policy='float32', seed=0):
    """Convolution, batch norm, pool, one or two classifiers, of 6 x 6 images."""
    with models.seeded(seed), models.dtype_policy(policy):
        images = keras.Input((6, 6, 3))
        x = layers.Conv2D(4, 3, 2, use_bias=False)(images)
        if norm:
            x = batch_norm.BatchNormalization(
                momentum=0.9, synchronized=norm == 'synchronised'
            )(x)
        x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
        given = {'logits': layers.Dense(3, name='logits', dtype='float32')(x)}
        if aux:
            given['aux_logits'] = layers.Dense(3, name='aux_logits', dtype='float32')(x)
        return keras.Model(images, given)


def in_order(model):
    """Its variables as `by_hand` takes them: the auxiliary classifier's last."""
    trained = {v.path: v for v in model.trainable_variables}
    heads = sorted((p for p in trained if 'logits' in p), key=lambda p: p[:3] == 'aux')
    rest = [p for p in trained if p not in heads]
    return [*(trained[p] for p in (*rest, *heads)), *sgd.statistics(model)]


def data(steps, batch, seed=0):
    """Images f32 [steps, batch, 6, 6, 3] and labels i32 [steps, batch]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (steps, batch)).astype(np.int32)
    images = rng.normal(size=(steps, batch, 6, 6, 3))
    images += 0.5 * labels[..., None, None, None]
    return images.astype(np.float32), labels


def advance(trainer, images, labels):
    """One step for each of the batches."""
    for image, label in zip(images, labels, strict=True):
        batch = {'image': tf.constant(image), 'label': tf.constant(label)}
        trainer.advance(batch, tf.zeros(2))


def by_hand(weights, hparams, images, labels, *, epoch):
    """The recipe in NumPy, float64: after all steps.

    Returns weights and statistics, their averages, the sum of the gradients' norms.

    weights: those of `network` with batch norm: convolution, gamma, beta, classifier,
    bias (and the auxiliary classifier's two), then moving mean and variance.
    """
    *w, mean, variance = (np.array(v, np.float64) for v in weights)
    velocity, norms = [np.zeros_like(v) for v in w], 0
    averages = [v.copy() for v in (*w, mean, variance)]
    for t, (x, y) in enumerate(zip(images.astype(float), labels, strict=True)):
        n = len(x)
        # Patches of 3 x 3 with stride 2: two by two of them.
        parts = [
            x[:, i : i + 3, j : j + 3].reshape(n, 27) for i in (0, 2) for j in (0, 2)
        ]
        patches = np.stack(parts, 1)  # [n, 4, 27]
        kernel, gamma, beta = w[0].reshape(27, 4), w[1], w[2]
        a = patches @ kernel
        m, v = a.mean((0, 1)), a.var((0, 1))
        std = np.sqrt(v + 1e-3)
        normed = (a - m) / std
        b = gamma * normed + beta
        features = np.maximum(b, 0).mean(1)
        target = np.eye(3)[y]
        target = (1 - hparams.label_smoothing) * target + hparams.label_smoothing / 3
        g = [np.zeros_like(v) for v in w]
        d_features = 0
        for weight, head in ((1.0, 3), (hparams.aux, 5)):
            if not weight:
                continue
            p = special.softmax(features @ w[head] + w[head + 1], axis=1)
            d = weight * (p - target) / n
            g[head], g[head + 1] = features.T @ d, d.sum(0)
            d_features = d_features + d @ w[head].T
        d_b = d_features[:, None] / 4 * (b > 0)
        g[1], g[2] = (d_b * normed).sum((0, 1)), d_b.sum((0, 1))
        d_normed = d_b * gamma
        d_a = d_normed - d_normed.mean((0, 1))
        d_a = (d_a - normed * (d_normed * normed).mean((0, 1))) / std
        g[0] = np.einsum('npi,npo->io', patches, d_a).reshape(3, 3, 3, 4)
        # L2 in the gradient, of what has more than one axis.
        g = [
            gi + hparams.wd / hparams.lr * wi if wi.ndim > 1 else gi
            for gi, wi in zip(g, w, strict=True)
        ]
        norm = np.sqrt(sum((gi**2).sum() for gi in g))
        norms += norm
        if hparams.clip and norm > hparams.clip:
            g = [gi * hparams.clip / norm for gi in g]
        warm = hparams.warmup * epoch
        if t < warm:
            rate = hparams.lr * t / warm
        elif hparams.decay:
            rate = hparams.lr * hparams.decay ** math.floor((t - warm) / epoch)
        else:
            share = (t - warm) / (hparams.steps - warm)
            rate = hparams.lr * (1 + math.cos(math.pi * share)) / 2
        # Nesterov momentum: Sutskever et al. 2013, at the point looked ahead to.
        velocity = [0.9 * vi - rate * gi for vi, gi in zip(velocity, g, strict=True)]
        w = [
            wi + 0.9 * vi - rate * gi for wi, vi, gi in zip(w, velocity, g, strict=True)
        ]
        mean, variance = 0.9 * mean + 0.1 * m, 0.9 * variance + 0.1 * v
        keep = min(hparams.ema, (1 + t) / (10 + t))
        averages = [
            keep * old + (1 - keep) * new
            for old, new in zip(averages, (*w, mean, variance), strict=True)
        ]
    return [*w, mean, variance], averages, norms


ALL = {
    'label_smoothing': 0.1, 'aux': 0.4, 'ema': 0.99, 'clip': 0.5, 'warmup': 1.5,
    'decay': 0.8,
}  # fmt: skip


@pytest.mark.parametrize('more', [{}, ALL], ids=['protocol', 'everything'])
def test_twenty_steps_equal_the_recipe_in_numpy(more):
    hparams = config.Finetune(lr=0.1, wd=1e-3, steps=20, batch=16, **more)
    model = network(aux='aux' in more)
    images, labels = data(20, 16)
    variables = in_order(model)
    start = [v.numpy() for v in variables]
    trainer = sgd.Trainer(model, hparams, images=64, devices=DEFAULT)
    advance(trainer, images, labels)
    expected, averages, norms = by_hand(start, hparams, images, labels, epoch=4)
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-5, err_msg=variable.path)
    assert np.abs(expected[0] - start[0]).max() > 0.05  # It went somewhere.
    assert float(trainer.sums['gradient_norm']) == pytest.approx(norms, rel=1e-5)
    trainer.take_averages()
    for variable, value in zip(variables, averages if more else expected, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-5, err_msg=variable.path)


@pytest.mark.parametrize('size', [2, 4])
def test_microbatches_sum_to_the_whole_where_there_is_no_batch_norm(size):
    images, labels = data(5, 8)
    found = []
    for microbatch in (0, size):
        hparams = config.Finetune(
            lr=0.1, wd=1e-3, steps=5, batch=8, microbatch=microbatch
        )
        model = network(norm=None)
        trainer = sgd.Trainer(model, hparams, images=64, devices=DEFAULT)
        advance(trainer, images, labels)
        sums = [float(value) for value in trainer.sums.values()]
        found.append([*(v.numpy() for v in model.variables), sums])
    for whole, parts in zip(*found, strict=True):
        np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_batch_norm_sees_one_microbatch_at_a_time():
    images, labels = data(1, 8)
    hparams = config.Finetune(lr=1e-9, steps=5, batch=8, microbatch=4)
    model = network()
    trainer = sgd.Trainer(model, hparams, images=64, devices=DEFAULT)
    kernel = model.trainable_variables[0].numpy()
    advance(trainer, images, labels)
    mean = np.zeros(4)
    for part in (images[0, :4], images[0, 4:]):
        out = tf.nn.conv2d(part, kernel, 2, 'VALID').numpy()
        mean = 0.9 * mean + 0.1 * out.mean((0, 1, 2))
    np.testing.assert_allclose(sgd.statistics(model)[0], mean, atol=1e-6)


def test_a_batch_that_does_not_divide_is_refused():
    class Three:
        num_replicas_in_sync = 3

    hparams = config.Finetune(batch=8)
    with pytest.raises(errors.InputError, match='batch of 8 does not divide by 3'):
        sgd.Trainer(network(), hparams, 64, devices=Three())


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_mixed_precision_stays_near_float32(precision):
    images, labels = data(20, 16)
    hparams = config.Finetune(lr=0.1, wd=1e-3, steps=20, batch=16, ema=0.9)
    found = []
    for name in ('float32', precision):
        model = network(policy=config.POLICIES[name])
        trainer = sgd.Trainer(model, hparams, images=64, devices=DEFAULT)
        advance(trainer, images, labels)
        assert {v.dtype for v in model.trainable_variables} == {'float32'}
        found.append(([v.numpy() for v in model.variables], trainer.sums['loss']))
    for exact, short in zip(found[0][0], found[1][0], strict=True):
        assert 0 < np.abs(exact - short).max() < 0.1 * max(1, np.abs(exact).max())
    assert float(found[1][1]) == pytest.approx(float(found[0][1]), rel=0.01)


def test_a_step_that_overflows_float16_is_left_out_and_the_scale_halved():
    images, labels = data(3, 16)
    hparams = config.Finetune(lr=0.1, wd=1e-3, steps=20, batch=16)
    model = network(policy='mixed_float16')
    trainer = sgd.Trainer(model, hparams, images=64, devices=DEFAULT)
    trainer.scale.assign(2.0**30)
    before = [v.numpy() for v in model.trainable_variables]
    advance(trainer, images[:1], labels[:1])
    assert float(trainer.scale) == 2.0**29
    for old, new in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)
    trainer.scale.assign(2.0**10)
    trainer.stable.assign(1998)
    advance(trainer, images[1:], labels[1:])
    assert float(trainer.scale) == 2.0**11 and int(trainer.stable) == 0
    assert not np.array_equal(before[0], model.trainable_variables[0])
    trainer.raise_if_diverged()


def test_the_step_at_which_the_loss_ends_is_named():
    images, labels = data(6, 16)
    images[3] = np.nan
    hparams = config.Finetune(lr=0.1, steps=20, batch=16)
    trainer = sgd.Trainer(network(), hparams, images=64, devices=DEFAULT)
    advance(trainer, images, labels)
    with pytest.raises(sgd.Diverged, match='step 4: learning rate 0.1') as error:
        trainer.raise_if_diverged()
    assert (error.value.step, error.value.lr) == (4, 0.1)


REPLICAS = """
import sys
import numpy as np, tensorflow as tf
from tests.training import test_sgd as test_sgd
from tfxfer import config
from tfxfer.training import sgd

cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
images, labels = test_sgd.data(6, 16)
hparams = config.Finetune(
    lr=0.1, wd=1e-3, steps=6, batch=16, ema=0.9, clip=0.5, microbatch=4)

def trained(norm, replicas):
    devices = tf.distribute.get_strategy() if replicas == 1 else (
        tf.distribute.MirroredStrategy([f'CPU:{i}' for i in range(replicas)],
            cross_device_ops=tf.distribute.ReductionToOneDevice()))
    with devices.scope():
        model = test_sgd.network(norm)
    # Batch norm sees a microbatch at a time: without, where it is to be the same.
    h = hparams if norm is None else config.Finetune(**{
        **hparams.__dict__, 'microbatch': 0})
    trainer = sgd.Trainer(model, h, images=64, devices=devices)
    for image, label in zip(images, labels):
        def share(context):
            i = context.replica_id_in_sync_group
            rows = slice(i * 16 // replicas, (i + 1) * 16 // replicas)
            return tf.constant(image[rows])
        def labels_of(context):
            i = context.replica_id_in_sync_group
            rows = slice(i * 16 // replicas, (i + 1) * 16 // replicas)
            return tf.constant(label[rows])
        give = devices.experimental_distribute_values_from_function
        batch = {'image': give(share), 'label': give(labels_of)}
        trainer.advance(batch, tf.zeros(2))
    trainer.synchronise()
    if norm == 'per replica' and replicas > 1:
        for v in sgd.statistics(model):
            first, *rest = (np.array(copy) for copy in v.value.values)
            for copy in rest:
                np.testing.assert_array_equal(first, copy)
    trainer.take_averages()
    return [v.numpy() for v in model.variables], float(trainer.sums['loss'])

for norm in (None, 'synchronised'):
    alone, loss = trained(norm, 1)
    for replicas in (2, 4):
        many, there = trained(norm, replicas)
        for a, b in zip(alone, many):
            np.testing.assert_allclose(a, b, atol=1e-5)
        assert abs(loss - there) < 1e-5, (loss, there)

# Per replica: the moving means of two replicas' batches, by hand; at rate 0 the
# kernel stays.
hparams = config.Finetune(lr=1e-12, steps=6, batch=16)
kernel = test_sgd.network().trainable_variables[0].numpy()
(*_, mean, variance, _, _), _ = trained('per replica', 2)
moving = np.zeros(4), np.ones(4)
for image in images:
    parts = [tf.nn.conv2d(p, kernel, 2, 'VALID').numpy() for p in np.split(image, 2)]
    now = [p.mean((0, 1, 2)) for p in parts], [p.var((0, 1, 2)) for p in parts]
    moving = [0.9 * old + 0.1 * np.mean(new, 0) for old, new in zip(moving, now)]
np.testing.assert_allclose(mean, moving[0], atol=1e-5)
np.testing.assert_allclose(variance, moving[1], atol=1e-5)
print('SAME')
"""


def test_one_two_and_four_replicas_give_the_same_losses_and_weights():
    done = subprocess.run(
        [sys.executable, '-c', REPLICAS],
        cwd=conftest.ROOT,
        capture_output=True,
        text=True,
    )
    assert 'SAME' in done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize('options', [{}, {'scale': False}, {'epsilon': 1e-5}])
@pytest.mark.parametrize('policy', ['float32', 'mixed_bfloat16', 'mixed_float16'])
def test_batch_norm_trains_as_keras_own(options, policy):
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (8, 5, 4, 6)).astype(np.float32)
    found = []
    for kind in (layers.BatchNormalization, batch_norm.BatchNormalization):
        with models.dtype_policy(policy):
            layer = kind(momentum=0.8, **options)
        layer.build(x.shape)
        for variable in layer.trainable_variables:
            variable.assign(np.linspace(0.5, 1.5, 6))
        given = tf.constant(x, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(given)
            y = layer(given, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        gradients = tape.gradient(loss, [given, *layer.trainable_variables])
        quiet = layer(given, training=False)
        assert y.dtype == layer.compute_dtype
        found.append([y, *gradients, *layer.variables, quiet])
    tolerance = 1e-4 if policy == 'float32' else 2e-2
    for theirs, ours in zip(*found, strict=True):
        theirs, ours = (np.array(a, np.float32) for a in (theirs, ours))
        np.testing.assert_allclose(ours, theirs, atol=tolerance * np.abs(theirs).max())
    assert np.abs(found[0][-2] - 1).max() > 0.1  # The variance has moved.


def test_every_batch_norm_of_a_network_is_the_fast_one():
    for arch in ('mobilenet_v1_0.25', 'mobilenet_v2_0.35'):
        model = models.build(arch, 3, image_size=32)
        norms = [v for v in model.layers if isinstance(v, layers.BatchNormalization)]
        assert norms
        assert {type(layer) for layer in norms} == {batch_norm.BatchNormalization}


# TensorFlow's own definitions, which TF-Slim trains by.


def test_stairs_are_tensorflows_exponential_decay():
    hparams = config.Pretrain(lr=1.6, steps=60, batch=8, warmup=0.0, decay=0.94)
    schedule = sgd.Schedule(hparams, images=24)
    for step in range(0, 60, 7):
        expected = tf.compat.v1.train.exponential_decay(1.6, step, 3, 0.94, True)()
        assert float(schedule(step)) == pytest.approx(float(expected), rel=1e-6)


def test_the_cosine_is_tensorflows():
    schedule = sgd.Schedule(config.Finetune(lr=0.3, steps=50, batch=8), images=24)
    for step in range(0, 51, 5):
        expected = tf.compat.v1.train.cosine_decay(0.3, step, 50)()
        assert float(schedule(step)) == pytest.approx(float(expected), abs=1e-7)


def test_the_average_is_tensorflows_with_num_updates():
    hparams = config.Finetune(lr=0.05, steps=30, batch=8, ema=0.8)
    trainer = sgd.Trainer(network(), hparams, 24, devices=DEFAULT)
    images, labels = data(30, 8)
    # min(0.8, (1 + n) / (10 + n)) of what was: 0.1 at first, 0.8 from n = 35 on.
    count = tf.Variable(0.0)
    reference = tf.train.ExponentialMovingAverage(0.8, num_updates=count)
    copies = [tf.Variable(v.value) for v in trainer.moved]
    reference.apply(copies)
    by_hand = [copy.numpy() for copy in copies]
    for step in range(30):
        advance(trainer, images[step : step + 1], labels[step : step + 1])
        count.assign(step)
        decay = min(0.8, (1 + step) / (10 + step))
        for i, (copy, variable) in enumerate(zip(copies, trainer.moved, strict=True)):
            copy.assign(variable.value)
            by_hand[i] = decay * by_hand[i] + (1 - decay) * copy.numpy()
        reference.apply(copies)
    for ours, copy, hand in zip(trainer.averages, copies, by_hand, strict=True):
        np.testing.assert_allclose(ours, reference.average(copy), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours, hand, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.3])
def test_smoothed_labels_are_those_of_tensorflows_loss(smoothing):
    logits = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    labels = np.array([0, 4, 2, 2, 1, 3, 0], np.int32)
    expected = tf.compat.v1.losses.softmax_cross_entropy(
        np.eye(5)[labels], logits, label_smoothing=smoothing, reduction='none'
    )
    found = sgd.losses(tf.constant(labels), tf.constant(logits), smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_rate_follows_the_batch_and_the_decay_of_weights_does_not():
    short = {'batch': 8, 'steps': 3, 'warmup': 0.0, 'decay': 0.0, 'ema': 0.0}
    plain = config.Pretrain(lr=0.2, wd=0.002, **short)
    ruled = config.Pretrain(lr=1.6, wd=0.016, lr_batch=64, **short)
    assert ruled.rate == pytest.approx(0.2) and plain.rate == 0.2
    found = []
    for hparams in (plain, ruled):
        model = network()
        advance(sgd.Trainer(model, hparams, 24, devices=DEFAULT), *data(3, 8))
        found.append([v.numpy() for v in model.trainable_variables])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
