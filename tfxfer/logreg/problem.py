"""The problem in rotated coordinates: data that stay, and points evaluated there.

docs/logistic_regression.md, "Coordinates" and "Memory".
"""

import dataclasses
import typing
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tfxfer.logreg import backends, objective, rotation
from tfxfer.logreg.iterations import Iterations, Preconditioner
from tfxfer.logreg.limits import Limits
from tfxfer.logreg.point import Point, Step

if typing.TYPE_CHECKING:
    from tfxfer.logreg.state import NewtonEquation

# Arrays [k, n] that the solver needs at a time, beside the features.
WORK_ARRAYS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Features and labels in the coordinates b [k, r + 1], bias first.

    Softmax is m = 1 problem; one-vs-rest is m = k binary problems, solved side by side
    with step sizes of their own. Scalars of the problems are [m, 1].
    """

    y: np.ndarray  # [n] classes, or [k, n] of 1, 0 and -1; int32.
    classes: int
    rows: list[slice]  # The images of every block.
    blocks: list[typing.Any]  # Of features, as the backend has them.
    squares: np.ndarray  # Sums over images of squared features [r + 1], float64.
    mean: np.ndarray  # Of the features as given [d].
    rotate_back: Callable[[np.ndarray], np.ndarray]  # [k, r] -> [k, d].
    dtype: np.dtype  # Of features, scores and their derivatives.
    backend: typing.Any  # A backends.Backend.
    limits: Limits

    @property
    def n(self) -> int:
        """Images."""
        return self.y.shape[-1]

    @property
    def width(self) -> int:
        """Features and the bias, r + 1."""
        return len(self.squares)

    @property
    def binary(self) -> bool:
        """Whether each class is a problem of its own."""
        return self.y.ndim == 2

    @property
    def problems(self) -> int:
        """Problems m."""
        return self.classes if self.binary else 1

    @property
    def unknowns(self) -> int:
        """Of one problem."""
        return self.classes // self.problems * self.width

    def dot(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Inner products [m, 1] of arrays [k, :], summed in float64."""
        axes = 1 if self.binary else (0, 1)
        return (a * b).sum(axis=axes, keepdims=True, dtype=np.float64)

    def squared_norm(self, r: typing.Any, precondition: Preconditioner) -> np.ndarray:
        """r [k, r + 1] x near inverse of the Hessian x r [m, 1]."""
        return self.dot(r, precondition(r))

    def penalty(self, l2: float) -> np.ndarray:
        """l2 of every coordinate [r + 1]: 0 of the bias."""
        return np.append(0, np.full(self.width - 1, float(l2)))

    def objective(self, point: Point, l2: float) -> np.ndarray:
        """Cross-entropy plus penalty [m, 1]."""
        return point.loss + self.dot(self.penalty(l2) * point.b, point.b) / 2

    def scores(self, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields slices of images and the scores [k, images] of weights b."""
        low = np.ascontiguousarray(b, self.dtype)
        for rows, block in zip(self.rows, self.blocks, strict=True):
            yield rows, block.scores(low)

    def image_sums(self, parts: Iterable[np.ndarray]) -> np.ndarray:
        """Sum over images of [k, images] x features: [k, r + 1] float64.

        With the scores that the parts may come from, this is one pass.
        """
        out = np.zeros((self.classes, self.width))
        for part, block in zip(parts, self.blocks, strict=True):
            out += block.image_sums(part)
        return out

    def evaluate(
        self, b: np.ndarray, recycled: Point | None = None
    ) -> tuple[Point, np.ndarray]:
        """The point b and the cross-entropy's gradient [k, r + 1] there; one pass.

        The memory of the recycled point's residual and curvature becomes the new
        point's.
        """
        shape = self.classes, self.n
        scores, losses = np.empty(shape, self.dtype), []
        if recycled:
            residual, curvature = recycled.residual, recycled.curvature
        else:
            residual, curvature = np.empty_like(scores), np.empty_like(scores)

        def residuals():
            for rows, scores[:, rows] in self.scores(b):
                loss, residual[:, rows], curvature[:, rows] = self._derivatives(
                    scores[:, rows], rows
                )
                losses.append(loss)
                yield residual[:, rows]

        gradient = self.image_sums(residuals())
        return Point(b, scores, sum(losses), residual, curvature), gradient

    def moved(self, point: Point, length: np.ndarray, step: Step) -> Point:
        """The point at point + length x step, whose scores are known: without a pass.

        The memory of the point's residual and curvature becomes the new point's.
        """
        scores = length.astype(step.scores.dtype) * step.scores
        scores += point.scores
        residual, curvature, losses = point.residual, point.curvature, []
        for rows in self.rows:
            loss, residual[:, rows], curvature[:, rows] = self._derivatives(
                scores[:, rows], rows
            )
            losses.append(loss)
        b = point.b + length * step.b
        return Point(b, scores, sum(losses), residual, curvature)

    def _derivatives(self, scores, rows):
        """Loss [m, 1], residual and curvature [k, images] of some images' scores."""
        losses, residual, curvature = objective.cross_entropy(scores, self.y[..., rows])
        loss = np.reshape(losses.sum(axis=-1, dtype=np.float64), (-1, 1))
        return loss, residual, curvature

    def gradient(self, point: Point) -> np.ndarray:
        """Of the cross-entropy [k, r + 1]; one pass."""
        return self.image_sums(point.residual[:, rows] for rows in self.rows)

    def curvature_product(self, point: Point, a: np.ndarray, rows: slice) -> np.ndarray:
        """The Hessian in the scores of some images, times a [k, images]."""
        return objective.curvature_product(
            a, self.y[..., rows], point.curvature[:, rows]
        )

    def mean_curvature(self, point: Point) -> np.ndarray:
        """Means over images of p (1 - p) [k, 1] if binary, or of -p p' [k, k]."""
        curvature = point.curvature
        if self.binary:
            return curvature.sum(axis=1, keepdims=True, dtype=np.float64) / self.n
        return -(curvature @ curvature.T).astype(np.float64) / self.n

    def iterations(
        self,
        equation: 'NewtonEquation',
        precondition: Preconditioner,
        workspace: np.ndarray | None,
    ) -> Iterations:
        """Conjugate gradients for Newton's equation, from a step of 0."""
        return Iterations(self, equation, precondition, workspace)

    def plane_derivatives(
        self, point: Point, moves: list[Step], l2: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Slope [m, s] and curvature [m, s, s] of the objective along the s moves."""
        penalty, size = self.penalty(l2), len(moves)
        slope = np.zeros((self.problems, size))
        curvature = np.zeros((self.problems, size, size))
        for i, move in enumerate(moves):
            slope[:, i] = self.dot(penalty * point.b, move.b)[:, 0]
            for j, other in enumerate(moves[: i + 1]):
                curvature[:, i, j] = self.dot(penalty * move.b, other.b)[:, 0]
        for rows in self.rows:
            scores = [move.scores[:, rows] for move in moves]
            for i, a in enumerate(scores):
                slope[:, i] += self.dot(point.residual[:, rows], a)[:, 0]
                product = self.curvature_product(point, a, rows)
                for j, other_scores in enumerate(scores[: i + 1]):
                    curvature[:, i, j] += self.dot(product, other_scores)[:, 0]
        return slope, curvature + np.tril(curvature, -1).swapaxes(1, 2)

    def combined(self, c: np.ndarray, moves: list[Step]) -> Step:
        """The step that is the sum of the moves times their coefficients c [m, s]."""
        b: typing.Any = 0
        scores: typing.Any = 0
        for i, move in enumerate(moves):
            b = b + c[:, i, None] * move.b
            scores = scores + c[:, i, None].astype(move.scores.dtype) * move.scores
        return Step(b, scores)

    def difference(self, point: Point, other: Point) -> Step:
        """The step that leads from the other point to this one."""
        return Step(point.b - other.b, point.scores - other.scores)

    def step(self, b: np.ndarray) -> Step:
        """The step b [k, r + 1] with its scores; half a pass."""
        return Step(b, np.hstack([block.copy() for _, block in self.scores(b)]))

    def put(self, *arrays: np.ndarray) -> tuple[typing.Any, ...]:
        """The arrays where those of the problem are."""
        return arrays

    def host(self, array: typing.Any) -> np.ndarray:
        """An array of the problem in NumPy."""
        return array

    def hessian(self, point: Point) -> np.ndarray:
        """The cross-entropy's Hessian in full [m, unknowns, unknowns]; one pass.

        Softmax: the sum over images of (diag(p) - p p') x z z', a Kronecker product;
        binary: that of p (1 - p) z z', per class.
        """
        size = self.unknowns
        out = np.zeros((self.problems, size, size))
        for block_rows, block in zip(self.rows, self.blocks, strict=True):
            features, curvature = block.array(), point.curvature[:, block_rows]
            y = self.y[..., block_rows]
            for rows in rotation.blocks(len(features), size, self.limits.block_size):
                z, p = features[rows].astype(float), curvature[:, rows].astype(float)
                if self.binary:
                    _add_binary(out, z, p)
                else:
                    _add_softmax(out[0], z, p, y[rows])
        if not self.binary:
            # The sum of the biases is free; this holds it.
            out[0, :: self.width, :: self.width] += self.n
        return out

    def original(self, b: np.ndarray) -> np.ndarray:
        """w [d + 1, k] float32; the bias makes up for rounding on the mean image."""
        b = self.host(b)
        low = np.ascontiguousarray(b[:, 1:], self.dtype)
        w = self.rotate_back(low).T.astype(np.float32)
        return np.vstack([w, b[:, 0] - self.mean @ w]).astype(np.float32)


def prepare(
    x: np.ndarray,
    y: np.ndarray,
    classes: int,
    limits: Limits | None = None,
    backend: backends.Backend | None = None,
) -> Problem:
    """The problem of features x [n, d] and labels y [n] or [n, classes].

    The backend is that which is available, unless given.
    """
    limits = limits or Limits()
    backend = (backend or backends.available()).for_size(len(x), x.shape[1], classes)
    width = max(x.shape[1], 16 * classes)
    rows = rotation.blocks(len(x), width, limits.block_size)
    with backend.computing(by_blas=True):
        rotated = rotation.rotate(x, rows, backend, limits.float64_size)
    y = np.ascontiguousarray(y.T, np.int32)
    if not isinstance(backend, backends.NumPy):
        from tfxfer.logreg import device_problem

        there: typing.Any = backend  # There is one other kind.
        return device_problem.prepared(y, classes, limits, rotated, there)
    unknowns = len(rotated.squares) * (1 if y.ndim == 2 else classes)
    iterative = unknowns > limits.exact_unknowns  # Else there are few such products.
    single = rotated.basis.dtype == np.float32
    if type(backend) is backends.NumPy and single and iterative:
        packed = x.size // 4 + limits.packed_size - WORK_ARRAYS * classes * len(x)
        backend = backends.OpenVINO(classes, packed)
    return Problem(
        y=y,
        classes=classes,
        rows=rows,
        blocks=[backend.features(block) for block in rotated.blocks],
        squares=rotated.squares,
        mean=rotated.mean,
        rotate_back=backend.product_with(rotated.basis, transposed=True),
        dtype=rotated.basis.dtype,
        backend=backend,
        limits=limits,
    )


def _add_binary(out, z, variances):
    for hessian_of_class, variance in zip(out, variances, strict=True):
        half = z * np.sqrt(variance)[:, None]
        hessian_of_class += half.T @ half


def _add_softmax(out, z, p, y):
    labelled, width = (y, np.arange(len(z))), z.shape[1]
    p[labelled] = 0
    p[labelled] = 1 - p.sum(axis=0)  # To float64, or it is not definite.
    outer = (p.T[:, :, None] * z[:, None]).reshape(len(z), -1)
    out -= outer.T @ outer
    for j in range(len(p)):
        half = z * np.sqrt(p[j])[:, None]
        part = slice(j * width, (j + 1) * width)
        out[part, part] += half.T @ half
