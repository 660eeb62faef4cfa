"""NASNet-A (arXiv 1707.07012) as in TF-Slim, without its drop path.

Keras' NASNets pad the pools of their reduction cells with zeros where this has SAME.
"""

from keras import initializers, layers

from tfxfer.models import blocks

# A cell is five sums of two operations. Each operation is (its name, the state that it
# reads): state 0 is the cell's input, 1 that of the cell before, 2 the first sum.
NORMAL = (
    (('separable_5x5', 0), ('separable_3x3', 1)),
    (('separable_5x5', 1), ('separable_3x3', 1)),
    (('avg_pool_3x3', 0), ('none', 1)),
    (('avg_pool_3x3', 1), ('avg_pool_3x3', 1)),
    (('separable_3x3', 0), ('none', 0)),
)
REDUCTION = (
    (('separable_5x5', 0), ('separable_7x7', 1)),
    (('max_pool_3x3', 0), ('separable_7x7', 1)),
    (('avg_pool_3x3', 0), ('separable_5x5', 1)),
    (('none', 3), ('avg_pool_3x3', 2)),
    (('separable_3x3', 2), ('max_pool_3x3', 0)),
)


def _fan_out():
    """slim.variance_scaling_initializer(mode='FAN_OUT')."""
    return initializers.VarianceScaling(2.0, 'fan_out', 'truncated_normal')


def nasnet(images, *, cells, channels, stem, skip_reduction, scale=None, aux=False):
    """NASNet-A for ImageNet: two stem cells, `cells` normal ones, two reductions.

    Args:
        images: scaled to [-1, 1], [b, h, w, 3].
        cells: normal cells, in three equal groups.
        channels: of the first group's operations; each group doubles them.
        stem: channels of the first convolution.
        skip_reduction: the cell after a reduction reads, as its second input, the one
            of the reduction cell instead of the cell before that.
        scale: batch norm with gamma; None as in the public checkpoint: with.
        aux: with an auxiliary head, at the end of the second group.

    Returns:
        blocks.Outputs, features [b, 24 x channels].
    """
    style = blocks.Style(decay=0.9997, scale=scale is not False, init=_fan_out)
    x = _conv_norm(
        images, style, stem, 3, 'conv0', 'conv0_bn', strides=2, padding='valid'
    )
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
            if not skip_reduction:
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


def _normal_cell(x, before, style, channels, scope):
    """[b, h, w, c] -> [b, h, w, 6 x channels]; `before` is the other input."""
    states = _inputs(x, before, style, channels, scope)
    states += _sums(states, NORMAL, style, channels, scope, strides=1)
    return _concatenate(states[1:], scope)


def _reduction_cell(x, before, style, channels, scope):
    """[b, h, w, c] -> [b, h/2, w/2, 4 x channels]; `before` is the other input."""
    states = _inputs(x, before, style, channels, scope)
    states += _sums(states, REDUCTION, style, channels, scope, strides=2)
    return _concatenate(states[3:], scope)


def _concatenate(states, scope):
    return layers.Concatenate(name=blocks.layer_name(scope))(states)


def _inputs(x, before, style, channels, scope):
    """States 0 and 1: both inputs at the size of x, with `channels` channels."""
    first = _conv_norm(
        blocks.activate(x, 'relu'),
        style,
        channels,
        1,
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
            1,
            f'{scope}/prev_1x1',
            f'{scope}/prev_bn',
        )
    return [first, before]


def _halved(x, style, channels, scope):
    """Half the size: every other pixel, beside those one to the right and below."""
    x = blocks.activate(x, 'relu')
    shifted = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    shifted = layers.Cropping2D(((1, 0), (1, 0)))(shifted)
    paths = [
        blocks.conv(
            blocks.avg_pool(path, 1, 2, 'valid'),
            style,
            channels // 2,
            1,
            f'{scope}/path{i}_conv',
            norm=False,
            bias=False,
            activation=None,
        )
        for i, path in enumerate((x, shifted), start=1)
    ]
    return blocks.batch_norm(
        layers.Concatenate()(paths), style, f'{scope}/final_path_bn'
    )


def _sums(inputs, pairs, style, channels, scope, *, strides):
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


def _operation(x, style, channels, name, scope, *, strides):
    if name == 'none':
        return x
    kind, _, window = name.rpartition('_')
    size = int(window[0])
    if kind == 'max_pool':
        return blocks.max_pool(x, size, strides)
    if kind == 'avg_pool':
        return blocks.avg_pool(x, size, strides)
    for i in (1, 2):
        x = blocks.separable(
            blocks.activate(x, 'relu'),
            style,
            channels,
            size,
            f'{scope}/{name}_{i}',
            strides=strides if i == 1 else 1,
            norm=f'{scope}/bn_sep_{window}_{i}',
            activation=None,
        )
    return x


def _conv_norm(x, style, channels, size, scope, norm, **options):
    return blocks.conv(
        x, style, channels, size, scope, norm=norm, activation=None, **options
    )


def _aux_features(x, style, scope):
    """[b, 768]; the windows shrink to the map that small images leave."""
    x = blocks.activate(x, 'relu')
    x = blocks.avg_pool(x, tuple(min(5, side) for side in x.shape[1:3]), 3, 'valid')
    x = _conv_norm(x, style, 128, 1, f'{scope}/proj', f'{scope}/aux_bn0')
    x = blocks.activate(x, 'relu')
    x = _conv_norm(
        x,
        style,
        768,
        x.shape[1:3],
        f'{scope}/Conv',
        f'{scope}/aux_bn1',
        padding='valid',
    )
    return layers.Flatten()(blocks.activate(x, 'relu'))
