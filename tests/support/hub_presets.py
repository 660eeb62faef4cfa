"""Tiny presets of keras-hub, one of each family, as its own classes write them."""

import typing

SIDE = 32


class Tiny(typing.NamedTuple):
    """What keras-hub makes a backbone and its image converter of."""

    backbone: str
    config: dict
    converter: str = ''
    task: str = ''


_CONVERTER = {
    'scale': [1 / 58.4, 1 / 57.1, 1 / 57.4],
    'offset': [-2.1, -2.0, -1.8],
}
_IMAGE = {'image_shape': (SIDE, SIDE, 3)}
_OPEN = {'image_shape': (None, None, 3)}


def _resnet(block, pre=False):
    return {
        'input_conv_filters': [64] if 'vd' not in block else [8, 8, 16],
        'input_conv_kernel_sizes': [7] if 'vd' not in block else [3, 3, 3],
        'stackwise_num_filters': [64, 64],
        'stackwise_num_blocks': [1, 1],
        'stackwise_num_strides': [1, 2],
        'block_type': block,
        'use_pre_activation': pre,
        **_OPEN,
    }


_VIT = {
    'patch_size': 8, 'num_layers': 2, 'num_heads': 2, 'hidden_dim': 16, **_IMAGE,
}  # fmt: skip
_DINO = {
    'patch_size': 8, 'num_layers': 2, 'num_heads': 2, 'hidden_dim': 16,
    'intermediate_dim': 24, **_IMAGE,
}  # fmt: skip

TINY = {
    'vit': Tiny(
        'ViTBackbone', {**_VIT, 'mlp_dim': 24}, 'ViTImageConverter',
        'ViTImageClassifier',
    ),
    'vit without class token': Tiny(
        'ViTBackbone', {**_VIT, 'mlp_dim': 24, 'use_class_token': False},
        'ViTImageConverter',
    ),
    'deit': Tiny(
        'DeiTBackbone', {**_VIT, 'intermediate_dim': 24}, 'DeiTImageConverter',
        'DeiTImageClassifier',
    ),
    'dinov2': Tiny(
        'DINOV2Backbone',
        {**_DINO, 'num_register_tokens': 2, 'position_embedding_shape': (48, 48, 3)},
        'DINOV2ImageConverter',
    ),
    'dinov3': Tiny('DINOV3Backbone', _DINO, 'DINOV3ImageConverter'),
    'swin': Tiny(
        'SwinTransformerBackbone',
        {
            'embed_dim': 8, 'depths': (2, 1), 'num_heads': (2, 2), 'window_size': 4,
            'patch_size': 2, **_IMAGE,
        },
        'SwinTransformerImageConverter',
        'SwinTransformerImageClassifier',
    ),
    'hgnetv2': Tiny(
        'HGNetV2Backbone',
        {
            'depths': [1, 1], 'embedding_size': 8, 'hidden_sizes': [16, 24],
            'stem_channels': [3, 8, 8], 'hidden_act': 'relu',
            'use_learnable_affine_block': True,
            'stackwise_stage_filters': [(8, 8, 16, 1, 2, 3), (16, 8, 24, 1, 2, 3)],
            'apply_downsample': [False, True],
            'use_lightweight_conv_block': [False, True],
            **_OPEN,
        },
        'HGNetV2ImageConverter',
    ),
    'mobilenet': Tiny(
        'MobileNetBackbone',
        {
            'stackwise_expansion': [[16, 24], [40]],
            'stackwise_num_blocks': [2, 1],
            'stackwise_num_filters': [[16, 16], [24]],
            'stackwise_kernel_size': [[3, 3], [5]],
            'stackwise_num_strides': [[2, 1], [2]],
            'stackwise_se_ratio': [[None, None], [0.25]],
            'stackwise_activation': [['relu', 'relu'], ['hard_swish']],
            'stackwise_padding': [[1, 1], [2]],
            'output_num_filters': 32,
            'input_activation': 'hard_swish',
            'output_activation': 'hard_swish',
            'input_num_filters': 16,
            'depthwise_filters': 8,
            'depthwise_stride': 2,
            'depthwise_residual': False,
            'squeeze_and_excite': 0.5,
            'last_layer_filter': 32,
            **_OPEN,
        },
        'MobileNetImageConverter',
        'MobileNetImageClassifier',
    ),
    'mobilenetv5': Tiny(
        'MobileNetV5Backbone',
        {
            'stackwise_block_types': [['er'], ['uir', 'mqa']],
            'stackwise_num_blocks': [1, 2],
            'stackwise_num_filters': [[8], [16, 16]],
            'stackwise_strides': [[2], [2, 1]],
            'stackwise_act_layers': [['gelu'], ['gelu', 'gelu']],
            'stackwise_exp_ratios': [[2.0], [2.0, 1.0]],
            'stackwise_se_ratios': [[0.0], [0.0, 0.0]],
            'stackwise_dw_kernel_sizes': [[0], [3, 0]],
            'stackwise_dw_start_kernel_sizes': [[0], [3, 0]],
            'stackwise_dw_end_kernel_sizes': [[0], [0, 0]],
            'stackwise_exp_kernel_sizes': [[3], [0, 0]],
            'stackwise_pw_kernel_sizes': [[1], [0, 0]],
            'stackwise_num_heads': [[0], [0, 2]],
            'stackwise_key_dims': [[0], [0, 8]],
            'stackwise_value_dims': [[0], [0, 8]],
            'stackwise_kv_strides': [[0], [0, 1]],
            'stackwise_use_cpe': [[False], [False, False]],
            'stem_size': 8,
            'num_features': 24,
            'msfa_output_resolution': 4,
            **_OPEN,
        },
        'MobileNetV5ImageConverter',
        'MobileNetV5ImageClassifier',
    ),
    'resnet': Tiny(
        'ResNetBackbone', _resnet('basic_block'), 'ResNetImageConverter',
        'ResNetImageClassifier',
    ),
    'resnet_v2': Tiny(
        'ResNetBackbone', _resnet('bottleneck_block', pre=True), 'ResNetImageConverter',
        'ResNetImageClassifier',
    ),
    'resnet_vd': Tiny(
        'ResNetBackbone', _resnet('bottleneck_block_vd'), 'ResNetImageConverter',
        'ResNetImageClassifier',
    ),
    'cspnet': Tiny(
        'CSPNetBackbone',
        {
            'stem_filters': 8, 'stem_kernel_size': 3, 'stem_strides': 1,
            'stackwise_depth': [1, 1], 'stackwise_strides': [2, 2],
            'stackwise_num_filters': [16, 24], 'block_type': 'dark_block',
            'stage_type': 'csp', 'bottle_ratio': [0.5], 'block_ratio': [1.0],
            'expand_ratio': [2.0], 'down_growth': True, **_OPEN,
        },
        'CSPNetImageConverter',
        'CSPNetImageClassifier',
    ),
    'densenet': Tiny(
        'DenseNetBackbone',
        {'stackwise_num_repeats': [1, 2], 'growth_rate': 8, **_OPEN},
        'DenseNetImageConverter',
        'DenseNetImageClassifier',
    ),
    'efficientnet': Tiny(
        'EfficientNetBackbone',
        {
            'stackwise_width_coefficients': [1.0, 1.0],
            'stackwise_depth_coefficients': [1.0, 1.0],
            'stackwise_kernel_sizes': [3, 3],
            'stackwise_num_repeats': [1, 1],
            'stackwise_input_filters': [8, 16],
            'stackwise_output_filters': [16, 24],
            'stackwise_expansion_ratios': [1, 4],
            'stackwise_strides': [1, 2],
            'stackwise_squeeze_and_excite_ratios': [0.0, 0.25],
            'stackwise_block_types': ['fused', 'unfused'],
            'stackwise_force_input_filters': [0, 0],
            'stackwise_nores_option': [False, False],
            'input_shape': (None, None, 3),
        },
        'EfficientNetImageConverter',
        'EfficientNetImageClassifier',
    ),
    'vgg': Tiny(
        'VGGBackbone',
        {
            'stackwise_num_repeats': [1, 1, 1], 'stackwise_num_filters': [8, 8, 16],
            **_OPEN,
        },
        'VGGImageConverter',
    ),
    'xception': Tiny(
        'XceptionBackbone',
        {
            'stackwise_conv_filters': [[8, 8], [16, 16], [24, 24]],
            'stackwise_pooling': [True, True, False], **_OPEN,
        },
        'XceptionImageConverter',
        'XceptionImageClassifier',
    ),
    'mit': Tiny(
        'MiTBackbone',
        {
            'layerwise_depths': [1, 1], 'num_layers': 2,
            'layerwise_num_heads': [1, 2], 'layerwise_sr_ratios': [2, 1],
            'max_drop_path_rate': 0.1, 'layerwise_patch_sizes': [7, 3],
            'layerwise_strides': [4, 2], 'hidden_dims': [8, 16], **_IMAGE,
        },
        'MiTImageConverter',
        'MiTImageClassifier',
    ),
    'siglip': Tiny('SigLIPBackbone', {}, 'SigLIPImageConverter'),
    'clip': Tiny('CLIPBackbone', {}, 'CLIPImageConverter'),
}  # fmt: skip

_TEXT = {
    'vocabulary_size': 20, 'embedding_dim': 16, 'hidden_dim': 16, 'num_layers': 1,
    'num_heads': 2, 'intermediate_dim': 24, 'max_sequence_length': 8,
}  # fmt: skip


def backbone(name: str) -> typing.Any:
    """keras-hub's backbone of a family, with random weights, always the same."""
    from tfxfer import models

    with models.seeded(0):
        return _backbone(name)


def _backbone(name: str) -> typing.Any:
    import keras_hub

    make = getattr(keras_hub.models, TINY[name].backbone)
    if name == 'siglip':
        return make(
            keras_hub.models.SigLIPVisionEncoder(**_DINO, name='vision_encoder'),
            keras_hub.models.SigLIPTextEncoder(
                **_TEXT, projection_dim=16, name='text_encoder'
            ),
        )
    if name == 'clip':
        return make(
            keras_hub.models.CLIPVisionEncoder(**_DINO, name='vision_encoder'),
            keras_hub.models.CLIPTextEncoder(**_TEXT, name='text_encoder'),
            projection_dim=8,
        )
    return make(**TINY[name].config)


def converter(name: str, size: int = SIDE) -> typing.Any:
    """keras-hub's image converter of a family."""
    import keras_hub

    make = getattr(keras_hub.layers, TINY[name].converter)
    return make(image_size=(size, size), **_CONVERTER)


def saved(
    name: str, folder: typing.Any, model: typing.Any = None, size: int = SIDE
) -> str:
    """The folder of a preset, as keras-hub saves it."""
    model = backbone(name) if model is None else model
    model.save_to_preset(str(folder))
    converter(name, size).save_to_preset(str(folder))
    return str(folder)
