import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tfxfer import datasets, errors
from tfxfer.data import image_set, readers

HERE = [name for name, record in datasets.DATASETS.items() if record.source == 'digits']


@pytest.mark.parametrize('name', HERE)
def test_every_dataset_has_the_sizes_it_declares_and_disjoint_splits(name):
    record, images = readers.read(datasets.DATASETS[name])
    parts = [images.splits[part] for part in ('train', 'valid', 'test')]
    assert tuple(map(len, parts)) == datasets.DATASETS[name].sizes
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together) == len(images.labels)
    assert record.classes == len(record.class_names) == images.labels.max() + 1


def test_another_number_of_images_is_an_error_with_both_numbers():
    record = dataclasses.replace(datasets.DATASETS['digits'], sizes=(1, 2, 3))
    with pytest.raises(
        errors.InputError, match='train should have 1 images and has 719'
    ):
        readers.read(record)


def test_digits_are_scikit_learns_scans_and_test_is_their_second_half():
    _, images = readers.read(datasets.DATASETS['digits'])
    scans = load_digits()
    np.testing.assert_array_equal(images.labels, scans.target)
    np.testing.assert_array_equal(images.splits['test'], np.arange(898, 1797))
    gray = images.pixels[7, :, :, 0] / 255 * 16
    np.testing.assert_allclose(gray, scans.images[7], atol=16 / 255)


def test_halves_of_the_digits_have_their_classes_only():
    record, images = readers.read(datasets.DATASETS['digits_5_9'])
    scans = load_digits()
    kept = scans.target[scans.target >= 5]
    assert record.class_names == ('5', '6', '7', '8', '9')
    np.testing.assert_array_equal(images.labels, kept - 5)


def test_counts_may_be_accepted_as_they_are(caplog):
    record = dataclasses.replace(datasets.DATASETS['digits'], sizes=(1, 2, 3))
    record, _ = readers.read(record, image_set.Options(accept_counts=True))
    assert record.sizes == (719, 179, 899)
    assert 'test should have 3 images and has 899' in caplog.text


def test_the_metric_may_be_chosen_where_it_suits_the_labels():
    digits = datasets.DATASETS['digits']
    assert readers.read(digits)[0].metric == 'top1'
    record, _ = readers.read(digits, metric='mean_per_class')
    assert record.metric == 'mean_per_class'
    with pytest.raises(errors.InputError, match='voc_map cannot score; top1 can'):
        readers.read(digits, metric='voc_map')
    with pytest.raises(errors.InputError, match="No metric named 'top'.*top1"):
        readers.read(digits, metric='top')
