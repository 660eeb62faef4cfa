import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.support import saved_models
from tests.support.fakes import ARCHITECTURE
from tests.support.small_networks import as_if_trained
from tfxfer import config, errors, models
from tfxfer.models import float32, model_file, xla

GIB = 2**30
BYTES = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)


def trained(name, precision='float32'):
    """A network whose layers compute in `precision`, as if it had seen images."""
    options = models.NetworkOptions(image_size=64, policy=config.POLICIES[precision])
    return as_if_trained(models.build(name, 5, options=options))


def run(model, images, outputs=('features',), **options):
    spec = tf.TensorSpec(images.shape, images.dtype)
    function = xla.compiled(model, spec, outputs, **options)
    return function(tf.constant(images))()


def difference(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(
    ('precision', 'tolerance'),
    [('float32', 1e-5), ('bfloat16', 0.01), ('float16', 0.002)],
)
def test_features_leave_in_float32_near_those_of_the_plain_network(
    precision, tolerance
):
    """Of the largest feature; mantissas have 24, 8 and 11 bits."""
    plain = trained('mobilenet_v1_0.25')
    expected = plain(BYTES.astype(np.float32), training=False)['features'].numpy()
    model = trained('mobilenet_v1_0.25', precision)
    found = run(model, BYTES, precision=precision, jit_compile=False)['features']
    assert found.dtype == np.float32
    off = difference(found, expected)
    assert off <= tolerance
    if precision != 'float32':  # Its products are rounded, not only its name.
        assert off > 1e-4
        # Means that were rounded to the precision would all be such numbers.
        nonzero = found[found > 0]
        rounded = tf.cast(tf.cast(nonzero, precision), tf.float32).numpy()
        assert (nonzero != rounded).mean() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize('precision', ['float32', 'bfloat16', 'float16'])
def test_xla_computes_what_tensorflow_does(precision):
    model = trained('mobilenet_v1_0.25', precision)
    plain = run(model, BYTES, precision=precision, jit_compile=False)['features']
    compiled = run(model, BYTES, precision=precision)['features']
    tolerance = {'float32': 1e-5, 'bfloat16': 0.01, 'float16': 0.002}[precision]
    assert difference(compiled, plain) <= tolerance


def test_weights_are_inputs_of_what_is_compiled(fakes):
    model = models.build(ARCHITECTURE, classes=3)
    images = BYTES[:, :8, :8].copy()
    spec = tf.TensorSpec(images.shape, images.dtype)
    function = xla.compiled(model, spec, ('features',))
    before = function(tf.constant(images))()['features']
    kernel = model.get_layer('conv').kernel
    kernel.assign(2 * kernel)
    assert xla.compiled(model, spec, ('features',)) is function
    after = function(tf.constant(images))()['features']
    assert np.abs(after - before).max() > 1e-2
    direct = model(images.astype(np.float32), training=False)['features']
    np.testing.assert_allclose(after, direct, atol=1e-5)
    assert function.backend == 'xla'


@pytest.mark.parametrize('allowed', [False, True])
def test_xla_multiplies_in_tf32_only_where_it_may(fakes, allowed):
    before = float32.tf32_allowed()
    model = models.build(ARCHITECTURE, classes=3)
    infer = xla.forward(model, ('features',), 'float32')
    try:
        tf.config.experimental.enable_tensor_float_32_execution(allowed)
        compiled = tf.function(infer, jit_compile=True, autograph=False)
        images = tf.constant(BYTES[:, :8, :8])
        text = compiled.experimental_get_compiler_ir(images)(stage='hlo')
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
    assert ' convolution(' in text
    assert ('operand_precision={highest,highest}' in text) is not allowed


def with_operation(operation):
    """A network that XLA has an operation less for."""
    image = keras.Input((8, 8, 3))
    odd = layers.Lambda(operation, output_shape=image.shape[1:])(image)
    features = layers.GlobalAveragePooling2D()(odd)
    return keras.Model(image, {'features': features}, name='odd')


@pytest.mark.parametrize(
    'operation',
    [
        lambda x: tf.ensure_shape(tf.py_function(abs, [x], tf.float32), x.shape),
        lambda x: x + tf.strings.to_number(tf.strings.as_string(x)),
    ],
    ids=['Python', 'texts'],
)
def test_what_xla_cannot_compile_is_run_by_tensorflow(operation, caplog):
    images = BYTES[:2, :8, :8].copy()
    model = with_operation(operation)
    spec = tf.TensorSpec(images.shape, images.dtype)
    function = xla.compiled(model, spec, ('features',))
    with caplog.at_level('WARNING'):
        found = function(tf.constant(images))()['features']
        again = function(tf.constant(images))()['features']
    expected = model(images.astype(np.float32), training=False)['features']
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(again, found)
    (line,) = [r.getMessage() for r in caplog.records if 'XLA' in r.getMessage()]
    assert 'cannot compile odd' in line and '\n' not in line
    assert function.backend == 'tensorflow'


def test_what_was_compiled_goes_with_its_network(fakes):
    model = models.build(ARCHITECTURE, classes=3)
    spec = tf.TensorSpec((4, 8, 8, 3), tf.uint8)
    gone = weakref.ref(xla.compiled(model, spec, ('features',), jit_compile=False))
    other = xla.compiled(model, spec, ('features', 'logits'), jit_compile=False)
    gc.collect()
    assert gone() is None
    gone = weakref.ref(model), weakref.ref(other)
    del model, other
    keras.backend.clear_session()
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_a_saved_model_computes_in_its_own_precision(tmp_path):
    path = saved_models.of_module(tmp_path / 'a')
    arch = model_file.find(f'model:{path}:scaling=none:size=16')
    options = models.NetworkOptions(policy='mixed_bfloat16')
    model = models.build(arch, 3, 'model', options)
    images = BYTES[:, :16, :16].copy()
    run(model, images)
    with pytest.raises(errors.InputError, match='does not compute in bfloat16'):
        run(model, images, precision='bfloat16')


@pytest.mark.parametrize(
    ('size', 'memory', 'batch'),
    # A quarter of 8 GiB has room for 40 images of 51.4 MB.
    [(224, 8 * GIB, 32), (224, 80 * GIB, 256), (1024, 8 * GIB, 16), (32, GIB, 256)],
)
def test_a_batch_is_a_power_of_two_that_the_memory_allows(size, memory, batch):
    assert xla.batch_size(size, memory) == batch


@pytest.mark.skipif(
    bool(tf.config.list_physical_devices('GPU')), reason='needs a machine without GPU'
)
def test_without_a_gpu_the_smallest_batch_is_taken():
    assert xla.batch_size(224) == xla.SMALLEST_BATCH
