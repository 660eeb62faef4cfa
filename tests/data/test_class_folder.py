"""Folders with a sub-folder per class."""

import os
import pathlib
import subprocess
import unicodedata

import numpy as np
import pytest

from tests.support.own_images import (
    RGB,
    read,
)
from tfxfer import errors
from tfxfer.data import class_folder, pipeline, preprocess


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
    with pytest.raises(errors.InputError, match=r'white has no image\..* read: .jpg'):
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


@pytest.mark.parametrize('classes', [('bus', 'car', 'train'), ('test', 'train')])
def test_a_class_named_like_a_split_is_told_the_way_out(photographs, classes):
    with pytest.raises(errors.InputError, match='train.*use csv:/path instead'):
        read(photographs(classes=classes))


@pytest.mark.parametrize(
    'names',
    [
        ('training_set', 'test_set'),  # Kaggle's cats and dogs.
        ('seg_train/seg_train', 'seg_test/seg_test'),  # And Intel's scenes.
        ('TrainSet', 'ValidSet'),
        ('TRAIN_DATA', 'TEST_DATA', 'extra'),
    ],
)
def test_splits_with_other_names_are_no_classes(photographs, names):
    roots = [photographs(f'data/{name}', count=4) for name in names]
    root = next(p for p in roots[0].parents if p.name == 'data')
    with pytest.raises(errors.InputError, match='splits, not classes.*train, valid'):
        read(root)


def test_classes_of_equal_folders_are_asked_about_and_read(photographs, caplog):
    root = photographs('data/apple', classes=('day', 'night')).parent
    photographs('data/testament', classes=('day', 'night'))
    record, _ = read(root)
    assert record.class_names == ('apple', 'testament')
    assert 'hold the same folders (day, night)' in caplog.text


def test_images_without_a_class_are_counted(photographs, caplog):
    root = photographs('data/train').parent
    (root / 'test').mkdir()
    for i in range(7):
        RGB.save(root / 'test' / f'{i}.jpg')
    for i in range(2):
        RGB.save(root / 'train' / f'{i}.png')
    record, _ = read(root)
    assert sum(record.sizes) == 30 and record.sizes[2] == 6  # A fifth of train.
    assert 'test: 7 images and no class folders.' in caplog.text
    assert 'train: 2 images lie beside the class folders' in caplog.text


def test_a_name_composed_in_two_ways_is_one_class(photographs, caplog):
    ways = [unicodedata.normalize(form, 'café') for form in ('NFC', 'NFD')]
    assert len(set(ways)) == 2
    root = photographs('data/train', classes=(ways[0], 'tea')).parent
    photographs('data/test', classes=(ways[1], 'tea'), count=4)
    record, images = read(root)
    assert record.class_names == (ways[0], 'tea') and record.sizes[2] == 8
    assert 'is one class' in caplog.text
    assert all(os.path.exists(path) for path in images.paths)
    with pytest.raises(errors.InputError, match='1 class folders'):
        read(photographs('alone', classes=ways))


def test_names_that_hardly_differ_are_said_and_kept_apart(photographs, caplog):
    root = photographs(classes=('0', '0.0', 'Cat', 'cat', 'dog'))
    record, _ = read(root)
    assert record.classes == 5
    assert "'0' and '0.0'; 'Cat' and 'cat'." in caplog.text
    caplog.clear()
    read(photographs('other', classes=('0', '1', '0 to 1')))
    assert 'hardly differ' not in caplog.text


@pytest.mark.parametrize('name', ['a\nb', 'a\x1b[31m', 'a\u202eb', 'a\x7f'])
def test_a_class_name_that_a_terminal_would_obey_is_refused(photographs, name):
    root = photographs(classes=(name, 'other'))
    with pytest.raises(errors.InputError, match='control character') as error:
        read(root)
    assert name not in str(error.value)


def test_pipes_sockets_and_devices_are_named_not_opened(photographs):
    root = photographs()
    os.mkfifo(root / 'red' / 'pipe.png')
    (root / 'red' / 'zero.png').symlink_to('/dev/zero')
    with pytest.raises(errors.InputError, match='pipe.png.*(and 1 more).*a pipe'):
        read(root)
    record, images = read(root, skip_broken=True)
    assert images.skipped == ('red/pipe.png', 'red/zero.png')
    assert sum(record.sizes) == 30
    os.mkfifo(root / 'red' / 'pipe')  # Of which the first bytes would be looked at.
    read(root, skip_broken=True)


@pytest.fixture
def deep(photographs):
    """Makes a path that the system takes in parts alone: the root of its images."""
    roots = []

    def make(depth, name):
        roots.append(photographs())
        home = os.getcwd()
        try:
            os.chdir(roots[0] / 'red')
            for _ in range(depth):
                os.mkdir(name)
                os.chdir(name)
            RGB.save('deep.png')
        finally:
            os.chdir(home)
        return roots[0]

    yield make
    subprocess.run(['rm', '-rf', *roots], check=True)  # Which pytest could not.


def test_folders_may_lie_1200_deep(deep):
    record, images = read(deep(1200, 'd'))
    assert sum(record.sizes) == 31
    assert sum(key.endswith('/deep.png') for key in images.keys) == 1


def test_a_folder_that_cannot_be_read_is_named_not_dropped(deep, caplog):
    root = deep(30, 200 * 'd')  # Longer than any path may be.
    with pytest.raises(errors.InputError, match='cannot be read: File name too'):
        read(root)
    record, _ = read(root, skip_broken=True)
    assert sum(record.sizes) == 30
    assert 'File name too long' in caplog.text


def test_suffixes_do_not_say_how_a_file_is_read(tmp_path):
    written = {'a.jpg': 'PNG', 'b.png': 'JPEG', 'c.jpg': 'WEBP', 'd.gif': 'BMP'}
    for kind in ('one', 'two'):
        (tmp_path / kind).mkdir()
        for name, form in written.items():
            options = {'lossless': True} if form == 'WEBP' else {}
            RGB.save(tmp_path / kind / name, format=form, **options)
    (tmp_path / 'one' / 'without suffix').write_bytes(
        (tmp_path / 'one' / 'a.jpg').read_bytes()
    )
    _, images = read(tmp_path)
    assert len(images.paths) == 9
    data = pipeline.evaluation(images, np.arange(9), 32, preprocess.whole, 9)
    seen = next(data.as_numpy_iterator())['image']
    for i, key in enumerate(images.keys):
        difference = np.abs(seen[i].astype(int) - seen[0])
        # JPEG loses a little.
        assert difference.mean() < 8 if key.endswith('.png') else not difference.any()


def test_files_without_a_suffix_are_images_if_they_begin_so(tmp_path):
    forms = ['AVIF', 'BMP', 'GIF', 'JPEG', 'PNG', 'TIFF', 'WEBP']
    for form in forms:
        RGB.save(tmp_path / form, format=form)
    (tmp_path / 'README').write_text('A list of images')
    found = class_folder.find(tmp_path)
    assert found.images == [str(tmp_path / form) for form in forms]
    assert found.others == {'no suffix': 1}


def test_a_folder_with_two_names_is_read_by_the_first(tmp_path):
    for name in ('b', 'c'):
        (tmp_path / name).mkdir()
    RGB.save(tmp_path / 'b' / '1.png')
    (tmp_path / 'a').symlink_to(tmp_path / 'b')
    faults = []
    paths = list(class_folder.walk(tmp_path, faults.append))
    assert paths == [str(tmp_path / 'a' / '1.png')] and not faults
    gone = class_folder.walk(pathlib.Path(tmp_path, 'gone'), faults.append)
    assert list(gone) == [] and 'No such file' in str(faults[0])
