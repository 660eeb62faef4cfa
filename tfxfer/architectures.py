"""The networks, as records: what builds them, what they take and give."""

import dataclasses
import typing

SLIM_PAGE = (
    'https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models'
)
DENSENET_PAGE = 'https://github.com/pudae/tensorflow-densenet#pre-trained-models'

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
class Keras:
    """The network of the same name in Keras Applications, and its ImageNet weights."""

    application: str  # Name in keras.applications.
    file: str  # What Keras calls its download, classifier included; '': there is none.
    scaling: str = 'inception'  # A key of models.SCALINGS.
    # (name, value) pairs for the application.
    options: tuple[tuple[str, typing.Any], ...] = ()


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
    scaling: str = 'inception'  # Of slim weights; a key of models.SCALINGS.
    checkpoint: str = ''  # File name of the TF-Slim checkpoint, without .ckpt.
    archive: str = ''  # The file that its page offers, holding it.
    page: str = SLIM_PAGE
    # (name, value) pairs for the builder.
    options: tuple[tuple[str, typing.Any], ...] = ()
    dropout: float = 0.0  # Rate before the classifier, of the public checkpoint.
    keras: Keras | None = None
    graph: str = 'slim'  # Whose layers it has with random weights: slim, keras.

    @property
    def weights(self) -> tuple[str, ...]:
        """Sources of ImageNet weights: 'slim', 'keras'."""
        known = {'slim': self.archive, 'keras': self.keras and self.keras.file}
        return tuple(source for source, there in known.items() if there)

    def top1(self, source: str) -> float | None:
        """ImageNet top-1, 0-1, of the weights from `source`; None if not known."""
        return KERAS_TOP1.get(self.name) if source == 'keras' else self.imagenet_top1


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
        keras=Keras(
            f'DenseNet{layers}',
            f'densenet{layers}_weights_tf_dim_ordering_tf_kernels.h5',
            scaling='torch',
        ),
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
    version: int, width: float, size: _Size, top1: float, keras: Keras
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
    ),
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
