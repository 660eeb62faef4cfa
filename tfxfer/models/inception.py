"""Inception v1, BN-Inception and v3 as in TF-Slim: tables of blocks.

A network is a tuple of steps: Conv, Pool, Side (convolutions side by side) and Mixed
(branches, each a tuple of steps). Their names are TF-Slim's, and the layer that
concatenates the branches has its block's, as in `InceptionV3.Mixed_6e`.
"""

import dataclasses
import itertools
import math
import re
import typing
from collections.abc import Iterable, Sequence

import keras
from keras import layers

from tfxfer import errors
from tfxfer.models import blocks

# Pixels a side, below which a map of v3, v4 or Inception-ResNet v2 is left with none.
MIN_SIZE = 75


class Step(typing.Protocol):
    """A part of a network: called with the Network, its input and its block's name."""

    def __call__(
        self, network: 'Network', x: keras.KerasTensor, block: str
    ) -> keras.KerasTensor: ...


Branch = Sequence[Step]


@dataclasses.dataclass(frozen=True)
class Network:
    """What the steps of one network share.

    `scope` starts TF-Slim's names; channels are multiplied by `width`, to 16 or more,
    and of the blocks between two reductions of the map the share `depth` stays.
    """

    scope: str
    style: blocks.Style
    width: float = 1.0
    depth: float = 1.0

    def channels(self, count: int) -> int:
        """`count` channels at this width."""
        return max(int(count * self.width), 16)

    def blocks(self, count: int) -> int:
        """How many of `count` blocks stay at this depth: one at least."""
        return max(math.ceil(count * self.depth), 1)

    def run(
        self, x: keras.KerasTensor, steps: Iterable[Step], block: str = ''
    ) -> keras.KerasTensor:
        """The steps one after the other; `block` is the scope within the network's."""
        for step in steps:
            x = step(self, x, block)
        return x

    def run_blocks(
        self, x: keras.KerasTensor, steps: Iterable[Step]
    ) -> keras.KerasTensor:
        """`run`, at this depth: of blocks in a row the last stay, so that the features
        and what the auxiliary head looks at are as many as ever.
        """
        for inner, group in itertools.groupby(steps, _is_inner):
            row = list(group)
            x = self.run(x, row[-self.blocks(len(row)) :] if inner else row)
        return x


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution, batch norm, relu. Called with a Network, its input and its block."""

    name: str
    channels: int
    stride: int = 1
    padding: str = 'same'
    size: int | tuple[int, ...] | None = None  # Of the kernel; None: as in the name.
    stddev: float | None = None  # Of the truncated normal; None: the network's `init`.

    def __call__(
        self, network: Network, x: keras.KerasTensor, block: str
    ) -> keras.KerasTensor:
        conv = blocks.Conv(
            network.channels(self.channels),
            self.size or _size(self.name),
            f'{network.scope}/{block}{self.name}',
            strides=self.stride,
            padding=self.padding,
            init=blocks.truncated_normal(self.stddev) if self.stddev else None,
        )
        return conv(x, network.style)


@dataclasses.dataclass(frozen=True)
class Pool:
    """Pooling: maximum or average and the window are those in the name."""

    name: str
    stride: int = 1
    padding: str = 'same'

    def __call__(
        self, network: Network, x: keras.KerasTensor, block: str
    ) -> keras.KerasTensor:
        pool = blocks.max_pool if self.name.startswith('Max') else blocks.avg_pool
        return pool(x, _size(self.name), self.stride, self.padding)


@dataclasses.dataclass(frozen=True)
class Side:
    """Convolutions of the same input, concatenated."""

    convs: tuple[Conv, ...]

    def __call__(
        self, network: Network, x: keras.KerasTensor, block: str
    ) -> keras.KerasTensor:
        return layers.Concatenate()([conv(network, x, block) for conv in self.convs])


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Branches of the same input, concatenated."""

    name: str
    branches: Sequence[Branch]

    def __call__(
        self, network: Network, x: keras.KerasTensor, block: str
    ) -> keras.KerasTensor:
        name = f'{block}{self.name}'
        outputs = [
            network.run(x, steps, f'{name}/Branch_{i}/')
            for i, steps in enumerate(self.branches)
        ]
        layer = blocks.layer_name(f'{network.scope}/{name}')
        return layers.Concatenate(name=layer)(outputs)


def _is_inner(step: Step) -> bool:
    """Whether a step is a block that leaves the side of the map as it is."""
    return isinstance(step, Mixed) and all(
        getattr(part, 'stride', 1) == 1 and getattr(part, 'padding', 'same') == 'same'
        for branch in step.branches
        for part in branch
    )


def _size(name: str) -> tuple[int, ...]:
    """(7, 1) of Conv2d_0c_7x1."""
    height, width = re.findall(r'\d+', name.rpartition('_')[2])
    return int(height), int(width)


def tower(sizes: str, *channels: int, stddev: float | None = None) -> tuple[Conv, ...]:
    """Convolutions one on the other: '1x1 3x3' are Conv2d_0a_1x1 and Conv2d_0b_3x3.

    `stddev` is that of the first one's initialiser.
    """
    names = [f'Conv2d_0{"abcde"[i]}_{size}' for i, size in enumerate(sizes.split())]
    first, *rest = zip(names, channels, strict=True)
    return (Conv(*first, stddev=stddev), *[Conv(*conv) for conv in rest])


def pooled(
    channels: int, pool: str = 'AvgPool_0a_3x3', stddev: float | None = None
) -> tuple[Pool, Conv]:
    """The branch that pools, then convolves 1 x 1."""
    return (Pool(pool), Conv('Conv2d_0b_1x1', channels, stddev=stddev))


def halving(channels: int, name: str = 'Conv2d_1a_3x3', padding: str = 'valid') -> Conv:
    """The 3 x 3 convolution of stride 2 that ends a branch of a reduction block."""
    return Conv(name, channels, stride=2, padding=padding, size=3)


HALVING_POOL = (Pool('MaxPool_1a_3x3', stride=2, padding='valid'),)


def aux_features(
    network: Network, x: keras.KerasTensor, last: str, stddev: float | None = None
) -> keras.KerasTensor:
    """The auxiliary head up to its classifier's input, [b, 768].

    Below 299 pixels a side the kernel shrinks to the map, as in TF-Slim, so that a
    checkpoint's head does not fit; below 107, where TF-Slim gives up, so does the
    pooling window. Above 346, places are left over and averaged.

    Args:
        network: Network.
        x: the map that the head looks at, 17 x 17 for images of 299 pixels.
        last: name of the second convolution.
        stddev: of its initialiser.
    """
    x = blocks.avg_pool(x, _at_most(x, 5), 3, 'valid')
    x = Conv('Conv2d_1b_1x1', 128)(network, x, 'AuxLogits/')
    window = _at_most(x, 5)
    conv = Conv(last, 768, padding='valid', size=window, stddev=stddev)
    return blocks.global_pool(conv(network, x, 'AuxLogits/'))


def _at_most(x: keras.KerasTensor, side: int) -> tuple[int, ...]:
    return tuple(min(side, length or side) for length in x.shape[1:3])


def check_size(name: str, images: keras.KerasTensor) -> None:
    """Refuses images that the unpadded layers would use up.

    Raises:
        InputError: a side below MIN_SIZE.
    """
    height, width = images.shape[1:3]
    if min(height or MIN_SIZE, width or MIN_SIZE) < MIN_SIZE:
        raise errors.InputError(
            f'{name} needs images of at least {MIN_SIZE} x {MIN_SIZE} pixels; got '
            f'{height} x {width}. inception_v1 and bn_inception take smaller ones.'
        )


def style(
    scale: bool | None, init: blocks.MakeInitializer = blocks.variance_scaling
) -> blocks.Style:
    """TF-Slim's inception_arg_scope; without gamma, as the public checkpoints are."""
    return blocks.Style(epsilon=0.001, decay=0.9997, scale=bool(scale), init=init)


# Inception v1, arXiv 1409.4842.


def _v1(name, direct, first, second, last, *, end='Conv2d_0b_3x3'):
    narrow, wide = second
    branches = (
        tower('1x1', direct),
        tower('1x1 3x3', *first),
        (*tower('1x1', narrow), Conv(end, wide)),
        pooled(last, 'MaxPool_0a_3x3'),
    )
    return Mixed(name, branches)


V1: tuple[Step, ...] = (
    Conv('Conv2d_1a_7x7', 64, stride=2),
    Pool('MaxPool_2a_3x3', stride=2),
    Conv('Conv2d_2b_1x1', 64),
    Conv('Conv2d_2c_3x3', 192),
    Pool('MaxPool_3a_3x3', stride=2),
    _v1('Mixed_3b', 64, (96, 128), (16, 32), 32),
    _v1('Mixed_3c', 128, (128, 192), (32, 96), 64),
    Pool('MaxPool_4a_3x3', stride=2),
    _v1('Mixed_4b', 192, (96, 208), (16, 48), 64),
    _v1('Mixed_4c', 160, (112, 224), (24, 64), 64),
    _v1('Mixed_4d', 128, (128, 256), (24, 64), 64),
    _v1('Mixed_4e', 112, (144, 288), (32, 64), 64),
    _v1('Mixed_4f', 256, (160, 320), (32, 128), 128),
    Pool('MaxPool_5a_2x2', stride=2),
    _v1('Mixed_5b', 256, (160, 320), (32, 128), 128, end='Conv2d_0a_3x3'),
    _v1('Mixed_5c', 384, (192, 384), (48, 128), 128),
)


def inception_v1(
    images: keras.KerasTensor,
    *,
    scale: bool | None = None,
    width: float = 1.0,
    depth: float = 1.0,
) -> blocks.Outputs:
    """Inception v1 (GoogLeNet), with batch norm and without auxiliary heads.

    Args:
        images: scaled to [-1, 1], [b, h, w, 3].
        scale: batch norm with gamma; None as in the public checkpoint: without.
        width: multiplies the channels of every layer, 16 at least.
        depth: share of the blocks between two reductions of the map, one at least.

    Returns:
        blocks.Outputs, features [b, 1024] at width 1.
    """
    look = style(scale, blocks.truncated_normal(0.01))
    network = Network('InceptionV1', look, width, depth)
    x = network.run_blocks(images, V1)
    return blocks.Outputs(blocks.global_pool(x), head_init=blocks.variance_scaling)


# BN-Inception, arXiv 1502.03167; TF-Slim calls it Inception v2.


def _v2(name, direct, first, second, last, *, pool='AvgPool_0a_3x3'):
    narrow, wide = second
    branches = (
        tower('1x1', direct),
        tower('1x1 3x3', *first, stddev=0.09),
        tower('1x1 3x3 3x3', narrow, wide, wide, stddev=0.09),
        pooled(last, pool, stddev=0.1),
    )
    return Mixed(name, branches)


def _v2_halving(name, first, second):
    narrow, wide = second
    branches = (
        (*tower('1x1', first[0], stddev=0.09), halving(first[1], padding='same')),
        (
            *tower('1x1 3x3', narrow, wide, stddev=0.09),
            halving(wide, padding='same'),
        ),
        (Pool('MaxPool_1a_3x3', stride=2),),
    )
    return Mixed(name, branches)


V2_FROM_2A: tuple[Step, ...] = (
    Pool('MaxPool_2a_3x3', stride=2),
    Conv('Conv2d_2b_1x1', 64, stddev=0.1),
    Conv('Conv2d_2c_3x3', 192),
    Pool('MaxPool_3a_3x3', stride=2),
    _v2('Mixed_3b', 64, (64, 64), (64, 96), 32),
    _v2('Mixed_3c', 64, (64, 96), (64, 96), 64),
    _v2_halving('Mixed_4a', (128, 160), (64, 96)),
    _v2('Mixed_4b', 224, (64, 96), (96, 128), 128),
    _v2('Mixed_4c', 192, (96, 128), (96, 128), 128),
    _v2('Mixed_4d', 160, (128, 160), (128, 160), 96),
    _v2('Mixed_4e', 96, (128, 192), (160, 192), 96),
    _v2_halving('Mixed_5a', (128, 192), (192, 256)),
    _v2('Mixed_5b', 352, (192, 320), (160, 224), 128),
    _v2('Mixed_5c', 352, (192, 320), (192, 224), 128, pool='MaxPool_0a_3x3'),
)


def bn_inception(
    images: keras.KerasTensor,
    *,
    scale: bool | None = None,
    width: float = 1.0,
    depth: float = 1.0,
) -> blocks.Outputs:
    """BN-Inception. Its first layer has biases and no batch norm.

    Arguments and result as of inception_v1.
    """
    network = Network('InceptionV2', style(scale), width, depth)
    filters = network.channels(64)
    first = blocks.Separable(
        filters,
        7,
        'InceptionV2/Conv2d_1a_7x7',
        strides=2,
        multiplier=min(filters // 3, 8),
        norm=False,
        init=blocks.truncated_normal(1.0),
    )
    x = network.run_blocks(first(images, network.style), V2_FROM_2A)
    return blocks.Outputs(blocks.global_pool(x), head_init=blocks.variance_scaling)


# Inception v3, arXiv 1512.00567.


def _v3_a(name, last, one='Conv2d_0a_1x1', five='Conv2d_0b_5x5'):
    branches = (
        tower('1x1', 64),
        (Conv(one, 48), Conv(five, 64)),
        tower('1x1 3x3 3x3', 64, 96, 96),
        pooled(last),
    )
    return Mixed(name, branches)


def _v3_b(name, inner):
    branches = (
        tower('1x1', 192),
        tower('1x1 1x7 7x1', inner, inner, 192),
        tower('1x1 7x1 1x7 7x1 1x7', inner, inner, inner, inner, 192),
        pooled(192),
    )
    return Mixed(name, branches)


def _v3_c(name, tall):
    branches: tuple[Branch, ...] = (
        tower('1x1', 320),
        (*tower('1x1', 384), Side((Conv('Conv2d_0b_1x3', 384), Conv(tall, 384)))),
        (
            *tower('1x1 3x3', 448, 384),
            Side((Conv('Conv2d_0c_1x3', 384), Conv('Conv2d_0d_3x1', 384))),
        ),
        pooled(192),
    )
    return Mixed(name, branches)


# Up to the first Mixed block.
V3_STEM: tuple[Step, ...] = (
    Conv('Conv2d_1a_3x3', 32, stride=2, padding='valid'),
    Conv('Conv2d_2a_3x3', 32, padding='valid'),
    Conv('Conv2d_2b_3x3', 64),
    Pool('MaxPool_3a_3x3', stride=2, padding='valid'),
    Conv('Conv2d_3b_1x1', 80, padding='valid'),
    Conv('Conv2d_4a_3x3', 192, padding='valid'),
    Pool('MaxPool_5a_3x3', stride=2, padding='valid'),
)
# Both convolutions called 1a_1x1 are 3 x 3.
V3_6A: tuple[Branch, ...] = (
    (halving(384, 'Conv2d_1a_1x1'),),
    (*tower('1x1 3x3', 64, 96), halving(96, 'Conv2d_1a_1x1')),
    HALVING_POOL,
)
V3_TO_6E: tuple[Step, ...] = (
    *V3_STEM,
    _v3_a('Mixed_5b', 32),
    _v3_a('Mixed_5c', 64, 'Conv2d_0b_1x1', 'Conv_1_0c_5x5'),
    _v3_a('Mixed_5d', 64),
    Mixed('Mixed_6a', V3_6A),
    _v3_b('Mixed_6b', 128),
    _v3_b('Mixed_6c', 160),
    _v3_b('Mixed_6d', 160),
    _v3_b('Mixed_6e', 192),
)
V3_7A: tuple[Branch, ...] = (
    (*tower('1x1', 192), halving(320)),
    (*tower('1x1 1x7 7x1', 192, 192, 192), halving(192)),
    HALVING_POOL,
)
V3_FROM_7A: tuple[Step, ...] = (
    Mixed('Mixed_7a', V3_7A),
    _v3_c('Mixed_7b', 'Conv2d_0b_3x1'),
    _v3_c('Mixed_7c', 'Conv2d_0c_3x1'),
)


def inception_v3(
    images: keras.KerasTensor,
    *,
    scale: bool | None = None,
    aux: bool = False,
    width: float = 1.0,
    depth: float = 1.0,
) -> blocks.Outputs:
    """Inception v3.

    Args:
        images: scaled to [-1, 1], [b, h, w, 3], sides of at least MIN_SIZE.
        scale: batch norm with gamma; None as in the public checkpoint: without.
        aux: also build the auxiliary head.
        width: multiplies the channels of every layer, 16 at least.
        depth: share of the blocks between two reductions of the map, one at least.

    Returns:
        blocks.Outputs, at width 1 features [b, 2048] and aux_features [b, 768].

    Raises:
        InputError: the images are too small.
    """
    check_size('inception_v3', images)
    network = Network('InceptionV3', style(scale), width, depth)
    middle = network.run_blocks(images, V3_TO_6E)
    x = network.run_blocks(middle, V3_FROM_7A)
    return blocks.Outputs(
        blocks.global_pool(x),
        aux_features(network, middle, 'Conv2d_2a_5x5', stddev=0.01) if aux else None,
        head_init=blocks.variance_scaling,
        aux_init=blocks.truncated_normal(0.001),
    )
