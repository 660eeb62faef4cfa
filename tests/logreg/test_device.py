import numpy as np
import pytest
import tensorflow as tf

from tests.support.logistic import L2S, assert_solved, features
from tfxfer import errors
from tfxfer.logreg import backends, device
from tfxfer.logreg.problem import prepare

CPU = '/CPU:0'


def test_a_device_that_is_absent_is_refused_and_those_that_are_there_are_named():
    with pytest.raises(errors.InputError, match="'/GPU:7'.*CPU:0"):
        device.TensorFlow('/GPU:7')


def test_a_problem_is_on_the_gpu_where_tensorflow_sees_one():
    if not tf.config.list_physical_devices('GPU'):
        pytest.skip('TensorFlow sees no GPU')
    x, y = features(11000, 100, 3, apart=0.2)
    assert all('GPU' in z.device for z in prepare(x, y, 3).blocks)
    assert_solved(x, y, 3, L2S)


def test_what_fits_on_a_gpu_is_known_before_anything_is_put_there():
    if not tf.config.list_physical_devices('GPU'):
        assert device.free_memory(CPU) is None
        return
    assert 2**30 < device.free_memory('/GPU:0') < 2**40


def test_without_cuda_the_free_memory_is_not_known():
    if not tf.config.list_physical_devices('GPU'):
        assert device.free_memory('/GPU:0') is None


def test_a_device_computes_without_tf32_and_keeps_the_choice():
    experimental = tf.config.experimental
    chosen = experimental.tensor_float_32_execution_enabled()
    try:
        for enabled in (True, False):
            experimental.enable_tensor_float_32_execution(enabled)
            with device.TensorFlow(CPU).computing(by_blas=False):
                assert not experimental.tensor_float_32_execution_enabled()
            assert experimental.tensor_float_32_execution_enabled() == enabled
    finally:
        experimental.enable_tensor_float_32_execution(chosen)


def test_a_problem_that_leaves_no_room_for_its_scores_is_refused_before_it_starts():
    x, y = features(300, 12, 4, apart=0.5)
    with pytest.raises(errors.InputError, match='CUDA_VISIBLE_DEVICES') as refused:
        prepare(x, y, 4, backend=device.TensorFlow(CPU, memory=1000))
    assert 'GiB' in str(refused.value) and '\n' not in str(refused.value)


def test_a_device_that_runs_out_of_memory_is_one_line():
    with pytest.raises(errors.InputError, match='ran out of memory') as refused:
        with device.TensorFlow(CPU).computing(by_blas=False):
            tf.zeros([2**31, 2**12], tf.float64)  # 64 TiB.
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('resident', [[True], [False], [True, False, True, False]])
def test_blocks_come_in_order_from_either_side(resident):
    backend = device.TensorFlow(CPU)
    blocks = [np.full((2, 3), i, np.float32) for i in range(len(resident))]
    mixed = [
        backend.put(block) if there else block
        for block, there in zip(blocks, resident, strict=True)
    ]
    for given, expected in zip(backend.each(mixed), blocks, strict=True):
        assert tf.is_tensor(given)
        np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize('dtype', [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize(('n', 'd'), [(70, 9), (9, 70)])
def test_features_are_rotated_as_numpy_rotates_them(n, d, dtype):
    x, y = features(n, d, 3, apart=0.5)
    x = (20 * x).astype(dtype)
    there = prepare(x, y, 3, backend=device.TensorFlow(CPU))
    here = prepare(x, y, 3, backend=backends.NumPy())
    np.testing.assert_allclose(there.mean, here.mean)
    np.testing.assert_allclose(there.squares, here.squares, atol=1e-9)
    z = np.vstack([block.array() for block in here.blocks])
    sign = np.sign((z * there.blocks[0].numpy()).sum(axis=0))
    np.testing.assert_allclose(there.blocks[0] * sign, z, atol=1e-6)


def test_a_direction_without_variance_is_left_out():
    x, y = features(200, 10, 3, apart=0.5)
    x[:, 3], x[:, 5] = 7, x[:, 4]
    problem = prepare(x, y, 3, backend=device.TensorFlow(CPU))
    assert problem.blocks[0].shape == (200, 9)
