"""Arrays into variables: what fits, and what is refused."""

import numpy as np
import pytest

from tests.golden import weights
from tests.support.weight_files import MOBILENET, logits
from tfxfer import errors, models
from tfxfer.models import checkpoints


def test_what_training_adds_is_left_over(checkpoint, values):
    name = 'MobilenetV1/Conv2d_0/weights'
    added = {
        'global_step': np.int64(7),
        'mean_rgb': np.zeros(3, np.float32),
        f'{name}/RMSProp': values[name],
        f'{name}/Momentum': values[name],
        'cell_stem_0/comb_iter_0/left/global_step': np.int64(7),
    }
    held = checkpoints.read(checkpoint(**added), MOBILENET)
    model = models.build(MOBILENET, None, held)
    assert held.unused_by(model) == sorted(added)
    np.testing.assert_array_equal(
        logits(model), logits(models.build(MOBILENET, None, checkpoint(name='plain')))
    )


def test_a_checkpoint_without_gamma_loads_into_scale_with_equal_outputs(tmp_path):
    plain = weights.tensors('inception_v1')
    assert not any(name.endswith('gamma') for name in plain)
    path = weights.write_checkpoint(tmp_path / 'model.ckpt', plain)
    without = models.build('inception_v1', None, path)
    scaled = models.build(
        'inception_v1', None, path, options=models.NetworkOptions(scale=True)
    )
    gammas = [v for v in scaled.trainable_variables if v.name == 'gamma']
    assert len(gammas) == 57 and all(np.all(gamma == 1) for gamma in gammas)
    assert not [v for v in without.variables if v.name == 'gamma']
    expected = logits(without)
    assert np.abs(logits(scaled) - expected).max() <= 5e-6 * np.abs(expected).max()


def test_a_checkpoint_with_gamma_is_not_squeezed_into_a_network_without(checkpoint):
    with pytest.raises(errors.InputError, match=r'gamma.*scale=False'):
        models.build(
            MOBILENET, None, checkpoint(), options=models.NetworkOptions(scale=False)
        )


def test_a_checkpoint_of_any_number_of_classes_brings_its_head(checkpoint, values):
    head = f'{MOBILENET.head}/weights'
    changed = {
        head: values[head][..., :7],
        f'{MOBILENET.head}/biases': values[f'{MOBILENET.head}/biases'][:7],
    }
    full = logits(models.build(MOBILENET, None, checkpoint(name='full')))
    seven = logits(models.build(MOBILENET, None, checkpoint(**changed)))
    np.testing.assert_allclose(seven, full[:, :7], rtol=1e-5, atol=1e-5)


def test_missing_variables_are_named_as_in_the_checkpoint(checkpoint):
    path = checkpoint(
        without=(
            'MobilenetV1/Conv2d_3_depthwise/depthwise_weights',
            'MobilenetV1/Conv2d_7_pointwise/BatchNorm/beta',
        )
    )
    with pytest.raises(errors.InputError, match='lacks 2 of the variables') as error:
        models.build(MOBILENET, None, path)
    assert 'MobilenetV1/Conv2d_3_depthwise/depthwise_weights' in str(error.value)
    assert 'MobilenetV1/Conv2d_7_pointwise/BatchNorm/beta' in str(error.value)


def test_a_single_missing_gamma_is_not_taken_for_a_network_without(checkpoint):
    name = 'MobilenetV1/Conv2d_7_pointwise/BatchNorm/gamma'
    with pytest.raises(errors.InputError, match=f'lacks 1 of .*{name}'):
        models.build(MOBILENET, None, checkpoint(without=(name,)))


def test_a_wrong_shape_is_named_with_both_shapes(checkpoint):
    name = 'MobilenetV1/Conv2d_0/weights'
    path = checkpoint(**{name: np.zeros((3, 3, 1, 32), np.float32)})
    expected = rf'{name} \(3, 3, 1, 32\), not \(3, 3, 3, 32\)'
    with pytest.raises(errors.InputError, match=expected):
        models.build(MOBILENET, None, path)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named(checkpoint, values, bad):
    name = 'MobilenetV1/Conv2d_5_pointwise/BatchNorm/moving_variance'
    broken = values[name].copy()
    broken[3] = bad
    with pytest.raises(errors.InputError, match=f'NaN.*{name}'):
        models.build(MOBILENET, None, checkpoint(**{name: broken}))


def test_the_model_is_as_it_was_after_a_refused_file(checkpoint):
    model = models.build(MOBILENET, 1001, options=models.NetworkOptions(seed=1))
    before = [variable.numpy() for variable in model.variables]
    path = checkpoint(without=('MobilenetV1/Logits/Conv2d_1c_1x1/biases',))
    with pytest.raises(errors.InputError):
        checkpoints.read(path, MOBILENET).assign_to(model)
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)
