"""Where files of weights are looked for."""

import numpy as np
import pytest

from tests.golden import weights
from tests.support.weight_files import DATA, MOBILENET
from tfxfer import architectures, errors
from tfxfer.models import weight_files


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
