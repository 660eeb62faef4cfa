"""What only a GPU can show: precision, memory, devices, compiled steps.

    python -m pytest -m slow tests/gpu

takes about three minutes on one GPU, and is skipped where TensorFlow sees none.
"""

import os
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT
from tests.support import gpus, training
from tfxfer import config, models
from tfxfer.models import batch_norm, float32
from tfxfer.training import compilation, gpu_memory, loop, step

GPUS = tf.config.list_physical_devices('GPU')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not GPUS, reason='TensorFlow sees no GPU'),
]


@pytest.fixture(autouse=True)
def precision_as_before():
    before = float32.tf32_allowed()
    float32.allow_tf32(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


@pytest.fixture
def deterministic():
    """As Runs compute."""
    tf.config.experimental.enable_op_determinism()


def relative(found, expected):
    """The largest difference, of the largest value."""
    found, expected = (np.asarray(a, np.float64) for a in (found, expected))
    return np.abs(found - expected).max() / np.abs(expected).max()


def pictures(count, size):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3)).astype(np.float32)


def network(arch='mobilenet_v1_0.25', size=64, policy='float32'):
    options = models.NetworkOptions(size, seed=0, policy=policy)
    return models.build(arch, 5, options=options)


@pytest.mark.parametrize('arch', ['mobilenet_v1_0.25', 'resnet_50'])
def test_features_are_those_of_the_cpu(arch):
    found = []
    for device in ('/CPU:0', '/GPU:0'):
        with tf.device(device):
            model = network(arch)
            outputs = tf.function(model, autograph=False)(pictures(4, 64))
        found.append(outputs)
    for name in ('features', 'logits'):
        assert relative(found[1][name], found[0][name]) < 1e-5


def test_tf32_rounds_products_and_float32_does_not():
    if GPUS and not float32._available():
        pytest.skip('this GPU has no TF32')
    a, b = np.random.default_rng(0).normal(size=(2, 512, 512)).astype(np.float32)
    exact = a.astype(np.float64) @ b
    assert relative(tf.constant(a) @ tf.constant(b), exact) < 2e-6
    float32.allow_tf32(True)
    assert 1e-5 < relative(tf.constant(a) @ tf.constant(b), exact) < 1e-2
    with float32.without_tf32():
        assert relative(tf.constant(a) @ tf.constant(b), exact) < 2e-6


@pytest.mark.parametrize('policy', ['float32', 'mixed_bfloat16', 'mixed_float16'])
def test_batch_norm_is_that_of_the_cpu(policy):
    found = []
    x = np.random.default_rng(0).normal(3, 2, (8, 6, 6, 16)).astype(np.float32)
    for device in ('/CPU:0', '/GPU:0'):
        with tf.device(device), models.dtype_policy(policy):
            layer = batch_norm.BatchNormalization(momentum=0.5)
            given = tf.constant(x, layer.compute_dtype)
            with tf.GradientTape() as tape:
                tape.watch(given)
                y = layer(given, training=True)
                total = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
            gradients = tape.gradient(total, [given, *layer.trainable_variables])
            moving = [layer.moving_mean.value, layer.moving_variance.value]
            found.append([tf.cast(v, tf.float32) for v in (y, *gradients, *moving)])
    for cpu, gpu in zip(*found, strict=True):
        assert relative(gpu, cpu) < (1e-5 if policy == 'float32' else 2e-2)


def in_own_process(code, **environment):
    """What a program prints that has a GPU to itself."""
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1].split()


def test_a_program_takes_memory_as_it_needs_it():
    code = """
        from tests.support import gpus
        from tfxfer.cli import app
        class Program:
            define_flags = staticmethod(lambda: app.Define(app.flags.FLAGS).given)
            def main(given):
                import tensorflow as tf
                tf.random.normal((1024, 1024)) @ tf.random.normal((1024, 1024))
                print(*[used for used, _ in gpus.memory_or_skip()])
        app.run(Program, ['program'])
    """
    before = gpus.memory_or_skip()
    after = list(map(int, in_own_process(code)))
    for (idle, whole), used in zip(before, after, strict=True):
        assert used - idle < 0.25 * whole


def test_a_process_keeps_to_its_share():
    (_, whole), *_ = gpus.memory_or_skip()
    assert gpu_memory.total(0) == pytest.approx(whole, rel=0.05)
    code = """
        import tensorflow as tf
        from tfxfer.training import gpu_memory
        gpu_memory.limit(0.25)
        gpu = tf.config.list_physical_devices('GPU')[0]
        (one,) = tf.config.get_logical_device_configuration(gpu)
        size = int(1.5 * one.memory_limit) * 2**20
        try:
            tf.zeros(size, tf.int8)[0].numpy()
        except tf.errors.ResourceExhaustedError as error:
            from tfxfer.cli import app
            print(one.memory_limit, app.gpu_is_full(error))
    """
    limit, full = in_own_process(code, TF_FORCE_GPU_ALLOW_GROWTH='true')
    assert int(limit) == gpu_memory.limit_of(gpu_memory.total(0), 0.25)
    assert full == 'True'


def test_two_parts_of_one_gpu_train_to_what_one_does():
    code = """
        import functools, os
        import numpy as np, tensorflow as tf
        from tfxfer.models import float32
        gpu = tf.config.list_physical_devices('GPU')[0]
        tf.config.set_visible_devices(gpu, 'GPU')
        part = tf.config.LogicalDeviceConfiguration(memory_limit=2048)
        parts = [part] * int(os.environ['PARTS'])
        tf.config.set_logical_device_configuration(gpu, parts)
        float32.allow_tf32(False)
        from tfxfer import config
        from tfxfer.training import distribution, loop
        devices = distribution.strategy()
        tf.config.experimental.enable_op_determinism()
        from tests.support.training import batches, small_network
        with devices.scope():
            model = small_network(None)
        hparams = config.Finetune(lr=1e-4, wd=1e-6, steps=6, batch=8)
        batches = functools.partial(batches, image_size=6)
        loop.fit(loop.Training(model, batches, hparams, 24, devices))
        print(devices.num_replicas_in_sync,
              *[float(x) for v in model.variables for x in v.numpy().ravel()])
    """
    one, two = (
        np.array(in_own_process(code, PARTS=str(count)), float) for count in (1, 2)
    )
    assert (one[0], two[0]) == (1, 2)
    np.testing.assert_allclose(one[1:], two[1:], atol=1e-5)


def fit(model, hparams, **options):
    """Three steps of a training, on the same images; how they were computed."""
    size = model.inputs[0].shape[1]
    batch = {'image': pictures(16, size), 'label': np.arange(16, dtype=np.int32) % 3}
    return loop.fit(
        loop.Training(
            model,
            lambda *_: tf.data.Dataset.from_tensors(batch).repeat(),
            hparams,
            images=16,
            devices=training.ONE_DEVICE,
        ),
        options=loop.Options(**options),
        until=3,
    )


def test_a_long_training_is_compiled_and_a_short_one_is_not(deterministic):
    for steps, expected in (
        (20_000_000, (True, compilation.PAYS)),
        (30, (False, compilation.TOO_SHORT)),
    ):
        hparams = config.Finetune(lr=0.01, steps=steps, batch=16)
        assert fit(network(), hparams) == expected


def test_compiled_steps_give_the_same_weights(deterministic):
    # Shallow: deep networks with random weights amplify rounding.
    plain, compiled = training.small_network(None), training.small_network(None)
    hparams = config.Finetune(lr=1e-4, steps=30, batch=16)
    for model, jit_compile in ((plain, False), (compiled, True)):
        choice = fit(model, hparams, jit_compile=jit_compile)
        assert choice == (jit_compile, compilation.ASKED)
    for a, b in zip(plain.variables, compiled.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('policy', ['float32', 'mixed_bfloat16'])
def test_compiled_steps_of_a_network_with_max_pooling_are_faster(deterministic, policy):
    hparams = config.Finetune(batch=32)
    batch = {
        'image': tf.constant(pictures(32, 128)),
        'label': tf.constant(np.arange(32) % 5, tf.int32),
    }
    seconds = []
    for jit_compile in (False, True):
        train_step = step.TrainStep(
            network('resnet_50', 128, policy), hparams, 32,
            devices=training.ONE_DEVICE, jit_compile=jit_compile,
        )  # fmt: skip
        for _ in range(3):
            train_step.advance(batch, tf.zeros(2)).numpy()
        begun = time.perf_counter()
        for _ in range(10):
            train_step.advance(batch, tf.zeros(2)).numpy()
        seconds.append(time.perf_counter() - begun)
    assert seconds[1] < 1.1 * seconds[0]
