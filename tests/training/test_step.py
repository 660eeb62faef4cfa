import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tests import conftest
from tests.support.training import (
    advance,
    one_device_step,
    random_batches,
    small_network,
)
from tfxfer import config, errors
from tfxfer.training import optimizer, step


def variables_in_order(model):
    """Its variables as `by_hand` takes them: the auxiliary classifier's last."""
    trained = {v.path: v for v in model.trainable_variables}
    heads = sorted((p for p in trained if 'logits' in p), key=lambda p: p[:3] == 'aux')
    rest = [p for p in trained if p not in heads]
    return [*(trained[p] for p in (*rest, *heads)), *optimizer.statistics(model)]


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
        decay = min(hparams.ema, (1 + t) / (10 + t))
        averages = [
            decay * old + (1 - decay) * new
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
    model = small_network(aux='aux' in more)
    images, labels = random_batches(20, 16)
    variables = variables_in_order(model)
    start = [v.numpy() for v in variables]
    train_step = one_device_step(model, hparams, 64)
    advance(train_step, images, labels)
    expected, averages, norms = by_hand(start, hparams, images, labels, epoch=4)
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-5, err_msg=variable.path)
    assert np.abs(expected[0] - start[0]).max() > 0.05  # It went somewhere.
    assert float(train_step.metrics.sums['gradient_norm']) == pytest.approx(
        norms, rel=1e-5
    )
    train_step.optimizer.averages.take()
    for variable, value in zip(variables, averages if more else expected, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-5, err_msg=variable.path)


@pytest.mark.parametrize('size', [2, 4])
def test_microbatches_sum_to_the_whole_where_there_is_no_batch_norm(size):
    images, labels = random_batches(5, 8)
    results = []
    for microbatch in (0, size):
        hparams = config.Finetune(
            lr=0.1, wd=1e-3, steps=5, batch=8, microbatch=microbatch
        )
        model = small_network(norm=None)
        train_step = one_device_step(model, hparams, 64)
        advance(train_step, images, labels)
        sums = [float(value) for value in train_step.metrics.sums.values()]
        results.append([*(v.numpy() for v in model.variables), sums])
    for whole, parts in zip(*results, strict=True):
        np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_batch_norm_sees_one_microbatch_at_a_time():
    images, labels = random_batches(1, 8)
    hparams = config.Finetune(lr=1e-9, steps=5, batch=8, microbatch=4)
    model = small_network()
    train_step = one_device_step(model, hparams, 64)
    kernel = model.trainable_variables[0].numpy()
    advance(train_step, images, labels)
    mean = np.zeros(4)
    for part in (images[0, :4], images[0, 4:]):
        out = tf.nn.conv2d(part, kernel, 2, 'VALID').numpy()
        mean = 0.9 * mean + 0.1 * out.mean((0, 1, 2))
    np.testing.assert_allclose(optimizer.statistics(model)[0], mean, atol=1e-6)


def test_a_batch_that_does_not_divide_is_refused():
    class Three:
        num_replicas_in_sync = 3

    hparams = config.Finetune(batch=8)
    with pytest.raises(errors.InputError, match='batch of 8 does not divide by 3'):
        step.TrainStep(small_network(), hparams, 64, devices=Three())


@pytest.mark.parametrize(
    'batch, microbatch, replicas, images, microbatches',
    [(16, 0, 1, 16, 1), (16, 4, 1, 16, 4), (16, 4, 2, 8, 2), (16, 32, 2, 8, 1)],
)
def test_a_batch_is_shared_by_replicas_and_microbatches(
    batch, microbatch, replicas, images, microbatches
):
    hparams = config.Finetune(batch=batch, microbatch=microbatch)
    assert step.share_of_batch(hparams, replicas) == (images, microbatches)


@pytest.mark.parametrize('microbatch', [0, 4])
def test_a_variable_on_which_the_loss_does_not_depend_stays(microbatch):
    model = small_network(aux=True)
    hparams = config.Finetune(lr=0.1, steps=2, batch=8, aux=0.0, microbatch=microbatch)
    before = {v.path: v.numpy() for v in model.trainable_variables}
    train_step = one_device_step(model, hparams, 24)
    advance(train_step, *random_batches(2, 8))
    for variable in model.trainable_variables:
        same = np.array_equal(variable, before[variable.path])
        assert same == ('aux' in variable.path), variable.path


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_mixed_precision_stays_near_float32(precision):
    images, labels = random_batches(20, 16)
    hparams = config.Finetune(lr=0.1, wd=1e-3, steps=20, batch=16, ema=0.9)
    results = []
    for name in ('float32', precision):
        model = small_network(policy=config.POLICIES[name])
        train_step = one_device_step(model, hparams, 64)
        advance(train_step, images, labels)
        assert {v.dtype for v in model.trainable_variables} == {'float32'}
        results.append(
            ([v.numpy() for v in model.variables], train_step.metrics.sums['loss'])
        )
    for exact, short in zip(results[0][0], results[1][0], strict=True):
        assert 0 < np.abs(exact - short).max() < 0.1 * max(1, np.abs(exact).max())
    assert float(results[1][1]) == pytest.approx(float(results[0][1]), rel=0.01)


def test_the_step_at_which_the_loss_ends_is_named():
    images, labels = random_batches(6, 16)
    images[3] = np.nan
    hparams = config.Finetune(lr=0.1, steps=20, batch=16)
    train_step = one_device_step(small_network(), hparams, 64)
    advance(train_step, images, labels)
    with pytest.raises(step.Diverged, match='step 4: learning rate 0.1') as error:
        train_step.raise_if_diverged()
    assert (error.value.step, error.value.lr) == (4, 0.1)


REPLICAS = """
import sys
import numpy as np, tensorflow as tf
from tests.support.training import random_batches, small_network
from tfxfer import config
from tfxfer.training import optimizer, step

cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
images, labels = random_batches(6, 16)
hparams = config.Finetune(
    lr=0.1, wd=1e-3, steps=6, batch=16, ema=0.9, clip=0.5, microbatch=4)

def trained(norm, replicas):
    devices = tf.distribute.get_strategy() if replicas == 1 else (
        tf.distribute.MirroredStrategy([f'CPU:{i}' for i in range(replicas)],
            cross_device_ops=tf.distribute.ReductionToOneDevice()))
    with devices.scope():
        model = small_network(norm)
    # Batch norm sees a microbatch at a time: without, where it is to be the same.
    h = hparams if norm is None else config.Finetune(**{
        **hparams.__dict__, 'microbatch': 0})
    train_step = step.TrainStep(model, h, images=64, devices=devices)
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
        train_step.advance(batch, tf.zeros(2))
    train_step.synchronise()
    if norm == 'per replica' and replicas > 1:
        for v in optimizer.statistics(model):
            first, *rest = (np.array(copy) for copy in v.value.values)
            for copy in rest:
                np.testing.assert_array_equal(first, copy)
    train_step.optimizer.averages.take()
    return [v.numpy() for v in model.variables], float(train_step.metrics.sums['loss'])

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
kernel = small_network().trainable_variables[0].numpy()
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


@pytest.mark.slow
def test_one_two_and_four_replicas_give_the_same_losses_and_weights():
    done = subprocess.run(
        [sys.executable, '-c', REPLICAS],
        cwd=conftest.ROOT,
        capture_output=True,
        text=True,
    )
    assert 'SAME' in done.stdout, done.stderr[-3000:]
