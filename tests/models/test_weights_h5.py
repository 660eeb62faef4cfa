"""The files of weights that save_weights writes."""

import json

import h5py
import numpy as np
import pytest

from tests.support.small_networks import SMALL, pixels, trained
from tfxfer import errors, models
from tfxfer.models import checkpoints, weights_h5

KERNEL = 'layers/dense/vars/0'


def a_soft_link(file, folder):
    file[KERNEL] = h5py.SoftLink('/layers/dense/vars/1')


def a_link_to_another_file(file, folder):
    with h5py.File(folder / 'other.h5', 'w') as other:
        other['secret'] = np.zeros((256, 3), np.float32)
    file[KERNEL] = h5py.ExternalLink(folder / 'other.h5', 'secret')


def values_in_another_file(file, folder):
    (folder / 'secret').write_bytes(bytes(4 * 256 * 3))
    external = [(str(folder / 'secret'), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(KERNEL, (256, 3), np.float32, external=external)


def four_terabytes(file, folder):
    file.create_dataset(KERNEL, (10**12,), np.float32, chunks=(1000,))


def many_zeros_that_take_no_room(file, folder):
    file.create_dataset(
        KERNEL, (10**9,), np.float32, chunks=(10**6,), compression='gzip'
    )


def text(file, folder):
    file[KERNEL] = ['a'] * 3


def a_folder(file, folder):
    file.create_group(KERNEL)


def a_flipped_bit(file, folder):
    values = np.ones((256, 3), np.float32)
    values[17, 1] = np.nextafter(np.float32(1), np.float32(2))
    file[KERNEL] = values


@pytest.mark.parametrize(
    'change, said',
    [
        (a_soft_link, 'is a link'),
        (a_link_to_another_file, 'is a link'),
        (values_in_another_file, 'in another file'),
        (four_terabytes, 'should have 4000000000000 bytes'),
        (many_zeros_that_take_no_room, 'should have 4000000000 bytes'),
        (text, 'holds no numbers'),
        (a_folder, 'damaged'),
        (a_flipped_bit, 'not those that were written'),
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_refused(tmp_path, change, said):
    path = tmp_path / 'a.weights.h5'
    model = models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    model.get_layer('logits').kernel.assign(np.ones((256, 3)))
    models.save_weights(model, path)
    with h5py.File(path, 'r+') as file:
        assert file[KERNEL].shape == (256, 3)
        attributes = dict(file['layers/dense/vars'].attrs)
        del file[KERNEL]
        change(file, tmp_path)
        file['layers/dense/vars'].attrs.update(attributes)
    for read in (checkpoints.digest, lambda path: models.build(SMALL, 3, path)):
        with pytest.raises(errors.InputError, match=said):
            read(path)


def test_a_file_of_before_digests_is_read(small):
    noted = weights_h5.metadata(small)
    digest = noted.pop('digest')
    with h5py.File(small, 'r+') as file:
        file.attrs['tfxfer'] = json.dumps(noted)
    assert checkpoints.digest(small) == digest


@pytest.mark.parametrize('noted', ['[]', '{', '{"arch": "tiny"}', '7'])
def test_damaged_metadata_is_refused(small, noted):
    with h5py.File(small, 'r+') as file:
        file.attrs['tfxfer'] = noted
    with pytest.raises(errors.InputError, match='or is damaged'):
        weights_h5.metadata(small)


def test_a_file_of_keras_own_is_refused(tmp_path):
    path = tmp_path / 'plain.weights.h5'
    models.build('mobilenet_v1_0.25', 3).save_weights(path)
    with pytest.raises(errors.InputError, match='not written by models.save_weights'):
        models.build('mobilenet_v1_0.25', 3, path)


def test_metadata_is_read_back(small):
    noted = weights_h5.metadata(small)
    assert noted.pop('digest') == checkpoints.digest(small)
    assert noted == {
        'arch': 'mobilenet_v1_0.25',
        'graph': 'keras',
        'scale': None,
        'source': {'dataset': 'dtd'},
    }


def test_saved_weights_come_back_with_the_classifier(tmp_path):
    path = tmp_path / 'a.weights.h5'
    model = trained(
        models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    )
    models.save_weights(model, path)
    expected = model(pixels())
    for classes in (None, 3):
        found = models.build(
            SMALL, classes, path, options=models.NetworkOptions(image_size=32, seed=9)
        )(pixels())
        for key in ('features', 'logits'):
            np.testing.assert_array_equal(found[key], expected[key])


def test_another_number_of_classes_makes_a_new_head_on_the_same_features(tmp_path):
    path = tmp_path / 'a.weights.h5'
    model = trained(
        models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    )
    models.save_weights(model, path)
    loaded = models.build(
        SMALL, 5, path, options=models.NetworkOptions(image_size=32, seed=9)
    )
    fresh = models.build(SMALL, 5, options=models.NetworkOptions(image_size=32, seed=9))
    np.testing.assert_array_equal(
        loaded(pixels())['features'], model(pixels())['features']
    )
    np.testing.assert_array_equal(
        loaded.get_layer('logits').kernel, fresh.get_layer('logits').kernel
    )
    models.load_weights(fresh, path)
    np.testing.assert_array_equal(
        fresh(pixels())['features'], model(pixels())['features']
    )


def test_saved_weights_remember_a_network_without_scale(tmp_path):
    path = tmp_path / 'a.weights.h5'
    models.save_weights(
        trained(
            models.build('mobilenet_v1', 3, options=models.NetworkOptions(scale=False))
        ),
        path,
    )
    model = models.build('mobilenet_v1', 3, path)
    assert not [v for v in model.variables if v.name == 'gamma']


def test_saved_weights_are_keras_own_format_too(tmp_path):
    path = tmp_path / 'a.weights.h5'
    model = trained(
        models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    )
    models.save_weights(model, path)
    other = models.build(SMALL, 3, options=models.NetworkOptions(image_size=32, seed=9))
    other.load_weights(path)
    np.testing.assert_array_equal(other(pixels())['logits'], model(pixels())['logits'])


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / 'a.weights.h5'
    with pytest.raises(TypeError):  # JSON does not take a set.
        models.save_weights(models.build(SMALL, 3), path, source={1})
    assert not list(tmp_path.iterdir())
    with pytest.raises(errors.InputError, match=r'\.weights\.h5; got'):
        models.save_weights(models.build(SMALL, 3), tmp_path / 'a.h5')


def test_saved_weights_remember_their_auxiliary_classifier(tmp_path):
    path = tmp_path / 'a.weights.h5'
    for aux in (True, False):
        options = models.NetworkOptions(image_size=75, aux=aux)
        model = models.build('inception_v3_small', 3, options=options)
        models.save_weights(model, path)
        again = models.build('inception_v3_small', None, path)
        assert ('aux_logits' in again.output) == aux
