"""A preset of keras-hub as a network."""

import shutil

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.support import full_size, hub_presets
from tests.support.small_networks import pixels
from tfxfer import errors, models
from tfxfer.models import batch_norm, model_file, network, openvino, weights_h5

keras_hub = pytest.importorskip('keras_hub')
SIDE = hub_presets.SIDE


def same(found, expected):
    """Within 1e-5 of the largest value."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape and np.ptp(expected) > 0
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def moved(model, seed=0):
    """Moves every variable a little."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if 'float' in variable.dtype and 'position_embeddings' not in variable.path:
            noise = rng.uniform(0.01, 0.1, variable.shape)
            variable.assign(variable + noise)
    return model


def theirs(name, backbone, images, size=SIDE):
    """Features by keras-hub's own pipeline: what its classifier's last layer takes."""
    scaled = np.asarray(hub_presets.converter(name, size)(images))
    task = hub_presets.TINY[name].task
    if name in ('siglip', 'clip'):
        found = backbone.vision_encoder.predict({'images': scaled}, verbose=0)
        return np.asarray(found if name == 'siglip' else backbone.vision_pooler(found))
    if task:
        classifier = getattr(keras_hub.models, task)(backbone=backbone, num_classes=3)
        # MobileNet's classifier has a convolution behind the pool.
        pooled = hasattr(classifier, 'pooler')
        tensor = (classifier.pooler if pooled else classifier.layers[-1])._inbound_nodes
        tensor = tensor[0].outputs[0] if pooled else tensor[0].input_tensors[0]
        found = keras.Model(classifier.inputs, tensor).predict(scaled, verbose=0)
        return found.reshape(len(images), -1)
    dino = name.startswith('dino')
    inputs = {backbone.inputs[0].name: scaled} if dino else scaled
    found = backbone.predict(inputs, verbose=0)
    if dino:
        return found[:, 0]
    found = found['stage2'] if name == 'hgnetv2' else found
    return found.mean(axis=tuple(range(1, found.ndim - 1)))


@pytest.fixture(scope='module')
def preset(tmp_path_factory):
    """Makes presets: (folder, backbone) of a family."""
    made = {}

    def make(name):
        if name not in made:
            backbone = moved(hub_presets.backbone(name))
            folder = tmp_path_factory.mktemp('preset')
            made[name] = hub_presets.saved(name, folder, backbone), backbone
        return made[name]

    return make


# The others take longer to build.
QUICK, SLOW = ('vit', 'resnet'), ('dinov3', 'efficientnet', 'siglip')
# Made of layers that other families have, as far as OpenVINO is concerned.
LIKE_OTHERS = (
    'vit without class token', 'deit', 'clip', 'resnet_v2', 'resnet_vd', 'xception',
)  # fmt: skip
families = pytest.mark.parametrize(
    'name',
    full_size.marked(hub_presets.TINY, default=QUICK, slow=SLOW),
)


@families
def test_every_family_gives_keras_hubs_features_and_can_be_trained(name, preset):
    folder, backbone = preset(name)
    images = pixels(SIDE)
    arch = model_file.find(f'hub:{folder}')
    ours = models.build(arch, 3, 'hub')
    expected = theirs(name, backbone, images)
    same(ours(images, training=False)['features'].numpy(), expected)
    spec = tf.TensorSpec(images.shape, tf.float32)
    if name == 'swin':
        with pytest.raises(openvino.Unsupported, match='XlaDynamicUpdateSlice'):
            with openvino.compiled(ours, spec, ['features']):
                pass
    elif name not in LIKE_OTHERS:
        with openvino.compiled(ours, spec, ['features']) as start:
            same(start(images)()['features'], expected)
    # Every variable that is trained has a gradient.
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(ours(images, training=True)['logits'] ** 2)
    variables = ours.trainable_variables
    gradients = tape.gradient(loss, [each.value for each in variables])
    lacking = [v.path for v, g in zip(variables, gradients, strict=True) if g is None]
    assert not lacking
    trained = sum(int(np.prod(v.shape)) for v in ours.trainable_variables)
    assert trained <= arch.parameters + 3 * (expected.shape[1] + 1)


@pytest.mark.slow
def test_random_weights_are_of_the_seed_and_names_of_the_network(preset):
    folder, _ = preset('vit')

    def built(seed):
        options = models.NetworkOptions(seed=seed)
        return models.build(f'hub:{folder}', 3, options=options)

    one, same_seed, other = built(0), built(0), built(1)
    assert [*network.parts(one)] == [*network.parts(same_seed)]
    for a, b in zip(one.variables, same_seed.variables, strict=True):
        assert np.array_equal(a, b)
    differing = [
        a.path
        for a, b in zip(one.variables, other.variables, strict=True)
        if not np.array_equal(a, b)
    ]
    assert len(differing) > 10
    before = keras.layers.Dense(1).name
    built(2)
    assert keras.layers.Dense(1).name != before


@pytest.mark.slow
def test_batch_norm_is_ours_where_it_is_a_layer_and_its_momentum_reaches_all(preset):
    resnet = models.build(f'hub:{preset("resnet")[0]}', 3, 'hub')
    found = [
        each
        for each in network.parts(resnet).values()
        if isinstance(each, layers.BatchNormalization)
    ]
    assert found and all(type(b) is batch_norm.BatchNormalization for b in found)
    inside = models.build(f'hub:{preset("mobilenet")[0]}', 3, 'hub')
    network.set_batch_norm_momentum(inside, 0.5)
    within = [
        each
        for each in inside._flatten_layers()
        if isinstance(each, layers.BatchNormalization)
    ]
    assert len(within) > len(network.parts(inside)) / 2
    assert {each.momentum for each in within} == {0.5}


def test_a_written_network_comes_back_and_is_no_other_ones(preset, tmp_path):
    folder, _ = preset('vit')
    model = moved(models.build(f'hub:{folder}', 3, 'hub'), seed=1)
    path = tmp_path / 'a.weights.h5'
    models.save_weights(model, path)
    again = models.build(f'hub:{folder}', 3, str(path))
    images = pixels(SIDE)
    same(again(images)['logits'].numpy(), model(images)['logits'].numpy())
    weights_h5.load_weights(models.build(f'hub:{folder}', 3), path)
    with pytest.raises(errors.InputError, match='holds weights of hub:'):
        models.build(f'hub:{preset("resnet")[0]}', 3, str(path))
    with pytest.raises(errors.InputError, match='own \\(hub\\)'):
        models.build(f'hub:{folder}', 3, __file__)


@pytest.mark.slow
def test_features_of_a_layer_and_of_another_size(preset):
    folder, backbone = preset('resnet')
    name = 'stack0_block0_2_relu'
    with pytest.raises(errors.InputError, match='No layer in'):
        models.build(f'hub:{folder}:layer={name}', 3)
    name = 'stack0_block0_out'
    images = pixels(48)
    ours = models.build(f'hub:{folder}:size=48:layer={name}', 3, 'hub')
    maps = keras.Model(backbone.inputs, backbone.get_layer(name).output)
    scaled = np.asarray(hub_presets.converter('resnet', 48)(images))
    same(ours(images)['features'].numpy(), maps.predict(scaled).mean((1, 2)))
    folder, _ = preset('vit')
    with pytest.raises(errors.InputError, match='images of 48 pixels; its own are 32'):
        models.build(f'hub:{folder}:size=48', 3, 'hub')
    options = models.NetworkOptions(image_size=33)
    with pytest.raises(errors.InputError, match='images of 33 pixels'):
        models.build(f'hub:{folder}', 3, options=options)


@pytest.mark.exhaustive
def test_dino_takes_images_of_other_sizes_as_keras_hub_does(preset):
    folder, _ = preset('dinov2')
    images = pixels(48)
    theirs = keras_hub.models.Backbone.from_preset(folder, image_shape=(48, 48, 3))
    scaled = np.asarray(hub_presets.converter('dinov2', 48)(images))
    expected = theirs.predict({'images': scaled}, verbose=0)[:, 0]
    ours = models.build(f'hub:{folder}:size=48', 3, 'hub')
    same(ours(images)['features'].numpy(), expected)


def test_weights_that_are_not_the_presets_are_refused(preset, tmp_path):
    folder = shutil.copytree(preset('vit')[0], tmp_path / 'mixed')
    other = preset('deit')[0]
    shutil.copy(f'{other}/model.weights.h5', folder)
    with pytest.raises(errors.InputError, match='keras-hub cannot build') as raised:
        models.build(f'hub:{folder}', 3, 'hub')
    assert '\n' not in str(raised.value)
    # A file without the layers inside of others, of which Keras warns alone.
    shutil.copy(f'{preset("vit")[0]}/model.weights.h5', folder)
    with h5py.File(f'{folder}/model.weights.h5', 'r+') as file:
        del file['layers/vi_t_encoder/encoder_layers']
    with pytest.raises(
        errors.InputError, match='lack .* variables|could not be loaded'
    ):
        models.build(f'hub:{folder}', 3, 'hub')
    arch = model_file.find(f'hub:{folder}')
    shutil.copy(f'{preset("vit")[0]}/model.weights.h5', folder)
    with pytest.raises(errors.InputError, match='has changed since'):
        models.build(arch, 3, 'hub')
    with pytest.raises(errors.InputError, match="weights='hub' are those of a preset"):
        models.build('mobilenet_v1_0.25', 3, 'hub')
    with pytest.raises(errors.InputError, match='no auxiliary classifier'):
        models.build(arch, 3, options=models.NetworkOptions(aux=True))


# As their papers and keras-hub's presets have them: parameters and config.
PUBLISHED = {
    'resnet': (
        11_186_112,
        {
            'input_conv_filters': [64], 'input_conv_kernel_sizes': [7],
            'stackwise_num_filters': [64, 128, 256, 512],
            'stackwise_num_blocks': [2, 2, 2, 2],
            'stackwise_num_strides': [1, 2, 2, 2], 'block_type': 'basic_block',
        },
    ),
}  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize('name', PUBLISHED)
def test_networks_of_the_published_size(name, tmp_path):
    parameters, config = PUBLISHED[name]
    made = getattr(keras_hub.models, hub_presets.TINY[name].backbone)(**config)
    folder = hub_presets.saved(name, tmp_path, made, size=224)
    arch = model_file.find(f'hub:{folder}')
    assert arch.parameters == parameters and arch.input_size == 224
    images = pixels(224, count=1)
    ours = models.build(arch, 3, 'hub')
    expected = theirs(name, made, images, size=224)
    same(ours(images)['features'].numpy(), expected)
