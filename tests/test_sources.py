import dataclasses
import json
import os

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tfxfer import config, datasets, sources


def read(path, **options):
    return sources.read(datasets.find(f'folder:{path}'), **options)


@pytest.mark.parametrize('name', datasets.DATASETS)
def test_every_dataset_has_the_sizes_it_declares_and_disjoint_splits(name):
    record, images = sources.read(datasets.DATASETS[name])
    parts = [images.splits[part] for part in ('train', 'valid', 'test')]
    assert tuple(map(len, parts)) == datasets.DATASETS[name].sizes
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together) == len(images.labels)
    assert record.classes == len(record.class_names) == images.labels.max() + 1


def test_another_number_of_images_is_an_error_with_both_numbers():
    record = dataclasses.replace(datasets.DATASETS['digits'], sizes=(1, 2, 3))
    with pytest.raises(config.InputError, match=r'\(1, 2, 3\).*\(719, 179, 899\)'):
        sources.read(record)


def test_digits_are_scikit_learns_scans_and_test_is_their_second_half():
    _, images = sources.read(datasets.DATASETS['digits'])
    scans = load_digits()
    np.testing.assert_array_equal(images.labels, scans.target)
    np.testing.assert_array_equal(images.splits['test'], np.arange(898, 1797))
    gray = images.pixels[7, :, :, 0] / 255 * 16
    np.testing.assert_allclose(gray, scans.images[7], atol=16 / 255)


def test_halves_of_the_digits_have_their_classes_only():
    record, images = sources.read(datasets.DATASETS['digits_5_9'])
    scans = load_digits()
    kept = scans.target[scans.target >= 5]
    assert record.class_names == ('5', '6', '7', '8', '9')
    np.testing.assert_array_equal(images.labels, kept - 5)


def test_folder_without_splits_holds_a_fifth_out_for_test_and_of_the_rest(photographs):
    record, images = read(photographs(count=20))
    assert record.class_names == ('blue', 'green', 'red') and record.classes == 3
    # 20 a class: 4 for test; of the other 16, 3 (3.2) for validation.
    assert record.sizes == (39, 9, 12)
    for path, label in zip(images.paths, images.labels, strict=True):
        assert path.split(os.sep)[-2] == record.class_names[label]


def test_folder_with_split_level_keeps_it(photographs):
    root = photographs('data/train', count=10).parent
    photographs('data/val', count=3)
    photographs('data/test', count=4)
    record, images = read(root)
    assert record.sizes == (30, 9, 12)
    assert all('/test/' in images.paths[i] for i in images.splits['test'])


def test_folder_with_train_and_test_holds_validation_out_of_train(photographs):
    root = photographs('data/train', count=10).parent
    photographs('data/test', count=4)
    record, images = read(root)
    assert record.sizes == (24, 6, 12)
    assert all('/train/' in images.paths[i] for i in images.splits['valid'])


def test_splits_of_a_folder_do_not_depend_on_its_place(photographs, tmp_path):
    root = photographs(count=20)
    _, before = read(root)
    moved = root.rename(tmp_path / 'elsewhere')
    _, after = read(moved)
    assert before.digest == after.digest
    for name in before.splits:
        np.testing.assert_array_equal(before.splits[name], after.splits[name])


def test_digest_changes_with_any_file(photographs):
    root = photographs()
    _, before = read(root)
    Image.new('RGB', (20, 24)).save(root / 'red' / '3.png')
    assert read(root)[1].digest != before.digest


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(config.InputError, match="No folder .*nowhere'"):
        read(tmp_path / 'nowhere')


def test_empty_class_folder_is_named(photographs):
    root = photographs()
    (root / 'white').mkdir()
    (root / 'white' / 'notes.txt').write_text('none yet')
    with pytest.raises(config.InputError, match='white has no image'):
        read(root)


def test_one_class_is_no_task(photographs):
    with pytest.raises(config.InputError, match='1 class folders'):
        read(photographs(classes=('red',)))


def test_classes_beside_splits_are_refused(photographs):
    root = photographs('data/train').parent
    photographs('data/extra')
    with pytest.raises(config.InputError, match='split folders .train. beside .*extra'):
        read(root)


def test_class_that_train_lacks_is_named(photographs):
    root = photographs('data/train', classes=('blue', 'green')).parent
    photographs('data/test')
    with pytest.raises(config.InputError, match='no training image of red'):
        read(root)


BREAK = {
    'truncated': lambda path: path.write_bytes(path.read_bytes()[:300]),
    'empty': lambda path: path.write_bytes(b''),
    'text': lambda path: path.write_text('not an image'),
    'tiff': lambda path: Image.new('RGB', (9, 9)).save(path, format='TIFF'),
}


@pytest.mark.parametrize('kind', BREAK)
def test_broken_file_is_named_or_skipped_on_demand(photographs, kind):
    root = photographs()
    BREAK[kind](root / 'green' / '4.png')
    with pytest.raises(config.InputError, match='green/4.png cannot be read'):
        read(root)
    record, images = read(root, skip_broken=True)
    assert images.skipped == ('green/4.png',)
    assert sum(record.sizes) == 29
    assert not [path for path in images.paths if path.endswith('green/4.png')]


def test_checked_files_are_not_read_again_until_they_change(photographs, tmp_path):
    root, cache = photographs(), tmp_path / 'cache'
    read(root, cache=cache)
    memory = next(cache.iterdir())
    known = json.loads(memory.read_text())
    assert len(known) == 30
    known['red/0.png'][2] = 'remembered fault'
    memory.write_text(json.dumps(known))
    with pytest.raises(config.InputError, match='remembered fault'):
        read(root, cache=cache)
    os.utime(root / 'red' / '0.png', ns=(1, 1))
    read(root, cache=cache)
