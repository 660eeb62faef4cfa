import time

import pytest

from tfxfer import errors
from tfxfer.study import ray_executor


@pytest.mark.parametrize(
    'address, message',
    [
        ('127.0.0.1:1', 'Nothing answers at --ray_address=127.0.0.1:1'),
        ('ray://127.0.0.1:1', 'Nothing answers'),
        ('here', 'none of auto, HOST:PORT'),
        ('here:99999999', 'Nothing answers'),
    ],
)
def test_an_address_that_does_not_answer_is_named(tmp_path, address, message):
    pytest.importorskip('ray')
    begun = time.monotonic()
    with pytest.raises(errors.InputError, match=message):
        ray_executor.Ray(tmp_path, address=address)
    assert time.monotonic() - begun < 30


def test_without_ray_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_executor.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(errors.InputError, match='pip install'):
        ray_executor.Ray(tmp_path)
