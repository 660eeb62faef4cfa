"""DenseNet (arXiv 1608.06993) as in github.com/pudae/tensorflow-densenet, for TF-Slim.

Keras' DenseNets pad explicitly where this has SAME, and have epsilon 1.001e-5.
"""

from collections.abc import Sequence

import keras
from keras import layers

from tfxfer.models import blocks


def densenet(
    images: keras.KerasTensor,
    *,
    depths: Sequence[int],
    scale: bool | None = None,
    growth: int = 32,
) -> blocks.Outputs:
    """DenseNet-BC, which halves the channels between its blocks.

    Args:
        images: as the weights want them, [b, h, w, 3].
        depths: layers in the blocks, e.g. (6, 12, 24, 16) for 121 layers.
        scale: batch norm with gamma; None as in the public checkpoint: with.
        growth: channels that a layer adds.

    Returns:
        blocks.Outputs, features [b, 1024] for 121 layers.
    """
    style = blocks.Style(epsilon=1.1e-5, decay=0.99, scale=scale is not False)
    root = f'densenet{2 * sum(depths) + len(depths) + 1}'
    x = _conv(images, style, 2 * growth, 7, f'{root}/conv1', strides=2)
    x = _norm_relu(x, style, root)
    x = blocks.max_pool(x, 3, 2)
    for i, depth in enumerate(depths, start=1):
        if i > 1:
            x = _transition(x, style, f'{root}/transition_block{i - 1}')
        block = f'{root}/dense_block{i}'
        for layer in range(1, depth + 1):
            output = block if layer == depth else f'{block}/conv_block{layer}'
            x = _grow(x, style, growth, f'{block}/conv_block{layer}', output)
    x = _norm_relu(x, style, f'{root}/final_block')
    return blocks.Outputs(blocks.global_pool(x), head_init=style.init)


def _grow(
    x: keras.KerasTensor, style: blocks.Style, growth: int, scope: str, output: str
) -> keras.KerasTensor:
    """One layer of a dense block: its output is the Keras layer `output`."""
    y = _norm_relu_conv(x, style, 4 * growth, 1, f'{scope}/x1')
    y = _norm_relu_conv(y, style, growth, 3, f'{scope}/x2')
    return layers.Concatenate(name=blocks.layer_name(output))([x, y])


def _transition(
    x: keras.KerasTensor, style: blocks.Style, scope: str
) -> keras.KerasTensor:
    x = _norm_relu_conv(x, style, x.shape[-1] // 2, 1, f'{scope}/blk')
    return layers.AveragePooling2D(2, 2, 'valid', name=blocks.layer_name(scope))(x)


def _norm_relu(
    x: keras.KerasTensor, style: blocks.Style, scope: str
) -> keras.KerasTensor:
    x = blocks.batch_norm(x, style, scope + blocks.BATCH_NORM)
    return blocks.activate(x, style.activation)


def _norm_relu_conv(
    x: keras.KerasTensor, style: blocks.Style, channels: int, size: int, scope: str
) -> keras.KerasTensor:
    return _conv(_norm_relu(x, style, scope), style, channels, size, f'{scope}/Conv')


def _conv(
    x: keras.KerasTensor,
    style: blocks.Style,
    channels: int,
    size: int,
    scope: str,
    *,
    strides: int = 1,
) -> keras.KerasTensor:
    conv = blocks.Conv(
        channels, size, scope, strides, norm=False, bias=False, activation=None
    )
    return conv(x, style)
