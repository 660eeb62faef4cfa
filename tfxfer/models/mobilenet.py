"""MobileNet v1 (arXiv 1704.04861) and v2 (arXiv 1801.04381) as in TF-Slim."""

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


def mobilenet_v1(images, *, scale=None, width=1.0):
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

    def wide(channels):
        return max(int(channels * width), 8)

    x = blocks.conv(images, style, wide(32), 3, 'MobilenetV1/Conv2d_0', strides=2)
    for i, (channels, strides) in enumerate(V1, start=1):
        scope = f'MobilenetV1/Conv2d_{i}'
        x = blocks.depthwise(x, style, 3, f'{scope}_depthwise', strides=strides)
        x = blocks.conv(x, style, wide(channels), 1, f'{scope}_pointwise')
    return blocks.Outputs(blocks.global_pool(x), head_init=INIT)


def mobilenet_v2(images, *, scale=None, width=1.0):
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
    x = blocks.conv(
        images, style, _divisible(32 * width), 3, 'MobilenetV2/Conv', strides=2
    )
    for i, (expansion, channels, strides) in enumerate(V2):
        scope = 'MobilenetV2/expanded_conv' + (f'_{i}' if i else '')
        x = _bottleneck(
            x, style, expansion, _divisible(channels * width), scope, strides
        )
    last = _divisible(1280 * max(width, 1.0))
    x = blocks.conv(x, style, last, 1, 'MobilenetV2/Conv_1')
    return blocks.Outputs(blocks.global_pool(x), head_init=INIT)


def _bottleneck(x, style, expansion, channels, scope, strides):
    shortcut = x
    if expansion > 1:
        wide = _divisible(x.shape[-1] * expansion)
        x = blocks.conv(x, style, wide, 1, f'{scope}/expand')
    x = blocks.depthwise(x, style, 3, f'{scope}/depthwise', strides=strides)
    x = blocks.conv(x, style, channels, 1, f'{scope}/project', activation=None)
    residual = strides == 1 and channels == shortcut.shape[-1]
    if not residual:
        return x
    return layers.Add(name=blocks.layer_name(scope))([x, shortcut])


def _divisible(channels, by=8):
    """The multiple of `by` nearest to `channels`, at most a tenth below it."""
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest
