import dataclasses

import numpy as np
import pytest

from tests.support.idx_files import idx_bytes, pictures, write
from tfxfer import datasets, errors
from tfxfer.data import image_set, readers, registry_images


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / 'ten'
    write(place, 'train', pictures(30), np.arange(30) % 3, zipped=True)
    write(place, 't10k', pictures(6, 1), np.arange(6) % 3)
    return place


def read(name, **options):
    return readers.read(datasets.find(name), image_set.Options(**options))


def test_pixels_labels_and_splits_are_those_of_the_files(folder):
    record, images = read(f'idx:{folder}')
    assert (record.classes, record.class_names) == (3, ('0', '1', '2'))
    assert record.sizes == (24, 6, 6)
    both = np.concatenate([pictures(30), pictures(6, 1)])
    for channel in range(3):
        np.testing.assert_array_equal(images.pixels[..., channel], both)
    np.testing.assert_array_equal(images.labels, [*np.arange(30) % 3, *(0, 1, 2) * 2])
    np.testing.assert_array_equal(images.splits['test'], np.arange(30, 36))
    assert set(images.splits['train']) | set(images.splits['valid']) == set(range(30))


def test_rgb_images_and_names_of_classes(tmp_path):
    place = tmp_path / 'rgb'
    write(place, 'train', pictures(20, shape=(4, 4, 3)), np.arange(20) % 2)
    (place / 'classes.txt').write_text('cat\ndog\n')
    record, images = read(f'idx:{place}')
    assert record.class_names == ('cat', 'dog')
    np.testing.assert_array_equal(images.pixels, pictures(20, shape=(4, 4, 3)))
    assert len(images.splits['test']) == 4  # Held out, as none is given.


def test_a_registered_dataset_is_found_by_name_and_has_its_classes_alone(
    tmp_path, monkeypatch
):
    labels = np.arange(100) % 10
    write(tmp_path / 'fashion-mnist', 'train', pictures(100), labels, zipped=True)
    write(tmp_path / 'fashion-mnist', 't10k', pictures(40, 1), labels[:40])
    record, images = read('fashion_target', data=tmp_path, accept_counts=True)
    assert record.class_names == ('Dress', 'Coat', 'Shirt', 'Bag', 'Ankle boot')
    kept = np.isin(labels, [3, 4, 6, 8, 9])
    np.testing.assert_array_equal(images.pixels[:50, ..., 0], pictures(100)[kept])
    np.testing.assert_array_equal(images.labels[:5], range(5))
    monkeypatch.setenv('TFXFER_DATA', str(tmp_path))
    again = read('fashion_target', accept_counts=True)[1]
    assert again.digest == images.digest
    other = read('fashion_source', accept_counts=True)[0]
    assert set(other.class_names).isdisjoint(record.class_names)
    with pytest.raises(errors.InputError, match='train should have 24000 images and'):
        read('fashion_target')


def test_the_digest_sees_a_pixel_a_label_and_a_split(folder):
    before = read(f'idx:{folder}')[1].digest
    images = pictures(6, 1)
    images[2, 1, 1] ^= 1
    write(folder, 't10k', images, np.arange(6) % 3)
    after = read(f'idx:{folder}')[1].digest
    write(folder, 't10k', images, [0, 1, 2, 0, 1, 1])
    assert len({before, after, read(f'idx:{folder}')[1].digest}) == 3


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda f: (f / 't10k-labels-idx1-ubyte').unlink(), 'no t10k-labels-idx1-ubyt'),
        (
            lambda f: (f / 'train-images-idx3-ubyte.gz').write_bytes(
                b'\x1f\x8b nothing'
            ),
            'train-images-idx3-ubyte.gz cannot be read',
        ),
        (
            lambda f: (f / 't10k-images-idx3-ubyte').write_bytes(
                b'\0\0\x0d\1' + b'0' * 9
            ),
            'begins with 00000d01, not with 000008',
        ),
        (
            lambda f: (f / 't10k-images-idx3-ubyte').write_bytes(
                idx_bytes(pictures(6))[:-1]
            ),
            'should hold 6 x 4 x 5 bytes after its header and has 119',
        ),
        (lambda f: write(f, 't10k', pictures(6), [0, 1]), 'has 6 images, .* 2 labels'),
        (
            lambda f: write(f, 't10k', pictures(2, shape=(9, 9)), [0, 1]),
            'differ in sha',
        ),
        (
            lambda f: (f / 'classes.txt').write_text('a\nb'),
            'names 2 classes; labels go',
        ),
        (
            lambda f: (f / 'classes.txt').write_text('a\n\x1b[31m\nc\n'),
            'control character',
        ),
        (
            lambda f: (f / 'classes.txt').write_text('a\nb\na\n'),
            "names the class 'a' twice",
        ),
        (
            lambda f: [path.unlink() for path in f.glob('train*')],
            'has no train-images-idx3-ubyte',
        ),
    ],
)
def test_bad_files_are_named(folder, spoil, message):
    spoil(folder)
    with pytest.raises(errors.InputError, match=message):
        read(f'idx:{folder}')


def test_what_is_nowhere_is_said_with_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.delenv('TFXFER_DATA', raising=False)
    with pytest.raises(errors.InputError, match='No folder'):
        read(f'idx:{tmp_path}/none')
    with pytest.raises(errors.InputError, match=r'tools\.registry_images --data'):
        read('quickdraw_animals', data=tmp_path)


def test_packing_is_the_format_written_by_hand():
    for array in (pictures(3), np.arange(7, dtype=np.uint8)):
        assert registry_images.packed(array) == idx_bytes(array)


@pytest.mark.parametrize(
    'name', [n for n, record in datasets.DATASETS.items() if record.source == 'idx']
)
def test_records_say_the_sizes_that_their_files_would_have(name):
    record = datasets.DATASETS[name]
    assert len(record.keep) == len(set(record.keep)) == record.classes
    assert len(record.class_names) == record.classes
    train, valid, test = record.sizes
    # A class of MNIST differs from the mean; those of the others are all alike.
    assert valid == (train + valid) // 5 and min(train, test) > 0
    assert dataclasses.replace(record, path='x') != record
