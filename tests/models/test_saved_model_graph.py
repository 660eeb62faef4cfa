"""A user's SavedModel as a network of fixed features."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support import saved_models
from tests.support.saved_models import SIDE
from tests.support.small_networks import pixels
from tfxfer import architectures, errors, models
from tfxfer.models import model_file, openvino


def same(found, expected):
    """Within 1e-5 of the largest value."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape and np.ptp(expected) > 0
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def computed(path, images, *said, **options):
    """Features by TensorFlow and by OpenVINO."""
    name = ':'.join(['model', path, *said])
    network = models.build(name, 3, 'model', models.NetworkOptions(**options))
    found = tf.function(network)(images, training=False)
    assert found['logits'].shape == (len(images), 3)
    spec = tf.TensorSpec(images.shape, tf.float32)
    with openvino.compiled(network, spec, ['features']) as start:
        return found['features'].numpy(), start(images)()['features']


def signature(path, name='serving_default'):
    return tf.saved_model.load(path).signatures[name]


@pytest.mark.parametrize(
    'name', ['classifier', pytest.param('mobilenet', marks=pytest.mark.exhaustive)]
)
def test_features_are_what_keras_predicts_and_its_export_gives(name, tmp_path):
    model = getattr(saved_models, name)()
    path = saved_models.exported(tmp_path / 'a', model)
    images = pixels(model.inputs[0].shape[1])
    expected = model.predict(images, verbose=0)
    (given,) = signature(path)(tf.constant(images)).values()
    for found in computed(path, images, 'scaling=none'):
        same(found, expected)
        same(found, given)


@pytest.mark.slow
def test_one_of_keras_2_is_taken_with_all_that_trained_it(tmp_path):
    tf_keras = pytest.importorskip('tf_keras')
    make = tf_keras.layers
    images = tf_keras.Input((SIDE, SIDE, 3))
    x = make.RandomFlip()(make.Rescaling(1 / 255)(images))
    x = make.BatchNormalization()(make.Conv2D(6, 3)(x))
    x = make.Dropout(0.3)(make.GlobalAveragePooling2D()(x))
    model = tf_keras.Model(images, make.Dense(4)(x))
    model.compile('adam', 'mse')
    given = pixels(SIDE, count=4)
    model.fit(given, np.zeros((4, 4)), verbose=0)
    model.save(tmp_path / 'a', save_format='tf')
    for found in computed(str(tmp_path / 'a'), given, 'scaling=none'):
        same(found, model.predict(given, verbose=0))


def test_maps_of_a_module_are_averaged_at_any_size_and_pixels_are_scaled(tmp_path):
    path = saved_models.of_module(tmp_path / 'a')
    for side in (SIDE, 24):
        images = pixels(side)
        maps = signature(path)(image=tf.constant(images / 127.5 - 1))['maps']
        for found in computed(path, images, 'scaling=inception', f'size={side}'):
            same(found, maps.numpy().mean((1, 2)))


def test_a_signature_of_whole_numbers_and_an_output_by_their_names(tmp_path):
    path = saved_models.of_module(tmp_path / 'a')
    images = np.round(pixels(SIDE))
    expected = signature(path, 'bytes')(pixels=tf.constant(images, tf.uint8))
    said = ('scaling=none', 'signature=bytes')
    for found in computed(path, images, *said, 'output=pool'):
        same(found, expected['pool'])
    for found in computed(path, images, *said, 'output=maps'):
        same(found, expected['maps'].numpy().mean((1, 2)))


def test_a_path_that_tensorflow_takes_for_a_pattern_and_a_fixed_choice(tmp_path):
    """Keras' classifier, behind a branch on the pixels, in a folder [1]*."""
    choose = tf.Variable([[1.0], [2.0], [3.0]])

    def compute(images):
        pooled = tf.reduce_mean(images, (1, 2))
        bright = tf.reduce_mean(pooled) > 100
        return tf.cond(bright, lambda: pooled @ choose, lambda: -(pooled @ choose))

    path = saved_models.of_function(tmp_path / 'a', compute, choose=choose)
    odd = tmp_path / '[1]*'
    (tmp_path / 'a').rename(odd)
    images = pixels(SIDE, count=3)
    expected = images.mean((1, 2)) @ [[1], [2], [3]]
    assert images.mean() > 100
    for found in computed(str(odd), images, 'scaling=none'):
        same(found, expected)
    assert path != str(odd)


def test_nothing_of_it_is_trained_and_it_takes_its_own_size(tmp_path):
    path = saved_models.exported(tmp_path / 'a')
    network = models.build(f'model:{path}:scaling=none', 3, 'model')
    assert [v.name for v in network.trainable_variables] == ['kernel', 'bias']
    assert network.graph == 'saved_model'
    with pytest.raises(errors.InputError, match='for setting logistic'):
        models.build(f'model:{path}:scaling=none', 3)
    with pytest.raises(errors.InputError, match='images of 32 pixels'):
        computed(path, pixels(32), 'scaling=none', image_size=32)
    with pytest.raises(errors.InputError, match='auxiliary'):
        computed(path, pixels(SIDE), 'scaling=none', aux=True)


def test_devices_that_train_together_each_have_it(tmp_path):
    path = saved_models.of_module(tmp_path / 'a')
    images = pixels(SIDE)
    expected = signature(path)(image=tf.constant(images))['maps']
    devices = tf.distribute.MirroredStrategy(['CPU:0'])
    with devices.scope():
        name = f'model:{path}:scaling=none:size={SIDE}'
        network = models.build(name, 3, 'model')
    step = tf.function(lambda: devices.run(network, (tf.constant(images),)))
    same(step()['features'].numpy(), expected.numpy().mean((1, 2)))


def test_a_folder_that_changes_while_it_is_read_is_noticed(tmp_path):
    path = saved_models.exported(tmp_path / 'a')
    arch = model_file.find(f'model:{path}:scaling=none')
    saved_models.exported(tmp_path / 'a', saved_models.classifier(seed=5))
    with pytest.raises(errors.InputError, match='changed since'):
        models.build(arch, 4, 'model')


def test_code_that_is_trusted_runs(tmp_path):
    def compute(images):
        means = tf.numpy_function(lambda x: x.mean((1, 2)), [images], tf.float32)
        return tf.ensure_shape(means, [None, 3])

    path = saved_models.of_function(tmp_path / 'a', compute)
    arch = model_file.find(f'model:{path}:scaling=none', trust=True)
    images = pixels(SIDE)
    same(models.build(arch, 3, 'model')(images)['features'], images.mean((1, 2)))


def test_features_that_are_random_are_refused(tmp_path):
    def compute(images):
        return tf.reduce_mean(images, (1, 2)) + tf.random.uniform([], 0, 99, seed=3)

    path = saved_models.of_function(tmp_path / 'a', compute)
    with pytest.raises(errors.InputError, match='other features each time'):
        computed(path, pixels(SIDE), 'scaling=none')


def test_features_of_unknown_size_are_refused(tmp_path):
    def compute(images):
        return tf.reshape(images, [tf.shape(images)[0], -1])[:, : tf.size(images) // 7]

    path = saved_models.of_function(tmp_path / 'a', compute)
    with pytest.raises(errors.InputError, match='must be known'):
        computed(path, pixels(SIDE), 'scaling=none')


def test_weights_of_a_file_of_ours_are_never_of_it(tmp_path):
    path = saved_models.exported(tmp_path / 'a')
    arch = model_file.find(f'model:{path}:scaling=none')
    assert arch.weights == ('model',) and arch.graph == architectures.SAVED_MODEL
    (tmp_path / 'x.ckpt').touch()
    with pytest.raises(errors.InputError, match='its own'):
        models.build(arch, 4, str(tmp_path / 'x.ckpt'))
