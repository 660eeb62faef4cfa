"""Files of weights: TF-Slim's real checkpoint, damaged ones, those of others."""

import json
import shutil

import h5py
import numpy as np
import pytest

from tests.golden import weights
from tfxfer import architectures, errors, models
from tfxfer.models import checkpoints, slim, weight_files, weights_h5

MOBILENET = architectures.ARCHITECTURES['mobilenet_v1']
DATA = '.data-00000-of-00001'


@pytest.fixture(scope='module')
def values():
    return weights.tensors('mobilenet_v1')


@pytest.fixture
def checkpoint(values, tmp_path):
    """Writes a changed MobileNet v1 checkpoint: its prefix."""

    def write(*, without=(), v1=False, name='model.ckpt', **changes):
        kept = {
            key: v for key, v in {**values, **changes}.items() if key not in without
        }
        return weights.write_checkpoint(tmp_path / name, kept, v1=v1)

    return write


def logits(model):
    return model(weights.pictures(224))['logits'].numpy()


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


# The real checkpoint of MobileNet v1.


def test_the_real_checkpoint_gives_what_its_frozen_graph_gave(shared):
    golden = np.load(shared / 'checkpoints' / MOBILENET.checkpoint / 'golden.npz')
    model = models.build(
        MOBILENET, None, 'slim', checkpoint_folder=shared / 'checkpoints'
    )
    found = model(golden['images'].astype(np.float32))
    for ours, theirs in (('logits', 'logits'), ('features', 'penultimate')):
        difference = np.abs(found[ours] - golden[theirs]).max()
        assert difference <= 5e-6 * np.abs(golden[theirs]).max()


def test_the_real_checkpoint_names_what_is_in_the_pictures(shared):
    folder = shared / 'checkpoints' / MOBILENET.checkpoint
    golden = np.load(folder / 'golden.npz')
    top5 = json.loads((folder / 'top5.json').read_text())
    model = models.build(MOBILENET, None, str(folder))
    found = model(golden['images'].astype(np.float32))['logits'].numpy().argmax(1)
    expected = [top5[name][0]['index'] for name in golden['names']]
    assert found.tolist() == expected and len(expected) == 6


# Finding.


def test_slim_is_found_in_the_folder_or_in_one_of_its_name(
    values, tmp_path, monkeypatch
):
    stem = MOBILENET.checkpoint
    few = {'a/weights': np.zeros(1, np.float32)}
    inside = weights.write_checkpoint(tmp_path / stem / f'{stem}.ckpt', few)
    assert weight_files.find(MOBILENET, 'slim', tmp_path) == str(inside)
    monkeypatch.setenv(weight_files.ENV, str(tmp_path))
    assert weight_files.find(MOBILENET, 'slim') == str(inside)
    beside = weights.write_checkpoint(tmp_path / f'{stem}.ckpt', few, v1=True)
    assert weight_files.find(MOBILENET, 'slim', tmp_path) == str(beside)


def test_slim_under_another_name_is_found_in_the_networks_own_folder(tmp_path):
    # TF-Slim's NASNet archives hold model.ckpt.
    nasnet = architectures.ARCHITECTURES['nasnet_mobile']
    path = tmp_path / nasnet.checkpoint / 'model.ckpt'
    weights.write_checkpoint(path, {'a/weights': np.zeros(1, np.float32)})
    assert weight_files.find(nasnet, 'slim', tmp_path) == str(path)


@pytest.mark.parametrize('ending', ['', '.index', DATA])
def test_any_file_of_a_checkpoint_or_its_folder_names_it(checkpoint, ending):
    path = checkpoint()
    given = path.with_name(path.name + ending)
    assert weight_files.find(MOBILENET, given) == str(path)
    assert weight_files.find(MOBILENET, path.parent) == str(path)


def test_what_is_not_there_is_said_with_the_file_to_get(tmp_path, monkeypatch):
    monkeypatch.delenv(weight_files.ENV, raising=False)
    with pytest.raises(errors.InputError, match='mobilenet_v1_1.0_224.tgz.*slim') as e:
        weight_files.find(MOBILENET, 'slim', tmp_path)
    assert str(tmp_path) in str(e.value)
    with pytest.raises(errors.InputError, match=weight_files.ENV):
        weight_files.find(MOBILENET, 'slim')
    with pytest.raises(errors.InputError, match='no checkpoint of densenet_201.*keras'):
        weight_files.find(architectures.ARCHITECTURES['densenet_201'], 'slim')
    with pytest.raises(errors.InputError, match="No weights at 'imagenet'"):
        weight_files.find(MOBILENET, 'imagenet')


def test_a_folder_of_two_checkpoints_is_refused_with_their_names(checkpoint):
    checkpoint(name='a.ckpt')
    folder = checkpoint(name='b.ckpt').parent
    with pytest.raises(errors.InputError, match='a.ckpt, b.ckpt'):
        weight_files.find(MOBILENET, folder)


# What a TF-Slim checkpoint may hold.


def test_both_versions_of_the_format_hold_the_same(checkpoint):
    new, old = checkpoint(), checkpoint(v1=True, name='old.ckpt')
    assert old.is_file() and not new.exists()
    assert checkpoints.digest(new) == checkpoints.digest(old)
    np.testing.assert_array_equal(
        logits(models.build(MOBILENET, None, new)),
        logits(models.build(MOBILENET, None, old)),
    )


def test_moving_averages_are_taken_unless_refused(checkpoint, values):
    name = 'MobilenetV1/Conv2d_0/weights'
    average = {f'{name}{slim.AVERAGE}': 2 * values[name]}
    path = checkpoint(**average)
    for averages, factor in ((True, 2), (False, 1)):
        held = checkpoints.read(path, MOBILENET, averages=averages)
        np.testing.assert_array_equal(held.values[name], factor * values[name])
        assert held.averaged == averages


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


# What is refused.


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


def test_another_networks_checkpoint_is_recognised(checkpoint, tmp_path):
    with pytest.raises(errors.InputError, match='looks like mobilenet_v1[.]'):
        models.build('resnet_50', None, checkpoint())
    # The widths have the same names.
    wide = weights.tensors('mobilenet_v2_1.4')
    path = weights.write_checkpoint(tmp_path / 'wide.ckpt', wide)
    with pytest.raises(errors.InputError, match=r'looks like mobilenet_v2_1\.4[.]'):
        models.build('mobilenet_v2', None, path)
    path = weights.write_checkpoint(
        tmp_path / 'own.ckpt', {'my/net': np.zeros(3, np.float32)}
    )
    with pytest.raises(errors.InputError, match='variables begin with my/net'):
        models.build('mobilenet_v2', None, path)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named(checkpoint, values, bad):
    name = 'MobilenetV1/Conv2d_5_pointwise/BatchNorm/moving_variance'
    broken = values[name].copy()
    broken[3] = bad
    with pytest.raises(errors.InputError, match=f'NaN.*{name}'):
        models.build(MOBILENET, None, checkpoint(**{name: broken}))


def damage_half_the_data(path):
    cut(path.with_name(path.name + DATA), 0.5)


def damage_half_the_index(path):
    cut(path.with_name(path.name + '.index'), 0.5)


def damage_no_data(path):
    path.with_name(path.name + DATA).unlink()


def damage_one_byte(path):
    path = path.with_name(path.name + DATA)
    content = bytearray(path.read_bytes())
    content[1_000_000] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    'damage',
    [damage_half_the_data, damage_half_the_index, damage_no_data, damage_one_byte],
)
def test_a_damaged_checkpoint_is_one_clear_error(checkpoint, damage):
    path = checkpoint()
    damage(path)
    for read in (
        lambda: models.build(MOBILENET, None, path),
        lambda: checkpoints.digest(path),
    ):
        with pytest.raises(errors.InputError, match=r'truncated or damaged .*again'):
            read()


def test_a_truncated_old_checkpoint_is_one_clear_error(checkpoint):
    path = checkpoint(v1=True)
    cut(path, 0.5)
    with pytest.raises(errors.InputError, match=r'truncated or damaged .*again'):
        models.build(MOBILENET, None, path)


def test_the_model_is_as_it_was_after_a_refused_file(checkpoint):
    model = models.build(MOBILENET, 1001, options=models.NetworkOptions(seed=1))
    before = [variable.numpy() for variable in model.variables]
    path = checkpoint(without=('MobilenetV1/Logits/Conv2d_1c_1x1/biases',))
    with pytest.raises(errors.InputError):
        checkpoints.read(path, MOBILENET).assign_to(model)
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)


# Files of our own.


@pytest.fixture
def small(tmp_path):
    path = tmp_path / 'small.weights.h5'
    model = models.build(
        'mobilenet_v1_0.25', 3, options=models.NetworkOptions(image_size=32, seed=1)
    )
    models.save_weights(model, path, source={'dataset': 'dtd'})
    return path


def test_a_truncated_file_of_weights_is_one_clear_error(small):
    cut(small, 0.9)
    for read in (
        lambda: models.build('mobilenet_v1_0.25', 3, small),
        lambda: checkpoints.digest(small),
        lambda: weights_h5.metadata(small),
    ):
        with pytest.raises(errors.InputError, match='truncated|damaged'):
            read()


def test_a_file_of_keras_own_is_refused(tmp_path):
    path = tmp_path / 'plain.weights.h5'
    models.build('mobilenet_v1_0.25', 3).save_weights(path)
    with pytest.raises(errors.InputError, match='not written by models.save_weights'):
        models.build('mobilenet_v1_0.25', 3, path)


def test_a_file_of_another_networks_weights_is_refused(small):
    with pytest.raises(errors.InputError, match=r'of mobilenet_v1_0\.25, not of'):
        models.build('mobilenet_v1_0.5', 3, small)


def test_facts_are_read_back(small):
    assert weights_h5.metadata(small) == {
        'arch': 'mobilenet_v1_0.25',
        'graph': 'keras',
        'scale': None,
        'source': {'dataset': 'dtd'},
    }


def test_the_digest_is_of_the_values_and_of_nothing_else(small, tmp_path):
    twin = shutil.copy(small, tmp_path / 'twin.weights.h5')
    with h5py.File(twin, 'r+') as file:
        file.attrs['tfxfer'] = '{}'
    assert checkpoints.digest(twin) == checkpoints.digest(small)
    with h5py.File(twin, 'r+') as file:
        kernel = file['layers/conv2d/vars/0']
        kernel[0, 0, 0, 0] += 1e-3
    assert checkpoints.digest(twin) != checkpoints.digest(small)
    assert len(checkpoints.digest(small)) == 64
