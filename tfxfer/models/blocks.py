"""The small blocks that all TF-Slim networks are made of.

A layer is called as TF-Slim's variable scope, with a dot for each slash (Keras forbids
slashes): the variables `A/B/weights` and `A/B/BatchNorm/gamma` belong to the layers
`A.B` and `A.B.BatchNorm`. That is the whole mapping of a checkpoint's names.
"""

import dataclasses
import typing

import keras
from keras import layers

BATCH_NORM = '/BatchNorm'


def layer_name(scope):
    """The Keras name of the layer with TF-Slim's variable scope."""
    return scope.replace('/', '.')


def scope_of(name):
    """The inverse of layer_name."""
    return name.replace('.', '/')


class Outputs(typing.NamedTuple):
    """What a builder gives; factory.build adds the classifiers.

    Attributes:
        features: Keras tensor [b, d], the global average pool.
        aux_features: Keras tensor [b, da], the input of the auxiliary classifier's
            final linear layer; None without an auxiliary head.
        head_init: makes the initialiser of the classifier's kernel.
        aux_init: the same of the auxiliary classifier's kernel.
    """

    features: typing.Any
    aux_features: typing.Any = None
    head_init: typing.Callable | None = None
    aux_init: typing.Callable | None = None


# Initialisers are made anew for each layer: one that is shared would repeat its values.


def truncated_normal(stddev):
    """Maker of tf.truncated_normal_initializer(stddev=stddev)."""
    return lambda: keras.initializers.TruncatedNormal(stddev=stddev)


def xavier():
    """slim.xavier_initializer(), the default of TF-Slim's layers: Glorot uniform."""
    return keras.initializers.GlorotUniform()


def variance_scaling():
    """slim.variance_scaling_initializer(): factor 2, fan in, truncated normal."""
    return keras.initializers.VarianceScaling(2.0, 'fan_in', 'truncated_normal')


@dataclasses.dataclass(frozen=True)
class Style:
    """What the layers of one network share, as an arg scope of TF-Slim.

    Attributes:
        epsilon: added to the variance in batch norm.
        decay: of the batch norm's moving averages.
        scale: whether batch norm has a gamma.
        init: makes the initialiser of a kernel.
        activation: after batch norm.
    """

    epsilon: float = 0.001
    decay: float = 0.999
    scale: bool = False
    init: typing.Callable = xavier
    activation: str = 'relu'


def batch_norm(x, style, scope):
    """Batch norm alone; `scope` is its own, e.g. `.../BatchNorm`."""
    return layers.BatchNormalization(
        momentum=style.decay,
        epsilon=style.epsilon,
        scale=style.scale,
        name=layer_name(scope),
    )(x)


def activate(x, activation, scope=None):
    """The activation by its Keras name, as layer `scope`/`activation`; None is none."""
    if activation is None:
        return x
    name = layer_name(f'{scope}/{activation}') if scope else None
    return layers.Activation(activation, name=name)(x)


def _finish(x, style, scope, norm, activation):
    if norm:
        x = batch_norm(x, style, scope + BATCH_NORM if norm is True else norm)
    return activate(x, style.activation if activation == 'style' else activation, scope)


def conv(
    x,
    style,
    filters,
    size,
    scope,
    *,
    strides=1,
    padding='same',
    norm=True,
    bias=None,
    activation='style',
    init=None,
):
    """slim.conv2d: convolution, batch norm or bias or neither, activation.

    Args:
        x: [b, h, w, c].
        style: Style.
        filters: output channels.
        size: kernel side, or (height, width).
        scope: TF-Slim's variable scope.
        strides: steps in both directions.
        padding: 'same' or 'valid', TensorFlow's meaning.
        norm: with batch norm; a text is its scope, if not `scope`/BatchNorm.
        bias: None: if there is no batch norm.
        activation: 'style' is the Style's; None is none.
        init: maker of the kernel's initialiser, if not the Style's.
    """
    x = layers.Conv2D(
        filters,
        size,
        strides,
        padding,
        use_bias=not norm if bias is None else bias,
        kernel_initializer=(init or style.init)(),
        name=layer_name(scope),
    )(x)
    return _finish(x, style, scope, norm, activation)


def depthwise(x, style, size, scope, *, strides=1):
    """slim.separable_conv2d(num_outputs=None): depthwise, batch norm, activation."""
    x = layers.DepthwiseConv2D(
        size,
        strides,
        'same',
        use_bias=False,
        depthwise_initializer=style.init(),
        name=layer_name(scope),
    )(x)
    return _finish(x, style, scope, True, 'style')


def separable(
    x,
    style,
    filters,
    size,
    scope,
    *,
    strides=1,
    multiplier=1,
    norm=True,
    activation='style',
    init=None,
):
    """slim.separable_conv2d: depthwise and pointwise in one, SAME, then as in `conv`.

    `multiplier` is the depthwise step's outputs for each input channel.
    """
    init = init or style.init
    x = layers.SeparableConv2D(
        filters,
        size,
        strides,
        'same',
        depth_multiplier=multiplier,
        use_bias=not norm,
        depthwise_initializer=init(),
        pointwise_initializer=init(),
        name=layer_name(scope),
    )(x)
    return _finish(x, style, scope, norm, activation)


def max_pool(x, size, strides, padding='same'):
    """slim.max_pool2d; SAME pads with minus infinity."""
    return layers.MaxPooling2D(size, strides, padding)(x)


def avg_pool(x, size, strides, padding='same'):
    """slim.avg_pool2d; SAME divides by the number of real pixels."""
    return layers.AveragePooling2D(size, strides, padding)(x)


def global_pool(x):
    """Mean over height and width: [b, h, w, c] -> [b, c]."""
    return layers.GlobalAveragePooling2D()(x)
