"""The small blocks that all TF-Slim networks are made of.

A layer is called as TF-Slim's variable scope, with a dot for each slash (Keras forbids
slashes): the variables `A/B/weights` and `A/B/BatchNorm/gamma` belong to the layers
`A.B` and `A.B.BatchNorm`. That is the whole mapping of a checkpoint's names.
"""

import dataclasses
import typing
from collections.abc import Callable

import keras
from keras import layers

from tfxfer import errors
from tfxfer.models import pooling
from tfxfer.models.batch_norm import BatchNormalization

BATCH_NORM = '/BatchNorm'

MakeInitializer = Callable[[], keras.Initializer]


def layer_name(scope: str) -> str:
    """The Keras name of the layer with TF-Slim's variable scope."""
    return scope.replace('/', '.')


def scope_of(name: str) -> str:
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

    features: keras.KerasTensor
    aux_features: keras.KerasTensor | None = None
    head_init: MakeInitializer | None = None
    aux_init: MakeInitializer | None = None


def refuse_options(name: str, *, scale: bool | None, aux: bool) -> None:
    """Refuses what only networks of TF-Slim's layers have.

    Raises:
        errors.InputError: an auxiliary classifier or batch-norm scale is asked for.
    """
    if aux or scale is not None:
        raise errors.InputError(
            f'{name} has no auxiliary classifier and no choice of batch-norm scale: '
            'leave both unset.'
        )


# Initialisers are made anew for each layer: one that is shared would repeat its values.


def truncated_normal(stddev: float) -> MakeInitializer:
    """Maker of tf.truncated_normal_initializer(stddev=stddev)."""
    return lambda: keras.initializers.TruncatedNormal(stddev=stddev)


def xavier() -> keras.Initializer:
    """slim.xavier_initializer(), the default of TF-Slim's layers: Glorot uniform."""
    return keras.initializers.GlorotUniform()


def variance_scaling() -> keras.Initializer:
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
    init: MakeInitializer = xavier
    activation: str = 'relu'


def batch_norm(x: keras.KerasTensor, style: Style, scope: str) -> keras.KerasTensor:
    """Batch norm alone; `scope` is its own, e.g. `.../BatchNorm`."""
    return BatchNormalization(
        momentum=style.decay,
        epsilon=style.epsilon,
        scale=style.scale,
        name=layer_name(scope),
    )(x)


def activate(
    x: keras.KerasTensor, activation: str | None, scope: str | None = None
) -> keras.KerasTensor:
    """The activation by its Keras name, as layer `scope`/`activation`; None is none."""
    if activation is None:
        return x
    name = layer_name(f'{scope}/{activation}') if scope else None
    return layers.Activation(activation, name=name)(x)


@dataclasses.dataclass(frozen=True)
class Conv:
    """slim.conv2d: convolution, batch norm or bias or neither, activation.

    Called with an input [b, h, w, c] and the network's Style.

    Attributes:
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

    filters: int
    size: int | tuple[int, ...]
    scope: str
    strides: int = 1
    padding: str = 'same'
    norm: bool | str = True
    bias: bool | None = None
    activation: str | None = 'style'
    init: MakeInitializer | None = None

    def __call__(self, x: keras.KerasTensor, style: Style) -> keras.KerasTensor:
        x = layers.Conv2D(
            self.filters,
            self.size,
            self.strides,
            self.padding,
            use_bias=not self.norm if self.bias is None else self.bias,
            kernel_initializer=(self.init or style.init)(),
            name=layer_name(self.scope),
        )(x)
        return _finish(x, style, self)


@dataclasses.dataclass(frozen=True)
class Depthwise:
    """slim.separable_conv2d(num_outputs=None): depthwise, batch norm, activation.

    Called as a Conv is; the attributes are those of one.
    """

    size: int
    scope: str
    strides: int = 1
    norm: bool | str = True
    activation: str | None = 'style'

    def __call__(self, x: keras.KerasTensor, style: Style) -> keras.KerasTensor:
        x = layers.DepthwiseConv2D(
            self.size,
            self.strides,
            'same',
            use_bias=False,
            depthwise_initializer=style.init(),
            name=layer_name(self.scope),
        )(x)
        return _finish(x, style, self)


@dataclasses.dataclass(frozen=True)
class Separable:
    """slim.separable_conv2d: depthwise and pointwise in one, SAME, then as a Conv.

    Called as a Conv is. `multiplier` is the depthwise step's outputs for each input
    channel; the other attributes are those of a Conv.
    """

    filters: int
    size: int
    scope: str
    strides: int = 1
    multiplier: int = 1
    norm: bool | str = True
    activation: str | None = 'style'
    init: MakeInitializer | None = None

    def __call__(self, x: keras.KerasTensor, style: Style) -> keras.KerasTensor:
        init = self.init or style.init
        x = layers.SeparableConv2D(
            self.filters,
            self.size,
            self.strides,
            'same',
            depth_multiplier=self.multiplier,
            use_bias=not self.norm,
            depthwise_initializer=init(),
            pointwise_initializer=init(),
            name=layer_name(self.scope),
        )(x)
        return _finish(x, style, self)


def _finish(
    x: keras.KerasTensor, style: Style, step: Conv | Depthwise | Separable
) -> keras.KerasTensor:
    """Batch norm and activation, as the step says."""
    if step.norm:
        scope = step.scope + BATCH_NORM if step.norm is True else step.norm
        x = batch_norm(x, style, scope)
    chosen = style.activation if step.activation == 'style' else step.activation
    return activate(x, chosen, step.scope)


def max_pool(
    x: keras.KerasTensor,
    size: int | tuple[int, ...],
    strides: int,
    padding: str = 'same',
) -> keras.KerasTensor:
    """slim.max_pool2d; SAME pads with minus infinity."""
    return pooling.MaxPooling2D(size, strides, padding)(x)


def avg_pool(
    x: keras.KerasTensor,
    size: int | tuple[int, ...],
    strides: int,
    padding: str = 'same',
) -> keras.KerasTensor:
    """slim.avg_pool2d; SAME divides by the number of real pixels."""
    return layers.AveragePooling2D(size, strides, padding)(x)


def global_pool(x: keras.KerasTensor) -> keras.KerasTensor:
    """Mean over height and width: [b, h, w, c] -> [b, c]."""
    return layers.GlobalAveragePooling2D()(x)
