"""Fixtures of several test files of data."""

import shutil

import pytest

from tests.support.toy_dataset import examples, store
from tfxfer.data import tfds_index


@pytest.fixture(scope='module')
def original(tmp_path_factory):
    return store(
        tmp_path_factory.mktemp('toy'),
        {'train': examples(0, 40), 'validation': examples(40, 10)},
    )


@pytest.fixture
def toy(original, tmp_path):
    """A copy that a test may change, without an index."""
    shutil.copytree(original / 'toy', tmp_path / 'toy')
    (tmp_path / 'toy/1.0.0' / tfds_index.INDEX).unlink(missing_ok=True)
    return tmp_path
