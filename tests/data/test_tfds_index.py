"""The index of a prepared dataset: complete, and made anew when it must be."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tests.conftest import ROOT
from tests.support import archives
from tests.support.toy_dataset import FEATURES, NAME, examples, read, shard, store
from tfxfer import datasets, errors
from tfxfer.data import image_set, tfds_index, tfds_prepared


def test_images_are_found_in_the_files(toy):
    record, images = read(toy)
    assert record.class_names == ('rook', 'crow') and record.classes == 2
    packed = images.packed
    for i, key in enumerate(images.keys):
        with open(packed.files[packed.part[i]], 'rb') as file:
            file.seek(packed.offset[i])
            data = io.BytesIO(file.read(packed.length[i]))
        number = int(key.removesuffix('.png'))
        np.testing.assert_array_equal(
            np.array(Image.open(data)), archives.crop(number, 8)
        )
        assert images.labels[i] == number % 2


def test_names_that_repeat_get_the_class_then_the_split_before_them(tmp_path):
    pair = FEATURES | {'file_name': tfds.features.Text()}
    for place, train, test, expected in (
        ('a', ['x', 'y'], ['z', 'w'], {'x', 'y', 'z', 'w'}),
        ('b', ['x', 'x'], ['z', 'z'], {'rook/x', 'crow/x', 'rook/z', 'crow/z'}),
        ('c', ['x', 'y'], ['x', 'y'], {'train/x', 'train/y', 'test/x', 'test/y'}),
    ):
        splits = {'train': examples(0, 2), 'test': examples(2, 2)}
        for split, names in (('train', train), ('test', test)):
            for (_, example), name in zip(splits[split], names, strict=True):
                example['file_name'] = name
        store(tmp_path / place, splits, pair)
        _, images = read_all(tmp_path / place)
        assert set(images.keys) == expected


def read_all(folder):
    """Without the check that every class can be trained on."""
    return tfds_prepared.read(datasets.find(NAME), image_set.Options(data=folder))


def test_images_without_names_are_numbered(tmp_path):
    features = {name: FEATURES[name] for name in ('image', 'label')}
    store(tmp_path, {'train': examples(0, 4), 'test': examples(4, 2)}, features)
    _, images = read_all(tmp_path)
    assert images.keys == (
        *(f'train/{i:07d}' for i in range(4)),
        *(f'test/{i:07d}' for i in range(2)),
    )


def test_images_without_label_are_refused(tmp_path):
    unknown = examples(10, 4)
    for _, example in unknown:
        example['label'] = -1
    store(tmp_path, {'train': examples(0, 10), 'test': unknown})
    with pytest.raises(errors.InputError, match='4 images of split test have no label'):
        read(tmp_path)


def test_index_is_made_once_and_again_when_a_file_changes(toy):
    _, before = read(toy)
    path = shard(toy)
    stat = path.stat()
    data = bytearray(path.read_bytes())
    at = before.packed.offset[before.splits['train'][0]]
    data[at + 60] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    _, same = read(toy)  # Nothing tells that it changed: it is not read again.
    assert same.digest == before.digest
    os.utime(path, ns=(1, 1))
    _, after = read(toy)
    assert after.digest != before.digest
    np.testing.assert_array_equal(after.packed.offset, before.packed.offset)


@pytest.mark.parametrize(
    'spoil',
    [
        lambda path: path.write_bytes(b'not an index'),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: np.savez(path, fingerprint=np.array('another'), labels=[1]),
    ],
)
def test_damaged_or_foreign_index_is_made_anew(spoil, toy):
    _, before = read(toy)
    spoil(toy / 'toy/1.0.0' / tfds_index.INDEX)
    _, after = read(toy)
    assert after.digest == before.digest
    np.testing.assert_array_equal(after.packed.offset, before.packed.offset)
    with np.load(toy / 'toy/1.0.0' / tfds_index.INDEX) as arrays:
        assert str(arrays['digest']) == before.digest


def test_index_goes_to_the_cache_where_the_data_cannot_be_written(toy, tmp_path):
    # A folder of the index's name cannot be replaced by a file, even by root.
    (toy / 'toy/1.0.0' / tfds_index.INDEX).mkdir()
    cache = tmp_path / 'cache'
    _, first = read(toy, cache=cache)
    (path,) = cache.glob('index-*.npz')
    stamp = path.stat().st_mtime_ns
    _, second = read(toy, cache=cache)
    assert second.digest == first.digest and path.stat().st_mtime_ns == stamp
    assert read(toy)[1].digest == first.digest  # And without a cache it is not kept.


def test_several_processes_at_once_make_one_sound_index(toy):
    code = (
        'import sys; from tfxfer import datasets\n'
        'from tfxfer.data import image_set, readers\n'
        f'record, images = readers.read(datasets.find({NAME!r}),'
        f' image_set.Options(data={str(toy)!r}))\n'
        'assert "tensorflow" not in sys.modules\n'
        'assert "tensorflow_datasets" not in sys.modules\n'
        'print(images.digest)\n'
    )
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    answers = {process.communicate()[0].strip() for process in processes}
    assert answers == {read(toy)[1].digest}
    names = {path.name for path in (toy / 'toy/1.0.0').iterdir()}
    assert tfds_index.INDEX in names
    assert not [name for name in names if name.startswith('.')]  # No half-written one.


def test_digest_is_the_contents_not_the_places(original, tmp_path):
    first = read(original)[1].digest
    reordered = list(reversed(examples(0, 40)))
    splits = {'train': reordered, 'validation': examples(40, 10)}
    store(tmp_path / 'a', splits, disable_shuffling=True)
    assert read(tmp_path / 'a')[1].digest == first
    splits['train'][3][1]['label'] ^= 1
    store(tmp_path / 'b', splits)
    assert read(tmp_path / 'b')[1].digest != first


def test_digest_tells_an_image_that_changed_its_split(original, tmp_path):
    pairs = examples(0, 50)
    train = [*pairs[:39], pairs[40]]
    store(tmp_path, {'train': train, 'validation': [pairs[39], *pairs[41:]]})
    assert read(tmp_path)[1].digest != read(original)[1].digest


SPOIL = {
    'truncated': lambda path: path.write_bytes(path.read_bytes()[:-50]),
    'zeros': lambda path: path.write_bytes(bytes(path.stat().st_size)),
    'shorter by a record': lambda path: path.write_bytes(b''),
}


@pytest.mark.parametrize('kind', SPOIL)
def test_damaged_file_is_named(kind, toy):
    SPOIL[kind](shard(toy))
    with pytest.raises(errors.InputError, match='toy-train.tfrecord'):
        read(toy)
    assert not (toy / 'toy/1.0.0' / tfds_index.INDEX).exists()


def test_missing_file_is_named(toy):
    shard(toy, 'validation').unlink()
    with pytest.raises(errors.InputError, match='toy-validation.*is missing'):
        read(toy)
