import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from tests.conftest import ROOT
from tests.support import archives
from tfxfer import datasets, errors
from tfxfer.data import image_set, readers, tfds_prepared

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


@pytest.fixture(scope='module')
def original(tmp_path_factory):
    return store(
        tmp_path_factory.mktemp('toy'),
        {'train': examples(0, 40), 'validation': examples(40, 10)},
    )


@pytest.fixture
def toy(original, tmp_path):
    """A copy that a test may change, without an index."""
    shutil.copytree(original / 'toy', tmp_path / 'toy')
    (tmp_path / 'toy/1.0.0' / tfds_prepared.INDEX).unlink(missing_ok=True)
    return tmp_path


def read(folder, name=NAME, **options):
    return readers.read(datasets.find(name), image_set.Options(data=folder, **options))


def shard(folder, split='train'):
    return next((folder / 'toy/1.0.0').glob(f'toy-{split}.tfrecord-*'))


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


def test_examples_are_read_as_tensorflow_reads_them(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / 'records'
    written = []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in (0, 1, 127, 128, 20_000, 3_000_000):
            ints = rng.integers(-(2**62), 2**62, size % 50)
            example = tf.train.Example()
            example.features.feature['image'].bytes_list.value.append(rng.bytes(size))
            example.features.feature['ints'].int64_list.value.extend(ints)
            example.features.feature['floats'].float_list.value.extend([1.5, 2.5])
            written.append(example)
            writer.write(example.SerializeToString())
    whole = path.read_bytes()
    records = list(tfds_prepared._records(path))
    assert len(records) == len(written)
    for (start, data), example in zip(records, written, strict=True):
        found = tfds_prepared._features(data)
        assert set(found) == {'image', 'ints', 'floats'}
        values = example.features.feature
        [(at, end)] = tfds_prepared._spans(data, found['image'])
        assert whole[start + at : start + end] == values['image'].bytes_list.value[0]
        assert (
            tfds_prepared._ints(data, found['ints']) == values['ints'].int64_list.value
        )


def test_validation_is_the_test_split_where_there_is_no_other(original, tmp_path):
    record, images = read(original)
    assert record.sizes == (32, 8, 10)
    held = {images.keys[i] for i in images.splits['test']}
    assert held == {f'{i}.png' for i in range(40, 50)}
    both = {'validation': examples(40, 10), 'test': examples(50, 6)}
    store(tmp_path, {'train': examples(0, 40), **both})
    record, images = read(tmp_path)
    assert record.sizes == (40, 10, 6)
    assert {images.keys[i] for i in images.splits['valid']} == held


def test_train_alone_gives_all_three(tmp_path):
    store(tmp_path, {'train': examples(0, 50)})
    assert read(tmp_path)[0].sizes == (32, 8, 10)


def test_class_with_one_image_is_trained_on(tmp_path):
    pairs = [*examples(0, 20, classes=1), *examples(21, 1)]
    store(tmp_path, {'train': pairs, 'test': examples(30, 4)})
    _, images = read(tmp_path)
    assert (images.labels[images.splits['train']] == 1).sum() == 1


def test_class_without_training_image_is_named(tmp_path):
    store(tmp_path, {'train': examples(0, 9, classes=1), 'test': examples(30, 4)})
    with pytest.raises(errors.InputError, match='no training image of crow'):
        read(tmp_path)


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


@pytest.mark.parametrize(
    ('features', 'match'),
    [
        ({'image', 'file_name'}, 'no labels .* features are file_name, image'),
        ({'label', 'file_name'}, 'no images .* features are file_name, label'),
    ],
)
def test_dataset_that_is_no_classification_names_its_features(
    features, match, tmp_path
):
    kept = {name: FEATURES[name] for name in FEATURES if name in features}
    store(tmp_path, {'train': examples(0, 4)}, kept)
    with pytest.raises(errors.InputError, match=match):
        read(tmp_path)


def test_pixels_of_16_bits_are_refused(tmp_path):
    deep = tfds.features.Image(shape=(8, 8, 1), dtype=np.uint16)
    pairs = examples(0, 4)
    for _, example in pairs:
        example['image'] = example['image'][..., :1].astype(np.uint16)
    store(tmp_path, {'train': pairs}, FEATURES | {'image': deep})
    with pytest.raises(errors.InputError, match='uint16 pixels'):
        read(tmp_path)


def test_images_without_label_are_refused(tmp_path):
    unknown = examples(10, 4)
    for _, example in unknown:
        example['label'] = -1
    store(tmp_path, {'train': examples(0, 10), 'test': unknown})
    with pytest.raises(errors.InputError, match='4 images of split test have no label'):
        read(tmp_path)


def test_split_that_is_not_there_is_named(tmp_path):
    store(tmp_path, {'everything': examples(0, 4)})
    with pytest.raises(errors.InputError, match='no split train; it has everything'):
        read(tmp_path)


def test_another_file_format_is_named(toy):
    path = toy / 'toy/1.0.0/dataset_info.json'
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, 'fileFormat': 'array_record'}))
    with pytest.raises(errors.InputError, match='prepared as array_record'):
        read(toy)


@pytest.mark.parametrize('name', ['dtd', NAME])
def test_what_is_not_there_names_the_command_that_makes_it(name, tmp_path):
    command = f'python -m tools.prepare_dataset --dataset={name} --data={tmp_path}'
    with pytest.raises(errors.InputError) as error:
        read(tmp_path, name)
    assert str(error.value).endswith(command)


def test_data_folder_is_the_options_then_the_environments(toy, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(toy))
    assert sum(read(None)[0].sizes) == 50
    monkeypatch.setenv(tfds_prepared.ENV, str(toy / 'nowhere'))
    with pytest.raises(errors.InputError, match='nowhere'):
        read(None)
    assert sum(read(toy)[0].sizes) == 50


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
    spoil(toy / 'toy/1.0.0' / tfds_prepared.INDEX)
    _, after = read(toy)
    assert after.digest == before.digest
    np.testing.assert_array_equal(after.packed.offset, before.packed.offset)
    with np.load(toy / 'toy/1.0.0' / tfds_prepared.INDEX) as arrays:
        assert str(arrays['digest']) == before.digest


def test_index_goes_to_the_cache_where_the_data_cannot_be_written(toy, tmp_path):
    # A folder of the index's name cannot be replaced by a file, even by root.
    (toy / 'toy/1.0.0' / tfds_prepared.INDEX).mkdir()
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
    assert tfds_prepared.INDEX in names
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


def test_split_is_the_same_whatever_the_order_of_writing(original, tmp_path):
    splits = {
        'train': list(reversed(examples(0, 40))),
        'validation': examples(40, 10),
    }
    store(tmp_path, splits, disable_shuffling=True)
    (_, ours), (_, theirs) = read(original), read(tmp_path)
    for part in ours.splits:
        names = [{i.keys[k] for k in i.splits[part]} for i in (ours, theirs)]
        assert names[0] == names[1]


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
    assert not (toy / 'toy/1.0.0' / tfds_prepared.INDEX).exists()


def test_missing_file_is_named(toy):
    shard(toy, 'validation').unlink()
    with pytest.raises(errors.InputError, match='toy-validation.*is missing'):
        read(toy)
