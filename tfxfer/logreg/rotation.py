"""Features centred and rotated to the eigenvectors of their second moment, in blocks.

docs/logistic_regression.md, "Coordinates".
"""

import typing

import numpy as np
import scipy.linalg

from tfxfer.logreg.backends import Backend


def blocks(n: int, width: int, size: int) -> list[slice]:
    """Slices of n rows such that an array of so many rows x width has size numbers."""
    rows = max(size // width, 1)
    return [slice(i, min(i + rows, n)) for i in range(0, n, rows)]


class Rotated(typing.NamedTuple):
    """Features [n, d] as z [n, r + 1]: ones, then (x - mean) @ basis; r <= min(n, d).

    z is float32 unless small. Directions in which the images differ by rounding are
    left out.
    """

    blocks: list[np.ndarray]  # Of the rows of z.
    squares: np.ndarray  # Sums over images of z^2 [r + 1], float64.
    mean: np.ndarray  # [d]
    basis: np.ndarray  # Eigenvectors [d, r], of the largest eigenvalue first.


def rotate(
    x: np.ndarray, rows: list[slice], backend: Backend, float64_size: float
) -> Rotated:
    """Rotates x [n, d], block by block of rows; up to float64_size in float64."""
    n, d = x.shape
    dtype = np.float64 if n * min(n, d) <= float64_size else np.float32
    mean = sum(x[part].sum(axis=0, dtype=np.float64) for part in rows) / n
    mean = np.asarray(mean).astype(dtype)
    if n < d:
        # In float64: the directions of least variance count most at the weakest l2s.
        span, coordinates = scipy.linalg.qr(
            (x - mean).T.astype(np.float64), mode='economic'
        )
        v = _eigenvectors(coordinates @ coordinates.T)
        z, squares = _turned(lambda part: coordinates.T[part], v, rows, backend, dtype)
    else:

        def centred(part):
            return (x[part] - mean).astype(dtype, copy=False)

        v = _eigenvectors(_second_moment(centred, rows, d, backend).astype(dtype))
        z, squares = _turned(centred, v, rows, backend, dtype)
    # The weakest l2s would give weights to rounding.
    significant = squares > 16 * np.finfo(dtype).eps ** 2 * squares[1:].sum()
    significant[0] = True
    if not significant.all():
        v = np.ascontiguousarray(v[:, significant[1:]])
        squares = squares[significant]
        for i, block in enumerate(z):
            z[i] = np.ascontiguousarray(block[:, significant])
    v = (span @ v if n < d else v).astype(dtype)
    return Rotated(z, squares, mean, v)


def _second_moment(centred, rows, d, backend):
    """Sum over images of the outer products of centred features [d, d], float64."""
    second = np.zeros((d, d))
    for part in rows:
        block = centred(part)
        second += backend.product(block, block, transpose_a=True)
    return second


def _eigenvectors(second):
    """Of a symmetric matrix, which is overwritten; largest eigenvalue first."""
    _, v = scipy.linalg.eigh(second.T, overwrite_a=True, driver='evd')
    return np.ascontiguousarray(v[:, ::-1])


def _turned(centred, v, rows, backend, dtype):
    """Blocks of z [n, r + 1], ones first, and the sums of their squares [r + 1]."""
    turn = backend.put(v)
    z, squares = [], 0
    for part in rows:
        block = backend.product(centred(part), turn).astype(dtype, copy=False)
        block = np.hstack([np.ones((len(block), 1), dtype), block])
        squares = squares + (block**2).sum(axis=0, dtype=np.float64)
        z.append(block)
    return z, squares
