"""The networks, as records: what builds them, what they take and give."""

import dataclasses
import difflib
import pathlib
import typing
from collections.abc import Callable

from tfxfer import errors, escaping, hub_presets

SLIM_PAGE = (
    'https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models'
)
MOBILENET_PAGES = {
    1: 'https://github.com/tensorflow/models/blob/master/research/slim/nets/'
    'mobilenet_v1.md',
    2: 'https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/'
    'README.md',
}
DENSENET_PAGE = 'https://github.com/pudae/tensorflow-densenet#pre-trained-models'

NOT_STATED = 'not stated'
OF_FILE = "the model file's own"
# Licences of weights as those who publish them state it. TF-Slim's: the LICENSE of
# https://github.com/tensorflow/models. The slim-style DenseNets': the LICENSE of
# https://github.com/pudae/tensorflow-densenet.
SLIM_LICENCE = 'Apache-2.0'
# Of Keras' weights by how the application's name begins: the section License of each
# network in https://github.com/keras-team/keras/blob/31599d801d/docs/templates/
# applications.md, of ResNet V2 in a later version of that page. Of ConvNeXt, the README
# of https://github.com/facebookresearch/ConvNeXt, from which Keras' documentation says
# the weights are. It states none for MobileNetV3 and the EfficientNets. First match.
_KERAS_LICENCES = {
    'Xception': 'MIT',
    'VGG': 'CC-BY-4.0',
    **{f'ResNet{layers}V2': 'BSD' for layers in (50, 101, 152)},
    'ResNet': 'MIT',
    'Inception': 'Apache-2.0',
    'MobileNetV3': NOT_STATED,
    'MobileNet': 'Apache-2.0',
    'NASNet': 'Apache-2.0',
    'DenseNet': 'BSD-3-Clause',
    'ConvNeXt': 'MIT',
}

# ImageNet top-1 of Keras' weights, single centre crop, by its own evaluation: the last
# table in the README of https://github.com/keras-team/keras-applications (commit
# 976050c), which https://keras.io/api/applications rounds. Earlier tables there are of
# ResNet-50 and DenseNets with layers that were wrong then.
KERAS_TOP1 = {
    'inception_v3': 0.77898,
    'inception_resnet_v2': 0.80256,
    'resnet_50': 0.74928,
    'resnet_101': 0.7642,
    'resnet_152': 0.76604,
    'densenet_121': 0.74972,
    'densenet_169': 0.76176,
    'densenet_201': 0.7732,
    'mobilenet_v1': 0.70424,
    'mobilenet_v2': 0.71336,
    'mobilenet_v2_1.4': 0.7523,
    'nasnet_mobile': 0.74366,
    'nasnet_large': 0.82498,
}


@dataclasses.dataclass(frozen=True)
class Scaling:
    """(x - mean) / std per channel, of x 0-255 in RGB, or in BGR for `bgr`."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


# Weights that get another one than they were trained with give nonsense.
SCALINGS = {
    'inception': Scaling((127.5,) * 3, (127.5,) * 3),
    # TF-Slim's ResNets.
    'vgg': Scaling((123.68, 116.779, 103.939), (1.0,) * 3),
    # Keras' ResNets.
    'caffe': Scaling((103.939, 116.779, 123.68), (1.0,) * 3, bgr=True),
    # Keras' DenseNets, converted from Torch.
    'torch': Scaling((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # The slim-style DenseNets.
    'densenet': Scaling((123.68, 116.78, 103.94), (1 / 0.017,) * 3),
    # Keras' EfficientNetV2 S, M and L.
    'efficientnet_v2': Scaling((128.0,) * 3, (128.0,) * 3),
    'unit': Scaling((0.0,) * 3, (255.0,) * 3),  # 0-1.
    'none': Scaling((0.0,) * 3, (1.0,) * 3),  # The network scales pixels itself.
}


@dataclasses.dataclass(frozen=True)
class Keras:
    """The network of the same name in Keras Applications, and its ImageNet weights."""

    application: str  # Name in keras.applications.
    file: str  # What Keras calls its download, classifier included; '': there is none.
    scaling: str = 'inception'  # A key of models.SCALINGS.
    # (name, value) pairs for the application.
    options: tuple[tuple[str, typing.Any], ...] = ()
    # Whether the file has a classifier that takes the features.
    classifier: bool = True

    @property
    def licence(self) -> str:
        """Of the weights, as an SPDX identifier where there is one; or NOT_STATED."""
        known = _KERAS_LICENCES.items()
        starts = (text for start, text in known if self.application.startswith(start))
        return next(starts, NOT_STATED)


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A user's own .keras file or SavedModel, or a preset of keras-hub."""

    path: str  # Of a preset its folder, or its name in hub_presets.PRESETS.
    layer: str = ''  # Whose output is the features; '': the global pool.
    signature: str = ''  # Of a SavedModel; '': serving_default.
    output: str = ''  # Of the signature, the features; '': the only one.
    # SHA-256 of the model and its weights; '': the file is still unread.
    digest: str = ''
    trust: bool = False  # Whether code in the file may be run.


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One network. `builder` is a key of models.BUILDERS."""

    name: str
    builder: str
    input_size: int  # Side in pixels of the ImageNet evaluation crop.
    features: int  # Size of the global pool that feeds the classifier.
    parameters: int  # Trainable, as the public checkpoint has them, heads left out.
    multiply_adds: int | None = None  # Of one image at input_size, heads left out.
    head: str = ''  # Variable scope of the classifier in a TF-Slim checkpoint.
    aux_head: str = ''  # The same of the auxiliary one; '' for a network without.
    # 0-1, of the public checkpoint: TF-Slim's, or Keras' where that is the only one.
    imagenet_top1: float | None = None
    top1_source: str = "TF-Slim's table"  # Whose evaluation that is.
    # Of slim weights, or a file's; a key of models.SCALINGS if not a Scaling.
    scaling: str | Scaling = 'inception'
    checkpoint: str = ''  # File name of the TF-Slim checkpoint, without .ckpt.
    archive: str = ''  # The file that its page offers, holding it.
    page: str = SLIM_PAGE
    # (name, value) pairs for the builder.
    options: tuple[tuple[str, typing.Any], ...] = ()
    dropout: float = 0.0  # Rate before the classifier, of the public checkpoint.
    keras: Keras | None = None
    # Whose layers it has with random weights: slim, keras, model or hub (of the file);
    # or saved_model, which has none that can be trained.
    graph: str = 'slim'
    file: ModelFile | None = None
    # Of the public weights: TF-Slim's, or Keras' where those are the only ones.
    licence: str = NOT_STATED

    @property
    def weights(self) -> tuple[str, ...]:
        """Sources of trained weights: 'slim', 'keras', 'model', 'hub'."""
        known = {
            'slim': self.archive,
            'keras': self.keras and self.keras.file,
            MODEL: self.file and self.graph in (MODEL, SAVED_MODEL),
            HUB: self.file and self.graph == HUB,
        }
        return tuple(source for source, there in known.items() if there)

    @property
    def identity(self) -> str:
        """What weights must be of: its name; of a file its content and its use."""
        if not self.file:
            return self.name
        kind = HUB if self.graph == HUB else MODEL
        of = (self.file.digest, self.file.layer, self.scaling)
        more = (self.file.signature, self.file.output)
        return ':'.join(map(str, [kind, *of, *(more if any(more) else ())]))

    def top1(self, source: str) -> float | None:
        """ImageNet top-1, 0-1, of the weights from `source`; None if not known."""
        if source == 'keras' and self.archive:
            return KERAS_TOP1.get(self.name)
        return self.imagenet_top1

    def licence_of(self, source: str) -> str:
        """Of the weights from `source`, or NOT_STATED."""
        if source not in self.weights:
            return NOT_STATED
        if source == 'keras' and self.keras:
            return self.keras.licence
        return OF_FILE if source == MODEL else self.licence


def _table(*records: Architecture) -> dict[str, Architecture]:
    return {record.name: record for record in records}


class _Size(typing.NamedTuple):
    features: int
    parameters: int
    multiply_adds: int


def _inception(
    name: str,
    scope: str,
    pixels: int,
    size: _Size,
    top1: float,
    **fields: typing.Any,
) -> Architecture:
    return Architecture(
        name=name,
        builder=name,
        input_size=pixels,
        **size._asdict(),
        imagenet_top1=top1,
        dropout=0.2,
        licence=SLIM_LICENCE,
        **{'head': f'{scope}/Logits/Conv2d_1c_1x1', **fields},
    )


def _resnet(
    layers: int,
    units: tuple[int, ...],
    parameters: int,
    multiply_adds: int,
    top1: float,
) -> Architecture:
    scope = f'resnet_v1_{layers}'
    return Architecture(
        name=f'resnet_{layers}',
        builder='resnet_v1',
        input_size=224,
        features=2048,
        parameters=parameters,
        multiply_adds=multiply_adds,
        head=f'{scope}/logits',
        imagenet_top1=top1,
        scaling='vgg',
        checkpoint=scope,
        archive=f'{scope}_2016_08_28.tar.gz',
        licence=SLIM_LICENCE,
        options=(('units', units),),
        keras=Keras(
            f'ResNet{layers}',
            f'resnet{layers}_weights_tf_dim_ordering_tf_kernels.h5',
            scaling='caffe',
        ),
    )


def _densenet(
    layers: int,
    depths: tuple[int, ...],
    size: _Size,
    top1: float,
    archive: str = '',
    top1_source: str = "tensorflow-densenet's table",
) -> Architecture:
    keras = Keras(
        f'DenseNet{layers}',
        f'densenet{layers}_weights_tf_dim_ordering_tf_kernels.h5',
        scaling='torch',
    )
    return Architecture(
        name=f'densenet_{layers}',
        builder='densenet',
        input_size=224,
        **size._asdict(),
        head=f'densenet{layers}/logits',
        imagenet_top1=top1,
        top1_source=top1_source,
        scaling='densenet',
        checkpoint=f'tf-densenet{layers}',
        archive=archive,
        page=DENSENET_PAGE,
        options=(('depths', depths),),
        keras=keras,
        licence=SLIM_LICENCE if archive else keras.licence,
    )


def _mobilenet(
    version: int, width: float, size: _Size, **fields: typing.Any
) -> Architecture:
    return Architecture(
        name=f'mobilenet_v{version}' + (f'_{width}' if width != 1 else ''),
        builder=f'mobilenet_v{version}',
        **size._asdict(),
        head=f'MobilenetV{version}/Logits/Conv2d_1c_1x1',
        options=(('width', width),),
        dropout={1: 0.001, 2: 0.2}[version],
        **fields,
    )


def _public_mobilenet(
    version: int,
    width: float,
    size: _Size,
    top1: float,
    keras: Keras | None = None,
) -> Architecture:
    stem = f'mobilenet_v{version}_{width}_224'
    return _mobilenet(
        version,
        width,
        size,
        input_size=224,
        imagenet_top1=top1,
        checkpoint=stem,
        archive=f'{stem}.tgz',
        keras=keras,
        licence=SLIM_LICENCE,
    )


def _narrow_mobilenet(
    version: int, width: float, size: _Size, top1: float
) -> Architecture:
    arch = _public_mobilenet(version, width, size, top1)
    return dataclasses.replace(
        arch, name=arch.checkpoint, page=MOBILENET_PAGES[version]
    )


def _small_mobilenet(version: int, width: float, size: _Size) -> Architecture:
    return _mobilenet(
        version,
        width,
        size,
        input_size=64,
        keras=Keras(
            {1: 'MobileNet', 2: 'MobileNetV2'}[version],
            file='',
            options=(('alpha', width),),
        ),
        graph='keras',
    )


def _small_inception(name: str, size: _Size, **fields: typing.Any) -> Architecture:
    """A quarter of the channels and a third of the inner blocks, at 75 pixels."""
    return Architecture(
        name=f'{name}_small',
        builder=name,
        input_size=75,
        **size._asdict(),
        options=(('width', 0.25), ('depth', 1 / 3)),
        **fields,
    )


# Top-1 of TF-Slim's checkpoints: the table of SLIM_PAGE, single centre crop; of the
# DenseNets that of DENSENET_PAGE, 224 pixels of an image whose shorter side is 256.
ARCHITECTURES = _table(
    _inception(
        'inception_v1',
        'InceptionV1',
        224,
        _Size(1024, 5_592_624, 1_497_352_192),
        0.698,
        head='InceptionV1/Logits/Conv2d_0c_1x1',
        checkpoint='inception_v1',
        archive='inception_v1_2016_08_28.tar.gz',
    ),
    _inception(
        'bn_inception',
        'InceptionV2',
        224,
        _Size(1024, 10_153_336, 1_933_833_216),
        0.739,
        checkpoint='inception_v2',
        archive='inception_v2_2016_08_28.tar.gz',
    ),
    _inception(
        'inception_v3',
        'InceptionV3',
        299,
        _Size(2048, 21_768_352, 5_711_168_096),
        0.780,
        aux_head='InceptionV3/AuxLogits/Conv2d_2b_1x1',
        checkpoint='inception_v3',
        archive='inception_v3_2016_08_28.tar.gz',
        keras=Keras(
            'InceptionV3', 'inception_v3_weights_tf_dim_ordering_tf_kernels.h5'
        ),
    ),
    _inception(
        'inception_v4',
        'InceptionV4',
        299,
        _Size(1536, 41_111_232, 12_252_438_624),
        0.802,
        head='InceptionV4/Logits/Logits',
        aux_head='InceptionV4/AuxLogits/Aux_logits',
        checkpoint='inception_v4',
        archive='inception_v4_2016_09_09.tar.gz',
    ),
    _inception(
        'inception_resnet_v2',
        'InceptionResnetV2',
        299,
        _Size(1536, 54_276_192, 13_154_258_016),
        0.804,
        head='InceptionResnetV2/Logits/Logits',
        aux_head='InceptionResnetV2/AuxLogits/Logits',
        checkpoint='inception_resnet_v2_2016_08_30',
        archive='inception_resnet_v2_2016_08_30.tar.gz',
        keras=Keras(
            'InceptionResNetV2',
            'inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5',
        ),
    ),
    _resnet(50, (3, 4, 6, 3), 23_508_032, 3_480_207_360, 0.752),
    _resnet(101, (3, 4, 23, 3), 42_500_160, 7_192_428_544, 0.764),
    _resnet(152, (3, 8, 36, 3), 58_143_808, 10_904_649_728, 0.768),
    _densenet(
        121,
        (6, 12, 24, 16),
        _Size(1024, 6_953_856, 2_833_137_664),
        0.7491,
        archive='tf-densenet121.tar.gz',
    ),
    _densenet(
        169,
        (6, 12, 32, 32),
        _Size(1664, 12_484_480, 3_358_179_328),
        0.7609,
        archive='tf-densenet169.tar.gz',
    ),
    # Nobody published a checkpoint of it for TF-Slim.
    _densenet(
        201,
        (6, 12, 48, 32),
        _Size(1920, 18_092_928, 4_289_445_888),
        KERAS_TOP1['densenet_201'],
        top1_source="Keras' table",
    ),
    _public_mobilenet(
        1,
        1.0,
        _Size(1024, 3_206_976, 567_716_352),
        0.709,
        Keras('MobileNet', 'mobilenet_1_0_224_tf.h5'),
    ),
    _public_mobilenet(
        2,
        1.0,
        _Size(1280, 2_223_872, 299_494_272),
        0.719,
        Keras(
            'MobileNetV2',
            'mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5',
        ),
    ),
    _public_mobilenet(
        2,
        1.4,
        _Size(1792, 4_315_776, 580_403_824),
        0.749,
        Keras(
            'MobileNetV2',
            'mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_224.h5',
            options=(('alpha', 1.4),),
        ),
    ),
    Architecture(
        name='nasnet_mobile',
        builder='nasnet',
        input_size=224,
        features=1056,
        parameters=4_232_978,
        multiply_adds=562_582_816,
        head='final_layer/FC',
        aux_head='aux_7/aux_logits/FC',
        imagenet_top1=0.740,
        checkpoint='nasnet-a_mobile',
        archive='nasnet-a_mobile_04_10_2017.tar.gz',
        options=(
            ('cells', 12),
            ('channels', 44),
            ('stem', 32),
            ('skip_reduction', False),
        ),
        dropout=0.5,
        keras=Keras('NASNetMobile', 'nasnet_mobile.h5'),
        licence=SLIM_LICENCE,
    ),
    Architecture(
        name='nasnet_large',
        builder='nasnet',
        input_size=331,
        features=4032,
        parameters=84_720_150,
        multiply_adds=23_779_382_658,
        head='final_layer/FC',
        aux_head='aux_11/aux_logits/FC',
        imagenet_top1=0.827,
        checkpoint='nasnet-a_large',
        archive='nasnet-a_large_04_10_2017.tar.gz',
        options=(
            ('cells', 18),
            ('channels', 168),
            ('stem', 96),
            ('skip_reduction', True),
        ),
        dropout=0.5,
        keras=Keras('NASNetLarge', 'nasnet_large.h5'),
        licence=SLIM_LICENCE,
    ),
    # Not of the study: TF-Slim's other widths at 224 pixels, top-1 of their own pages.
    _narrow_mobilenet(1, 0.5, _Size(512, 818_592, 148_985_088), 0.633),
    _narrow_mobilenet(1, 0.75, _Size(768, 1_816_560, 324_632_448), 0.684),
    _narrow_mobilenet(2, 0.5, _Size(1280, 687_680, 95_851_840), 0.654),
    _narrow_mobilenet(2, 0.75, _Size(1280, 1_355_424, 207_789_792), 0.698),
    # Reduced widths and depths, for small studies: MobileNet's are its papers' own
    # multiplier. No ImageNet weights are known here; pretrain them on a source task.
    _small_inception(
        'inception_v3',
        _Size(512, 766_532, 12_970_800),
        head='InceptionV3/Logits/Conv2d_1c_1x1',
        aux_head='InceptionV3/AuxLogits/Conv2d_2b_1x1',
    ),
    _small_mobilenet(1, 0.25, _Size(256, 213_072, 3_328_512)),
    _small_mobilenet(1, 0.5, _Size(512, 818_592, 12_162_048)),
    _small_mobilenet(2, 0.35, _Size(1280, 396_128, 4_735_168)),
)


class _Row(typing.NamedTuple):
    """A network of Keras Applications that is none of the study's."""

    name: str
    pixels: int
    features: int
    parameters: int
    scaling: str
    file: str  # Of weights; '_..' stands for what Keras' older ones have in common.
    top1: float
    dropout: float = 0.0


# Top-1: https://keras.io/api/applications; of MobileNetV3 the table in Keras' own
# documentation of it. The classifiers of files without one have layers of their own
# behind the pool.
_ROWS = (
    _Row('Xception', 299, 2048, 20_806_952, 'inception', 'xception_..', 0.79),
    _Row('VGG16', 224, 512, 14_714_688, 'caffe', 'vgg16_.._notop', 0.713),
    _Row('VGG19', 224, 512, 20_024_384, 'caffe', 'vgg19_.._notop', 0.713),
    _Row('ResNet50V2', 224, 2048, 23_519_360, 'inception', 'resnet50v2_..', 0.76),
    _Row('ResNet101V2', 224, 2048, 42_528_896, 'inception', 'resnet101v2_..', 0.772),
    _Row('ResNet152V2', 224, 2048, 58_187_904, 'inception', 'resnet152v2_..', 0.78),
    _Row(
        *('MobileNetV3Small', 224, 576, 927_008, 'inception'),
        *('weights_mobilenet_v3_small_224_1.0_float_no_top_v2', 0.681),
    ),
    _Row(
        *('MobileNetV3Large', 224, 960, 2_971_952, 'inception'),
        *('weights_mobilenet_v3_large_224_1.0_float_no_top_v2', 0.756),
    ),
    _Row('EfficientNetB0', 224, 1280, 4_007_548, 'torch', 'efficientnetb0', 0.771, 0.2),
    _Row('EfficientNetB1', 240, 1280, 6_513_184, 'torch', 'efficientnetb1', 0.791, 0.2),
    _Row('EfficientNetB2', 260, 1408, 7_700_994, 'torch', 'efficientnetb2', 0.801, 0.3),
    _Row(
        'EfficientNetB3', 300, 1536, 10_696_232, 'torch', 'efficientnetb3', 0.816, 0.3
    ),
    _Row(
        'EfficientNetB4', 380, 1792, 17_548_616, 'torch', 'efficientnetb4', 0.829, 0.4
    ),
    _Row(
        'EfficientNetB5', 456, 2048, 28_340_784, 'torch', 'efficientnetb5', 0.836, 0.4
    ),
    _Row('EfficientNetB6', 528, 2304, 40_735_704, 'torch', 'efficientnetb6', 0.84, 0.5),
    _Row(
        'EfficientNetB7', 600, 2560, 63_786_960, 'torch', 'efficientnetb7', 0.843, 0.5
    ),
    _Row(
        *('EfficientNetV2B0', 224, 1280, 5_858_704, 'torch'),
        *('efficientnetv2-b0', 0.787, 0.2),
    ),
    _Row(
        *('EfficientNetV2B1', 240, 1280, 6_860_052, 'torch'),
        *('efficientnetv2-b1', 0.798, 0.2),
    ),
    _Row(
        *('EfficientNetV2B2', 260, 1408, 8_687_086, 'torch'),
        *('efficientnetv2-b2', 0.805, 0.2),
    ),
    _Row(
        *('EfficientNetV2B3', 300, 1536, 12_821_406, 'torch'),
        *('efficientnetv2-b3', 0.82, 0.2),
    ),
    _Row(
        *('EfficientNetV2S', 384, 1280, 20_177_488, 'efficientnet_v2'),
        *('efficientnetv2-s', 0.839, 0.2),
    ),
    _Row(
        *('EfficientNetV2M', 480, 1280, 52_858_356, 'efficientnet_v2'),
        *('efficientnetv2-m', 0.853, 0.2),
    ),
    _Row(
        *('EfficientNetV2L', 480, 1280, 117_234_272, 'efficientnet_v2'),
        *('efficientnetv2-l', 0.857, 0.2),
    ),
    _Row('ConvNeXtTiny', 224, 768, 27_820_128, 'torch', 'convnext_tiny', 0.813),
    _Row('ConvNeXtSmall', 224, 768, 49_454_688, 'torch', 'convnext_small', 0.823),
    _Row('ConvNeXtBase', 224, 1024, 87_566_464, 'torch', 'convnext_base', 0.853),
    _Row('ConvNeXtLarge', 224, 1536, 196_230_336, 'torch', 'convnext_large', 0.863),
    _Row('ConvNeXtXLarge', 224, 2048, 348_147_968, 'torch', 'convnext_xlarge', 0.867),
)
# Where Keras' layers are not TF-Slim's: ResNets have biases before batch norm.
_PARAMETERS = {
    'ResNet50': 23_534_592,
    'ResNet101': 42_552_832,
    'ResNet152': 58_219_520,
}


def _application(row: _Row) -> Architecture:
    options: tuple[tuple[str, typing.Any], ...] = ()
    # Preprocessing is the network's first layer here, whatever the application does.
    if row.name.startswith(('MobileNetV3', 'EfficientNetV2', 'ConvNeXt')):
        options = (('include_preprocessing', False),)
    stem = row.file.replace('..', 'weights_tf_dim_ordering_tf_kernels')
    keras = Keras(
        row.name,
        f'{stem}.h5',
        row.scaling,
        options,
        classifier=not stem.endswith(('notop', 'no_top_v2')),
    )
    return Architecture(
        name=f'keras:{row.name}',
        builder='',
        input_size=row.pixels,
        features=row.features,
        parameters=row.parameters,
        imagenet_top1=row.top1,
        top1_source="Keras' table",
        dropout=row.dropout,
        keras=keras,
        graph='keras',
        licence=keras.licence,
    )


def _as_keras_draws_it(arch: Architecture, keras: Keras) -> Architecture:
    """One of the study's networks, by the name that it has in Keras Applications."""
    return Architecture(
        name=f'keras:{keras.application}',
        builder='',
        input_size=arch.input_size,
        features=arch.features,
        parameters=_PARAMETERS.get(keras.application, arch.parameters),
        imagenet_top1=KERAS_TOP1[arch.name],
        top1_source="Keras' table",
        dropout=arch.dropout,
        keras=keras,
        graph='keras',
        licence=keras.licence,
    )


# All networks of Keras Applications with ImageNet weights, as Keras draws them.
APPLICATIONS = _table(
    *(
        _as_keras_draws_it(arch, arch.keras)
        for arch in ARCHITECTURES.values()
        if arch.keras and arch.keras.file and not arch.keras.options
    ),
    *map(_application, _ROWS),
)

MODEL = 'model'  # Names that begin so stand for a user's own model,
HUB = 'hub'  # and those for a preset of keras-hub: its name, or its folder.
SAVED_MODEL = 'saved_model'  # Architecture.graph of a model that is a SavedModel.


def _size(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 4096:
        raise errors.InputError(f'size takes pixels, 1 to 4096; got {text!r}.')
    return int(text)


def _top1(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise errors.InputError(
            f'top1 takes the ImageNet top-1 accuracy, 0-1; got {text!r}.'
        )
    return value


# What may follow a model file or a preset, each as `:name=value`.
_OPTIONS: dict[str, Callable[[str], typing.Any]] = {
    'scaling': lambda text: errors.find('scaling', SCALINGS, text) and text,
    'layer': str,
    'signature': str,
    'output': str,
    'size': _size,
    'top1': _top1,
}


def find(name: str) -> Architecture:
    """The record of a network, or one of a file that is still unread.

    Args:
        name: of ARCHITECTURES or APPLICATIONS (`keras:NAME`); `model:/path/my.keras` or
            the folder of a SavedModel; `hub:PRESET` or `hub:/path/to/preset`. Of
            `model:` and `hub:` perhaps followed by `:scaling=`, `:layer=`, `:size=`,
            `:top1=`, `:signature=`, `:output=` (docs/networks.md).

    Raises:
        errors.InputError: unknown name, or an option that a file does not have.
    """
    for table in (ARCHITECTURES, APPLICATIONS):
        if name in table:
            return table[name]
    kind, _, rest = name.partition(':')
    if kind in (MODEL, HUB) and rest:
        return _of_file(name)
    raise _unknown(name)


def _unknown(name: str) -> errors.InputError:
    """Says which network was perhaps meant."""
    presets = [f'{HUB}:{preset}' for preset in hub_presets.PRESETS]
    names = [*ARCHITECTURES, *APPLICATIONS, *presets]
    longer = [each for each in names if name and each.startswith(name)]
    close = longer or difflib.get_close_matches(name, names, n=1)
    hint = f' Did you mean {close[0]!r}?' if close else ''
    return errors.InputError(
        f'No architecture named {name!r}.{hint} Known: {", ".join(ARCHITECTURES)}; '
        f'keras:NAME with a NAME of the {len(APPLICATIONS)} Keras Applications, '
        f'hub:NAME with one of {len(presets)} presets of keras-hub '
        '(tools.list_architectures lists them); model:/path/my.keras; '
        'hub:/path/to/preset.'
    )


def known(name: str) -> Architecture | None:
    """As `find`; None of a network that this version does not know."""
    try:
        return find(name)
    except errors.InputError:
        return None


def _of_file(name: str) -> Architecture:
    if escaping.control(name):
        raise errors.InputError(
            f'{name!r} has a control character in it: rename the file or folder.'
        )
    kind, (path, given) = name.partition(':')[0], _path_and_options(name)
    if kind == HUB:
        _check_preset(path)
    values = {}
    for key, text in given.items():
        values[key] = errors.find('option of a model file', _OPTIONS, key)(text)
    return Architecture(
        name=name,
        builder='',
        input_size=values.get('size', 0),
        features=0,
        parameters=0,
        imagenet_top1=values.get('top1'),
        top1_source='as given',
        scaling=values.get('scaling', ''),
        graph=kind,
        file=ModelFile(
            path, *(values.get(key, '') for key in ('layer', 'signature', 'output'))
        ),
        licence=OF_FILE if kind == MODEL else NOT_STATED,
    )


def _check_preset(path: str) -> None:
    """Refuses what is neither the name of an image network nor a folder's path."""
    if '/' in path or path in hub_presets.PRESETS:
        return
    if other := hub_presets.other(path):
        raise errors.InputError(
            f'{HUB}:{path} is {other}, no network that images can be classified with. '
            'tools.list_architectures lists those of keras-hub that are.'
        )
    raise _unknown(f'{HUB}:{path}')


def _path_and_options(name: str) -> tuple[str, dict[str, str]]:
    """Of the name of a file or preset: its path or name, and what follows it."""
    path = name.partition(':')[2]
    options: dict[str, str] = {}
    while True:
        rest, _, last = path.rpartition(':')
        key, equals, text = last.partition('=')
        if not rest or not equals or '/' in last:
            return path, options
        path, options[key] = rest, text


def short(name: str) -> str:
    """A network's name for people: of a model file or folder its own."""
    kind = name.partition(':')[0]
    if kind not in (MODEL, HUB):
        return name
    path = _path_and_options(name)[0]
    return f'{HUB}:{path}' if _public(name) else pathlib.PurePath(path).name


def _public(name: str) -> bool:
    """Whether a name is that of a preset, by which anybody has the same one."""
    kind, path = name.partition(':')[0], _path_and_options(name)[0]
    return kind == HUB and path in hub_presets.PRESETS


def in_id(name: str) -> str:
    """A network's name as part of a Run's id: of a file or folder not its path."""
    kind, colon, rest = name.partition(':')
    if kind in (MODEL, HUB) and not _public(name):
        return kind
    if kind == HUB:
        rest = _path_and_options(name)[0]
    return f'{kind}_{rest}' if colon else kind


def described(arch: Architecture) -> dict[str, typing.Any]:
    """An Architecture as JSON, by which its features are cached: without paths.

    What did not exist in earlier versions is left out where it is not used, and what
    changes no number always.
    """
    fields = dataclasses.asdict(arch)
    del fields['licence']
    if arch.keras and arch.keras.classifier:
        del fields['keras']['classifier']
    file = fields.pop('file')
    if file:
        fields['name'] = short(arch.name)
        said = {key: file[key] for key in ('signature', 'output') if file[key]}
        fields['file'] = {key: file[key] for key in ('layer', 'digest')} | said
        del fields['imagenet_top1']
    return fields


def pathless(name: str) -> str:
    """The name of a file by what changes its numbers besides its content."""
    path, options = _path_and_options(name)
    kept = sorted(f'{k}={v}' for k, v in options.items() if k != 'top1')
    own = [path] if _public(name) else []
    return ':'.join([name.partition(':')[0], *own, *kept])
