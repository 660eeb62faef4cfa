"""A device of TensorFlow's: what is there, what fits, and how features get there.

docs/logistic_regression.md, "Backends" and "Memory".
"""

import concurrent.futures
import contextlib
import copy
import ctypes
import typing
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from tfxfer import errors
from tfxfer.logreg.backends import Backend, Product
from tfxfer.logreg.limits import DEVICE_BLOCK_SIZE

# Arrays [k, n] on the device at a time, beside the features: what problem.WORK_ARRAYS
# has, those of a new point while the old one is there, and temporary ones.
WORK_ARRAYS = 24
ON_THE_CPU = 'With CUDA_VISIBLE_DEVICES= (empty) it is computed on the CPU.'
USABLE = 0.9  # Of the device's memory; the rest is CUDA's and that of its libraries.


class TensorFlow(Backend):
    """All arrays of a problem on a device such as '/GPU:0', in TensorFlow.

    Args:
        device: its name.
        memory: bytes that may be used there; None: all that are free, on a CPU without
            a limit. Features beyond that stay on the host, and every pass reads them.
        jit_compile: whether XLA compiles what an iteration does. It compiles anew for
            every size of problem, which takes longer than most paths.

    Raises:
        errors.InputError: there is no such device.
    """

    def __init__(
        self, device: str, memory: int | None = None, *, jit_compile: bool = False
    ) -> None:
        here = [one.name for one in tf.config.list_logical_devices()]
        if not any(name.endswith(device.removeprefix('/')) for name in here):
            raise errors.InputError(
                f'TensorFlow has no device {device!r} here, but {", ".join(here)}.'
            )
        self.device, self.jit_compile = device, jit_compile
        self.memory = free_memory(device) if memory is None else memory
        self.room: float = np.inf  # Bytes that features may still take.

    def for_size(self, n: int, d: int, classes: int) -> 'TensorFlow':
        """One with the room that such a problem leaves for features.

        Raises:
            errors.InputError: the solver's arrays alone do not fit.
        """
        sized = copy.copy(self)
        if self.memory is not None:
            # Of float32: [k, n], [k, d], and [d, d] of float64.
            work = 4 * WORK_ARRAYS * classes * (n + 2 * d) + 24 * d * d
            sized.room = self.memory - work
            if sized.room < 0:
                raise errors.InputError(
                    f'Logistic regression of {n} images and {classes} classes needs '
                    f'{work / 2**30:.3g} GiB on {self.device} beside the features; '
                    f'{self.memory / 2**30:.3g} GiB are free. {ON_THE_CPU}'
                )
            # Blocks are joined, or two are on their way.
            sized.room -= min(2 * 4 * DEVICE_BLOCK_SIZE, sized.room / 4)
        return sized

    @contextlib.contextmanager
    def computing(self, *, by_blas: bool) -> Iterator[None]:
        """On the device, without TensorFloat-32, which has three digits.

        Raises:
            errors.InputError: the device has not enough memory.
        """
        del by_blas
        config = tf.config.experimental
        enabled = config.tensor_float_32_execution_enabled()
        config.enable_tensor_float_32_execution(False)
        try:
            with tf.device(self.device):
                yield
        except tf.errors.ResourceExhaustedError as error:
            raise errors.InputError(
                f'Logistic regression ran out of memory on {self.device}: is another '
                f'process using it? {ON_THE_CPU}'
            ) from error
        finally:
            config.enable_tensor_float_32_execution(enabled)

    def put(self, array: np.ndarray) -> tf.Tensor:
        """A copy on the device."""
        with tf.device(self.device):
            return tf.constant(array)

    def host(self, array: typing.Any) -> np.ndarray:
        """Waits for the device."""
        return array if isinstance(array, np.ndarray) else array.numpy()

    def reader(self, x: np.ndarray) -> Callable[..., tf.Tensor]:
        """Rows of x; they stay on the device until the last time, where all fit."""
        rows_there: dict[int, tf.Tensor] = {}
        fits = x.size * max(x.itemsize, 4) <= self.room

        def read(rows, last=False):
            if rows.start in rows_there:
                return (rows_there.pop if last else rows_there.get)(rows.start)
            block = x[rows]
            if block.dtype not in (np.float32, np.float64):
                block = block.astype(np.float64 if block.itemsize > 2 else np.float32)
            block = self.put(block)
            if fits and not last:
                rows_there[rows.start] = block
            return block

        return read

    def column_sums(self, block: tf.Tensor) -> tf.Tensor:
        """Summed in float64."""
        return tf.reduce_sum(tf.cast(block, tf.float64), axis=0)

    def centred(self, block: tf.Tensor, mean: np.ndarray, dtype: np.dtype) -> tf.Tensor:
        """Converted after the subtraction."""
        wide = np.result_type(block.dtype.as_numpy_dtype, mean.dtype)
        return tf.cast(tf.cast(block, wide) - tf.cast(mean, wide), dtype)

    def second_moment(self, blocks: Iterable[tf.Tensor], d: int) -> tf.Tensor:
        """The blocks' products are in their own precision."""
        second = tf.zeros((d, d), tf.float64)
        for block in blocks:
            second += tf.cast(
                tf.linalg.matmul(block, block, transpose_a=True), 'float64'
            )
        return second

    def eigenvectors(self, second: tf.Tensor, dtype: np.dtype) -> tf.Tensor:
        """On a GPU by cuSOLVER."""
        _, v = tf.linalg.eigh(tf.cast(second, dtype))
        return tf.reverse(v, [1])

    def turned(
        self, block: tf.Tensor, v: tf.Tensor, dtype: np.dtype
    ) -> tuple[typing.Any, tf.Tensor]:
        """Squares are summed in float64; z is in NumPy where there is no room."""
        z = tf.cast(tf.linalg.matmul(block, v), dtype)
        z = tf.concat([tf.ones((len(z), 1), dtype), z], axis=1)
        squares = tf.reduce_sum(tf.cast(tf.square(z), tf.float64), axis=0)
        size = z.shape.num_elements() * z.dtype.size
        if size > self.room:
            self.room = 0.0  # Later blocks stay on the host, too.
            return z.numpy(), squares
        self.room -= size
        return z, squares

    def columns(self, z: typing.Any, chosen: np.ndarray) -> typing.Any:
        """Of an array on either side, there."""
        if isinstance(z, np.ndarray):
            return np.ascontiguousarray(z[:, chosen])
        return tf.gather(z, np.flatnonzero(chosen), axis=1)

    def product_with(self, z: np.ndarray, *, transposed: bool) -> Product:
        """Computed on the device."""
        factor = self.put(z)

        def product(a):
            with self.computing(by_blas=False):
                out = tf.linalg.matmul(tf.constant(a), factor, transpose_b=transposed)
                return self.host(out)

        return product

    def each(self, arrays: list[typing.Any]) -> Iterator[tf.Tensor]:
        """Yields the arrays on the device.

        Those of NumPy's are copied there while what was yielded before is computed
        with, one ahead.
        """
        if not any(isinstance(array, np.ndarray) for array in arrays):
            yield from arrays
            return
        with concurrent.futures.ThreadPoolExecutor(1) as copies:

            def there(array):
                is_there = not isinstance(array, np.ndarray)
                return array if is_there else copies.submit(self.put, array)

            ahead = there(arrays[0])
            for following in [*arrays[1:], None]:
                now = ahead
                ahead = None if following is None else there(following)
                yield (
                    now.result() if isinstance(now, concurrent.futures.Future) else now
                )


def free_memory(device: str) -> int | None:
    """Bytes that a problem may take on a device; None where that is not known."""
    if 'GPU' not in device:
        return None
    total = ctypes.c_size_t()
    try:
        cuda = ctypes.CDLL('libcuda.so.1')
        index, handle = int(device.rpartition(':')[2]), ctypes.c_int()
        failed = (
            cuda.cuInit(0)
            or cuda.cuDeviceGet(ctypes.byref(handle), index)
            or cuda.cuDeviceTotalMem_v2(ctypes.byref(total), handle)
        )
    except (OSError, AttributeError, ValueError):
        return None
    if failed:
        return None
    taken = tf.config.experimental.get_memory_info(device.removeprefix('/'))['current']
    return int(USABLE * total.value) - taken
