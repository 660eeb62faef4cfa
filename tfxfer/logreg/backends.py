"""Where the features are, and products with them: NumPy and OpenVINO.

A device of TensorFlow's has a backend of its own, in device.py.

docs/logistic_regression.md, "Backends" and "Memory".
"""

import abc
import contextlib
import functools
import sys
import typing
from collections.abc import Callable, Iterable

import numpy as np
import scipy.linalg
import threadpoolctl

from tfxfer import openvino_runtime

Product = Callable[[np.ndarray], np.ndarray]


class Features(typing.NamedTuple):
    """A block of rotated features z [images, r + 1], as what they are used for."""

    scores: Product  # Weights [k, r + 1] -> their scores [k, images].
    image_sums: Product  # [k, images] -> their sums over images [k, r + 1].
    array: Callable[[], np.ndarray]  # () -> z in NumPy.


class Backend(abc.ABC):
    """Where a problem's arrays are, and how its features are rotated there.

    What is called an array is one of the backend's own.
    """

    def for_size(self, n: int, d: int, classes: int) -> 'Backend':
        """This backend, for features [n, d] of so many classes."""
        del n, d, classes
        return self

    @abc.abstractmethod
    def computing(self, *, by_blas: bool) -> contextlib.AbstractContextManager:
        """A context for all that is computed; by_blas: BLAS has products to compute."""

    @abc.abstractmethod
    def put(self, array: np.ndarray) -> typing.Any:
        """An array of NumPy's."""

    @abc.abstractmethod
    def host(self, array: typing.Any) -> np.ndarray:
        """An array in NumPy."""

    @abc.abstractmethod
    def reader(self, x: np.ndarray) -> Callable[..., typing.Any]:
        """A function (rows, last=False) -> these rows of x; last: not read again."""

    @abc.abstractmethod
    def column_sums(self, block: typing.Any) -> typing.Any:
        """Sums [d] over the rows of a block [images, d], float64."""

    @abc.abstractmethod
    def centred(
        self, block: typing.Any, mean: np.ndarray, dtype: np.dtype
    ) -> typing.Any:
        """A block [images, d] less the mean [d]."""

    @abc.abstractmethod
    def second_moment(self, blocks: Iterable[typing.Any], d: int) -> typing.Any:
        """Sum over images of the outer products of features [d, d], float64."""

    @abc.abstractmethod
    def eigenvectors(self, second: typing.Any, dtype: np.dtype) -> typing.Any:
        """[d, d] of a symmetric matrix, which is overwritten; largest value first."""

    @abc.abstractmethod
    def turned(
        self, block: typing.Any, v: typing.Any, dtype: np.dtype
    ) -> tuple[typing.Any, typing.Any]:
        """z [images, r + 1], ones and block @ v, and the sums of its squares."""

    @abc.abstractmethod
    def columns(self, z: typing.Any, chosen: np.ndarray) -> typing.Any:
        """The columns of an array that are chosen [r + 1]."""

    @abc.abstractmethod
    def product_with(self, z: np.ndarray, *, transposed: bool) -> Product:
        """A function of NumPy's a [k, :] that returns a @ z, or a @ z.T."""


class NumPy(Backend):
    """All in NumPy, products by BLAS."""

    def computing(self, *, by_blas: bool) -> contextlib.AbstractContextManager:
        """Nothing changes."""
        del by_blas
        return contextlib.nullcontext()

    def put(self, array: np.ndarray) -> np.ndarray:
        """The array itself."""
        return array

    def host(self, array: np.ndarray) -> np.ndarray:
        """The array itself."""
        return array

    def reader(self, x: np.ndarray) -> Callable[..., np.ndarray]:
        """Rows of x as they are."""
        return lambda rows, last=False: x[rows]

    def column_sums(self, block: np.ndarray) -> np.ndarray:
        """Summed in float64."""
        return block.sum(axis=0, dtype=np.float64)

    def centred(
        self, block: np.ndarray, mean: np.ndarray, dtype: np.dtype
    ) -> np.ndarray:
        """Converted after the subtraction."""
        return (block - mean).astype(dtype, copy=False)

    def second_moment(self, blocks: Iterable[np.ndarray], d: int) -> np.ndarray:
        """The blocks' products are in their own precision."""
        second = np.zeros((d, d))
        for block in blocks:
            second += block.T @ block
        return second

    def eigenvectors(self, second: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """By divide and conquer."""
        # The transpose is in LAPACK's order of memory, and overwritten without a copy.
        _, v = scipy.linalg.eigh(
            second.astype(dtype, copy=False).T, overwrite_a=True, driver='evd'
        )
        return np.ascontiguousarray(v[:, ::-1])

    def turned(
        self, block: np.ndarray, v: np.ndarray, dtype: np.dtype
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squares are summed in float64."""
        z = (block @ v).astype(dtype, copy=False)
        z = np.hstack([np.ones((len(z), 1), dtype), z])
        return z, (z**2).sum(axis=0, dtype=np.float64)

    def columns(self, z: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """A copy."""
        return np.ascontiguousarray(z[:, chosen])

    def product_with(self, z: np.ndarray, *, transposed: bool) -> Product:
        """By BLAS."""
        return lambda a: a @ (z.T if transposed else z)

    def features(self, z: np.ndarray) -> Features:
        """A block z [images, r + 1] made ready for products."""
        return Features(
            scores=self.product_with(z, transposed=True),
            image_sums=self.product_with(z, transposed=False),
            array=lambda: z,
        )


class OpenVINO(NumPy):
    """As NumPy, but products of k rows with the features are compiled by OpenVINO.

    At every product BLAS packs the features into the order that it computes in, which
    for few rows takes as long as the product. OpenVINO packs them once, for the scores
    and for the sums over images, as far as memory allows.

    Args:
        k: rows.
        packed_size: how many of the features, in numbers, may be packed.
    """

    def __init__(self, k: int, packed_size: int) -> None:
        self.k, self.packed_size = k, packed_size
        self.blas = threadpoolctl.ThreadpoolController()
        self.of_shape = functools.cache(functools.partial(compiled_product, k))

    def computing(self, *, by_blas: bool) -> contextlib.AbstractContextManager:
        """A context in which BLAS has one thread, unless it has products to compute.

        After a product its threads go on looking for work, and so take a core.
        """
        if by_blas:
            return contextlib.nullcontext()
        return self.blas.limit(limits=1, user_api='blas')

    def product_with(self, z: np.ndarray, *, transposed: bool) -> Product:
        """What it returns is overwritten when a z of that shape is next used."""
        if self.packed_size >= 0:
            return compiled_product(self.k, z.shape, transposed, z)
        product = self.of_shape(z.shape, transposed)
        return lambda a: product(a, z)

    def features(self, z: np.ndarray) -> Features:
        """Packed, unless z and those before exceed packed_size."""
        self.packed_size -= z.size
        return super().features(z)


def compiled_product(
    k: int, shape: tuple[int, ...], transposed: bool, z: np.ndarray | None = None
) -> Callable[..., np.ndarray]:
    """A function of a [k, :] that returns a @ z, or a @ z.T, by OpenVINO.

    OpenVINO refers to z and has a packed copy. Without z, the function takes a and a z
    of this shape. What it returns is overwritten by the next call.
    """
    openvino = openvino_runtime.library()
    ops = openvino.opset13
    inputs = [ops.parameter([k, shape[transposed]], np.float32)]
    if z is None:
        inputs.append(ops.parameter(shape, np.float32))
    factor = inputs[1] if z is None else ops.constant(z, shared_memory=True)
    graph = openvino.Model([ops.matmul(inputs[0], factor, False, transposed)], inputs)
    request = openvino_runtime.compiled(
        graph, 'LATENCY', 'float32'
    ).create_infer_request()
    output = request.get_output_tensor(0).data

    def product(*factors):
        contiguous = [np.ascontiguousarray(factor) for factor in factors]
        request.infer(contiguous, share_inputs=True, share_outputs=True)
        return output

    return product


def available() -> Backend:
    """A GPU, if this process has TensorFlow and that sees one; never imports it."""
    tensorflow = sys.modules.get('tensorflow')
    if tensorflow and tensorflow.config.list_physical_devices('GPU'):
        from tfxfer.logreg import device

        return device.TensorFlow('/GPU:0')
    return NumPy()
