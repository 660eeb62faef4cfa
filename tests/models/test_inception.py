"""The Inception family: what its options do; test_networks.py has the equality."""

import collections
import functools
import math
import re

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfxfer import architectures, errors, models
from tfxfer.models import inception, inception_v4

BUILDERS = {
    'inception_v1': inception.inception_v1,
    'bn_inception': inception.bn_inception,
    'inception_v3': inception.inception_v3,
    'inception_v4': inception_v4.inception_v4,
    'inception_resnet_v2': inception_v4.inception_resnet_v2,
}
# Counted in TF-Slim's own graphs, without the linear classifiers: trainable values and
# batch norms of the network, and the values that the auxiliary head adds.
PARAMETERS = {
    'inception_v1': 5_592_624,
    'bn_inception': 10_153_336,
    'inception_v3': 21_768_352,
    'inception_v4': 41_111_232,
    'inception_resnet_v2': 54_276_192,
}
BATCH_NORMS = {
    'inception_v1': 57,
    'bn_inception': 68,
    'inception_v3': 94,
    'inception_v4': 149,
    'inception_resnet_v2': 204,
}
AUX_PARAMETERS = {
    'inception_v1': 0,
    'bn_inception': 0,
    'inception_v3': 2_556_800,
    'inception_v4': 2_589_568,
    'inception_resnet_v2': 2_597_760,
}
AUX_CONVS = {
    'inception_v3': ('Conv2d_1b_1x1', 'Conv2d_2a_5x5'),
    'inception_v4': ('Conv2d_1b_1x1', 'Conv2d_2a'),
    'inception_resnet_v2': ('Conv2d_1b_1x1', 'Conv2d_2a_5x5'),
}
QUARTER_FEATURES = {
    'inception_v1': 256,
    'bn_inception': 256,
    'inception_v3': 512,
    'inception_v4': 384,
    'inception_resnet_v2': 384,
}

# Standard deviation of the unit normal cut at 2: TensorFlow's truncated normal.
CUT = scipy.stats.truncnorm(-2, 2).std()


def marked(rows):
    """Marks the two largest networks, which take as long as all the rest.

    rows: names of networks, or tuples that begin with one.
    """
    marked_rows = []
    for row in rows:
        values = (row,) if isinstance(row, str) else row
        large = values[0] in ('inception_v4', 'inception_resnet_v2')
        marks = [pytest.mark.exhaustive] if large else []
        marked_rows.append(pytest.param(*values, marks=marks))
    return marked_rows


every_net = pytest.mark.parametrize('name', marked(BUILDERS))
every_net_with_aux = pytest.mark.parametrize('name', marked(AUX_CONVS))


def build(name, size, *, aux=False, **options):
    """blocks.Outputs for [size, size] images (None: any), and their model."""
    images = keras.Input((size, size, 3))
    if aux and name in AUX_CONVS:
        options['aux'] = True
    outputs = BUILDERS[name](images, **options)
    given = {'features': outputs.features}
    if outputs.aux_features is not None:
        given['aux'] = outputs.aux_features
    return outputs, keras.Model(images, given)


@functools.cache
def full(name):
    """As the public checkpoint, auxiliary head included, freshly initialised."""
    keras.utils.set_random_seed(0)
    return build(name, None, aux=True)


@functools.cache
def quarter(name, *, options):
    """A quarter of the width, its batch norms not trivial.

    With `options` it has scale and an auxiliary head; the other variables are equal.
    """
    keras.utils.set_random_seed(0)
    _, model = build(name, 75, width=0.25, scale=options, aux=options)
    if options:
        copy_weights(quarter(name, options=False), model)
        return model
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.name in ('beta', 'moving_mean', 'bias'):
            variable.assign(rng.normal(0, 0.1, variable.shape))
        if variable.name == 'moving_variance':
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def pixels(count, size=75):
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, (count, size, size, 3)).astype('float32')


def variables(model):
    """Variables by `layer/variable`."""
    return {
        f'{layer.name}/{variable.name}': variable
        for layer in model.layers
        for variable in layer.weights
    }


def copy_weights(source, target):
    """Sets those of the target's variables that the source has."""
    values = variables(source)
    for name, variable in variables(target).items():
        if name in values:
            variable.assign(values[name])


def added(name):
    """Names of the variables that scale and aux add to a network."""
    with_options = variables(quarter(name, options=True))
    return with_options.keys() - variables(quarter(name, options=False)).keys()


def trainable(model, *, aux):
    """Trainable values of the auxiliary head, or of all the rest."""
    return sum(
        np.prod(variable.shape)
        for layer in model.layers
        for variable in layer.trainable_variables
        if ('.AuxLogits.' in layer.name) == aux
    )


@every_net
def test_parameters_are_as_many_as_in_tf_slims_graph(name):
    _, model = full(name)
    assert trainable(model, aux=False) == PARAMETERS[name]
    assert trainable(model, aux=True) == AUX_PARAMETERS[name]


@every_net
def test_scale_adds_a_gamma_to_every_batch_norm(name):
    gammas = {variable for variable in added(name) if variable.endswith('/gamma')}
    assert sum('.AuxLogits.' not in gamma for gamma in gammas) == BATCH_NORMS[name]
    assert sum('.AuxLogits.' in gamma for gamma in gammas) == len(
        AUX_CONVS.get(name, ())
    )


@every_net_with_aux
def test_the_auxiliary_head_adds_two_convolutions_of_tf_slims_name(name):
    layers = {variable.partition('/')[0] for variable in added(name)}
    aux = {layer.partition('.AuxLogits.')[2] for layer in layers} - {''}
    first, second = AUX_CONVS[name]
    assert aux == {first, f'{first}.BatchNorm', second, f'{second}.BatchNorm'}
    assert not [
        variable
        for variable in added(name)
        if '.AuxLogits.' not in variable and not variable.endswith('/gamma')
    ]


@every_net
def test_gammas_of_1_and_an_auxiliary_head_leave_the_features_as_they_are(name):
    plain = quarter(name, options=False)(pixels(2), training=False)['features']
    with_options = quarter(name, options=True)(pixels(2), training=False)['features']
    assert np.std(plain) > 0
    np.testing.assert_allclose(with_options, plain, rtol=1e-5, atol=1e-7)


@every_net
def test_gradients_reach_every_trainable_variable(name):
    model = quarter(name, options=True)
    rng = np.random.default_rng(2)
    before = model.get_weights()
    with tf.GradientTape() as tape:
        outputs = model(pixels(4), training=True).values()
        # Random weights: batch norm makes a plain sum insensitive to much.
        loss = sum(tf.reduce_sum(x * rng.normal(size=x.shape)) for x in outputs)
    gradients = tape.gradient(loss, model.trainable_variables)
    model.set_weights(before)  # Other tests have this model too.
    unreached = {
        variable.path
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if gradient is None or not np.abs(gradient).max() > 1e-3
    }
    # The last batch norm takes a constant that is added before it away again.
    idle = {'InceptionResnetV2.Block8.Conv2d_1x1/bias'}
    assert unreached == (idle if name == 'inception_resnet_v2' else set())


@every_net
def test_a_quarter_of_the_width_gives_a_quarter_of_the_features(name):
    features = quarter(name, options=False).output['features']
    assert features.shape == (None, QUARTER_FEATURES[name])


@pytest.mark.parametrize('name', ['inception_v1', 'bn_inception'])
def test_padded_networks_take_images_of_32_pixels(name):
    _, model = build(name, 32, width=0.25)
    assert np.isfinite(model(pixels(1, 32), training=False)['features']).all()


@every_net_with_aux
def test_images_of_74_pixels_are_refused_by_name(name):
    with pytest.raises(errors.InputError, match=f'{name} needs .* 75 x 75 .* 74 x 74'):
        build(name, 74)


@pytest.mark.parametrize('name', ['InceptionV3', 'InceptionResNetV2'])
def test_keras_draws_the_line_at_the_same_size(name):
    network = getattr(keras.applications, name)
    smallest = f'at least {inception.MIN_SIZE}x{inception.MIN_SIZE}'
    with pytest.raises(ValueError, match=smallest):
        network(weights=None, include_top=False, input_shape=(32, 32, 3))


# TF-Slim's kernels. Images of 299 pixels have maps of 17 x 17 here, 224: 12, 107: 5,
# 75: 3, 363: 21; pooling by 5 with stride 3 leaves 5, 3, 1, 1 and 6.
@pytest.mark.parametrize(
    'side, kernel', [(None, 5), (17, 5), (12, 3), (5, 1), (3, 1), (21, 5)]
)
def test_the_auxiliary_kernel_is_as_large_as_its_map_and_at_most_5(side, kernel):
    network = inception.Network('InceptionV3', inception.style(scale=None))
    images = keras.Input((side, side, 7))
    features = inception.aux_features(network, images, 'Conv2d_2a_5x5')
    layer = keras.Model(images, features).get_layer(
        'InceptionV3.AuxLogits.Conv2d_2a_5x5'
    )
    assert layer.kernel.shape == (kernel, kernel, 128, 768)
    assert features.shape == (None, 768)


# TF-Slim's arg scopes: truncated normals of the given deviation, sqrt(2 / fan in) where
# the initialiser is variance scaling, sqrt(2 / (fan in + fan out)) where it is Xavier.
@pytest.mark.parametrize(
    'name, variable, expected',
    marked(
        [
            ('inception_v1', 'InceptionV1.Conv2d_2c_3x3/kernel', 0.01 * CUT),
            ('bn_inception', 'InceptionV2.Conv2d_1a_7x7/depthwise_kernel', CUT),
            ('bn_inception', 'InceptionV2.Conv2d_1a_7x7/pointwise_kernel', CUT),
            ('bn_inception', 'InceptionV2.Conv2d_2b_1x1/kernel', 0.1 * CUT),
            (
                'bn_inception',
                'InceptionV2.Mixed_5a.Branch_1.Conv2d_0a_1x1/kernel',
                0.09 * CUT,
            ),
            (
                'bn_inception',
                'InceptionV2.Mixed_5b.Branch_3.Conv2d_0b_1x1/kernel',
                0.1 * CUT,
            ),
            (
                'bn_inception',
                'InceptionV2.Mixed_5a.Branch_1.Conv2d_0b_3x3/kernel',
                np.sqrt(2 / (9 * 192)),
            ),
            (
                'inception_v3',
                'InceptionV3.Mixed_6b.Branch_0.Conv2d_0a_1x1/kernel',
                np.sqrt(2 / 768),
            ),
            ('inception_v3', 'InceptionV3.AuxLogits.Conv2d_2a_5x5/kernel', 0.01 * CUT),
            (
                'inception_v4',
                'InceptionV4.AuxLogits.Conv2d_2a/kernel',
                np.sqrt(2 / (25 * 128)),
            ),
            (
                'inception_resnet_v2',
                'InceptionResnetV2.Conv2d_7b_1x1/kernel',
                np.sqrt(2 / (2080 + 1536)),
            ),
        ]
    ),
)
def test_kernels_start_with_tf_slims_deviation(name, variable, expected):
    _, model = full(name)
    assert np.std(variables(model)[variable]) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize(
    'name, head, aux',
    marked(
        [
            ('inception_v1', np.sqrt(2 / 1024), None),
            ('bn_inception', np.sqrt(2 / 1024), None),
            ('inception_v3', np.sqrt(2 / 2048), 0.001 * CUT),
            ('inception_v4', np.sqrt(2 / (1536 + 100)), np.sqrt(2 / (768 + 100))),
            (
                'inception_resnet_v2',
                np.sqrt(2 / (1536 + 100)),
                np.sqrt(2 / (768 + 100)),
            ),
        ]
    ),
)
def test_classifiers_start_with_tf_slims_deviation(name, head, aux):
    outputs, _ = full(name)
    width = outputs.features.shape[-1]
    assert np.std(outputs.head_init()((width, 100))) == pytest.approx(head, rel=0.02)
    if aux:
        assert np.std(outputs.aux_init()((768, 100))) == pytest.approx(aux, rel=0.02)


# Reduced depth.


def inner_blocks(model):
    """How many blocks of each letter a model has between its reductions."""
    names = [layer.name.split('.')[-1] for layer in model.layers]
    blocks = [re.fullmatch(r'Mixed_(\d)[b-h]', name) for name in names]
    return collections.Counter(int(match[1]) for match in blocks if match)


@every_net
def test_a_third_of_the_depth_keeps_a_block_a_stage_and_all_features(name):
    whole = quarter(name, options=True)
    _, third = build(name, 75, width=0.25, depth=1 / 3, scale=True, aux=True)
    for output in whole.output:
        assert third.output[output].shape == whole.output[output].shape
    assert third.count_params() < whole.count_params()
    full_names, left = ({layer.name for layer in m.layers} for m in (whole, third))
    convs = {n for n in left if n.startswith('Inception')}
    assert convs < {n for n in full_names if n.startswith('Inception')}


def test_blocks_left_by_hand():
    _, third = build('inception_v3', 75, width=0.25, depth=1 / 3)
    # Of 5b-5d, 6b-6e, 7b-7c: ceil(3 / 3), ceil(4 / 3), ceil(2 / 3), the last ones.
    assert inner_blocks(third) == {5: 1, 6: 2, 7: 1}
    names = {layer.name for layer in third.layers}
    kept = {f'InceptionV3.Mixed_{n}' for n in ('5d', '6a', '6d', '6e', '7a', '7c')}
    assert {n for n in names if re.search(r'Mixed_\w\w$', n)} == kept
    _, third = build('inception_v4', 75, width=0.25, depth=1 / 3)
    # Of 5b-5e, 6b-6h, 7b-7d; the stem's 3a and 4a are reductions.
    assert inner_blocks(third) == {5: 2, 6: 3, 7: 1}


def test_the_small_inception_is_as_its_record_says():
    arch = architectures.ARCHITECTURES['inception_v3_small']
    model = models.build(arch, 4, options=models.NetworkOptions(scale=False, aux=False))
    heads = [v for v in model.trainable_variables if v.path.startswith('logits')]
    trained = sum(math.prod(v.shape) for v in model.trainable_variables)
    assert trained - sum(math.prod(v.shape) for v in heads) == arch.parameters
    assert model.output['features'].shape[-1] == arch.features
