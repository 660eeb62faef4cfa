"""What models.build promises of any network, on small ones."""

import dataclasses

import keras
import numpy as np
import pytest

from tests.support.small_networks import SMALL, pixels, trained
from tfxfer import architectures, errors, models


def test_images_in_features_and_logits_out():
    model = models.build(SMALL, 7)
    assert model.input.shape == (None, 64, 64, 3) and model.input.dtype == 'float32'
    found = model(pixels(64))
    assert {key: value.shape for key, value in found.items()} == {
        'features': (2, 256),
        'logits': (2, 7),
    }


def test_logits_are_the_dense_layer_on_the_features():
    model = trained(models.build(SMALL, 7))
    found = model(pixels(64))
    kernel, bias = map(np.asarray, model.get_layer('logits').weights)
    np.testing.assert_allclose(
        found['logits'], np.asarray(found['features']) @ kernel + bias, rtol=1e-4
    )


@pytest.mark.parametrize('size', [32, 65, 96])
def test_another_image_size_keeps_the_feature_size(size):
    found = models.build(SMALL, 3, options=models.NetworkOptions(image_size=size))(
        pixels(size)
    )
    assert found['features'].shape == (2, 256)


def test_an_image_that_is_too_small_is_refused_with_the_size_to_take():
    with pytest.raises(errors.InputError, match=r'inception_v3 needs .*75.*32 x 32'):
        models.build('inception_v3', 3, options=models.NetworkOptions(image_size=32))
    with pytest.raises(errors.InputError, match='images of 16 pixels.*own size is 224'):
        models.build('densenet_121', 3, options=models.NetworkOptions(image_size=16))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(errors.InputError, match="Did you mean 'resnet_50'"):
        models.build('resnet50', 3)


def test_random_weights_need_the_number_of_classes():
    with pytest.raises(errors.InputError, match='give classes'):
        models.build(SMALL, None)


def test_the_default_rates_of_dropout_are_tf_slims():
    # dropout_keep_prob in TF-Slim: 0.8, 0.999, 0.8, 0.5; its ResNets have none.
    expected = {
        'inception_v1': 0.2,
        'mobilenet_v1': 0.001,
        'mobilenet_v2': 0.2,
        'nasnet_mobile': 0.5,
        'resnet_50': 0,
    }
    for name, rate in expected.items():
        assert architectures.ARCHITECTURES[name].dropout == rate
    assert models.build(SMALL, 3).get_layer('dropout').rate == 0.001


def test_dropout_is_after_the_features_and_before_the_classifier():
    model = models.build(
        SMALL, 3, options=models.NetworkOptions(dropout=0.5, image_size=32)
    )
    dropout = model.get_layer('dropout')
    assert dropout.rate == 0.5
    assert dropout.input is model.output['features']
    assert model.get_layer('logits').input is dropout.output
    with pytest.raises(ValueError, match='dropout'):
        models.build(SMALL, 3, options=models.NetworkOptions(dropout=0.0)).get_layer(
            'dropout'
        )


def test_the_papers_own_training_has_scale_and_neither_dropout_nor_aux():
    model = models.build(
        'inception_v3',
        3,
        options=dataclasses.replace(models.TRAINING['paper'], image_size=75),
    )
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 94 and all(norm.scale for norm in norms)
    assert set(model.output) == {'features', 'logits'}
    assert 'dropout' not in [layer.name for layer in model.layers]


def test_the_public_training_of_inception_v3_has_dropout_and_aux_but_no_scale():
    model = models.build(
        'inception_v3',
        3,
        options=dataclasses.replace(models.TRAINING['public'], image_size=75),
    )
    assert model.output['aux_logits'].shape == (None, 3)
    assert model.get_layer('dropout').rate == 0.2
    assert not [v for v in model.variables if v.name == 'gamma']


def test_new_heads_have_nothing_of_the_weights_and_the_rest_has_all(tmp_path):
    def built(weights=None, **options):
        options = models.NetworkOptions(75, aux=True, **options)
        return models.build('inception_v3_small', 4, weights, options)

    path = tmp_path / 'source.weights.h5'
    models.save_weights(source := trained(built(seed=3)), path)
    held, new = built(path), built(path, head_seed=3)
    assert not differing(source, held)  # The number of classes agrees.
    assert differing(source, new) == {'logits', 'aux_logits'}
    # Of the seed alone, and not what a network of the same seed begins with.
    assert not differing(new, built(path, seed=8, head_seed=3))
    assert differing(new, built(path, head_seed=4)) == {'logits', 'aux_logits'}
    plain = built(seed=3)
    assert {'logits', 'aux_logits'} <= differing(new, plain)


def differing(one, other):
    """Names of the layers whose values are not those of the other network."""
    return {
        ours.name
        for ours, theirs in zip(one.layers, other.layers, strict=True)
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True)
        if not np.array_equal(a, b)
    }


def test_an_auxiliary_classifier_that_does_not_exist_is_refused():
    with pytest.raises(errors.InputError, match='resnet_50 has no auxiliary'):
        models.build(
            'resnet_50', 3, options=models.NetworkOptions(image_size=64, aux=True)
        )
