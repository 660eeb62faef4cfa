"""What is computed on a device between two looks at its scalars, in TensorFlow.

The formulas are those of objective.py, problem.py and iterations.py. Images are in
blocks; what belongs to them, such as scores, is a tuple of an array per block. Labels y
of a block are [k, images] booleans that mark each image's class (softmax) or numbers 1,
0 and -1. Scalars of the problems are [m, 1]; those that a function returns for the host
are the columns of one array.
"""

import functools
import typing
from collections.abc import Callable, Iterable

import tensorflow as tf

from tfxfer.logreg.iterations import TINY, Preconditioner

Parts = tuple[tf.Tensor, ...]  # An array per block of images.
Blocks = Iterable[tuple[tf.Tensor, tf.Tensor]]  # Features z [images, r + 1], labels.


class Vectors(typing.NamedTuple):
    """Conjugate gradients: where they are."""

    direction: tf.Tensor  # [k, r + 1] float64, like r, s and b.
    r: tf.Tensor  # Residual of Newton's equation.
    s: tf.Tensor  # Near inverse x r.
    rho: tf.Tensor  # r x s [m, 1].
    beta: tf.Tensor  # [m, 1]
    b: tf.Tensor  # The step so far,
    scores: Parts  # and its scores.


def compiled(function: Callable[..., typing.Any]) -> Callable[..., typing.Any]:
    """A method of Kernels as one graph, traced for numbers of axes, not for sizes.

    What is no tensor among its arguments is part of the graph. Within another graph it
    becomes a part of that.
    """

    @functools.wraps(function)
    def call(kernels, *arguments):
        if tf.inside_function():
            return function(kernels, *arguments)
        return kernels.graph(function, arguments)

    return call


def _kinds(argument):
    """Of its tensors the precision and the number of axes; the rest as it is."""
    if isinstance(argument, tuple | list):
        return tuple(map(_kinds, argument))
    if tf.is_tensor(argument):
        return argument.dtype, argument.shape.rank
    return argument


class Kernels:
    """Functions of tensors.

    Args:
        device: where the tensors are; graphs are for that alone.
        binary: whether each class is a problem of its own.
        jit_compile: whether XLA compiles them.
    """

    def __init__(self, device: str, binary: bool, jit_compile: bool) -> None:
        self.device = device
        self.binary, self.jit_compile = binary, jit_compile
        self.graphs: dict[typing.Any, Callable[..., typing.Any]] = {}

    def graph(
        self, function: Callable[..., typing.Any], arguments: tuple
    ) -> typing.Any:
        """function(self, *arguments) as one graph."""
        key = function, _kinds(arguments)
        if key not in self.graphs:
            self.graphs[key] = self._traced(function, arguments)
        leaves = tf.nest.flatten(arguments)
        return self.graphs[key]([leaf for leaf in leaves if tf.is_tensor(leaf)])

    def _traced(self, function, arguments):
        structure = tf.nest.map_structure(lambda _: None, arguments)
        # Without the tensors, which would live as long as the graph.
        fixed = [
            None if tf.is_tensor(leaf) else leaf for leaf in tf.nest.flatten(arguments)
        ]

        def body(*tensors):
            given = iter(tensors)
            leaves = [next(given) if leaf is None else leaf for leaf in fixed]
            return function(self, *tf.nest.pack_sequence_as(structure, leaves))

        specs = [
            tf.TensorSpec([None] * leaf.shape.rank, leaf.dtype)
            for leaf in tf.nest.flatten(arguments)
            if tf.is_tensor(leaf)
        ]
        graph = tf.function(
            body,
            input_signature=specs,
            autograph=False,
            jit_compile=self.jit_compile or None,
        )
        # Called flat: to bind arguments to a signature takes longer than an iteration.
        with tf.device(self.device):
            return graph.get_concrete_function().inference_fn.call_preflattened

    # Of points.

    def evaluate(self, b: tf.Tensor, blocks: Blocks) -> tuple:
        """Parts of scores, residual and curvature at b; gradient; loss and squares."""
        loss, gradient, parts = 0.0, 0.0, []
        for z, y in blocks:
            *part, part_loss, part_gradient = self.evaluate_block(b, z, y)
            parts.append(part)
            loss, gradient = loss + part_loss, gradient + part_gradient
        return *zip(*parts, strict=True), gradient, self.loss_and_squares(loss, b)

    @compiled
    def evaluate_block(self, b: tf.Tensor, z: tf.Tensor, y: tf.Tensor) -> tuple:
        """Scores, residual and curvature [k, images], loss and gradient at b."""
        scores = _scores(b, z)
        loss, residual, curvature = cross_entropy(scores, y)
        return scores, residual, curvature, loss, _image_sums(residual, z)

    @compiled
    def loss_and_squares(self, loss: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """The loss [m, 1] and the sum of squared weights, bias left out."""
        return tf.concat([loss, self.dot(b[:, 1:], b[:, 1:])], axis=1)

    def move(
        self,
        start: tuple[tf.Tensor, Parts],
        length: tf.Tensor,
        step: tuple[tf.Tensor, Parts],
        labels: Parts,
    ) -> tuple:
        """As evaluate without the gradient, at start + length x step; b comes first.

        Both are b and its scores.
        """
        loss, parts = 0.0, []
        for scores, along, y in zip(start[1], step[1], labels, strict=True):
            *part, part_loss = self.move_block(scores, length, along, y)
            parts.append(part)
            loss = loss + part_loss
        b = start[0] + length * step[0]
        return b, *zip(*parts, strict=True), self.loss_and_squares(loss, b)

    @compiled
    def move_block(
        self, scores: tf.Tensor, length: tf.Tensor, step: tf.Tensor, y: tf.Tensor
    ) -> tuple:
        """Scores, residual and curvature [k, images] and loss."""
        scores = scores + tf.cast(length, scores.dtype) * step
        loss, residual, curvature = cross_entropy(scores, y)
        return scores, residual, curvature, loss

    def gradient(self, residual: Parts, blocks: Blocks) -> tf.Tensor:
        """Of the cross-entropy [k, r + 1]."""
        parts = zip(residual, blocks, strict=True)
        return sum(self.image_sums(part, z) for part, (z, _) in parts)

    @compiled
    def image_sums(self, a: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Sums over images of a [k, images] x features [k, r + 1], float64."""
        return _image_sums(a, z)

    @compiled
    def scores(self, b: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Of weights b [k, images]."""
        return _scores(b, z)

    def curvature_sum(self, curvature: Parts) -> tf.Tensor:
        """Sum over images of p (1 - p) [k, 1] if binary, of p p' [k, k] if not."""
        return sum(self.curvature_sum_of_block(part) for part in curvature)

    @compiled
    def curvature_sum_of_block(self, curvature: tf.Tensor) -> tf.Tensor:
        """Of some images, in float64."""
        if self.binary:
            return tf.reduce_sum(tf.cast(curvature, tf.float64), axis=1, keepdims=True)
        product = tf.linalg.matmul(curvature, curvature, transpose_b=True)
        return tf.cast(product, tf.float64)

    # Of conjugate gradients.

    @compiled
    def start(
        self, gradient: tf.Tensor, precondition: Preconditioner, like: Parts
    ) -> Vectors:
        """The vectors at a step of 0; `like` has the shapes of its scores."""
        r = -gradient
        s = precondition(r)
        zero, rho = tf.zeros_like(r), self.dot(r, s)
        scores = tuple(tf.zeros_like(part) for part in like)
        return Vectors(zero, r, s, rho, tf.zeros_like(rho), zero, scores)

    def advance(
        self,
        vectors: Vectors,
        live: tf.Tensor,
        equation: tuple[Parts, tf.Tensor, Preconditioner],
        blocks: Blocks,
    ) -> tuple[Vectors, tf.Tensor]:
        """One iteration; alpha, beta, gain and rho.

        The equation is the curvature, the penalty [r + 1] and the preconditioner.
        """
        curvature, penalty, precondition = equation
        direction = self.direction(vectors, live)
        product, scores = 0.0, []
        for (z, y), part in zip(blocks, curvature, strict=True):
            part_product, part_scores = self.product_of_block(direction, z, y, part)
            product = product + part_product
            scores.append(part_scores)
        vectors, scalars = self.updated(
            vectors, direction, product, live, (penalty, precondition)
        )
        added = [
            self.added(old, scalars, new)
            for old, new in zip(vectors.scores, scores, strict=True)
        ]
        return vectors._replace(scores=tuple(added)), scalars

    @compiled
    def direction(self, vectors: Vectors, live: tf.Tensor) -> tf.Tensor:
        """The next direction of the problems that are live."""
        return live * (vectors.s + vectors.beta * vectors.direction)

    @compiled
    def product_of_block(
        self, b: tf.Tensor, z: tf.Tensor, y: tf.Tensor, curvature: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Hessian of some images' cross-entropy x b, and the scores of b."""
        scores = _scores(b, z)
        return _image_sums(curvature_product(scores, y, curvature), z), scores

    @compiled
    def updated(
        self,
        vectors: Vectors,
        direction: tf.Tensor,
        product: tf.Tensor,
        live: tf.Tensor,
        equation: tuple[tf.Tensor, Preconditioner],
    ) -> tuple[Vectors, tf.Tensor]:
        """After a pass that gave the direction's product; scores are as they were."""
        penalty, precondition = equation
        product = product + penalty * direction
        alpha = live * vectors.rho / tf.maximum(self.dot(direction, product), TINY)
        r = vectors.r - alpha * product
        s = precondition(r)
        rho = self.dot(r, s)
        beta = rho / tf.maximum(vectors.rho, TINY)
        b = vectors.b + alpha * direction
        scalars = tf.concat([alpha, beta, alpha * vectors.rho, rho], axis=1)
        return Vectors(direction, r, s, rho, beta, b, vectors.scores), scalars

    @compiled
    def added(self, scores: tf.Tensor, scalars: tf.Tensor, a: tf.Tensor) -> tf.Tensor:
        """Scores [k, images] + alpha x those of the direction, a."""
        return scores + tf.cast(scalars[:, :1], a.dtype) * a

    # Of the plane.

    def plane(
        self,
        point: tuple[tf.Tensor, Parts, Parts],
        penalty: tf.Tensor,
        moves: tuple[tuple[tf.Tensor, Parts], ...],
        labels: Parts,
    ) -> tf.Tensor:
        """Slopes along the moves, then the lower triangle of the curvature, row by row.

        The point is b, residual and curvature; a move is its b and its scores.
        """
        b, residual, curvature = point
        total = self.plane_of_penalty(b, penalty, tuple(move[0] for move in moves))
        scores = zip(*(move[1] for move in moves), strict=True)
        for part in zip(residual, curvature, labels, scores, strict=True):
            total = total + self.plane_of_block(*part)
        return total

    @compiled
    def plane_of_penalty(
        self, b: tf.Tensor, penalty: tf.Tensor, moves: Parts
    ) -> tf.Tensor:
        """The penalty's part."""
        columns = [self.dot(penalty * b, move) for move in moves]
        for i, move in enumerate(moves):
            columns += [self.dot(penalty * move, other) for other in moves[: i + 1]]
        return tf.concat(columns, axis=1)

    @compiled
    def plane_of_block(
        self, residual: tf.Tensor, curvature: tf.Tensor, y: tf.Tensor, moves: Parts
    ) -> tf.Tensor:
        """The cross-entropy's part, of some images."""
        columns = [self.dot(residual, move) for move in moves]
        for i, move in enumerate(moves):
            product = curvature_product(move, y, curvature)
            columns += [self.dot(product, other) for other in moves[: i + 1]]
        return tf.concat(columns, axis=1)

    @compiled
    def combined(
        self, c: tf.Tensor, moves: tuple[tuple[tf.Tensor, Parts], ...]
    ) -> tuple[tf.Tensor, Parts]:
        """Sum of the moves x their coefficients c [m, s]: b and its scores."""

        def total(arrays):
            terms = zip(tf.unstack(c[..., None], len(moves), 1), arrays, strict=True)
            return sum(tf.cast(factor, array.dtype) * array for factor, array in terms)

        scores = zip(*(move[1] for move in moves), strict=True)
        return total([move[0] for move in moves]), tuple(map(total, scores))

    @compiled
    def difference(self, a: tuple, b: tuple) -> tuple:
        """a - b, array by array."""
        return tf.nest.map_structure(tf.subtract, a, b)

    # Of the full Hessian.

    @compiled
    def hessian(self, z: tf.Tensor, y: tf.Tensor, p: tf.Tensor) -> tf.Tensor:
        """As Problem.hessian, of some images: [k, r + 1, k, r + 1] if not binary."""
        z, p = tf.cast(z, tf.float64), tf.cast(p, tf.float64)
        if not self.binary:
            p = tf.where(y, tf.zeros_like(p), p)
            p = tf.where(y, 1 - tf.reduce_sum(p, axis=0), p)
        half = z * tf.sqrt(p)[:, :, None]  # [k, images, r + 1]
        own = tf.linalg.matmul(half, half, transpose_a=True)
        if self.binary:
            return own
        k, width = tf.shape(p)[0], tf.shape(z)[1]
        outer = tf.transpose(p)[:, :, None] * z[:, None]
        outer = tf.reshape(outer, [-1, k * width])
        product = tf.linalg.matmul(outer, outer, transpose_a=True)
        eye = tf.eye(k, dtype=tf.float64)[:, None, :, None]
        return eye * own[:, :, None] - tf.reshape(product, [k, width, k, width])

    @compiled
    def squared_norm(self, r: tf.Tensor, precondition: Preconditioner) -> tf.Tensor:
        """r x near inverse x r [m, 1]."""
        return self.dot(r, precondition(r))

    def dot(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Inner products [m, 1] of arrays [k, :], summed in float64."""
        axes = [1] if self.binary else [0, 1]
        return tf.reduce_sum(tf.cast(a * b, tf.float64), axis=axes, keepdims=True)


def _scores(b, z):
    return tf.linalg.matmul(tf.cast(b, z.dtype), z, transpose_b=True)


def _image_sums(a, z):
    return tf.cast(tf.linalg.matmul(a, z), tf.float64)


def cross_entropy(scores: tf.Tensor, y: tf.Tensor) -> tuple:
    """Loss [m, 1] float64, residual and curvature [k, images]; as in objective.py."""
    if y.dtype == tf.bool:
        losses, residual, curvature = _softmax(scores, y)
        axes = [0, 1]
    else:
        losses, residual, curvature = _binary(scores, y)
        axes = [1]
    loss = tf.reduce_sum(tf.cast(losses, tf.float64), axis=axes, keepdims=True)
    return loss, residual, curvature


def _binary(scores, y):
    counts = tf.cast(y >= 0, scores.dtype)
    sign = tf.cast(y > 0, scores.dtype) * 2 - 1
    margin = sign * scores
    tail = tf.exp(-tf.abs(margin))
    losses = (tf.nn.relu(-margin) + tf.math.log1p(tail)) * counts
    wrong = tf.where(margin > 0, tail, tf.ones_like(tail)) / (1 + tail) * counts
    return losses, -sign * wrong, tail / (1 + tail) ** 2 * counts


def _softmax(scores, y):
    zero = tf.zeros_like(scores)
    own = tf.reduce_sum(tf.where(y, scores, zero), axis=0, keepdims=True)
    margin = scores - own
    top = tf.reduce_max(margin, axis=0, keepdims=True)
    p = tf.where(y, zero, tf.exp(margin - top))
    others, label = tf.reduce_sum(p, axis=0, keepdims=True), tf.exp(-top)
    losses = top + tf.math.log1p(others + tf.math.expm1(-top))
    total = others + label
    p /= total
    return losses, tf.where(y, -others / total, p), tf.where(y, label / total, p)


def curvature_product(a: tf.Tensor, y: tf.Tensor, curvature: tf.Tensor) -> tf.Tensor:
    """The Hessian of the losses in the scores, times a [k, images]."""
    if y.dtype != tf.bool:
        return a * curvature
    a -= tf.reduce_sum(tf.where(y, a, tf.zeros_like(a)), axis=0)
    a -= tf.reduce_sum(curvature * a, axis=0)
    return a * curvature
