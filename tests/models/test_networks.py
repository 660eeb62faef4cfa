"""All sixteen networks against TF-Slim's own graphs (tests/golden), at full size."""

import math

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.golden import weights
from tests.support import full_size
from tfxfer import architectures, models
from tfxfer.models import (
    blocks,
    checkpoints,
    convert,
    densenet,
    mobilenet,
    nasnet,
    openvino,
    resnet,
)
from tfxfer.training import optimizer

# The published table of the study: input, features, ImageNet top-1 in per cent and
# millions of parameters without classifier.
STUDY = {
    'inception_v1': (224, 1024, 69.8, 5.6),
    'bn_inception': (224, 1024, 73.9, 10.2),
    'inception_v3': (299, 2048, 78.0, 21.8),
    'inception_v4': (299, 1536, 80.2, 41.1),
    'inception_resnet_v2': (299, 1536, 80.4, 54.3),
    'resnet_50': (224, 2048, 75.2, 23.5),
    'resnet_101': (224, 2048, 76.4, 42.5),
    'resnet_152': (224, 2048, 76.8, 58.1),
    'densenet_121': (224, 1024, 74.91, 7.0),
    'densenet_169': (224, 1664, 76.09, 12.5),
    'densenet_201': (224, 1920, 77.32, 18.1),
    'mobilenet_v1': (224, 1024, 70.9, 3.2),
    'mobilenet_v2': (224, 1280, 71.9, 2.2),
    'mobilenet_v2_1.4': (224, 1792, 74.9, 4.3),
    'nasnet_mobile': (224, 1056, 74.0, 4.2),
    'nasnet_large': (331, 4032, 82.7, 84.7),
}
# Millions of multiply-adds, classifier included, as the networks' papers print them.
PRINTED_MULTIPLY_ADDS = {
    'mobilenet_v1': 569,
    'mobilenet_v2': 300,
    'mobilenet_v2_1.4': 582,
    'mobilenet_v1_0.5_224': 149,
    'mobilenet_v1_0.75_224': 325,
    'mobilenet_v2_0.5_224': 97,
    'mobilenet_v2_0.75_224': 209,
    'nasnet_mobile': 564,
    'nasnet_large': 23_800,
}
# One of each family is in the suite that always runs.
FAST = {
    'inception_v1',
    'resnet_50',
    'mobilenet_v1',
    'mobilenet_v2',
}

# Those that OpenVINO runs too, as on a CPU; of the Inceptions two are enough.
COMPILED = set(STUDY) - {'inception_v4', 'inception_resnet_v2'}

# One of each builder; what differs in the others is what the golden outputs show.
FAMILIES = {
    architectures.ARCHITECTURES[name].builder: name for name in reversed(STUDY)
}.values()

every_net = pytest.mark.parametrize(
    'name',
    full_size.marked(
        STUDY, default=FAST, slow=set(STUDY) - FAST - full_size.LIKE_OTHERS
    ),
)


@pytest.fixture
def forget_models():
    """Some of these networks take gigabytes."""
    yield
    keras.backend.clear_session()


def endpoint_layer(model, root, endpoint):
    """The layer whose output TF-Slim calls `endpoint` in the network's scope `root`."""
    if root == 'MobilenetV2':
        endpoint = mobilenet_v2_scope(endpoint)
    if endpoint == 'Stem':  # Of NASNet: its last cell.
        endpoint = 'cell_stem_1'
    names = {layer.name for layer in model.layers}
    for scope in (endpoint, f'{root}/{endpoint}', endpoint.lower()):
        for end in ('/relu', '/relu6', '', '/project/BatchNorm'):
            if blocks.layer_name(scope + end) in names:
                return model.get_layer(blocks.layer_name(scope + end))
    raise AssertionError(f'no layer gives {endpoint}')


def mobilenet_v2_scope(endpoint):
    """Its endpoints are layer_1 to layer_19, the first and last a convolution each."""
    number = int(endpoint.removeprefix('layer_').removesuffix('/output'))
    ends = {1: 'Conv', 2: 'expanded_conv', 19: 'Conv_1'}
    return ends.get(number, f'expanded_conv_{number - 2}')


def outputs(model, arch, images, endpoints):
    """What a model and some endpoints give, as arrays."""
    root = arch.head.partition('/')[0]
    given = dict(model.output)
    for endpoint in endpoints:
        given[endpoint] = endpoint_layer(model, root, endpoint).output
    run = tf.function(keras.Model(model.input, given))
    return {name: value.numpy() for name, value in run(images).items()}


def assert_near(found, expected, tolerance):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def multiply_adds(model):
    """Counted layer by layer on the way to the features, of one image."""
    total = 0
    for layer in keras.Model(model.input, model.output['features']).layers:
        kernels = [
            math.prod(variable.shape)
            for variable in layer.weights
            if variable.name.endswith('kernel')
        ]
        # A kernel moves over every output pixel once.
        total += math.prod(layer.output.shape[1:3]) * sum(kernels)
    return total


@pytest.mark.usefixtures('forget_models')
@every_net
def test_a_checkpoint_gives_what_it_gave_in_tf_slims_graph(name, tmp_path):
    arch, numbers = architectures.ARCHITECTURES[name], weights.golden(name).numbers
    path = weights.write_checkpoint(tmp_path / 'model.ckpt', weights.tensors(name))
    held = checkpoints.read(path, arch)
    model = models.build(arch, None, held)

    assert held.unused_by(model) == []
    assert multiply_adds(model) == arch.multiply_adds
    endpoints = {
        key.removeprefix('mean/') for key in numbers if key.startswith('mean/')
    }
    assert endpoints
    images = weights.pictures(arch.input_size)
    if 'native_logits' in numbers:
        # The other numbers are of x / 127.5 - 1: what comes to that when scaled.
        scaling = models.SCALINGS[arch.scaling]
        other = (images / 127.5 - 1) * scaling.std + scaling.mean
        images = np.concatenate([other.astype(np.float32), images])
    found = outputs(model, arch, images, endpoints)
    for key in ('logits', 'features'):
        if f'native_{key}' in numbers:
            assert_near(found[key][2:], numbers[f'native_{key}'], 5e-6)
    tolerance, summary_tolerance = 5e-6, 5e-6
    if name.startswith('mobilenet_v2'):
        # TF-Slim's own float32 differs from its float64 by 6e-6, its last map by 9e-5.
        tolerance, summary_tolerance = 2e-5, 1e-4
    assert ('aux_logits' in found) == ('aux_logits' in numbers)
    for key in {'logits', 'features', 'aux_logits'} & set(numbers):
        assert_near(found[key][:2], numbers[key], tolerance)
    if name in COMPILED:
        spec = tf.TensorSpec(images.shape, tf.float32)
        with openvino.compiled(model, spec, ('features', 'logits')) as start:
            computed = start(images)()
        for key in ('features', 'logits'):
            assert computed[key].dtype == np.float32
            assert_near(computed[key], found[key], 1e-5)
    for endpoint in endpoints:
        values = found[endpoint][:2].astype(np.float64)
        assert_near(values.mean((1, 2)), numbers[f'mean/{endpoint}'], summary_tolerance)
        assert_near(values.std((1, 2)), numbers[f'std/{endpoint}'], summary_tolerance)


@pytest.mark.usefixtures('forget_models')
@pytest.mark.parametrize(
    'name',
    full_size.marked(
        FAMILIES, default=['mobilenet_v1'], slow=['densenet_121', 'nasnet_mobile']
    ),
)
def test_a_converted_checkpoint_holds_the_same_values(name, tmp_path):
    arch = architectures.ARCHITECTURES[name]
    path = weights.write_checkpoint(tmp_path / 'model.ckpt', weights.tensors(name))
    output = tmp_path / 'model.weights.h5'
    convert.convert(arch, str(path), output)
    model = models.build(arch, None, path)
    names = [variable.path for variable in model.weights]
    direct = model.get_weights()
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    models.load_weights(model, output)
    for path, ours, theirs in zip(names, model.get_weights(), direct, strict=True):
        if 'seed_generator_state' not in path:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('name', STUDY)
def test_the_record_says_what_the_study_printed(name):
    arch = architectures.ARCHITECTURES[name]
    size, features, top1, millions = STUDY[name]
    assert (arch.input_size, arch.features) == (size, features)
    assert arch.top1('slim') == arch.imagenet_top1 == pytest.approx(top1 / 100)
    # Keras' evaluation of the same network is never far.
    assert (arch.top1('keras') is None) == ('keras' not in arch.weights)
    assert arch.top1('keras') is None or abs(arch.top1('keras') - top1 / 100) < 0.01
    assert round(arch.parameters / 1e6, 1) == millions


@pytest.mark.parametrize('name', STUDY)
def test_the_record_says_what_tf_slims_checkpoint_holds(name):
    arch, shapes = architectures.ARCHITECTURES[name], weights.golden(name).shapes
    assert shapes[f'{arch.head}/weights'][-2] == arch.features
    heads = tuple(
        scope + '/' for scope in (arch.head, arch.aux_head.rpartition('/')[0]) if scope
    )
    trained = [
        math.prod(shape)
        for variable, shape in shapes.items()
        if not variable.startswith(heads)
        and not variable.endswith(('moving_mean', 'moving_variance'))
    ]
    assert sum(trained) == arch.parameters
    assert bool(arch.aux_head) == ('aux_logits' in weights.golden(name).numbers)


@pytest.mark.parametrize('name', PRINTED_MULTIPLY_ADDS)
def test_multiply_adds_are_those_of_the_papers(name):
    arch = architectures.ARCHITECTURES[name]
    with_classifier = arch.multiply_adds + 1001 * arch.features
    printed = PRINTED_MULTIPLY_ADDS[name]
    assert with_classifier / 1e6 == pytest.approx(printed, rel=5e-3)


# Kernels at the start: the standard deviations that TF-Slim's arg scopes ask for.

# Of the unit normal that is cut at two standard deviations.
CUT = scipy.stats.truncnorm(-2, 2).std()


def fans(kernel):
    *window, inputs, outputs = kernel.shape
    return math.prod(window) * inputs, math.prod(window) * outputs


def he(kernel):
    return math.sqrt(2 / fans(kernel)[0])


def he_of_outputs(kernel):
    return math.sqrt(2 / fans(kernel)[1])


def glorot(kernel):
    return math.sqrt(2 / sum(fans(kernel)))


SMALL = {
    'mobilenet_v1': (mobilenet.mobilenet_v1, {'width': 0.5}, lambda _: 0.09 * CUT),
    'mobilenet_v2': (mobilenet.mobilenet_v2, {'width': 0.5}, lambda _: 0.09 * CUT),
    'resnet_v1': (resnet.resnet_v1, {'units': (1, 1, 1, 1)}, he),
    'densenet': (densenet.densenet, {'depths': (1, 1, 1, 1)}, glorot),
    'nasnet': (
        nasnet.nasnet,
        {'cells': 3, 'channels': 44, 'stem': 32, 'skip_reduction': True, 'aux': True},
        he_of_outputs,
    ),
}


@pytest.mark.parametrize('name', SMALL)
def test_kernels_start_as_in_tf_slims_arg_scope(name):
    builder, options, stddev = SMALL[name]
    images = keras.Input((64, 64, 3))
    built = builder(images, **options)
    model = keras.Model(images, [f for f in built[:2] if f is not None])
    kernels = [v for v in model.trainable_variables if v.name.endswith('kernel')]
    large = [kernel for kernel in kernels if math.prod(kernel.shape) > 10_000]
    assert len(large) > 3
    for kernel in large:
        assert np.std(kernel) == pytest.approx(stddev(kernel), rel=0.05), kernel.path
    values = {np.asarray(kernel).tobytes() for kernel in kernels}
    assert len(values) == len(kernels), 'two kernels start with the same values'
    head = built.head_init()((1024, 100))
    # TF-Slim's classifiers are convolutions of 1 x 1 in the same arg scope.
    assert np.std(head) == pytest.approx(stddev(head), rel=0.05)


@pytest.mark.usefixtures('forget_models')
@pytest.mark.parametrize(
    'name',
    full_size.marked(
        FAMILIES,
        default=['mobilenet_v1', 'mobilenet_v2'],
        slow=['inception_v3', 'densenet_121', 'nasnet_mobile'],
    ),
)
def test_gradients_reach_every_variable_and_a_step_lowers_the_loss(name):
    model = models.build(
        name, 3, options=models.NetworkOptions(image_size=96, aux=None, dropout=0.0)
    )
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (6, 96, 96, 3)).astype(np.float32)
    labels = np.arange(6) % 3

    @tf.function
    def loss_and_gradients():
        with tf.GradientTape() as tape:
            given = model(images, training=True)
            loss = tf.add_n(
                [
                    tf.reduce_mean(
                        tf.nn.sparse_softmax_cross_entropy_with_logits(
                            labels, given[key]
                        )
                    )
                    for key in given
                    if key != 'features'
                ]
            )
        return loss, tape.gradient(loss, model.trainable_variables)

    kernels = [v.path for v in model.trainable_variables if v.name.endswith('kernel')]
    assert [v.path for v in optimizer.kernels(model)] == kernels  # What L2 applies to.
    before, gradients = loss_and_gradients()
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.any(gradient), variable.path
    square = sum(
        np.sum(np.square(gradient, dtype=np.float64)) for gradient in gradients
    )
    # To first order this step takes off a hundredth of the loss.
    rate = 0.01 * float(before) / square
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        variable.assign_sub(rate * gradient)
    after, _ = loss_and_gradients()
    assert after < before
