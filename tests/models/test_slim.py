"""TF-Slim's checkpoints: a real one, changed and damaged ones."""

import json

import numpy as np
import pytest

from tests.golden import weights
from tests.support.weight_files import DATA, MOBILENET, cut
from tfxfer import errors, models
from tfxfer.models import checkpoints, slim


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


def test_moving_averages_are_taken_unless_refused(checkpoint, values):
    name = 'MobilenetV1/Conv2d_0/weights'
    average = {f'{name}{slim.AVERAGE}': 2 * values[name]}
    path = checkpoint(**average)
    for averages, factor in ((True, 2), (False, 1)):
        held = checkpoints.read(path, MOBILENET, averages=averages)
        np.testing.assert_array_equal(held.values[name], factor * values[name])
        assert held.averaged == averages


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


def test_a_checkpoint_is_read_in_a_folder_whose_name_is_a_pattern(checkpoint, tmp_path):
    plain = checkpoint(name='model.ckpt')
    (tmp_path / 'of [2018]').mkdir()
    odd = checkpoint(name='of [2018]/model.ckpt')
    assert checkpoints.digest(odd) == checkpoints.digest(plain)
