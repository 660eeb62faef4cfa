"""Fixtures of several test files of models."""

import pytest

from tests.golden import weights
from tfxfer import models


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


@pytest.fixture
def small(tmp_path):
    path = tmp_path / 'small.weights.h5'
    model = models.build(
        'mobilenet_v1_0.25', 3, options=models.NetworkOptions(image_size=32, seed=1)
    )
    models.save_weights(model, path, source={'dataset': 'dtd'})
    return path
