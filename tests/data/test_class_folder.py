"""Folders with a sub-folder per class."""

import os

import numpy as np
import pytest

from tests.support.own_images import (
    RGB,
    read,
)
from tfxfer import errors
from tfxfer.data import pipeline, preprocess


def test_folder_without_splits_holds_a_fifth_out_for_test_and_of_the_rest(photographs):
    record, images = read(photographs(count=20))
    assert record.class_names == ('blue', 'green', 'red') and record.classes == 3
    # 20 per class: 4 for test; of the other 16, 3 (3.2) for validation.
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


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(errors.InputError, match="No folder .*nowhere'"):
        read(tmp_path / 'nowhere')


def test_empty_class_folder_is_named(photographs):
    root = photographs()
    (root / 'white').mkdir()
    with pytest.raises(errors.InputError, match=r'white has no image\. Read are .jpg'):
        read(root)


def test_class_of_other_formats_is_told_which(photographs):
    root = photographs()
    (root / 'white').mkdir()
    for name in ('1.HEIC', '2.heic', 'notes.txt'):
        (root / 'white' / name).write_text('not read')
    with pytest.raises(errors.InputError, match='no image, only 2 .heic, 1 .txt'):
        read(root)


def test_files_of_other_formats_are_counted(photographs, caplog):
    root = photographs()
    for name in ('green/1.heic', 'red/2.heic', 'red/README'):
        (root / name).write_text('not read')
    record, _ = read(root)
    assert sum(record.sizes) == 30
    assert 'that are not read: 2 .heic, 1 no suffix.' in caplog.text


def test_one_class_is_no_task(photographs):
    with pytest.raises(errors.InputError, match='1 class folders'):
        read(photographs(classes=('red',)))


def test_classes_beside_splits_are_refused(photographs):
    root = photographs('data/train').parent
    photographs('data/extra')
    with pytest.raises(errors.InputError, match='split folders .train. beside .*extra'):
        read(root)


def test_class_that_train_lacks_is_named(photographs):
    root = photographs('data/train', classes=('blue', 'green')).parent
    photographs('data/test')
    with pytest.raises(errors.InputError, match='no training image of red'):
        read(root)


def test_names_may_hold_spaces_and_any_letters_and_hidden_ones_are_ignored(tmp_path):
    names = ('zwei Wörter/Bild 1, klein.PNG', '猫/deep/er/ねこ.JPeG', '猫/100%.png')
    hidden = ('猫/.thumb.png', '猫/.cache/x.png', '.trash/y.png')
    for name in names + hidden:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        RGB.save(tmp_path / name)
    record, images = read(tmp_path)
    assert record.class_names == ('zwei Wörter', '猫')
    assert sorted(images.keys) == sorted(names)
    data = pipeline.evaluation(images, np.arange(3), 8, preprocess.whole, 3)
    assert next(data.as_numpy_iterator())['index'].tolist() == [0, 1, 2]


def test_links_are_followed_and_loops_end(photographs, tmp_path):
    real = photographs('real', count=4)
    root = tmp_path / 'linked'
    (root / 'own').mkdir(parents=True)
    (root / 'red').symlink_to(real / 'red')
    (root / 'own' / 'file.png').symlink_to(real / 'blue' / '0.png')
    (root / 'own' / 'folder').symlink_to(real / 'green')
    (root / 'own' / 'loop').symlink_to(root / 'own')
    _, images = read(root)
    own = [f'own/folder/{i}.png' for i in range(4)]
    red = [f'red/{i}.png' for i in range(4)]
    assert list(images.keys) == ['own/file.png', *own, *red]
