"""The presets of keras-hub that are image networks, by name: what they are and where.

keras-hub takes seconds to import, and need not be installed to read these names.
"""

import typing

CACHE = 'KAGGLEHUB_CACHE'  # Environment variable: where Kaggle's files are cached.


class Preset(typing.NamedTuple):
    """One set of pretrained weights, as keras-hub registers it.

    Attributes:
        backbone: class in keras_hub.models.
        handle: of the files at Kaggle, OWNER/MODEL/keras/VARIATION/VERSION.
        parameters: as keras-hub states them: some rounded, some with a classifier,
            those of SigLIP and CLIP with the text tower.
        size: side of the images in pixels, where the name says it; else 0.
    """

    backbone: str
    handle: str
    parameters: int
    size: int


# (backbone, model at Kaggle): name, version, parameters and size of each.
_TABLE = {
    ('ViTBackbone', 'vit'): """
        vit_base_patch16_224_imagenet 4 85_798_656 224
        vit_base_patch16_384_imagenet 4 86_090_496 384
        vit_large_patch16_224_imagenet 4 303_301_632 224
        vit_large_patch16_384_imagenet 4 303_690_752 384
        vit_base_patch32_384_imagenet 3 87_528_192 384
        vit_large_patch32_384_imagenet 3 305_607_680 384
        vit_base_patch16_224_imagenet21k 3 85_798_656 224
        vit_base_patch32_224_imagenet21k 3 87_455_232 224
        vit_huge_patch14_224_imagenet21k 3 630_764_800 224
        vit_large_patch16_224_imagenet21k 3 303_301_632 224
        vit_large_patch32_224_imagenet21k 3 305_510_400 224
    """,
    ('DeiTBackbone', 'deit'): """
        deit_base_distilled_patch16_384_imagenet 1 86_092_032 384
        deit_base_distilled_patch16_224_imagenet 1 85_800_192 224
        deit_tiny_distilled_patch16_224_imagenet 1 5_524_800 224
        deit_small_distilled_patch16_224_imagenet 1 21_666_432 224
    """,
    ('DINOV2Backbone', 'dinov2'): """
        dinov2_small 1 22_582_656 -
        dinov2_base 1 87_632_640 -
        dinov2_large 1 305_771_520 -
        dinov2_giant 1 1_138_585_088 -
        dinov2_with_registers_small 1 22_584_192 -
        dinov2_with_registers_base 1 87_635_712 -
        dinov2_with_registers_large 1 305_775_616 -
        dinov2_with_registers_giant 1 1_138_591_232 -
    """,
    ('DINOV3Backbone', 'dinov3'): """
        dinov3_vit_small_lvd1689m 1 21_600_000 -
        dinov3_vit_small_plus_lvd1689m 1 29_000_000 -
        dinov3_vit_base_lvd1689m 1 86_000_000 -
        dinov3_vit_large_lvd1689m 1 300_000_000 -
        dinov3_vit_huge_plus_lvd1689m 1 840_000_000 -
        dinov3_vit_7b_lvd1689m 1 6_700_000_000 -
        dinov3_vit_large_sat493m 1 300_000_000 -
        dinov3_vit_7b_sat493m 1 6_700_000_000 -
    """,
    ('SwinTransformerBackbone', 'swin-transformer'): """
        swin_tiny_patch4_window7_224 1 27_519_354 224
        swin_small_patch4_window7_224 1 48_837_258 224
        swin_base_patch4_window7_224 1 86_743_224 224
        swin_base_patch4_window12_384 1 86_878_584 384
        swin_large_patch4_window7_224 1 194_995_476 224
        swin_large_patch4_window12_384 1 195_198_516 384
    """,
    ('SigLIPBackbone', 'siglip'): """
        siglip_base_patch16_224 1 203_156_230 224
        siglip_base_patch16_256 1 203_202_370 256
        siglip_base_patch16_384 1 203_448_450 384
        siglip_base_patch16_512 1 203_792_962 512
        siglip_large_patch16_256 1 652_151_106 256
        siglip_large_patch16_384 1 652_479_106 384
        siglip_so400m_patch14_224 1 877_360_578 224
        siglip_so400m_patch14_384 1 877_961_291 384
        siglip_so400m_patch16_256_i18n 1 1_128_759_282 256
        siglip_base_patch16_256_multilingual 1 370_626_370 256
        siglip2_base_patch16_224 1 375_188_230 224
        siglip2_base_patch16_256 1 375_234_370 256
        siglip2_base_patch32_256 1 376_856_194 256
        siglip2_base_patch16_384 1 376_856_194 384
        siglip2_large_patch16_256 1 881_527_106 256
        siglip2_large_patch16_384 1 881_855_106 384
        siglip2_large_patch16_512 1 882_314_306 512
        siglip2_giant_opt_patch16_256 2 1_871_394_226 256
        siglip2_giant_opt_patch16_384 1 1_871_886_066 384
        siglip2_so400m_patch14_224 1 1_135_463_922 224
        siglip2_so400m_patch14_384 1 1_136_009_291 384
        siglip2_so400m_patch16_256 1 1_135_671_282 256
        siglip2_so400m_patch16_384 1 1_136_040_242 384
        siglip2_so400m_patch16_512 1 1_136_555_698 512
    """,
    ('SigLIPBackbone', 'medsiglip'): """
        medsiglip_900m_448 1 878_301_426 448
    """,
    ('CLIPBackbone', 'clip'): """
        clip_vit_base_patch16 3 149_620_934 -
        clip_vit_base_patch32 3 151_277_363 -
        clip_vit_large_patch14 3 427_616_770 -
        clip_vit_large_patch14_336 3 427_944_770 336
        clip_vit_b_32_laion2b_s34b_b79k 3 151_277_363 -
        clip_vit_h_14_laion2b_s32b_b79k 3 986_109_698 -
        clip_vit_g_14_laion2b_s12b_b42k 3 1_366_678_530 -
        clip_vit_bigg_14_laion2b_39b_b160k 3 2_539_567_362 -
    """,
    ('MiTBackbone', 'mit'): """
        mit_b0_ade20k_512 4 3_321_962 512
        mit_b1_ade20k_512 4 13_156_554 512
        mit_b2_ade20k_512 4 24_201_418 512
        mit_b3_ade20k_512 3 44_077_258 512
        mit_b4_ade20k_512 3 60_847_818 512
        mit_b5_ade20k_640 3 81_448_138 640
        mit_b0_cityscapes_1024 3 3_321_962 1024
        mit_b1_cityscapes_1024 3 13_156_554 1024
        mit_b2_cityscapes_1024 3 24_201_418 1024
        mit_b3_cityscapes_1024 3 44_077_258 1024
        mit_b4_cityscapes_1024 3 60_847_818 1024
        mit_b5_cityscapes_1024 3 81_448_138 1024
    """,
    ('HGNetV2Backbone', 'hgnetv2'): """
        hgnetv2_b4_ssld_stage2_ft_in1k 1 13_599_072 -
        hgnetv2_b5_ssld_stage1_in22k_in1k 1 33_419_680 -
        hgnetv2_b5_ssld_stage2_ft_in1k 1 33_419_680 -
        hgnetv2_b6_ssld_stage1_in22k_in1k 1 69_179_888 -
        hgnetv2_b6_ssld_stage2_ft_in1k 1 69_179_888 -
    """,
    ('MobileNetBackbone', 'mobilenetv3'): """
        mobilenet_v3_small_050_imagenet 1 278_784 -
        mobilenet_v3_small_100_imagenet 1 939_120 -
        mobilenet_v3_large_100_imagenet 1 2_996_352 -
        mobilenet_v3_large_100_imagenet_21k 1 2_996_352 -
    """,
    ('MobileNetV5Backbone', 'mobilenetv5'): """
        mobilenetv5_300m_enc_gemma3n 1 294_284_096 -
    """,
    ('EfficientNetBackbone', 'efficientnet'): """
        efficientnet_b0_ra_imagenet 2 5_288_548 -
        efficientnet_b0_ra4_e3600_r224_imagenet 2 5_288_548 224
        efficientnet_b1_ft_imagenet 5 7_794_184 -
        efficientnet_b1_ra4_e3600_r240_imagenet 2 7_794_184 240
        efficientnet_b2_ra_imagenet 2 9_109_994 -
        efficientnet_b3_ra2_imagenet 2 12_233_232 -
        efficientnet_b4_ra2_imagenet 2 19_341_616 -
        efficientnet_b5_sw_imagenet 2 30_389_784 -
        efficientnet_b5_sw_ft_imagenet 2 30_389_784 -
        efficientnet2_rw_m_agc_imagenet 2 53_236_442 -
        efficientnet2_rw_s_ra2_imagenet 2 23_941_296 -
        efficientnet2_rw_t_ra2_imagenet 2 13_649_388 -
        efficientnet_lite0_ra_imagenet 2 4_652_008 -
    """,
    ('ResNetBackbone', 'resnetv1'): """
        resnet_18_imagenet 3 11_186_112 -
        resnet_50_imagenet 3 23_561_152 -
        resnet_101_imagenet 3 42_605_504 -
        resnet_152_imagenet 3 58_295_232 -
    """,
    ('ResNetBackbone', 'resnetv2'): """
        resnet_v2_50_imagenet 3 23_561_152 -
        resnet_v2_101_imagenet 3 42_605_504 -
    """,
    ('ResNetBackbone', 'resnet_vd'): """
        resnet_vd_18_imagenet 2 11_722_824 -
        resnet_vd_34_imagenet 2 21_838_408 -
        resnet_vd_50_imagenet 2 25_629_512 -
        resnet_vd_50_ssld_imagenet 2 25_629_512 -
        resnet_vd_50_ssld_v2_imagenet 2 25_629_512 -
        resnet_vd_50_ssld_v2_fix_imagenet 2 25_629_512 -
        resnet_vd_101_imagenet 2 44_673_864 -
        resnet_vd_101_ssld_imagenet 2 44_673_864 -
        resnet_vd_152_imagenet 2 60_363_592 -
        resnet_vd_200_imagenet 2 74_933_064 -
    """,
    ('CSPNetBackbone', 'cspdarknet'): """
        csp_darknet_53_ra_imagenet 2 27_642_184 -
        csp_resnext_50_ra_imagenet 1 20_569_896 -
        csp_resnet_50_ra_imagenet 1 21_616_168 -
        darknet_53_imagenet 1 41_609_928 -
    """,
    ('DenseNetBackbone', 'densenet'): """
        densenet_121_imagenet 3 7_037_504 -
        densenet_169_imagenet 3 12_642_880 -
        densenet_201_imagenet 3 18_321_984 -
    """,
    ('XceptionBackbone', 'xception'): """
        xception_41_imagenet 2 20_861_480 -
    """,
    ('VGGBackbone', 'vgg'): """
        vgg_11_imagenet 3 9_220_480 -
        vgg_13_imagenet 3 9_404_992 -
        vgg_16_imagenet 3 14_714_688 -
        vgg_19_imagenet 3 20_024_384 -
    """,
}


def _presets() -> typing.Iterator[tuple[str, Preset]]:
    for (backbone, model), rows in _TABLE.items():
        for row in rows.split('\n'):
            if row.strip():
                name, version, parameters, size = row.split()
                handle = f'keras/{model}/keras/{name}/{version}'
                yield (
                    name,
                    Preset(
                        backbone, handle, int(parameters), int(size.strip('-') or 0)
                    ),
                )


PRESETS = dict(_presets())

# For each of them keras-hub 0.32 downloads efficientnet_b1_ft_imagenet.
_OF_ANOTHER = (
    'efficientnet_el_ra_imagenet',
    'efficientnet_em_ra2_imagenet',
    'efficientnet_es_ra_imagenet',
)
_LANGUAGE = (
    'albert', 'all', 'bart', 'bert', 'bge', 'bloom', 'bloomz', 'c2s', 'code', 'deberta',
    'distil', 'electra', 'embedding', 'f', 'falcon', 'flan', 'function', 'gemma',
    'gemma2', 'gemma3', 'gemma3n', 'gemma4', 'gpt', 'gpt2', 'harrier', 'llama2',
    'llama3', 'magistral', 'medgemma', 'mistral', 'mixtral', 'msmarco', 'multi',
    'multilingual', 'mxbai', 'opt', 'paraphrase', 'phi3', 'qwen', 'qwen1', 'qwen2',
    'qwen3', 'roberta', 'rwkv7', 'shieldgemma', 'smollm3', 't5', 't5gemma', 't5gemma2',
    'translategemma', 'vault', 'vicuna', 'xlm',
)  # fmt: skip
# What else keras-hub has, by the first word of its names.
_OTHERS = {
    **dict.fromkeys(_LANGUAGE, 'a language model'),
    **dict.fromkeys(('dfine', 'retinanet'), 'an object detector'),
    **dict.fromkeys(
        ('basnet', 'deeplab', 'sam', 'sam3', 'segformer'), 'a model for segmentation'
    ),
    **dict.fromkeys(('blip2', 'metaclip', 'pali'), 'a model of images and text'),
    **dict.fromkeys(('moonshine', 'whisper'), 'a model of speech'),
    'depth': 'a model of depth',
    'esm2': 'a model of proteins',
    'parseq': 'a model that reads text in images',
    'stable': 'a model that generates images',
    'videoprism': 'a model of videos',
}


def other(name: str) -> str:
    """What a name that is not in PRESETS stands for in keras-hub; '': nothing known."""
    if name in _OF_ANOTHER:
        return 'a name under which keras-hub has the weights of EfficientNet B1'
    return _OTHERS.get(name.replace('.', '_').partition('_')[0], '')
