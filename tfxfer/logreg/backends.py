"""Where the products with the features are computed: NumPy, OpenVINO or TensorFlow.

docs/logistic_regression.md, "Backends" and "Memory".
"""

import contextlib
import functools
import sys
import typing
from collections.abc import Callable

import numpy as np
import threadpoolctl

from tfxfer import openvino_runtime

Product = Callable[[np.ndarray], np.ndarray]


class Features(typing.NamedTuple):
    """A block of rotated features z [images, r + 1], as what they are used for."""

    scores: Product  # Weights [k, r + 1] -> their scores [k, images].
    image_sums: Product  # [k, images] -> their sums over images [k, r + 1].
    array: Callable[[], np.ndarray]  # () -> z in NumPy.


class NumPy:
    """All products in NumPy, that is by BLAS."""

    def one_blas_thread(self) -> contextlib.AbstractContextManager:
        """A context for the iterations; nothing changes: BLAS does their products."""
        return contextlib.nullcontext()

    def put(self, array: np.ndarray) -> np.ndarray:
        """The array where products want it."""
        return np.asarray(array)

    def product(
        self, a: np.ndarray, b: np.ndarray, *, transpose_a: bool = False
    ) -> np.ndarray:
        """a @ b, or a.T @ b."""
        return (a.T if transpose_a else a) @ b

    def product_with(self, z: np.ndarray, *, transposed: bool) -> Product:
        """A function of a [k, :] that returns a @ z, or a @ z.T."""
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

    def one_blas_thread(self) -> contextlib.AbstractContextManager:
        """A context in which BLAS has one thread.

        After a product its threads go on looking for work, and so take a core.
        """
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


class TensorFlow:
    """All products on a device of TensorFlow's, such as '/GPU:0'.

    Args:
        tensorflow: the module.
        device: its name.
    """

    def __init__(self, tensorflow: typing.Any, device: str) -> None:
        self.tf, self.device = tensorflow, device

    def one_blas_thread(self) -> contextlib.AbstractContextManager:
        """A context for the iterations; nothing changes: BLAS has little to do."""
        return contextlib.nullcontext()

    def put(self, array: np.ndarray) -> typing.Any:
        """The array as a tensor on the device."""
        with self.tf.device(self.device):
            return self.tf.constant(array)

    def product(self, a: typing.Any, b: typing.Any, **transposed: bool) -> np.ndarray:
        """a @ b in NumPy; transpose_a and transpose_b as in tf.linalg.matmul."""
        # TensorFloat-32, which a GPU may take for float32, has three digits.
        config = self.tf.config.experimental
        enabled = config.tensor_float_32_execution_enabled()
        config.enable_tensor_float_32_execution(False)
        try:
            with self.tf.device(self.device):
                return self.tf.linalg.matmul(a, b, **transposed).numpy()
        finally:
            config.enable_tensor_float_32_execution(enabled)

    def product_with(self, z: typing.Any, *, transposed: bool) -> Product:
        """A function of a [k, :] that returns a @ z, or a @ z.T."""
        return lambda a: self.product(a, z, transpose_b=transposed)

    def features(self, z: np.ndarray) -> Features:
        """A block z [images, r + 1] on the device."""
        z = self.put(z)
        return Features(
            scores=self.product_with(z, transposed=True),
            image_sums=self.product_with(z, transposed=False),
            array=z.numpy,  # type: ignore[attr-defined]
        )


Backend = NumPy | TensorFlow


def available() -> Backend:
    """A GPU, if this process has TensorFlow and that sees one; never imports it."""
    tensorflow = sys.modules.get('tensorflow')
    if tensorflow and tensorflow.config.list_physical_devices('GPU'):
        return TensorFlow(tensorflow, '/GPU:0')
    return NumPy()
