"""ResNet v1 (arXiv 1512.03385) as in TF-Slim, which strides later than others do.

A block's last unit strides, not its first; within the unit the 3 x 3 convolution does,
and the shortcut is subsampled. Keras' ResNets stride in the first 1 x 1 convolution of
a block's first unit: another network.
"""

from collections.abc import Sequence

import keras
from keras import layers

from tfxfer.models import blocks

# (channels within the units, stride of the last unit); they give four times as many.
BLOCKS = ((64, 2), (128, 2), (256, 2), (512, 1))


def resnet_v1(
    images: keras.KerasTensor, *, units: Sequence[int], scale: bool | None = None
) -> blocks.Outputs:
    """ResNet v1 with bottleneck units.

    Args:
        images: RGB 0-255 less the channels' means, [b, h, w, 3].
        units: of the four blocks, e.g. (3, 4, 6, 3) for 50 layers.
        scale: batch norm with gamma; None as in the public checkpoint: with.

    Returns:
        blocks.Outputs, features [b, 2048].
    """
    style = blocks.Style(
        epsilon=1e-5,
        decay=0.997,
        scale=scale is not False,
        init=blocks.variance_scaling,
    )
    root = f'resnet_v1_{3 * sum(units) + 2}'
    x = _conv_same(images, style, 64, 7, f'{root}/conv1', strides=2)
    x = blocks.max_pool(x, 3, 2)
    for i, (count, (channels, strides)) in enumerate(zip(units, BLOCKS, strict=True)):
        block = f'{root}/block{i + 1}'
        for unit in range(1, count + 1):
            x = _bottleneck(
                x,
                style,
                channels,
                f'{block}/unit_{unit}/bottleneck_v1',
                strides=strides if unit == count else 1,
                output=block if unit == count else f'{block}/unit_{unit}',
            )
    return blocks.Outputs(blocks.global_pool(x), head_init=style.init)


def _bottleneck(
    x: keras.KerasTensor,
    style: blocks.Style,
    channels: int,
    scope: str,
    *,
    strides: int,
    output: str,
) -> keras.KerasTensor:
    """One unit: its output is the layer `output`."""
    if x.shape[-1] == 4 * channels:
        shortcut = blocks.max_pool(x, 1, strides) if strides > 1 else x
    else:
        project = blocks.Conv(
            4 * channels, 1, f'{scope}/shortcut', strides, activation=None
        )
        shortcut = project(x, style)
    x = blocks.Conv(channels, 1, f'{scope}/conv1')(x, style)
    x = _conv_same(x, style, channels, 3, f'{scope}/conv2', strides=strides)
    x = blocks.Conv(4 * channels, 1, f'{scope}/conv3', activation=None)(x, style)
    x = layers.Add()([shortcut, x])
    return layers.Activation('relu', name=blocks.layer_name(output))(x)


def _conv_same(
    x: keras.KerasTensor,
    style: blocks.Style,
    channels: int,
    size: int,
    scope: str,
    *,
    strides: int,
) -> keras.KerasTensor:
    """TF-Slim's conv2d_same: SAME, but when striding padded alike on both sides."""
    if strides == 1:
        return blocks.Conv(channels, size, scope)(x, style)
    before = (size - 1) // 2
    after = size - 1 - before
    x = layers.ZeroPadding2D(((before, after), (before, after)))(x)
    return blocks.Conv(channels, size, scope, strides, padding='valid')(x, style)
