import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.support.toy_dataset import FEATURES, NAME, examples, read, store
from tfxfer import errors
from tfxfer.data import tfds_prepared


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


@pytest.mark.parametrize('name', ['dataset_info.json', 'features.json'])
@pytest.mark.parametrize(
    'text', ['', '{"name": ', '[]', '{"featuresDict": 3, "splits": 3}']
)
def test_damaged_json_of_a_dataset_is_named_with_what_to_do(toy, name, text):
    (toy / 'toy/1.0.0' / name).write_text(text)
    with pytest.raises(errors.InputError, match='Remove .*1.0.0 and prepare'):
        read(toy)


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
