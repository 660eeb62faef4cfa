"""MobileNet v1 (arXiv 1704.04861) and v2 (arXiv 1801.04381) as in TF-Slim."""

import keras
from keras import layers

from tfxfer.models import blocks

INIT = blocks.truncated_normal(0.09)

# (channels, stride) of the thirteen depthwise-separable convolutions.
V1 = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)

# (expansion, channels, stride) of the seventeen bottlenecks.
V2 = (
    (1, 16, 1),
    (6, 24, 2),
    (6, 24, 1),
    (6, 32, 2),
    *[(6, 32, 1)] * 2,
    (6, 64, 2),
    *[(6, 64, 1)] * 3,
    *[(6, 96, 1)] * 3,
    (6, 160, 2),
    *[(6, 160, 1)] * 2,
    (6, 320, 1),
)


def mobilenet_v1(
    images: keras.KerasTensor, *, scale: bool | None = None, width: float = 1.0
) -> blocks.Outputs:
    """MobileNet v1; `width` multiplies the channels of every layer.

    Args:
        images: scaled to [-1, 1], [b, h, w, 3].
        scale: batch norm with gamma; None as in the public checkpoint: with.
        width: the paper's width multiplier.

    Returns:
        blocks.Outputs, features [b, 1024 x width].
    """
    style = blocks.Style(
        decay=0.9997, scale=scale is not False, init=INIT, activation='relu6'
    )

    def wide(channels: int) -> int:
        return max(int(channels * width), 8)

    x = blocks.Conv(wide(32), 3, 'MobilenetV1/Conv2d_0', strides=2)(images, style)
    for i, (channels, strides) in enumerate(V1, start=1):
        scope = f'MobilenetV1/Conv2d_{i}'
        x = blocks.Depthwise(3, f'{scope}_depthwise', strides)(x, style)
        x = blocks.Conv(wide(channels), 1, f'{scope}_pointwise')(x, style)
    return blocks.Outputs(blocks.global_pool(x), head_init=INIT)


def mobilenet_v2(
    images: keras.KerasTensor, *, scale: bool | None = None, width: float = 1.0
) -> blocks.Outputs:
    """MobileNet v2; `width` multiplies the channels of every layer.

    The last layer keeps its 1,280 channels when `width` is below 1 (the paper's rule).

    Args:
        images: scaled to [-1, 1], [b, h, w, 3].
        scale: batch norm with gamma; None as in the public checkpoint: with.
        width: the paper's width multiplier.

    Returns:
        blocks.Outputs, features [b, 1280 x max(width, 1)].
    """
    style = blocks.Style(
        decay=0.997, scale=scale is not False, init=INIT, activation='relu6'
    )
    first = blocks.Conv(_divisible(32 * width), 3, 'MobilenetV2/Conv', strides=2)
    x = first(images, style)
    for i, (expansion, channels, strides) in enumerate(V2):
        scope = 'MobilenetV2/expanded_conv' + (f'_{i}' if i else '')
        x = _bottleneck(
            x, style, expansion, _divisible(channels * width), scope, strides
        )
    last = _divisible(1280 * max(width, 1.0))
    x = blocks.Conv(last, 1, 'MobilenetV2/Conv_1')(x, style)
    return blocks.Outputs(blocks.global_pool(x), head_init=INIT)


def _bottleneck(
    x: keras.KerasTensor,
    style: blocks.Style,
    expansion: int,
    channels: int,
    scope: str,
    strides: int,
) -> keras.KerasTensor:
    shortcut = x
    if expansion > 1:
        wide = _divisible(x.shape[-1] * expansion)
        x = blocks.Conv(wide, 1, f'{scope}/expand')(x, style)
    x = blocks.Depthwise(3, f'{scope}/depthwise', strides)(x, style)
    x = blocks.Conv(channels, 1, f'{scope}/project', activation=None)(x, style)
    residual = strides == 1 and channels == shortcut.shape[-1]
    if not residual:
        return x
    return layers.Add(name=blocks.layer_name(scope))([x, shortcut])


def _divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `channels`, at most a tenth below it."""
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest
