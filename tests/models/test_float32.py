"""What can be seen of TF32 without a GPU: whether TensorFlow may use it."""

import pytest
import tensorflow as tf

from tfxfer import errors
from tfxfer.models import float32

enabled = tf.config.experimental.tensor_float_32_execution_enabled


@pytest.fixture
def as_tensorflow_starts():
    before = enabled()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


def test_float32_is_float32_unless_tf32_is_asked_for(as_tensorflow_starts, monkeypatch):
    float32.allow_tf32(False)
    assert not enabled() and not float32.tf32_allowed()
    gpu = {'compute_capability': (9, 0)}
    monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [kind])
    monkeypatch.setattr(
        tf.config.experimental, 'get_device_details', lambda device: gpu
    )
    float32.allow_tf32(True)
    assert enabled() and float32.tf32_allowed()
    gpu['compute_capability'] = (7, 5)  # A T4 has no TF32.
    with pytest.raises(errors.InputError, match='Use precision=float32'):
        float32.allow_tf32(True)


def test_tf32_is_off_for_a_while_and_then_as_it_was(as_tensorflow_starts):
    for before in (True, False):
        tf.config.experimental.enable_tensor_float_32_execution(before)
        with pytest.raises(KeyError), float32.without_tf32():
            assert not enabled()
            raise KeyError
        assert enabled() is before


@pytest.mark.skipif(
    bool(tf.config.list_physical_devices('GPU')), reason='needs a machine without GPU'
)
def test_tf32_without_a_gpu_is_refused():
    with pytest.raises(errors.InputError, match='there is none here'):
        float32.allow_tf32(True)
