"""Files of weights of either kind: read, refused, their digest."""

import shutil

import h5py
import numpy as np
import pytest

from tests.support.weight_files import MOBILENET, cut, logits
from tfxfer import errors, models
from tfxfer.models import checkpoints, weights_h5


def test_both_versions_of_the_format_hold_the_same(checkpoint):
    new, old = checkpoint(), checkpoint(v1=True, name='old.ckpt')
    assert old.is_file() and not new.exists()
    assert checkpoints.digest(new) == checkpoints.digest(old)
    np.testing.assert_array_equal(
        logits(models.build(MOBILENET, None, new)),
        logits(models.build(MOBILENET, None, old)),
    )


def test_a_truncated_file_of_weights_is_one_clear_error(small):
    cut(small, 0.9)
    for read in (
        lambda: models.build('mobilenet_v1_0.25', 3, small),
        lambda: checkpoints.digest(small),
        lambda: weights_h5.metadata(small),
    ):
        with pytest.raises(errors.InputError, match='truncated|damaged'):
            read()


def test_a_file_of_another_networks_weights_is_refused(small):
    with pytest.raises(errors.InputError, match=r'of mobilenet_v1_0\.25, not of'):
        models.build('mobilenet_v1_0.5', 3, small)


def test_the_digest_is_of_the_values_and_of_nothing_else(small, tmp_path):
    twin = shutil.copy(small, tmp_path / 'twin.weights.h5')
    with h5py.File(twin, 'r+') as file:
        file.attrs['tfxfer'] = '{"arch": "x", "graph": "keras", "scale": null}'
    assert checkpoints.digest(twin) == checkpoints.digest(small)
    with h5py.File(twin, 'r+') as file:
        kernel = file['layers/conv2d/vars/0']
        kernel[0, 0, 0, 0] += 1e-3
    assert checkpoints.digest(twin) != checkpoints.digest(small)
    assert len(checkpoints.digest(small)) == 64
