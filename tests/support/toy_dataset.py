"""A dataset of the user's own as TensorFlow Datasets stores it."""

import tensorflow_datasets as tfds

from tests.support import archives
from tfxfer import datasets
from tfxfer.data import image_set, readers

NAME = 'tfds:toy:1.0.0'


def examples(first, count, *, classes=2, name='{}.png'):
    """(key, example) pairs, labels 0, 1, ..., 0, 1, ..."""
    return [
        (
            i,
            {
                'image': archives.crop(i, 8),
                'label': i % classes,
                'file_name': name.format(i),
            },
        )
        for i in range(first, first + count)
    ]


FEATURES = {
    'image': tfds.features.Image(),
    'label': tfds.features.ClassLabel(names=['rook', 'crow']),
    'file_name': tfds.features.Text(),
}


def store(folder, splits, features=FEATURES, **options):
    """A dataset of the user's own, stored by TensorFlow Datasets itself."""
    kept = {
        split: [(k, {n: e[n] for n in features}) for k, e in pairs]
        for split, pairs in splits.items()
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name='toy',
        version='1.0.0',
        features=tfds.features.FeaturesDict(features),
        split_datasets=kept,
        data_dir=folder,
        **options,
    )
    return folder


def read(folder, name=NAME, **options):
    return readers.read(datasets.find(name), image_set.Options(data=folder, **options))


def shard(folder, split='train'):
    return next((folder / 'toy/1.0.0').glob(f'toy-{split}.tfrecord-*'))
