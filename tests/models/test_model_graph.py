"""A user's own Keras file as a network."""

import itertools
import pathlib
import runpy

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.support import full_size, model_files
from tests.support.small_networks import pixels, trained
from tfxfer import architectures, errors, models
from tfxfer.models import network, openvino, weights_h5


def same(found, expected):
    """Within 1e-5 of the largest value."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape and np.ptp(expected) > 0
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def built(model, tmp_path, *said, weights='model', **options):
    path = model_files.saved(model, tmp_path)
    name = ':'.join(['model', path, *said])
    return models.build(name, 4, weights, models.NetworkOptions(**options))


def features(model, tmp_path, *said):
    images = pixels(model.inputs[0].shape[1])
    return built(model, tmp_path, *said)(images, training=False)['features'].numpy()


@pytest.fixture
def mine():
    keras.utils.set_random_seed(0)  # Of some, no ReLU of the last layer is alive.
    return trained(model_files.classifier())


def test_features_are_what_reaches_the_classifier_of_the_file(mine, tmp_path):
    images = pixels(16)
    network = built(mine, tmp_path)
    pooled = keras.Model(mine.inputs, mine.get_layer('pool').output)
    outputs = network(images, training=False)
    same(outputs['features'], pooled.predict(images, verbose=0))
    # And the classifier is the file's where it has as many classes.
    same(tf.nn.softmax(outputs['logits']), mine.predict(images, verbose=0))
    spec = tf.TensorSpec(images.shape, tf.float32)
    with openvino.compiled(network, spec, ['features']) as start:
        same(start(images)()['features'], pooled.predict(images, verbose=0))


PRETRAINED = {
    'mobilenet_v1_0.25': 'inception',
    'mobilenet_v1_0.5': 'inception',
    'mobilenet_v2_0.35': 'inception',
    'densenet_121': 'torch',
}


@pytest.mark.parametrize(
    'name',
    full_size.marked(
        PRETRAINED, default=['mobilenet_v1_0.25'], slow=['mobilenet_v2_0.35']
    ),
)
def test_genuine_networks_give_what_keras_predicts(name, shared, tmp_path):
    make = shared / 'pretrained' / 'make.py'
    if not make.exists():
        pytest.skip('shared/ holds no pretrained networks')
    runpy.run_path(str(make))['main'](tmp_path, name)
    scaling = PRETRAINED[name]
    path = tmp_path / f'{name}.keras'
    ours = models.build(f'model:{path}:scaling={scaling}', 4, 'model')
    theirs = keras.saving.load_model(path)
    if theirs.output.shape[-1] == 1000:
        theirs = keras.Model(theirs.inputs, theirs.layers[-5].output)
    images, chosen = pixels(224, count=1), architectures.SCALINGS[scaling]
    scaled = (images - np.array(chosen.mean)) / np.array(chosen.std)
    expected = theirs.predict(scaled.astype(np.float32), verbose=0)
    same(ours(images)['features'], expected.reshape(1, -1))


def sequential(*stack, side=16):
    return trained(keras.Sequential([keras.Input((side, side, 3)), *stack]))


def until(model, number):
    """What comes out of the first layers of a Sequential."""
    return keras.Model(model.inputs, model.layers[number].output)


def test_where_features_are_found(tmp_path):
    images = pixels(16)
    none = 'scaling=none'
    # Behind the pool the layer normalisation of its own, not a hidden layer.
    model = sequential(
        layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(),
        layers.LayerNormalization(), layers.Dense(5, activation='relu'),
        layers.Dense(3),
    )  # fmt: skip
    same(features(model, tmp_path, none), until(model, 2).predict(images, verbose=0))
    # A pool that keeps its sides, and a classifier that is a convolution.
    model = sequential(
        layers.Conv2D(5, 3), layers.GlobalAveragePooling2D(keepdims=True),
        layers.Dropout(0.1), layers.Conv2D(4, 1), layers.Reshape([4]),
    )  # fmt: skip
    expected = until(model, 1).predict(images, verbose=0)[:, 0, 0]
    same(features(model, tmp_path, none), expected)
    network = built(model, tmp_path, none)
    same(network(images, training=False)['logits'], model.predict(images, verbose=0))
    # No pool: what the last dense layer takes; no dense layer: the maps, averaged.
    model = sequential(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3))
    same(features(model, tmp_path, none), until(model, 1).predict(images, verbose=0))
    model = trained(model_files.backbone())
    expected = model.predict(images, verbose=0).mean((1, 2))
    same(features(model, tmp_path, none), expected)


def test_features_of_a_whole_classifier_within_a_model(mine, tmp_path):
    images = keras.Input((16, 16, 3))
    outer = keras.Model(images, mine(layers.Rescaling(0.5)(images)))
    pooled = keras.Model(mine.inputs, mine.get_layer('pool').output)
    same(features(outer, tmp_path), pooled.predict(0.5 * pixels(16), verbose=0))


def test_features_of_a_layer_by_name(mine, tmp_path):
    pixels_ = pixels(16)
    top = mine.predict(pixels_, verbose=0)
    same(features(mine, tmp_path, 'layer=top'), top)
    scaled = pixels_ / 127.5 - 1
    inner = mine.get_layer('backbone')
    name = inner.layers[1].name
    maps = keras.Model(inner.inputs, inner.layers[1].output)
    expected = maps.predict(scaled, verbose=0).mean((1, 2))
    same(features(mine, tmp_path, f'layer=backbone.{name}'), expected)
    with pytest.raises(errors.InputError, match="Did you mean 'top'"):
        features(mine, tmp_path, 'layer=tops')


def test_new_weights_are_of_the_seed_alone_and_pixels_are_scaled_as_in_the_file(
    tmp_path,
):
    norm = layers.Normalization()
    norm.adapt(np.array([[1.0, 2, 3], [3, 6, 9]]))
    fixed = keras.initializers.HeNormal(seed=4)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)), norm,
            layers.Conv2D(4, 3, kernel_initializer=fixed),
            layers.GlobalAveragePooling2D(), layers.Dense(4),
        ]
    )  # fmt: skip

    def values(seed):
        made = built(model, tmp_path, weights=None, seed=seed)
        return [
            variable.numpy()
            for layer in network.parts(made).values()
            for variable in network.variables(layer).values()
        ]

    first, again, other = values(0), values(0), values(1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [
        next(v for v in arrays if v.ndim == 4)
        for arrays in (first, other, model.get_weights())
    ]
    for a, b in itertools.combinations(kernels, 2):
        assert np.abs(a - b).max() > 0.01
    np.testing.assert_allclose(first[0], [2, 4, 6])  # The mean of the pixels.


def test_what_was_frozen_trains_and_its_batch_norm_moves(mine, tmp_path):
    made = built(mine, tmp_path)
    held = {v.path.rpartition('/')[2] for v in made.trainable_variables}
    assert held == {'kernel', 'bias', 'gamma', 'beta'}
    models.set_batch_norm_momentum(made, 0.5)
    (norm,) = (
        layer
        for layer in network.parts(made).values()
        if isinstance(layer, layers.BatchNormalization)
    )
    before = norm.moving_mean.numpy()
    made(pixels(16), training=True)
    assert norm.momentum == 0.5
    assert np.abs(norm.moving_mean.numpy() - before).max() > 1e-3


def test_weights_come_back_from_a_file_though_layers_share_names(tmp_path):
    images = keras.Input((16, 16, 3))
    one, two = model_files.backbone(), model_files.backbone(name='other')
    for inner in (one, two):
        for i, layer in enumerate(inner.layers):
            layer.name = f'layer_{i}'
    x = layers.Rescaling(1 / 255)(images)
    x = layers.Concatenate()([one(x), two(x)])
    x = layers.Reshape((-1, 12))(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.GlobalAveragePooling1D()(x)
    model = trained(keras.Model(images, layers.Dense(3)(x)))
    made = built(model, tmp_path)
    models.save_weights(made, tmp_path / 'a.weights.h5')
    again = built(model, tmp_path, weights=str(tmp_path / 'a.weights.h5'))
    for a, b in zip(made.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = built(mine_of(5), tmp_path, weights=None)
    with pytest.raises(errors.InputError, match='holds weights of model:'):
        models.load_weights(other, tmp_path / 'a.weights.h5')
    assert weights_h5.metadata(tmp_path / 'a.weights.h5')['graph'] == 'model'


def mine_of(classes):
    return model_files.classifier(classes=classes)


def test_images_of_another_size_where_the_network_takes_them(mine, tmp_path):
    made = built(mine, tmp_path, image_size=32)
    assert made(pixels(32))['features'].shape == (2, 6)
    flat = sequential(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3))
    with pytest.raises(errors.InputError, match='32 pixels'):
        built(flat, tmp_path, 'scaling=none', image_size=32)


def test_layers_compute_in_the_precision_of_the_run(tmp_path):
    with models.dtype_policy('mixed_float16'):
        model = trained(model_files.classifier())
    made = built(model, tmp_path)
    assert made(pixels(16))['features'].dtype == 'float32'
    half = built(model, tmp_path, policy='mixed_bfloat16')
    assert half.output['features'].dtype == 'bfloat16'
    assert half.output['logits'].dtype == 'float32'


def test_a_file_that_changes_while_it_is_read_is_noticed(mine, tmp_path):
    from tfxfer.models import model_file

    path = model_files.saved(mine, tmp_path)
    arch = model_file.find(f'model:{path}')
    model_files.saved(trained(model_files.classifier(), seed=5), tmp_path)
    with pytest.raises(errors.InputError, match='changed since'):
        models.build(arch, 4, 'model')


def test_weights_of_a_model_file_are_its_own_or_those_written_here(mine, tmp_path):
    path = pathlib.Path(model_files.saved(mine, tmp_path))
    (tmp_path / 'x.ckpt').touch()
    with pytest.raises(errors.InputError, match='its own'):
        models.build(f'model:{path}', 4, str(tmp_path / 'x.ckpt'))
    with pytest.raises(errors.InputError, match="weights='model'"):
        models.build('mobilenet_v1', 4, 'model')
