"""L2-regularised logistic regression, solved at every l2 of a path.

The objective is the SUM over images of the cross-entropy plus l2/2 |w|^2 with a free
bias, so l2 is 1/C of scikit-learn. Labels y [n] are classes (softmax). Labels
y [n, classes] are 1 present, 0 absent, -1 difficult; then each class is a binary
problem of its own, without the images that are difficult for it.

The method is Newton's. Features are centred and rotated once to the eigenvectors of
their second moment; there the Hessian is near a Kronecker product, (mean curvature in
the scores [k, k]) x (eigenvalues) + l2, and preconditioned conjugate gradients find the
step in few passes over the images. The scores of every direction stay, so that line
searches, and the start of each l2 in the plane through the last three solutions, cost
no pass. Between l2s far apart others are solved: near starts save more passes than that
costs. Small or stubborn problems form the Hessian. Products are in float32, sums over
images in float64. The products with the features are OpenVINO's, for which as many of
them as memory allows are laid out once; where the process has TensorFlow and that sees
a GPU, they are done there.
"""

import contextlib
import functools
import math
import sys
import typing

import numpy as np
import scipy.linalg
import threadpoolctl
from absl import logging

from tfxfer import openvino_runtime

# Solved means f - f* <= RTOL f* + ATOL n ln(k). Of k binary problems each must reach
# RTOL and its k-th of the rest. ATOL is what ends the weakest l2s of separable data,
# where f* is all but 0.
RTOL, ATOL = 1e-4, 1e-7
_PASSES = 2000  # Over the images, before an l2 is given up.
_BLOCK = 2**23  # Numbers in a block of features.
# Features kept thrice, so that all stays below 2.5 times the features plus 500 MiB: a
# quarter of them, and this many less what the work takes.
_SPARE, _WORK = 2**25, 8
_DOUBLE = 2**20  # Up to this size the features are kept in float64.
_SMALL = 2**8  # Up to this many unknowns the Hessian is formed and solved exactly,
_DENSE = 2**24  # and up to this size of it where conjugate gradients are slow.
_TINY = 1e-300  # Keeps 0 / 0 at 0 where a problem is solved exactly.
_ENOUGH = 0.7  # Of the tolerance; the rest is for the estimates' errors.
_STRIDE = 1.8  # At most from one l2 to the next: others are put between.


def predict(w, x):
    """Scores [n, k] of features x [n, d] under w [d + 1, k], its last row the bias."""
    return x @ w[:-1] + w[-1]


def loss_and_grad(w, x, y, l2):
    """Cross-entropy summed over images, plus l2/2 |w|^2, and its gradient, in float64.

    w [d + 1, k], its last row the unpenalised bias; x [n, d]; y [n] ints, or [n, k]
    of 1 present, 0 absent, -1 left out.
    """
    w, x = np.asarray(w, np.float64), np.asarray(x, np.float64)
    losses, residual, _ = _cross_entropy(predict(w, x).T, np.asarray(y).T)
    grad = np.vstack([x.T @ residual.T + l2 * w[:-1], residual.sum(axis=1)])
    return losses.sum() + l2 / 2 * (w[:-1] ** 2).sum(), grad


def path(x, y, classes, l2s, trace=None):
    """Solves every distinct l2, strongest first, each started from those before it.

    Args:
        x: features [n, d]; may be a memory map.
        y: labels [n] in [0, classes), or [n, classes] of 1, 0 and -1 (left out).
        classes: how many, k.
        l2s: penalties in any order.
        trace: a list that gets a dict for every l2: l2, objective, iterations (passes
            over the images), gap (estimate of objective - f*, meant to be above it)
            and solved. An l2 that is not solved is also logged as a warning.

    Returns:
        An iterator over (l2, w); w is [d + 1, k] float32, its last row the bias.

    Raises:
        ValueError: at once, if x, y or l2s allow no solution; says what would.
    """
    x, y, l2s = np.asanyarray(x), np.asarray(y), list(l2s)
    _check(x, y, classes, l2s)
    return _path(x, y, classes, sorted(set(l2s), reverse=True), trace)


def fit(x, y, classes, l2, trace=None):
    """w [d + 1, k] float32 at one l2, from zero; arguments and errors as in path."""
    ((_, w),) = path(x, y, classes, [l2], trace)
    return w


def _path(x, y, classes, l2s, trace):
    problem = _Problem(x, y, classes)
    last = max(len(x), l2s[0])
    for l2 in l2s:
        problem.passes = 0
        for between in _between(last, l2):
            if problem.passes < _PASSES:
                problem.solve(between)
        last = l2
        at, gap, goal = problem.solve(l2)
        solved = bool((gap <= goal).all())
        if not solved:
            logging.warning(
                'l2 %g is not solved: after %d passes over the images the objective is '
                'at most about %.2g above its minimum, and %.2g was wanted. Features '
                'of very different scales are the usual reason: standardise them.',
                *(l2, problem.passes, gap.sum(), goal.sum()),
            )
        if trace is not None:
            entry = {
                'l2': l2,
                'objective': float(problem.objective(at, l2).sum()),
                'iterations': problem.passes,
                'gap': float(gap.sum()),
                'solved': solved,
            }
            trace.append(entry)
        yield l2, problem.original(at.b)


def _between(above, l2):
    """l2s that lead from one to a weaker one; Newton's method wants a near start."""
    steps = math.ceil(math.log(above / l2, _STRIDE))
    return [above * (l2 / above) ** (i / steps) for i in range(1, steps)]


class _Features(typing.NamedTuple):
    """A block of rotated features z [images, r + 1], as what they are used for."""

    scores: typing.Callable  # Weights [k, r + 1] -> their scores [k, images].
    back: typing.Callable  # [k, images] -> their sums over images [k, r + 1].
    array: typing.Callable  # () -> z in NumPy.


class _Host:
    """Where the large products are done: here, in NumPy."""

    alone = staticmethod(contextlib.nullcontext)
    put = staticmethod(np.asarray)

    @staticmethod
    def product(a, b, transpose_a=False):
        return (a.T if transpose_a else a) @ b

    def times(self, z, flip):
        """A function: a [k, :] -> a @ z, or a @ z.T to flip."""
        return lambda a: a @ (z.T if flip else z)

    def features(self, z):
        return _Features(self.times(z, True), self.times(z, False), lambda: z)


class _Compiled(_Host):
    """Where the large products are done: here, those of k rows in OpenVINO.

    At every product BLAS brings the features into the order that it computes in, which
    for few rows takes as long as the product. Here they are kept in that order besides,
    once for the scores and once for the way back, as far as memory allows.

    Args:
        k: rows.
        spare: how many of the features may be.
    """

    def __init__(self, k, spare):
        self.k, self.spare = k, spare
        self.blas = threadpoolctl.ThreadpoolController()
        self.of_shape = functools.cache(functools.partial(_compiled, k))

    def alone(self):
        """A context in which BLAS has one thread.

        After a product its threads go on looking for work, and so take a core.
        """
        return self.blas.limit(limits=1, user_api='blas')

    def times(self, z, flip):
        """What it returns is overwritten when a z of that shape is next used."""
        if self.spare >= 0:
            return _compiled(self.k, z.shape, flip, z)
        product = self.of_shape(z.shape, flip)
        return lambda a: product(a, z)

    def features(self, z):
        self.spare -= z.size
        return super().features(z)


def _compiled(k, shape, flip, z=None):
    """The function of times for z; without one, a function of a and a z of this shape.

    OpenVINO keeps z, if it is given here, and a copy in an order of its own.
    """
    openvino = openvino_runtime.library()
    node = openvino.opset13
    inputs = [node.parameter([k, shape[flip]], np.float32)]
    if z is None:
        inputs.append(node.parameter(shape, np.float32))
    factor = inputs[1] if z is None else node.constant(z, shared_memory=True)
    graph = openvino.Model([node.matmul(inputs[0], factor, False, flip)], inputs)
    request = openvino_runtime.compiled(
        graph, 'LATENCY', 'float32'
    ).create_infer_request()
    found = request.get_output_tensor(0).data

    def times(*factors):
        factors = [np.ascontiguousarray(factor) for factor in factors]
        request.infer(factors, share_inputs=True, share_outputs=True)
        return found

    return times


class _Device:
    """Where the large products are done: on a device of TensorFlow's, as '/GPU:0'."""

    alone = staticmethod(contextlib.nullcontext)

    def __init__(self, tensorflow, name):
        self.tf, self.name = tensorflow, name

    def put(self, array):
        with self.tf.device(self.name):
            return self.tf.constant(array)

    def product(self, a, b, **transposed):
        # TensorFloat-32, which a GPU may take for float32, has three digits.
        config = self.tf.config.experimental
        rounded = config.tensor_float_32_execution_enabled()
        config.enable_tensor_float_32_execution(False)
        try:
            with self.tf.device(self.name):
                return self.tf.linalg.matmul(a, b, **transposed).numpy()
        finally:
            config.enable_tensor_float_32_execution(rounded)

    def times(self, z, flip):
        return lambda a: self.product(a, z, transpose_b=flip)

    def features(self, z):
        z = self.put(z)
        return _Features(self.times(z, True), self.times(z, False), z.numpy)


def _place():
    """A GPU, if this process has TensorFlow and that sees one; never imports it."""
    tensorflow = sys.modules.get('tensorflow')
    if tensorflow and tensorflow.config.list_physical_devices('GPU'):
        return _Device(tensorflow, '/GPU:0')
    return _Host()


class _Point(typing.NamedTuple):
    """Where the cross-entropy was evaluated, and what came out."""

    b: np.ndarray  # [k, r + 1] float64.
    scores: np.ndarray  # [k, n] in the features' precision.
    loss: np.ndarray  # [m, 1] float64.


class _Problem:
    """Objective and Newton steps in the rotated coordinates b [k, r + 1], bias first.

    Softmax is m = 1 problem; one-vs-rest is m = k problems, solved side by side with
    step sizes of their own. Scalars of the problems are [m, 1].
    """

    def __init__(self, x, y, classes):
        self.place, self.rows = _place(), _blocks(len(x), max(x.shape[1], 16 * classes))
        z, self.second, self.mean, basis = _rotate(x, self.rows, self.place)
        self.dtype = basis.dtype
        self.y, self.classes = np.ascontiguousarray(y.T, np.int32), classes
        self.n, self.width = len(x), len(self.second)
        self.binary = y.ndim == 2
        self.problems = classes if self.binary else 1
        self.unknowns = classes // self.problems * self.width
        self.exact = self.unknowns <= _SMALL
        # Of the last point evaluated: d loss / d score, and for the Hessian the
        # probabilities, or p (1 - p) if binary.
        self.residual = np.empty((classes, self.n), self.dtype)
        self.p = np.empty_like(self.residual)
        here = isinstance(self.place, _Host) and self.dtype == np.float32
        if here and not self.exact:  # Else there are few such products.
            spare = x.size // 4 + _SPARE - _WORK * classes * self.n
            self.place = _Compiled(classes, spare)
        self.z = [self.place.features(block) for block in z]
        self.turn_back = self.place.times(self.place.put(basis), True)
        self.smallest = None  # Eigenvalue [m, 1] of near inverse x Hessian, about.
        self.at = None  # The last solution,
        self.moves = []  # and the steps [k, r + 1] to the last ones, with their scores.
        self.passes = 0

    def dot(self, a, b):
        axes = 1 if self.binary else (0, 1)
        return (a * b).sum(axis=axes, keepdims=True, dtype=np.float64)

    def penalty(self, l2):
        return np.append(0, np.full(self.width - 1, float(l2)))

    def objective(self, at, l2):
        return at.loss + self.dot(self.penalty(l2) * at.b, at.b) / 2

    def start(self):
        """The solution for an infinite l2: no weights, the classes' log odds."""
        b = np.zeros((self.classes, self.width))
        if self.binary:
            present, absent = (self.y == 1).sum(axis=1), (self.y == 0).sum(axis=1)
            b[:, 0] = np.log(present / absent)
        else:
            b[:, 0] = np.log(np.bincount(self.y, minlength=self.classes))
            b[:, 0] -= b[:, 0].mean()
        return b

    def original(self, b):
        """w [d + 1, k] float32; the bias makes up for rounding on the mean image."""
        low = np.ascontiguousarray(b[:, 1:], self.dtype)
        w = self.turn_back(low).T.astype(np.float32)
        return np.vstack([w, b[:, 0] - self.mean @ w]).astype(np.float32)

    def scores(self, b):
        """Yields slices of images and the scores [k, images] of weights b."""
        low = np.ascontiguousarray(b, self.dtype)
        for rows, z in zip(self.rows, self.z, strict=True):
            yield rows, z.scores(low)

    def back(self, parts):
        """Sum over images of [k, images] x features: [k, r + 1] float64."""
        self.passes += 1
        out = np.zeros((self.classes, self.width))
        for part, z in zip(parts, self.z, strict=True):
            out += z.back(part)
        return out

    def gradient(self):
        """Of the cross-entropy [k, r + 1], where last evaluated."""
        return self.back(self.residual[:, rows] for rows in self.rows)

    def score(self, scores, rows):
        """Keeps the derivatives of the losses; returns their sum [m, 1]."""
        losses, self.residual[:, rows], self.p[:, rows] = _cross_entropy(
            scores, self.y[..., rows]
        )
        return np.reshape(losses.sum(axis=-1, dtype=np.float64), (-1, 1))

    def evaluate(self, b):
        """The point b and the cross-entropy's gradient [k, r + 1] there."""
        scores, losses = np.empty_like(self.p), []

        def parts():
            for rows, scores[:, rows] in self.scores(b):
                losses.append(self.score(scores[:, rows], rows))
                yield self.residual[:, rows]

        grad = self.back(parts())
        return _Point(b, scores, sum(losses)), grad

    def move(self, at, length, step, scores):
        """The point at + length x step, whose scores are known: without a pass."""
        there = length.astype(scores.dtype) * scores
        there += at.scores
        losses = sum(self.score(there[:, rows], rows) for rows in self.rows)
        return _Point(at.b + length * step, there, losses)

    def curve(self, a, rows):
        """The Hessian in the scores, where last evaluated, times a [k, images]."""
        p = self.p[:, rows]
        if self.binary:
            return a * p
        y = self.y[rows]
        # Scores relative to the own class: where p is nearly 1 there, the difference
        # from the mean score would else be rounding.
        a = a - a[y, np.arange(len(y))]
        a -= (p * a).sum(axis=0)
        a *= p
        return a

    def hessian(self):
        """The cross-entropy's Hessian in full [m, unknowns, unknowns]."""
        self.passes += 1
        out = np.zeros((self.problems, self.unknowns, self.unknowns))
        for block, held in zip(self.rows, self.z, strict=True):
            features, p_block = held.array(), self.p[:, block]
            y = self.y[..., block]
            for rows in _blocks(len(features), self.unknowns):
                z, p = features[rows].astype(float), p_block[:, rows].astype(float)
                if not self.binary:
                    own = y[rows], np.arange(len(z))
                    p[own] = 0
                    p[own] = 1 - p.sum(axis=0)  # To float64, or it is not definite.
                    outer = (p.T[:, :, None] * z[:, None]).reshape(len(z), -1)
                    out[0] -= outer.T @ outer
                for j in range(self.classes):
                    half = z * np.sqrt(p[j])[:, None]
                    i = 0 if self.binary else j * self.width
                    part = slice(i, i + self.width)
                    out[j if self.binary else 0, part, part] += half.T @ half
        if not self.binary:
            # The sum of the biases is free; this holds it.
            out[0, :: self.width, :: self.width] += self.n
        return out

    def ahead(self, l2):
        """The best b for l2 in the plane through the last three solutions."""
        if not self.at:
            return self.start()
        at = self.at
        for _ in range(2 if self.moves else 0):
            slope, bend = self.along(at, l2)
            # The moves may be all but one direction.
            scale = 1 / np.sqrt(np.maximum(np.einsum('mii->mi', bend), _TINY))
            values, u = np.linalg.eigh(bend * scale[:, :, None] * scale[:, None])
            inverse = np.where(values > 1e-6, 1 / np.maximum(values, 1e-6), 0)
            c = np.einsum('mi,mij,mj,mlj,ml->mi', scale, u, inverse, u, -scale * slope)
            value = self.objective(at, l2) + 1e-4 * (c * slope).sum(1, keepdims=True)
            step = scores = 0
            for i, (move, a) in enumerate(self.moves):
                step = step + c[:, i, None] * move
                scores = scores + c[:, i, None].astype(a.dtype) * a
            at, _ = self.search(at, np.ones_like(value), step, scores, value, l2)
        return at.b

    def along(self, at, l2):
        """Slope [m, s] and curvature [m, s, s] of the objective along the s moves."""
        penalty, size = self.penalty(l2), len(self.moves)
        slope = np.zeros((self.problems, size))
        bend = np.zeros((self.problems, size, size))
        for i, (move, _) in enumerate(self.moves):
            slope[:, i] = self.dot(penalty * at.b, move)[:, 0]
            for j, (other, _) in enumerate(self.moves[: i + 1]):
                bend[:, i, j] = self.dot(penalty * move, other)[:, 0]
        for rows in self.rows:
            scores = [a[:, rows] for _, a in self.moves]
            for i, a in enumerate(scores):
                slope[:, i] += self.dot(self.residual[:, rows], a)[:, 0]
                curved = self.curve(a, rows)
                for j, b in enumerate(scores[: i + 1]):
                    bend[:, i, j] += self.dot(curved, b)[:, 0]
        return slope, bend + np.tril(bend, -1).swapaxes(1, 2)

    def search(self, at, length, step, scores, least, l2):
        """The first of lengths, each half the last, to come down to `least`.

        Returns:
            The point at + length x step, and length / the first length [m, 1].
        """
        part = np.ones_like(length)
        while True:
            there = self.move(at, part * length, step, scores)
            short = (self.objective(there, l2) > least) & (part > 0)
            if not short.any():
                return there, part
            part[short] = np.where(part[short] > 1e-6, part[short] / 2, 0)

    def solve(self, l2):
        """Returns the solution, its estimated gap and the gap allowed [m, 1].

        Starts from the solutions before, if any.
        """
        before = self.at
        with contextlib.nullcontext() if self.exact else self.place.alone():
            self.at, gap, goal = self.descend(self.ahead(l2), l2)
        if before:
            move = self.at.b - before.b, self.at.scores - before.scores
            self.moves = [move, *self.moves[:1]]
        return self.at, gap, goal

    def descend(self, b, l2):
        """As solve, from b."""
        absolute = ATOL * self.n * np.log(max(self.classes, 2)) / self.problems
        at, grad = self.evaluate(b)
        while True:
            value = self.objective(at, l2)
            goal = RTOL * value + absolute
            step, scores, gap, left = self.newton_step(at, grad, l2, goal)
            if step is None:
                return at, gap, goal
            # The slack, a twentieth of the goal, is for rounding.
            least = value - 1e-4 * gap + goal / 20
            at, part = self.search(at, np.ones_like(gap), step, scores, least, l2)
            # A quadratic would have fallen by gap - left. What it is off by is far more
            # than what the terms beyond leave: of f = h s^2 / 2 + t s^3 Newton's step
            # leaves only 9/4 (t s^3)^2 / (h s^2 / 2).
            left = left + np.abs(value - self.objective(at, l2) - (gap - left))
            left = np.where(part == 1, np.minimum(left, gap), gap)
            if (left <= _ENOUGH * goal).all() or self.passes >= _PASSES:
                return at, left, goal
            grad = self.gradient()

    def newton_step(self, at, grad, l2, goal):
        """The step, its scores, the gap before it and what the step leaves of it.

        The step [k, r + 1] is None if none is needed. The gap [m, 1] is half the
        squared Newton decrement, gradient x inverse Hessian x gradient: exact for a
        quadratic, and near the solution the objective is one.
        """
        penalty = self.penalty(l2)
        grad = grad + penalty * at.b
        if self.exact:
            return self.exact_step(grad, penalty)
        near_inverse = self.preconditioner(penalty)
        if self.smallest is not None:
            gap = self.dot(grad, near_inverse(grad)) / self.smallest / 2
            if (gap <= _ENOUGH * goal).all():
                return None, None, gap, gap
        return self.gradients_step(grad, near_inverse, penalty, goal)

    def exact_step(self, grad, penalty):
        hessian = self.hessian()
        i = np.arange(self.unknowns)
        hessian[:, i, i] += np.resize(penalty, self.unknowns)
        scale = 1 / np.sqrt(np.maximum(hessian[:, i, i], _TINY))
        hessian *= scale[:, :, None]
        hessian *= scale[:, None]
        hessian[:, i, i] += 1e-13  # Or rounding leaves it indefinite.
        step = np.linalg.solve(
            hessian, scale[..., None] * grad.reshape(*scale.shape, 1)
        )
        step = -(scale * step[..., 0]).reshape(grad.shape)
        scores = np.hstack([block.copy() for _, block in self.scores(step)])
        gap = -self.dot(grad, step) / 2
        return step, scores, gap, np.zeros_like(gap)

    def preconditioner(self, penalty):
        """A function, r -> near inverse of the Hessian x r.

        As if the curvature at an image had nothing to do with its features.
        """
        if self.binary:
            spread = self.p.sum(axis=1, keepdims=True, dtype=np.float64) / self.n
            inverse = 1 / np.maximum(spread * self.second + penalty, _TINY)
            return lambda r: inverse * r
        mean = -(self.p @ self.p.T).astype(np.float64) / self.n
        # Rows sum to 0; so they do where p is all but 0 or 1, too.
        np.fill_diagonal(mean, 0)
        np.fill_diagonal(mean, -mean.sum(axis=1))
        # Softmax leaves a sum over classes undetermined: made the last eigenvector,
        # it is left out.
        values, u = np.linalg.eigh(mean + 2 * np.trace(mean))
        values, u = values[:-1, None], u[:, :-1]
        inverse = 1 / np.maximum(values * self.second + penalty, _TINY)
        return lambda r: u @ (inverse * (u.T @ r))

    def gradients_step(self, grad, near_inverse, penalty, goal):
        """The Newton step by conjugate gradients, to a tenth of the gap or to the goal.

        The squared decrement is what the iterations have won of it and, of the rest, a
        bound by Gauss and Radau. It needs a number below every eigenvalue of near
        inverse x Hessian: a quarter of the smallest Ritz value seen on the path, as
        those come from above.
        """
        step, scores, r = np.zeros_like(grad), np.zeros_like(self.p), -grad
        s = near_inverse(r)
        direction, rho, won = s, self.dot(r, s), 0
        smallest = np.ones_like(goal) if self.smallest is None else self.smallest
        live, left = np.ones(goal.shape, bool), np.inf
        alphas, betas, gamma = [], [], 1 / smallest
        a = self.residual  # Its memory: with the gradient known it has served.

        def parts():
            for rows, a[:, rows] in self.scores(direction):
                yield self.curve(a[:, rows], rows)

        while True:
            product = self.back(parts()) + penalty * direction
            # A problem that is done stands still: going on would only divide rounding
            # by rounding.
            alpha = live * rho / np.maximum(self.dot(direction, product), _TINY)
            step += alpha * direction
            a *= alpha.astype(a.dtype)
            scores += a
            r -= alpha * product
            won = won + alpha * rho
            s = near_inverse(r)
            rho, last = self.dot(r, s), rho
            beta = rho / np.maximum(last, _TINY)
            alphas.append(alpha)
            betas.append(beta)
            enough = np.maximum(won / 10, _ENOUGH * goal)
            gamma = _radau(gamma, smallest, alpha, beta)
            if (live & (gamma * rho <= enough)).any():
                smallest = np.minimum(smallest, _smallest_ritz(alphas, betas) / 4)
                gamma = 1 / smallest
                for pair in zip(alphas, betas, strict=True):
                    gamma = _radau(gamma, smallest, *pair)
            left = np.where(live, gamma * rho, left)
            live &= left > enough
            # The Hessian in full costs about as much as so many passes.
            slow = self.passes > max(100, self.unknowns // 4)
            self.exact = slow and self.problems * self.unknowns**2 <= _DENSE
            if not live.any() or self.exact or self.passes >= _PASSES:
                self.smallest = smallest
                return step, scores, (won + left) / 2, left / 2
            direction = live * (s + beta * direction)


def _radau(gamma, smallest, alpha, beta):
    """The next gamma: gamma x residual x near inverse x residual bounds the error.

    Error squared in the Hessian's norm, that is twice the gap, after this iteration of
    conjugate gradients; gamma starts as 1 / smallest. It is Gauss and Radau's
    quadrature with a node at `smallest`, an upper bound if that is below every
    eigenvalue, by the recurrence of Meurant and Tichy ("On computing quadrature-based
    bounds for the A-norm of the error in conjugate gradients", Numerical Algorithms
    62, 2013).
    """
    more = np.maximum(gamma - alpha, 0)
    return more / np.maximum(smallest * more + beta, _TINY)


def _smallest_ritz(alphas, betas):
    """Smallest eigenvalue [m, 1] of the Lanczos matrices of conjugate gradients."""
    alpha, beta = np.maximum(np.hstack(alphas), _TINY), np.hstack(betas)[:, :-1]
    i = np.arange(alpha.shape[1])
    lanczos = np.zeros((len(alpha), len(i), len(i)))
    lanczos[:, i, i] = 1 / alpha
    lanczos[:, i[1:], i[1:]] += beta / alpha[:, :-1]
    lanczos[:, i[1:], i[:-1]] = np.sqrt(beta) / alpha[:, :-1]
    # Rounding hides what is smaller.
    return np.maximum(np.linalg.eigvalsh(lanczos)[:, :1], 1e-10)


def _cross_entropy(scores, y):
    """Class-major: scores [k, n], y [n] or [k, n].

    Returns:
        Losses [n] or [k, n]; d loss / d score [k, n]; and what the Hessian needs:
        probabilities [k, n], or p (1 - p) if binary. All keep their relative accuracy
        where an image is all but certain.
    """
    if y.ndim == 2:
        kept, sign = y >= 0, np.where(y == 1, 1, -1).astype(scores.dtype)
        margin = sign * scores
        tail = np.exp(-np.abs(margin))
        losses = (np.maximum(-margin, 0) + np.log1p(tail)) * kept
        wrong = np.where(margin > 0, tail, 1) / (1 + tail) * kept
        return losses, -sign * wrong, tail / (1 + tail) ** 2 * kept
    own = y, np.arange(len(y))
    margin = scores - scores[own]
    top = margin.max(axis=0)
    p = np.exp(margin - top)
    p[own] = 0
    others, mine = p.sum(axis=0), np.exp(-top)
    losses = top + np.log1p(others + np.expm1(-top))
    p /= others + mine
    residual = p.copy()
    residual[own] = -others / (others + mine)
    p[own] = mine / (others + mine)
    return losses, residual, p


def _blocks(n, width):
    """Slices of n rows such that an array of so many rows x width stays small."""
    rows = max(_BLOCK // width, 1)
    return [slice(i, min(i + rows, n)) for i in range(0, n, rows)]


def _rotate(x, rows, place):
    """Features in the eigenvectors of their second moment about the mean.

    Returns:
        Blocks of z [n, r + 1], r <= min(n, d): ones, then (x - mean) @ eigenvectors,
        float32 unless small; the sums of their squares [r + 1]; mean [d]; the
        eigenvectors [d, r], without those in which the images differ by rounding.
    """
    n, d = x.shape
    dtype = np.float64 if n * min(n, d) <= _DOUBLE else np.float32
    mean = sum(x[part].sum(axis=0, dtype=np.float64) for part in rows) / n
    mean = mean.astype(dtype)
    if n < d:
        # In float64: the directions of least variance count most at the weakest l2s.
        span, low = scipy.linalg.qr((x - mean).T.astype(np.float64), mode='economic')
        second = low @ low.T
    else:
        second = np.zeros((d, d))
        for part in rows:
            centred = (x[part] - mean).astype(dtype, copy=False)
            second += place.product(centred, centred, transpose_a=True)
        second = second.astype(dtype)
    _, v = scipy.linalg.eigh(second.T, overwrite_a=True, driver='evd')
    v = np.ascontiguousarray(v[:, ::-1])
    turn = place.put(v)
    z, squares = [], 0
    for part in rows:
        block = low.T[part] if n < d else (x[part] - mean).astype(dtype, copy=False)
        block = place.product(block, turn).astype(dtype)
        block = np.hstack([np.ones((len(block), 1), dtype), block])
        squares = squares + (block**2).sum(axis=0, dtype=np.float64)
        z.append(block)
    # The weakest l2s would give weights to rounding.
    kept = squares > 16 * np.finfo(dtype).eps ** 2 * squares[1:].sum()
    kept[0] = True
    if not kept.all():
        v, squares = np.ascontiguousarray(v[:, kept[1:]]), squares[kept]
        for i, block in enumerate(z):
            z[i] = np.ascontiguousarray(block[:, kept])
    v = (span @ v if n < d else v).astype(dtype)
    return z, squares, mean, v


def _check(x, y, classes, l2s):
    """Raises ValueError unless the problem has a solution at every l2."""
    if x.ndim != 2 or not x.size or not np.issubdtype(x.dtype, np.number):
        raise ValueError(
            f'Features are {x.dtype} of shape {x.shape}; numbers [images, features], '
            'at least one of each, were expected.'
        )
    n = len(x)
    if y.shape not in ((n,), (n, classes)):
        raise ValueError(
            f'Labels have shape {y.shape}, features {x.shape}: expected ({n},) class '
            f'numbers or ({n}, {classes}) of 1, 0 and -1.'
        )
    bad = [l2 for l2 in dict.fromkeys(l2s) if not 0 < l2 < np.inf]
    if bad or not l2s:
        raise ValueError(f'At least one l2, positive and finite, is needed; got {bad}.')
    if y.ndim == 2:
        wrong = np.setdiff1d(y, (1, 0, -1))
        meaning = '1 (present), 0 (absent) or -1 (difficult)'
        single = ~((y == 1).any(axis=0) & (y == 0).any(axis=0))
        lack = 'have no positive or no negative image'
    elif not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f'Labels are {y.dtype}; whole numbers were expected.')
    elif classes < 2:
        raise ValueError(f'One label an image needs 2 classes or more, not {classes}.')
    else:
        wrong = np.setdiff1d(y, np.arange(classes))
        meaning = f'0 to {classes - 1} (classes={classes})'
        single = ~np.isin(np.arange(classes), y)
        lack = 'have no image'
    if len(wrong):
        raise ValueError(f'Labels must be {meaning}; found {wrong[:10].tolist()}.')
    if single.any():
        raise ValueError(
            f'Classes {np.flatnonzero(single).tolist()} {lack} in the training data: '
            f'no solution. Is `classes` ({classes}) right? Does the split keep them?'
        )
    finite = [np.isfinite(x[rows]).all(axis=1) for rows in _blocks(*x.shape)]
    broken = np.flatnonzero(~np.concatenate(finite))
    if len(broken):
        raise ValueError(
            f'{len(broken)} of {n} images have features that are NaN or infinite, the '
            f'first at {broken[:10].tolist()}. Extract them again; leave out images '
            'that do not decode.'
        )
