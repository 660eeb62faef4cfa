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

    blocks: list[typing.Any]  # Of the rows of z, arrays of the backend.
    squares: np.ndarray  # Sums over images of z^2 [r + 1], float64.
    mean: np.ndarray  # [d]
    basis: np.ndarray  # Eigenvectors [d, r], of the largest eigenvalue first.


def rotate(
    x: np.ndarray, rows: list[slice], backend: Backend, float64_size: float
) -> Rotated:
    """Rotates x [n, d], block by block of rows; up to float64_size in float64."""
    n, d = x.shape
    single = n * min(n, d) > float64_size
    dtype: np.dtype = np.dtype(np.float32 if single else np.float64)
    read = backend.reader(x)
    mean = sum(backend.column_sums(read(part)) for part in rows) / n
    mean = backend.host(mean).astype(dtype)
    if n < d:
        # In float64: the directions of least variance count most at the weakest l2s.
        span, coordinates = scipy.linalg.qr(
            (x - mean).T.astype(np.float64), mode='economic'
        )
        second = backend.put(coordinates @ coordinates.T)
        v = backend.eigenvectors(second, second.dtype)
        centred = (backend.put(coordinates.T[part]) for part in rows)
    else:
        blocks = (backend.centred(read(part), mean, dtype) for part in rows)
        v = backend.eigenvectors(backend.second_moment(blocks, d), dtype)
        centred = (backend.centred(read(part, last=True), mean, dtype) for part in rows)
    z: list[typing.Any] = []
    total: typing.Any = 0
    for block in centred:
        turned, block_squares = backend.turned(block, v, dtype)
        z.append(turned)
        total = total + block_squares
    v, squares = backend.host(v), backend.host(total)
    # The weakest l2s would give weights to rounding.
    significant = squares > 16 * float(np.finfo(dtype).eps) ** 2 * squares[1:].sum()
    significant[0] = True
    if not significant.all():
        v = np.ascontiguousarray(v[:, significant[1:]])
        squares = squares[significant]
        for i, block in enumerate(z):
            z[i] = backend.columns(block, significant)
    v = (span @ v if n < d else v).astype(dtype)
    return Rotated(z, squares, mean, v)
