"""Inception v4 and Inception-ResNet v2, arXiv 1602.07261, as in TF-Slim."""

from collections.abc import Sequence

import keras
from keras import layers

from tfxfer.models import blocks
from tfxfer.models.inception import (
    HALVING_POOL,
    V3_STEM,
    Branch,
    Conv,
    Mixed,
    Network,
    Pool,
    Side,
    Step,
    aux_features,
    check_size,
    halving,
    pooled,
    style,
    tower,
)

# Inception v4.

V4_3A: tuple[Branch, ...] = (
    (Pool('MaxPool_0a_3x3', stride=2, padding='valid'),),
    (halving(96, 'Conv2d_0a_3x3'),),
)
V4_4A: tuple[Branch, ...] = (
    (*tower('1x1', 64), Conv('Conv2d_1a_3x3', 96, padding='valid')),
    (
        *tower('1x1 1x7 7x1', 64, 64, 64),
        Conv('Conv2d_1a_3x3', 96, padding='valid'),
    ),
)
V4_5A: tuple[Branch, ...] = ((halving(192),), HALVING_POOL)
V4_A: tuple[Branch, ...] = (
    tower('1x1', 96),
    tower('1x1 3x3', 64, 96),
    tower('1x1 3x3 3x3', 64, 96, 96),
    pooled(96),
)
V4_6A: tuple[Branch, ...] = (
    (halving(384),),
    (*tower('1x1 3x3', 192, 224), halving(256)),
    HALVING_POOL,
)
V4_B: tuple[Branch, ...] = (
    tower('1x1', 384),
    tower('1x1 1x7 7x1', 192, 224, 256),
    tower('1x1 7x1 1x7 7x1 1x7', 192, 192, 224, 224, 256),
    pooled(128),
)
V4_7A: tuple[Branch, ...] = (
    (*tower('1x1', 192), halving(192)),
    (*tower('1x1 1x7 7x1', 256, 256, 320), halving(320)),
    HALVING_POOL,
)
V4_C: tuple[Branch, ...] = (
    tower('1x1', 256),
    (
        *tower('1x1', 384),
        Side((Conv('Conv2d_0b_1x3', 256), Conv('Conv2d_0c_3x1', 256))),
    ),
    (
        *tower('1x1 3x1 1x3', 384, 448, 512),
        Side((Conv('Conv2d_0d_1x3', 256), Conv('Conv2d_0e_3x1', 256))),
    ),
    pooled(256),
)
V4_TO_6H: tuple[Step, ...] = (
    *V3_STEM[:3],
    Mixed('Mixed_3a', V4_3A),
    Mixed('Mixed_4a', V4_4A),
    Mixed('Mixed_5a', V4_5A),
    *[Mixed(f'Mixed_5{letter}', V4_A) for letter in 'bcde'],
    Mixed('Mixed_6a', V4_6A),
    *[Mixed(f'Mixed_6{letter}', V4_B) for letter in 'bcdefgh'],
)
V4_FROM_7A: tuple[Step, ...] = (
    Mixed('Mixed_7a', V4_7A),
    *[Mixed(f'Mixed_7{letter}', V4_C) for letter in 'bcd'],
)


def inception_v4(
    images: keras.KerasTensor,
    *,
    scale: bool | None = None,
    aux: bool = False,
    width: float = 1.0,
    depth: float = 1.0,
) -> blocks.Outputs:
    """Inception v4; features [b, 1536] at width 1, else as inception_v3."""
    check_size('inception_v4', images)
    network = Network('InceptionV4', style(scale), width, depth)
    middle = network.run_blocks(images, V4_TO_6H)
    x = network.run_blocks(middle, V4_FROM_7A)
    return blocks.Outputs(
        blocks.global_pool(x),
        aux_features(network, middle, 'Conv2d_2a') if aux else None,
        head_init=blocks.xavier,
        aux_init=blocks.xavier,
    )


# Inception-ResNet v2.


def _alone(channels: int) -> tuple[Conv]:
    """The branch of one convolution, which has no 0a in its name here."""
    return (Conv('Conv2d_1x1', channels),)


MIXED_5B: tuple[Branch, ...] = (
    _alone(96),
    tower('1x1 5x5', 48, 64),
    tower('1x1 3x3 3x3', 64, 96, 96),
    pooled(64),
)
MIXED_6A: tuple[Branch, ...] = (
    (halving(384),),
    (*tower('1x1 3x3', 256, 256), halving(384)),
    HALVING_POOL,
)
MIXED_7A: tuple[Branch, ...] = (
    (*tower('1x1', 256), halving(384)),
    (*tower('1x1', 256), halving(288)),
    (*tower('1x1 3x3', 256, 288), halving(320)),
    HALVING_POOL,
)

# The branches of the residual blocks, called after the side of their maps.
BLOCK_35: tuple[Branch, ...] = (
    _alone(32),
    tower('1x1 3x3', 32, 32),
    tower('1x1 3x3 3x3', 32, 48, 64),
)
BLOCK_17: tuple[Branch, ...] = (_alone(192), tower('1x1 1x7 7x1', 128, 160, 192))
BLOCK_8: tuple[Branch, ...] = (_alone(192), tower('1x1 1x3 3x1', 192, 224, 256))


def inception_resnet_v2(
    images: keras.KerasTensor,
    *,
    scale: bool | None = None,
    aux: bool = False,
    width: float = 1.0,
    depth: float = 1.0,
) -> blocks.Outputs:
    """Inception-ResNet v2; features [b, 1536] at width 1, else as inception_v3.

    `depth` is the share of each kind of residual block that is repeated.
    """
    check_size('inception_resnet_v2', images)
    look = style(scale, blocks.xavier)
    network = Network('InceptionResnetV2', look, width, depth)
    x = network.run(images, (*V3_STEM, Mixed('Mixed_5b', MIXED_5B)))
    x = _repeat(network, x, 'Repeat/block35', BLOCK_35, count=10, share=0.17)
    x = network.run(x, (Mixed('Mixed_6a', MIXED_6A),))
    x = _repeat(network, x, 'Repeat_1/block17', BLOCK_17, count=20, share=0.1)
    # Only gives the map the name that TF-Slim has for it.
    middle = layers.Identity(name='InceptionResnetV2.PreAuxLogits')(x)
    x = network.run(middle, (Mixed('Mixed_7a', MIXED_7A),))
    x = _repeat(network, x, 'Repeat_2/block8', BLOCK_8, count=9, share=0.2)
    x = _residual(network, x, 'Block8', BLOCK_8, share=1.0, activation=None)
    x = network.run(x, (Conv('Conv2d_7b_1x1', 1536),))
    return blocks.Outputs(
        blocks.global_pool(x),
        aux_features(network, middle, 'Conv2d_2a_5x5') if aux else None,
        head_init=blocks.xavier,
        aux_init=blocks.xavier,
    )


def _repeat(
    network: Network,
    x: keras.KerasTensor,
    block: str,
    branches: Sequence[Branch],
    *,
    count: int,
    share: float,
) -> keras.KerasTensor:
    for i in range(1, network.blocks(count) + 1):
        x = _residual(network, x, f'{block}_{i}', branches, share=share)
    return x


def _residual(
    network: Network,
    x: keras.KerasTensor,
    block: str,
    branches: Sequence[Branch],
    *,
    share: float,
    activation: str | None = 'relu',
) -> keras.KerasTensor:
    """x plus `share` of what the branches and a linear 1 x 1 convolution add to it."""
    mixed = Mixed(block, branches)(network, x, '')
    linear = blocks.Conv(
        x.shape[-1],
        1,
        f'{network.scope}/{block}/Conv2d_1x1',
        norm=False,
        activation=None,
    )
    added = linear(mixed, network.style)
    x = layers.Add()([x, layers.Rescaling(share)(added)])
    return blocks.activate(x, activation)
