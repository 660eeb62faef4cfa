"""Folders of PNGs become archives from which TensorFlow Datasets reads the same."""

import collections
import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.support import archives
from tests.support.fakes import ARCHITECTURE
from tfxfer import config, datasets, errors, models, results
from tfxfer.cli import app, prepare_dataset
from tfxfer.data import image_set, prepare, readers
from tfxfer.report import notes
from tfxfer.transfer import execute
from tfxfer.transfer.options import ExecutionOptions
from tools import cifar_archive

# The superclass of each class, in the order of their labels, as torchvision's users
# write it (`sparse2coarse`).
COARSE = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7,
    6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17,
    18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2,
    10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6,
    0, 17, 8, 14, 13,
)  # fmt: skip


def write_tree(folder, dataset, train=2, test=1):
    """{(split, class, pixels): 1} of the PNG files that were written."""
    made, number = collections.Counter(), 0
    for name in cifar_archive.FORMATS[dataset].labels:
        for split, count in (('train', train), ('test', test)):
            place = folder / split / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = archives.crop(number, side=32)
                Image.fromarray(pixels).save(place / f'{name}_s_{i:06d}.png')
                made[split, name, pixels.tobytes()] += 1
                number += 1
    return made


def test_superclasses_are_the_official_ones():
    assert len(cifar_archive.CIFAR100) == 100
    assert tuple(map(cifar_archive.COARSE.get, cifar_archive.CIFAR100)) == COARSE
    assert list(cifar_archive.SUPERCLASSES) == sorted(cifar_archive.SUPERCLASSES)


@pytest.mark.slow
@pytest.mark.parametrize('dataset', cifar_archive.FORMATS)
def test_tensorflow_datasets_reads_pixels_and_labels_of_the_pngs(
    dataset, tmp_path, monkeypatch, capsys
):
    import tensorflow_datasets as tfds

    made = write_tree(tmp_path / 'pngs', dataset)
    place, data = tmp_path / 'archives', tmp_path / 'data'
    app.call(
        cifar_archive,
        [f'--dataset={dataset}', f'--images={tmp_path}/pngs', f'--archives={place}'],
    )
    record = dataclasses.replace(datasets.DATASETS[dataset], sizes=None)
    monkeypatch.setitem(datasets.DATASETS, dataset, record)
    flags = [f'--dataset={dataset}', f'--archives={place}', f'--data={data}']
    with pytest.raises(errors.InputError, match='--unverified'):
        app.call(prepare_dataset, flags)
    app.call(prepare_dataset, [*flags, '--unverified'])
    archive = cifar_archive.FORMATS[dataset].archive
    assert f"not the authors' files: {archive}" in capsys.readouterr().out

    builder = tfds.builder(record.tfds, data_dir=data)
    found, features = collections.Counter(), builder.info.features
    for split in ('train', 'test'):
        for row in tfds.as_numpy(builder.as_dataset(split)):
            name = features['label'].int2str(row['label'])
            found[split, name, row['image'].tobytes()] += 1
            if dataset == 'cifar100':
                coarse = features['coarse_label'].int2str(row['coarse_label'])
                assert name in cifar_archive.SUPERCLASSES[coarse].split()
    assert found == made
    _, images = readers.read(record, image_set.Options(data=data))
    assert images.unverified == (archive,)


@pytest.mark.exhaustive
def test_records_and_notes_name_archives_that_are_not_the_authors(
    fakes, tmp_path, monkeypatch
):
    write_tree(tmp_path / 'pngs', 'cifar10')
    cifar_archive.write('cifar10', tmp_path / 'pngs', tmp_path)
    record = dataclasses.replace(datasets.DATASETS['cifar10'], sizes=None)
    monkeypatch.setitem(datasets.DATASETS, 'cifar10', record)
    data, weights = tmp_path / 'data', tmp_path / 'start.weights.h5'
    prepare.prepare('cifar10', data=data, archives=tmp_path, verify=False)
    models.save_weights(models.build(ARCHITECTURE, classes=3), weights)
    run = config.from_dict(
        {
            'arch': 'tiny',
            'dataset': 'cifar10',
            'setting': 'logistic',
            'weights': str(weights),
            'hparams': {'l2s': (1.0,)},
        }
    )
    execute.execute(run, ExecutionOptions(tmp_path / 'runs', data=data))
    (found,) = results.read_all(tmp_path / 'runs')
    assert found.unverified == ('cifar-10-binary.tar.gz',)
    assert 'cifar-10-binary.tar.gz' in ' '.join(notes.warnings([found]))


def test_the_training_files_have_equal_shares_of_mixed_classes(tmp_path):
    write_tree(tmp_path / 'pngs', 'cifar10', train=20)
    path = cifar_archive.write('cifar10', tmp_path / 'pngs', tmp_path).path
    shutil.unpack_archive(path, tmp_path / 'unpacked')
    files = sorted((tmp_path / 'unpacked').rglob('data_batch_*.bin'))
    assert [file.stat().st_size for file in files] == [40 * 3073] * 5
    for file in files:
        labels = np.frombuffer(file.read_bytes(), np.uint8).reshape(-1, 3073)[:, 0]
        assert len(set(labels)) > 5


def test_the_same_images_give_the_same_archive(tmp_path):
    write_tree(tmp_path / 'pngs', 'cifar10')
    first, second = (
        cifar_archive.write('cifar10', tmp_path / 'pngs', tmp_path / name)
        for name in 'ab'
    )
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.images == {'train': 20, 'test': 10}


def lack(folder):
    shutil.rmtree(folder / 'test/ship')


def add(folder):
    shutil.copytree(folder / 'train/ship', folder / 'train/submarine')


def clear(folder):
    for file in (folder / 'train/ship').iterdir():
        file.unlink()


def lossy(folder):
    (folder / 'train/cat/cat.jpg').write_bytes(archives.encoded(0, side=32))


def large(folder):
    (folder / 'train/cat/cat.png').write_bytes(archives.encoded(0, 33, 'PNG'))


def disguised(folder):
    (folder / 'train/cat/cat.png').write_bytes(archives.encoded(0, side=32))


def broken(folder):
    (folder / 'train/cat/cat.png').write_bytes(archives.encoded(0, 32, 'PNG')[:99])


@pytest.mark.parametrize(
    ('spoil', 'said'),
    [
        (lack, "test lacks 1 of the classes, such as 'ship'"),
        (add, "train also has 1 of the classes, such as 'submarine'"),
        (clear, 'ship has no images'),
        (lossy, r'cat\.jpg is no \.png file'),
        (large, r'cat\.png is PNG RGB of 33 x 33 pixels'),
        (disguised, r'cat\.png is JPEG RGB'),
        (broken, r'cat\.png cannot be read'),
    ],
)
def test_what_is_no_such_tree_is_named_and_nothing_is_written(spoil, said, tmp_path):
    write_tree(tmp_path / 'pngs', 'cifar10', train=1)
    spoil(tmp_path / 'pngs')
    with pytest.raises(errors.InputError, match=said):
        cifar_archive.write('cifar10', tmp_path / 'pngs', tmp_path / 'archives')
    assert not list((tmp_path / 'archives').glob('*'))


def test_a_flag_that_is_missing_is_named(tmp_path):
    with pytest.raises(errors.InputError, match='--images='):
        app.call(cifar_archive, ['--dataset=cifar10'])
