"""The files of weights that save_weights writes."""

import numpy as np
import pytest

from tests.support.small_networks import SMALL, pixels, trained
from tfxfer import errors, models
from tfxfer.models import weights_h5


def test_a_file_of_keras_own_is_refused(tmp_path):
    path = tmp_path / 'plain.weights.h5'
    models.build('mobilenet_v1_0.25', 3).save_weights(path)
    with pytest.raises(errors.InputError, match='not written by models.save_weights'):
        models.build('mobilenet_v1_0.25', 3, path)


def test_metadata_is_read_back(small):
    assert weights_h5.metadata(small) == {
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
