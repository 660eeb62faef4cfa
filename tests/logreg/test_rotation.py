import numpy as np
import pytest

from tfxfer.logreg import backends, rotation


def rotate(x, block_size):
    rows = rotation.blocks(*x.shape, block_size)
    return rotation.rotate(x, rows, backends.NumPy(), float64_size=2**20)


@pytest.mark.parametrize(('n', 'd'), [(50, 7), (7, 50)])
@pytest.mark.parametrize('block_size', [60, 2**20])
def test_rotated_features_are_uncorrelated_and_ordered(n, d, block_size):
    x = np.random.default_rng(0).random((n, d))
    blocks, squares, mean, basis = rotate(x, block_size)
    z = np.vstack(blocks)
    assert z.shape == (n, min(n - 1, d) + 1)  # Centring takes one direction.
    np.testing.assert_allclose(mean, x.mean(axis=0))
    np.testing.assert_allclose(z, np.c_[np.ones(n), (x - mean) @ basis], atol=1e-9)
    np.testing.assert_allclose(z.T @ z, np.diag(squares), atol=1e-9)
    assert (np.diff(squares[1:]) <= 1e-9).all()


def test_a_direction_without_variance_is_left_out():
    x = np.random.default_rng(0).random((50, 4))
    x[:, 2] = x[:, 1]
    blocks, squares, _, basis = rotate(x, 2**20)
    assert blocks[0].shape == (50, 4) and squares.shape == (4,)
    np.testing.assert_allclose(basis[1], basis[2], atol=1e-9)


@pytest.mark.parametrize('size', [1, 30, 31, 1000])
def test_blocks_hold_every_row_once_and_at_least_one(size):
    rows = [i for part in rotation.blocks(10, 3, size) for i in range(10)[part]]
    assert rows == list(range(10))
    longest = max(part.stop - part.start for part in rotation.blocks(10, 3, size))
    assert longest == max(min(size // 3, 10), 1)
