"""NASNet-A (arXiv 1707.07012) as in TF-Slim, without its drop path.

Keras' NASNets pad the pools of their reduction cells with zeros where this has SAME.
"""

import dataclasses
import typing
from collections.abc import Sequence

import keras
from keras import initializers, layers

from tfxfer.models import blocks

# A cell is five sums of two operations. Each operation is (its name, the state that it
# reads): state 0 is the cell's input, 1 that of the cell before, 2 the first sum.
Pair = tuple[tuple[str, int], tuple[str, int]]
NORMAL: tuple[Pair, ...] = (
    (('separable_5x5', 0), ('separable_3x3', 1)),
    (('separable_5x5', 1), ('separable_3x3', 1)),
    (('avg_pool_3x3', 0), ('none', 1)),
    (('avg_pool_3x3', 1), ('avg_pool_3x3', 1)),
    (('separable_3x3', 0), ('none', 0)),
)
REDUCTION: tuple[Pair, ...] = (
    (('separable_5x5', 0), ('separable_7x7', 1)),
    (('max_pool_3x3', 0), ('separable_7x7', 1)),
    (('avg_pool_3x3', 0), ('separable_5x5', 1)),
    (('none', 3), ('avg_pool_3x3', 2)),
    (('separable_3x3', 2), ('max_pool_3x3', 0)),
)


def _fan_out() -> keras.Initializer:
    """slim.variance_scaling_initializer(mode='FAN_OUT')."""
    return initializers.VarianceScaling(2.0, 'fan_out', 'truncated_normal')


@dataclasses.dataclass(frozen=True)
class Size:
    """What differs between the published networks.

    Attributes:
        cells: normal cells, in three equal groups.
        channels: of the first group's operations; each group doubles them.
        stem: channels of the first convolution.
        skip_reduction: the cell after a reduction reads, as its second input, the one
            of the reduction cell instead of the cell before that.
    """

    cells: int
    channels: int
    stem: int
    skip_reduction: bool


def nasnet(
    images: keras.KerasTensor,
    *,
    scale: bool | None = None,
    aux: bool = False,
    **size: typing.Any,
) -> blocks.Outputs:
    """NASNet-A for ImageNet: two stem cells, the normal ones, two reductions.

    Args:
        images: scaled to [-1, 1], [b, h, w, 3].
        scale: batch norm with gamma; None as in the public checkpoint: with.
        aux: with an auxiliary head, at the end of the second group.
        **size: the fields of Size.

    Returns:
        blocks.Outputs, features [b, 24 x channels].
    """
    style = blocks.Style(decay=0.9997, scale=scale is not False, init=_fan_out)
    chosen = Size(**size)
    cells, channels = chosen.cells, chosen.channels
    x = blocks.Conv(
        chosen.stem,
        3,
        'conv0',
        strides=2,
        padding='valid',
        norm='conv0_bn',
        activation=None,
    )(images, style)
    before = None
    for i, share in enumerate((4, 2)):
        scope = f'cell_stem_{i}'
        before, x = x, _reduction_cell(x, before, style, channels // share, scope)
    for i in range(cells):
        second = before
        if i in (cells // 3, 2 * cells // 3):
            channels *= 2
            scope = f'reduction_cell_{3 * i // cells - 1}'
            before, x = x, _reduction_cell(x, before, style, channels, scope)
            if not chosen.skip_reduction:
                second = before
        before, x = x, _normal_cell(x, second, style, channels, f'cell_{i}')
        if i == 2 * cells // 3 - 1:
            middle = x
    return blocks.Outputs(
        blocks.global_pool(blocks.activate(x, 'relu')),
        _aux_features(middle, style, f'aux_{2 * cells // 3 - 1}/aux_logits')
        if aux
        else None,
        head_init=_fan_out,
        aux_init=_fan_out,
    )


def _normal_cell(
    x: keras.KerasTensor,
    before: keras.KerasTensor | None,
    style: blocks.Style,
    channels: int,
    scope: str,
) -> keras.KerasTensor:
    """[b, h, w, c] -> [b, h, w, 6 x channels]; `before` is the other input."""
    states = _inputs(x, before, style, channels, scope)
    states += _sums(states, NORMAL, style, channels, scope, strides=1)
    return _concatenate(states[1:], scope)


def _reduction_cell(
    x: keras.KerasTensor,
    before: keras.KerasTensor | None,
    style: blocks.Style,
    channels: int,
    scope: str,
) -> keras.KerasTensor:
    """[b, h, w, c] -> [b, h/2, w/2, 4 x channels]; `before` is the other input."""
    states = _inputs(x, before, style, channels, scope)
    states += _sums(states, REDUCTION, style, channels, scope, strides=2)
    return _concatenate(states[3:], scope)


def _concatenate(states: list[keras.KerasTensor], scope: str) -> keras.KerasTensor:
    return layers.Concatenate(name=blocks.layer_name(scope))(states)


def _inputs(
    x: keras.KerasTensor,
    before: keras.KerasTensor | None,
    style: blocks.Style,
    channels: int,
    scope: str,
) -> list[keras.KerasTensor]:
    """States 0 and 1: both inputs at the size of x, with `channels` channels."""
    first = _conv_norm(
        blocks.activate(x, 'relu'),
        style,
        channels,
        f'{scope}/1x1',
        f'{scope}/beginning_bn',
    )
    if before is None:
        return [first, x]
    if before.shape[2] != x.shape[2]:
        return [first, _halved(before, style, channels, scope)]
    if before.shape[-1] != channels:
        before = _conv_norm(
            blocks.activate(before, 'relu'),
            style,
            channels,
            f'{scope}/prev_1x1',
            f'{scope}/prev_bn',
        )
    return [first, before]


def _halved(
    x: keras.KerasTensor, style: blocks.Style, channels: int, scope: str
) -> keras.KerasTensor:
    """Half the size: every other pixel, beside those one to the right and below."""
    x = blocks.activate(x, 'relu')
    shifted = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    shifted = layers.Cropping2D(((1, 0), (1, 0)))(shifted)
    paths = [
        blocks.Conv(
            channels // 2,
            1,
            f'{scope}/path{i}_conv',
            norm=False,
            bias=False,
            activation=None,
        )(blocks.avg_pool(path, 1, 2, 'valid'), style)
        for i, path in enumerate((x, shifted), start=1)
    ]
    return blocks.batch_norm(
        layers.Concatenate()(paths), style, f'{scope}/final_path_bn'
    )


def _sums(
    inputs: list[keras.KerasTensor],
    pairs: Sequence[Pair],
    style: blocks.Style,
    channels: int,
    scope: str,
    *,
    strides: int,
) -> list[keras.KerasTensor]:
    states = list(inputs)
    for i, pair in enumerate(pairs):
        sides = [
            _operation(
                states[state],
                style,
                channels,
                name,
                f'{scope}/comb_iter_{i}/{side}',
                strides=strides if state < 2 else 1,
            )
            for side, (name, state) in zip(('left', 'right'), pair, strict=True)
        ]
        states.append(layers.Add()(sides))
    return states[2:]


def _operation(
    x: keras.KerasTensor,
    style: blocks.Style,
    channels: int,
    name: str,
    scope: str,
    *,
    strides: int,
) -> keras.KerasTensor:
    if name == 'none':
        return x
    kind, _, window = name.rpartition('_')
    size = int(window[0])
    if kind == 'max_pool':
        return blocks.max_pool(x, size, strides)
    if kind == 'avg_pool':
        return blocks.avg_pool(x, size, strides)
    for i in (1, 2):
        step = blocks.Separable(
            channels,
            size,
            f'{scope}/{name}_{i}',
            strides=strides if i == 1 else 1,
            norm=f'{scope}/bn_sep_{window}_{i}',
            activation=None,
        )
        x = step(blocks.activate(x, 'relu'), style)
    return x


def _conv_norm(
    x: keras.KerasTensor, style: blocks.Style, channels: int, scope: str, norm: str
) -> keras.KerasTensor:
    """A 1 x 1 convolution and batch norm, without activation."""
    return blocks.Conv(channels, 1, scope, norm=norm, activation=None)(x, style)


def _aux_features(
    x: keras.KerasTensor, style: blocks.Style, scope: str
) -> keras.KerasTensor:
    """[b, 768]; the windows shrink to the map that small images leave."""
    x = blocks.activate(x, 'relu')
    x = blocks.avg_pool(x, tuple(min(5, side) for side in x.shape[1:3]), 3, 'valid')
    x = _conv_norm(x, style, 128, f'{scope}/proj', f'{scope}/aux_bn0')
    x = blocks.activate(x, 'relu')
    whole = blocks.Conv(
        768,
        x.shape[1:3],
        f'{scope}/Conv',
        padding='valid',
        norm=f'{scope}/aux_bn1',
        activation=None,
    )
    x = whole(x, style)
    return layers.Flatten()(blocks.activate(x, 'relu'))
