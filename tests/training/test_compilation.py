import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.support.training import (
    HPARAMS,
    ONE_DEVICE,
    batches,
    small_network,
    tiny_network,
    weights_of,
)
from tfxfer import config, errors, models
from tfxfer.models import pooling
from tfxfer.training import compilation, loop, step
from tfxfer.training.compilation import Choice
from tfxfer.training.options import Options

GPU = bool(tf.config.list_logical_devices('GPU'))
# ResNet-50 on a GPU, 20,000 steps of 64 images.
RESNET = compilation.Work(
    gpu=True,
    replicas=1,
    layers=compilation.LAYERS,
    multiply_adds=compilation.MULTIPLY_ADDS,
    images=20_000 * 64,
    policy='float32',
    scatters=False,
)


def changed(**fields):
    return compilation.choose(None, RESNET._replace(**fields))


def test_xla_is_used_where_what_it_saves_is_more_than_what_compiling_takes():
    # 20,000 x 64 images at 2,272 per second are 563 s, at 3,779 they are 339 s.
    assert RESNET.saved_seconds == pytest.approx(563.4 - 338.7, abs=0.1)
    assert RESNET.compile_seconds == 27
    assert compilation.choose(None, RESNET) == (True, 'it pays')
    # 27 s are what it saves of 153,828 images: 27 / (1 / 2272 - 1 / 3779).
    assert changed(images=153_900) == (True, 'it pays')
    assert changed(images=153_700) == (False, 'too few steps')
    # In bfloat16 of 74,040: 27 / (1 / 1850 - 1 / 5685).
    for policy in ('mixed_bfloat16', 'mixed_float16'):
        assert changed(images=74_100, policy=policy).jit_compile
        assert not changed(images=74_000, policy=policy).jit_compile
    # Half the work in as many layers saves half.
    half = compilation.MULTIPLY_ADDS // 2
    assert not changed(images=300_000, multiply_adds=half).jit_compile
    assert changed(images=310_000, multiply_adds=half).jit_compile


def test_xla_is_not_chosen_where_it_is_slow_or_not_measured():
    assert changed(gpu=False) == (False, 'no GPU')
    assert changed(replicas=2) == (False, 'several devices')
    assert changed(scatters=True) == (False, "Keras' max pooling")
    for asked in (True, False):
        assert compilation.choose(asked, RESNET._replace(gpu=False)) == (
            asked,
            'as asked',
        )


@pytest.mark.parametrize('asked', [None, True, False])
@pytest.mark.parametrize(
    'begun', [Choice(True, 'it pays'), Choice(False, 'too few steps')]
)
def test_a_training_goes_on_as_it_was_begun(asked, begun, caplog):
    assert compilation.choose(asked, RESNET, begun) == begun
    said = 'The training was begun' in caplog.text
    assert said == (asked is (not begun.jit_compile))
    # Begun on a GPU, it goes on where there is none.
    on_cpu = compilation.choose(None, RESNET._replace(gpu=False), begun)
    assert on_cpu.jit_compile is False


def test_the_choice_depends_on_the_whole_training_not_on_where_a_part_of_it_stops():
    short = config.Finetune(steps=100, batch=8)
    work = compilation.work_of(small_network(), short, gpu=True, replicas=2)
    assert work.images == 100 * 8 // 2
    assert work.policy == 'float32' and not work.scatters
    # Kernels of 3 x 3 x 3 x 4 at 2 x 2 places, and of 4 x 3.
    assert (work.layers, work.multiply_adds) == (6, 108 * 4 + 12)
    half = small_network(policy='mixed_bfloat16')
    assert compilation.work_of(half, short, gpu=True, replicas=1).policy == (
        'mixed_bfloat16'
    )


@pytest.mark.slow
def test_the_network_of_the_measurement_has_the_size_that_is_written_down():
    model = models.build('resnet_50', 10, options=models.NetworkOptions(224))
    work = compilation.work_of(model, HPARAMS, gpu=True, replicas=1)
    assert work.layers == compilation.LAYERS
    assert work.multiply_adds == compilation.MULTIPLY_ADDS
    assert not work.scatters
    model = models.build('keras:VGG16', 10, options=models.NetworkOptions(32))
    assert not compilation.work_of(model, HPARAMS, gpu=True, replicas=1).scatters


def with_pool(kind=layers.MaxPooling2D):
    images = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(kind()(images))
    return keras.Model(images, {'logits': layers.Dense(3)(x)})


def test_max_pooling_of_keras_itself_is_a_scatter():
    work = compilation.work_of(with_pool(), HPARAMS, gpu=True, replicas=1)
    assert work.scatters and work.layers == 4


def test_the_compiled_step_of_a_network_with_max_pooling_has_no_scatter():
    model = with_pool(pooling.MaxPooling2D)
    assert not compilation.work_of(model, HPARAMS, gpu=True, replicas=1).scatters
    compiled = step.TrainStep(model, HPARAMS, 24, devices=ONE_DEVICE, jit_compile=True)
    batch = {'image': tf.ones((8, 8, 8, 3)), 'label': tf.zeros(8, tf.int32)}
    read = compiled.replica_step.experimental_get_compiler_ir(batch, tf.zeros(2))
    assert 'scatter' not in read(stage='hlo')
    assert not model.layers[1].by_comparison  # Graphs for prediction stay plain.


def fit(model, folder=None, *, hparams=HPARAMS, until=None, **options):
    return loop.fit(
        loop.Training(model, batches, hparams, images=24, devices=ONE_DEVICE),
        folder,
        options=Options(**options),
        until=until,
    )


def test_training_by_xla_is_the_same_to_rounding(fakes):
    plain, compiled = tiny_network(), tiny_network()
    if not GPU:
        assert fit(plain) == (False, 'no GPU')
    assert fit(compiled, jit_compile=True) == (True, 'as asked')
    for a, b in zip(weights_of(plain), weights_of(compiled), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1, np.abs(a).max()))


@pytest.mark.slow
def test_a_training_begun_by_xla_goes_on_by_xla(fakes, tmp_path, caplog):
    fit(tiny_network(), tmp_path, until=6, jit_compile=True)
    note = json.loads((tmp_path / 'ckpt/6/note.json').read_text())
    assert note == {'jit_compile': True, 'reason': 'as asked'}
    model, whole = tiny_network(seed=5), tiny_network()
    assert fit(model, tmp_path, jit_compile=False) == (True, 'as asked')
    assert 'The training was begun with XLA' in caplog.text
    fit(whole, jit_compile=True)
    for a, b in zip(weights_of(whole), weights_of(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_of_an_earlier_version_goes_on_without_xla(fakes, tmp_path):
    fit(tiny_network(), tmp_path, until=6)
    (tmp_path / 'ckpt/6/note.json').unlink()
    choice = fit(tiny_network(), tmp_path, jit_compile=True)
    assert choice == (False, 'begun without')


class NotInXla(layers.Layer):
    """Has an operation that XLA lacks."""

    def call(self, inputs):
        as_text = tf.strings.as_string(tf.stop_gradient(tf.reduce_max(inputs)))
        return inputs + 0.0 * tf.strings.to_number(as_text)


def test_where_xla_cannot_compile_the_training_runs_without(
    tmp_path, monkeypatch, caplog
):
    # As on a GPU: the rest is the same on a CPU.
    choices = [Choice(True, compilation.PAYS)]
    monkeypatch.setattr(compilation, 'choose', lambda *_: choices[0])
    model, plain = with_pool(NotInXla), with_pool(NotInXla)
    plain.set_weights(model.get_weights())
    assert fit(model, tmp_path) == (False, compilation.FAILED)
    assert 'XLA could not compile the training step' in caplog.text
    choices[0] = Choice(False, compilation.TOO_SHORT)
    fit(plain)
    for a, b in zip(weights_of(plain), weights_of(model), strict=True):
        np.testing.assert_array_equal(a, b)
    note = json.loads((tmp_path / 'ckpt/12/note.json').read_text())
    assert note == {'jit_compile': False, 'reason': compilation.FAILED}


def test_where_xla_was_asked_for_or_begun_with_its_failure_is_one_line(
    tmp_path, monkeypatch
):
    model = with_pool(NotInXla)
    before = weights_of(model)
    with pytest.raises(errors.InputError, match='--nojit_compile') as refused:
        fit(model, jit_compile=True)
    assert '\n' not in str(refused.value)
    for a, b in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(a, b)
    fit(model, tmp_path, until=6)
    monkeypatch.setattr(
        compilation, 'choose', lambda *_: Choice(True, compilation.PAYS)
    )
    with pytest.raises(errors.InputError, match='The 6 steps before.*folder ckpt'):
        fit(model, tmp_path)


def test_a_checkpoint_notes_nothing_else_than_what_was_done():
    assert compilation.choice_from({}) == (False, 'begun without')
    assert compilation.choice_from({'jit_compile': 1, 'reason': 'x'}) == (
        False,
        'begun without',
    )
    assert compilation.choice_from({'jit_compile': True, 'reason': 'x'}) == (True, 'x')
