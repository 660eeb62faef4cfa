"""The forty networks of Keras Applications, compared with Keras' own predictions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import applications, layers
from keras.src.utils import file_utils

from tests.support import full_size
from tests.support.small_networks import pixels
from tfxfer import architectures, errors, models
from tfxfer.models import applications as ours
from tfxfer.models import network, openvino, scaling

# The module in which Keras documents a network and its preprocessing.
MODULES = {
    'VGG16': 'vgg16', 'VGG19': 'vgg19', 'Xception': 'xception',
    'InceptionV3': 'inception_v3', 'InceptionResNetV2': 'inception_resnet_v2',
    'ResNet50': 'resnet', 'ResNet101': 'resnet', 'ResNet152': 'resnet',
    'MobileNet': 'mobilenet', 'MobileNetV2': 'mobilenet_v2',
}  # fmt: skip
FAMILIES = {
    'ResNet': 'resnet_v2', 'MobileNetV3': 'mobilenet_v3', 'DenseNet': 'densenet',
    'NASNet': 'nasnet', 'EfficientNetV2': 'efficientnet_v2',
    'EfficientNetB': 'efficientnet', 'ConvNeXt': 'convnext',
}  # fmt: skip
# Small ones of kinds that are not among the sixteen, whose graphs others compare.
SMALLEST = ('VGG16', 'EfficientNetB0', 'EfficientNetV2B0', 'ConvNeXtTiny')
SIDE = 80  # Of which all of them take images.


def module(name):
    family = next((m for start, m in FAMILIES.items() if name.startswith(start)), '')
    return getattr(applications, MODULES.get(name, family))


def moved(model):
    """Its one-dimensional variables are moved: many start as if they were not there."""
    rng = np.random.default_rng(0)
    for part, layer in network.parts(model).items():
        del part
        if isinstance(layer, layers.Normalization) and layer.weights:
            torch = architectures.SCALINGS['torch']
            mean, std = np.array(torch.mean), np.array(torch.std)
            layer.set_weights([mean / 255, (std / 255) ** 2, np.array(0)])
            layer.finalize_state()
            continue
        for variable in layer.weights:
            if len(variable.shape) == 1:
                noise = rng.uniform(-0.1, 0.1, variable.shape)
                variable.assign(variable * rng.uniform(0.8, 1.2) + noise)
            if variable.name == 'moving_variance':
                variable.assign(rng.uniform(0.8, 1.2, variable.shape))
    return model


def same(found, expected):
    """Within 1e-5 of the largest value."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape and np.ptp(expected) > 0
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    'name',
    full_size.marked(
        (name.removeprefix('keras:') for name in architectures.APPLICATIONS),
        default=['MobileNetV3Small'],
        slow=SMALLEST,
    ),
)
def test_features_are_keras_own_pooled_output_after_its_own_preprocessing(name):
    keras.utils.set_random_seed(0)
    arch = architectures.find(f'keras:{name}')
    keras.layers.Conv2D(1, 1)  # Layers that Keras names count on through the process.
    theirs = moved(
        getattr(applications, name)(
            include_top=False, weights=None, pooling='avg', input_shape=(SIDE, SIDE, 3)
        )
    )
    held = ours.from_application(theirs, classifier=False)
    model = models.build(arch, 3, held, models.NetworkOptions(image_size=SIDE))
    count = sum(np.prod(v.shape) for v in theirs.trainable_variables)
    assert (arch.features, arch.parameters) == (theirs.output.shape[-1], count)
    images = pixels(SIDE)
    fed = module(name).preprocess_input(images.copy())
    predict = tf.function(theirs)
    expected = predict(fed, training=False)
    same(tf.function(model)(images)['features'], expected)
    # Deep networks with random weights amplify rounding, some a hundred thousand times:
    # OpenVINO may be as far off as other pixels are that round to the same ones.
    nudged = predict(fed * np.float32(1 + 2e-7), training=False)
    rounding = np.abs(nudged - expected).max()
    spec = tf.TensorSpec(images.shape, tf.float32)
    with openvino.compiled(model, spec, ['features']) as start:
        found = start(images)()['features']
    allowed = max(2e-5 * np.abs(expected).max(), 10 * rounding)
    assert np.abs(found - expected).max() <= allowed
    keras.backend.clear_session()


@pytest.mark.exhaustive
def test_large_efficientnets_of_version_2_are_scaled_as_their_own_first_layer_does():
    theirs = applications.EfficientNetV2S(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
    )
    (own,) = (x for x in theirs.layers if isinstance(x, layers.Rescaling))
    image = keras.Input((SIDE, SIDE, 3))
    ours = keras.Model(image, scaling.scaled(image, 'efficientnet_v2'))
    for name in ('S', 'M', 'L'):
        arch = architectures.find(f'keras:EfficientNetV2{name}')
        assert arch.keras.scaling == 'efficientnet_v2'
    images = pixels(SIDE)
    same(ours(images), own(images))


def test_all_forty_are_there_with_what_keras_says_of_them():
    names = {name.removeprefix('keras:') for name in architectures.APPLICATIONS}
    known = {n for n in vars(applications) if n[0].isupper() and 'WEIGHTS' not in n}
    assert names == known and len(names) == 40
    for name, arch in architectures.APPLICATIONS.items():
        assert arch.weights == ('keras',), name
        assert arch.top1('keras') == arch.imagenet_top1 and 0.6 < arch.imagenet_top1 < 1
        assert arch.keras.scaling in architectures.SCALINGS
        assert models.keras_file(arch).name == arch.keras.file


def test_the_sixteen_are_as_they_were():
    """Also where features are cached by all that a record holds."""
    fields = architectures.described(architectures.find('mobilenet_v1'))
    assert 'file' not in fields and 'classifier' not in fields['keras']
    assert architectures.find('inception_v4').top1('keras') is None
    assert architectures.find('resnet_50').top1('keras') == 0.74928


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Keras finds files of random weights where it would download its own."""
    asked = []

    def get_file(fname, origin, **options):
        asked.append((fname, origin, options.get('file_hash')))
        return str(tmp_path / 'all.weights.h5')

    def prepare(model):
        model.save_weights(tmp_path / 'all.weights.h5')
        monkeypatch.setattr(file_utils, 'get_file', get_file)
        return asked

    return prepare


@pytest.mark.parametrize(
    'name',
    full_size.marked(
        ('EfficientNetB0', 'EfficientNetV2B0', 'ConvNeXtTiny', 'VGG16'),
        slow=['EfficientNetB0', 'VGG16'],
    ),
)
def test_weights_are_asked_of_keras_by_their_name_and_hash(name, downloads):
    arch = architectures.find(f'keras:{name}')
    make = getattr(applications, name)
    source = moved(make(include_top=arch.keras.classifier, weights=None))
    for layer in source.layers:
        if isinstance(layer, layers.Normalization) and layer.weights:
            # What Keras' file has: the deviation as variance. Its graph for these
            # weights divides by the deviation's root once more.
            torch = architectures.SCALINGS['torch']
            mean, std = np.array(torch.mean), np.array(torch.std)
            layer.set_weights([mean / 255, std / 255, np.array(0)])
    asked = downloads(source)
    classes = 1000 if arch.keras.classifier else 3
    options = models.NetworkOptions(image_size=224)
    model = models.build(arch, classes, 'keras', options)
    assert [fname for fname, _, _ in asked] == [arch.keras.file] and asked[0][2]
    images = pixels(224, count=1)
    theirs = make(include_top=arch.keras.classifier, weights='imagenet')
    outputs = tf.function(model)(images)
    fed = module(name).preprocess_input(images.copy())
    expected = tf.function(theirs)(fed, training=False)
    if arch.keras.classifier:
        found = tf.nn.softmax(outputs['logits'])
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    else:
        same(outputs['features'], np.asarray(expected).mean((1, 2)))
    keras.backend.clear_session()


@pytest.mark.exhaustive
def test_weights_that_want_another_scaling_are_refused(downloads):
    source = applications.EfficientNetB0(weights=None)
    downloads(source)  # Of a mean of 0, a variance of 1.
    with pytest.raises(errors.InputError, match='does not know them'):
        models.build('keras:EfficientNetB0', 3, 'keras')


@pytest.mark.exhaustive
def test_a_fine_tuned_convnext_comes_back_from_its_file(tmp_path):
    """Its stem and its steps down are models within the model."""
    options = models.NetworkOptions(image_size=32)
    model = moved(models.build('keras:ConvNeXtTiny', 3, options=options))
    models.save_weights(model, tmp_path / 'a.weights.h5')
    again = models.build('keras:ConvNeXtTiny', 3, tmp_path / 'a.weights.h5', options)
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    other = models.build('keras:ConvNeXtTiny', 3, None, options)
    same(
        again(pixels(32), training=False)['features'],
        model(pixels(32), training=False)['features'],
    )
    assert not np.array_equal(other.weights[1], again.weights[1])
