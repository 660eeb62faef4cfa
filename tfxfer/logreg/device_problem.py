"""A problem whose arrays are on a device of TensorFlow's.

docs/logistic_regression.md, "Backends" and "Memory".
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tfxfer.logreg import rotation
from tfxfer.logreg.device import TensorFlow
from tfxfer.logreg.device_kernels import Kernels, Parts
from tfxfer.logreg.iterations import Advance, Preconditioner
from tfxfer.logreg.limits import Limits
from tfxfer.logreg.point import Step
from tfxfer.logreg.problem import Problem
from tfxfer.logreg.state import NewtonEquation

WIDTH = 16  # Rows of features are whole multiples of so many numbers.

# Graphs serve all problems of a process.
kernels = functools.cache(Kernels)


class DevicePoint(typing.NamedTuple):
    """As Point; what belongs to images is a tuple of an array per block of them."""

    b: tf.Tensor  # [k, r + 1] float64, bias first.
    scores: Parts  # [k, images]
    residual: Parts  # d loss / d score [k, images].
    curvature: Parts  # Probabilities p [k, images], or p (1 - p) if binary.
    loss: np.ndarray  # [m, 1] float64, on the host.
    squares: np.ndarray  # Sum of squared weights without the bias [m, 1], there too.


@dataclasses.dataclass(frozen=True, eq=False)
class DeviceProblem(Problem):
    """As Problem, but vectors [k, r + 1] and scores are tensors on a device.

    The host gets scalars: after every iteration of conjugate gradients, every trial of
    a line search and every evaluation one array of a few per problem. Newton's equation
    takes a [k, k] there and an inverse [k, r + 1] back.
    """

    labels: Parts  # Per block of images, as Kernels wants them.
    kernels: Kernels
    one: tf.Tensor  # Ones [m, 1].

    def run(
        self, function: Callable[..., typing.Any], *arguments: typing.Any
    ) -> typing.Any:
        """A function of Kernels, as one graph if there is one block of images."""
        if len(self.blocks) == 1:
            return self.kernels.graph(function, arguments)
        return function(self.kernels, *arguments)

    def data(self) -> typing.Any:
        """Pairs of features z [images, r + 1] and labels, block by block."""
        pairs = zip(self.backend.each(self.blocks), self.labels, strict=True)
        return tuple(pairs) if len(self.blocks) == 1 else pairs

    def put(self, *arrays: np.ndarray) -> tuple[tf.Tensor, ...]:
        """Copies on the device."""
        return tuple(map(self.backend.put, arrays))

    def host(self, array: typing.Any) -> np.ndarray:
        """Waits for the device."""
        return self.backend.host(array)

    def per_problem(self, numbers: np.ndarray) -> tf.Tensor:
        """Numbers [m, 1] there as float64."""
        return self.one if (numbers == 1).all() else tf.constant(numbers.astype(float))

    def dot(self, a: typing.Any, b: typing.Any) -> np.ndarray:
        """Inner products [m, 1] of arrays [k, :], on the host."""
        if isinstance(a, np.ndarray):
            return super().dot(a, self.host(b))
        return self.host(self.kernels.dot(a, b))

    def squared_norm(self, r: tf.Tensor, precondition: Preconditioner) -> np.ndarray:
        """r x near inverse x r [m, 1]."""
        return self.host(self.kernels.squared_norm(r, precondition))

    def objective(self, point: typing.Any, l2: float) -> np.ndarray:
        """Cross-entropy plus penalty [m, 1], without a look at the device."""
        return point.loss + l2 * point.squares / 2

    def evaluate(
        self, b: typing.Any, recycled: typing.Any = None
    ) -> tuple[typing.Any, tf.Tensor]:
        """The point b and the cross-entropy's gradient [k, r + 1] there; one pass."""
        del recycled  # TensorFlow's memory is its own affair.
        b = tf.convert_to_tensor(b, tf.float64)
        *parts, gradient, scalars = self.run(Kernels.evaluate, b, self.data())
        return self._point(b, parts, scalars), gradient

    def moved(self, point: typing.Any, length: np.ndarray, step: Step) -> typing.Any:
        """The point at point + length x step, without a pass."""
        start = point.b, point.scores
        b, *parts, scalars = self.run(
            Kernels.move, start, self.per_problem(length), tuple(step), self.labels
        )
        return self._point(b, parts, scalars)

    def _point(self, b, parts, scalars):
        loss, squares = np.split(self.host(scalars), 2, axis=1)
        scores, residual, curvature = parts
        return DevicePoint(b, scores, residual, curvature, loss, squares)

    def gradient(self, point: typing.Any) -> tf.Tensor:
        """Of the cross-entropy [k, r + 1]; one pass."""
        return self.run(Kernels.gradient, point.residual, self.data())

    def mean_curvature(self, point: typing.Any) -> np.ndarray:
        """Means over images of p (1 - p) [k, 1] if binary, or of -p p' [k, k]."""
        total = self.host(self.run(Kernels.curvature_sum, point.curvature))
        return (total if self.binary else -total) / self.n

    def iterations(
        self,
        equation: NewtonEquation,
        precondition: Preconditioner,
        workspace: typing.Any,
    ) -> typing.Any:
        """Conjugate gradients for Newton's equation, from a step of 0."""
        del workspace
        return DeviceIterations(self, equation, precondition)

    def plane_derivatives(
        self, point: typing.Any, moves: list[Step], l2: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Slope [m, s] and curvature [m, s, s] of the objective along the s moves."""
        size, (penalty,) = len(moves), self.put(self.penalty(l2))
        start = point.b, point.residual, point.curvature
        steps = tuple(map(tuple, moves))
        columns = self.host(self.run(Kernels.plane, start, penalty, steps, self.labels))
        curvature = np.zeros((self.problems, size, size))
        rows, others = np.tril_indices(size)
        curvature[:, rows, others] = columns[:, size:]
        curvature[:, others, rows] = columns[:, size:]
        return columns[:, :size], curvature

    def combined(self, c: np.ndarray, moves: list[Step]) -> Step:
        """The step that is the sum of the moves times their coefficients c [m, s]."""
        steps = tuple(map(tuple, moves))
        return Step(*self.kernels.combined(tf.constant(c, tf.float64), steps))

    def difference(self, point: typing.Any, other: typing.Any) -> Step:
        """The step that leads from the other point to this one."""
        pairs = (point.b, point.scores), (other.b, other.scores)
        return Step(*self.kernels.difference(*pairs))

    def step(self, b: np.ndarray) -> Step:
        """The step b [k, r + 1] with its scores; half a pass."""
        (there,) = self.put(b)
        scores = tuple(self.kernels.scores(there, z) for z, _ in self.data())
        return Step(there, scores)  # type: ignore[arg-type]

    def hessian(self, point: typing.Any) -> np.ndarray:
        """As Problem.hessian: formed on the device, returned to the host."""
        size, total = self.unknowns, 0.0
        for (z, y), curvature in zip(self.data(), point.curvature, strict=True):
            rows = rotation.blocks(len(z), size, self.limits.block_size)
            for part in rows:
                total = total + self.kernels.hessian(
                    z[part], y[:, part], curvature[:, part]
                )
        out = self.host(total).reshape(self.problems, size, size).copy()
        if not self.binary:
            out[0, :: self.width, :: self.width] += self.n
        return out


class DeviceIterations:
    """As Iterations, with the vectors on the device."""

    workspace = None

    def __init__(
        self,
        problem: DeviceProblem,
        equation: NewtonEquation,
        precondition: Preconditioner,
    ) -> None:
        self.problem = problem
        point: typing.Any = equation.point
        (penalty,) = problem.put(equation.penalty)
        self.equation = point.curvature, penalty, precondition
        self.vectors = problem.kernels.start(
            equation.gradient, precondition, point.scores
        )

    @property
    def step(self) -> Step:
        """So far."""
        return Step(self.vectors.b, self.vectors.scores)

    def advance(self, live: np.ndarray) -> Advance:
        """One iteration, a pass, of the problems [m, 1] that are live."""
        self.vectors, scalars = self.problem.run(
            Kernels.advance,
            self.vectors,
            self.problem.per_problem(live),
            self.equation,
            self.problem.data(),
        )
        return Advance(*np.split(self.problem.host(scalars), 4, axis=1))


def prepared(
    y: np.ndarray,
    classes: int,
    limits: Limits,
    rotated: rotation.Rotated,
    backend: TensorFlow,
) -> DeviceProblem:
    """The problem of rotated features, with labels y as Problem has them."""
    width = len(rotated.squares)
    # Zeros that make rows a multiple of what GPUs read at once; they change nothing.
    extra = -width % WIDTH if rotated.basis.dtype == np.float32 else 0
    basis = np.pad(rotated.basis, ((0, 0), (0, extra)))
    with backend.computing(by_blas=False):
        blocks = _joined(rotated.blocks, extra, limits.device_block_size)
        ends = np.cumsum([len(z) for z in blocks]).tolist()
        rows = [slice(end - len(z), end) for z, end in zip(blocks, ends, strict=True)]
        dtype = basis.dtype
        return DeviceProblem(
            y=y,
            classes=classes,
            rows=rows,
            blocks=blocks,
            squares=np.pad(rotated.squares, (0, extra)),
            mean=rotated.mean,
            rotate_back=backend.product_with(basis, transposed=True),
            dtype=dtype,
            backend=backend,
            limits=limits,
            labels=tuple(_labels(y[..., part], classes, dtype) for part in rows),
            kernels=kernels(backend.device, y.ndim == 2, backend.jit_compile),
            one=tf.ones((classes if y.ndim == 2 else 1, 1), tf.float64),
        )


def _labels(y, classes, dtype):
    """y [k, images] of 1, 0 and -1, or booleans that mark each image's class."""
    if y.ndim == 2:
        return tf.constant(y, dtype)
    numbers = tf.constant(y, tf.float32)  # GPUs compare no 32-bit integers.
    return tf.equal(numbers, tf.range(classes, dtype=tf.float32)[:, None])


def _joined(blocks: list, extra: int, size: int) -> list:
    """Blocks on the device joined to blocks of up to so many numbers, and widened."""

    def widened(parts):
        if isinstance(parts[0], np.ndarray):
            return np.pad(parts[0], ((0, 0), (0, extra)))
        return tf.pad(tf.concat(parts, axis=0), [[0, 0], [0, extra]])

    def joined() -> Iterator[typing.Any]:
        parts: list[typing.Any] = []
        length = 0
        while blocks:
            block = blocks.pop(0)
            there = tf.is_tensor(block)
            full = (length + len(block)) * (block.shape[1] + extra) > size
            if parts and (full or not there):
                yield widened(parts)
                parts, length = [], 0
            parts.append(block)
            length += len(block)
            if not there:
                yield widened(parts)
                parts, length = [], 0
        if parts:
            yield widened(parts)

    return list(joined())
