"""L2-regularised logistic regression, solved at every l2 of a path.

The objective is the SUM over images of the cross-entropy plus l2/2 |w|^2 with a free
bias, so l2 is 1/C of scikit-learn. Labels y [n] are classes (softmax). Labels
y [n, classes] are 1 present, 0 absent, -1 difficult; then each class is a binary
problem of its own, without the images that are difficult for it.

The method is Newton's. Features are centred and rotated once to the eigenvectors of
their second moment; there the Hessian is near a diagonal, (mean curvature of the class)
x (eigenvalue) + l2, and preconditioned conjugate gradients find the step in few passes
over the images. Small or stubborn problems form the Hessian. Products are in float32,
sums over images in float64.
"""

import typing

import numpy as np
import scipy.linalg
from absl import logging

# Solved means f - f* <= RTOL f* + ATOL n ln(k). Of k binary problems each must reach
# RTOL and its k-th of the rest. ATOL is what ends the weakest l2s of separable data,
# where f* is all but 0.
RTOL, ATOL = 1e-4, 1e-7
_PASSES = 2000  # Over the images, before an l2 is given up.
_BLOCK = 2**22  # Numbers in a temporary array, some of them float64.
_DOUBLE = 2**20  # Up to this size the features are kept in float64.
_SMALL = 2**8  # Up to this many unknowns the Hessian is formed and solved exactly,
_DENSE = 2**24  # and up to this size of it where conjugate gradients are slow.
_TINY = 1e-300  # Keeps 0 / 0 at 0 where a problem is solved exactly.


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
    entries = []
    # Newton's method wants a start near the solution: come down from a strong l2.
    above = [l2 * 10**i for i in range(1, 20) if l2 * 10**i <= len(x)]
    *_, (_, w) = path(x, y, classes, [l2, *above], entries)
    if trace is not None:
        trace.append(entries[-1])
    return w


def _path(x, y, classes, l2s, trace):
    problem = _Problem(x, y, classes)
    at, done = problem.start(), []
    for l2 in l2s:
        problem.passes = 0
        if len(done) == 2:
            at = _extrapolate(problem, done, l2)
        at, gap, goal = problem.solve(at, l2)
        done = [*done[-1:], (l2, at)]
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


def _extrapolate(problem, done, l2):
    """A start for l2: the solution is nearly linear in log l2."""
    (l2_0, at_0), (l2_1, at_1) = done
    reach = np.log(l2_1 / l2) / np.log(l2_0 / l2_1)
    # Far out the line is of no use.
    ahead = problem.evaluate(at_1.b + min(reach, 4) * (at_1.b - at_0.b))
    worse = problem.objective(ahead, l2) > problem.objective(at_1, l2)
    if worse.any():
        ahead = problem.evaluate(np.where(worse, at_1.b, ahead.b))
    return ahead


class _Point(typing.NamedTuple):
    """Where the cross-entropy was evaluated, and what came out, all float64."""

    b: np.ndarray  # [k, r + 1], bias last.
    loss: np.ndarray  # [m, 1]
    grad: np.ndarray  # [k, r + 1]
    spread: np.ndarray  # [k, 1], the mean of p (1 - p).


class _Problem:
    """Objective and Newton steps in the rotated coordinates b [k, r + 1], bias last.

    Softmax is m = 1 problem; one-vs-rest is m = k problems, solved side by side with
    step sizes of their own. Scalars of the problems are [m, 1].
    """

    def __init__(self, x, y, classes):
        self.z, self.second, self.mean, self.basis = _rotate(x)
        self.y, self.classes = np.ascontiguousarray(y.T, np.int32), classes
        self.binary = y.ndim == 2
        self.problems = classes if self.binary else 1
        self.unknowns = classes // self.problems * (self.z.shape[1] + 1)
        # What `evaluate` leaves for the Hessian: probabilities, or p (1 - p) if binary.
        self.p = np.empty((classes, len(x)), self.z.dtype)
        self.exact = self.unknowns <= _SMALL
        # Estimate from below, and the l2 it is for, of the eigenvalues of near inverse
        # x Hessian.
        self.smallest, self.smallest_l2 = None, None
        self.passes = 0

    def dot(self, a, b):
        axes = 1 if self.binary else (0, 1)
        return (a * b).sum(axis=axes, keepdims=True)

    def penalty(self, l2):
        return np.append(np.full(self.z.shape[1], float(l2)), 0)

    def objective(self, at, l2):
        return at.loss + self.dot(self.penalty(l2) * at.b, at.b) / 2

    def start(self):
        """The solution for an infinite l2: no weights, the classes' log odds."""
        b = np.zeros((self.classes, self.z.shape[1] + 1))
        if self.binary:
            present, absent = (self.y == 1).sum(axis=1), (self.y == 0).sum(axis=1)
            b[:, -1] = np.log(present / absent)
        else:
            b[:, -1] = np.log(np.bincount(self.y, minlength=self.classes))
            b[:, -1] -= b[:, -1].mean()
        return self.evaluate(b)

    def original(self, b):
        """w [d + 1, k] float32; the bias makes up for rounding on the mean image."""
        w = (self.basis @ b[:, :-1].T).astype(np.float32)
        return np.vstack([w, b[:, -1] - self.mean @ w]).astype(np.float32)

    def evaluate(self, b):
        self.passes += 1
        low = b.astype(self.z.dtype)
        loss, grad, spread = 0, np.zeros_like(b), 0
        for rows in _blocks(len(self.z), self.classes):
            z = self.z[rows]
            scores = low[:, :-1] @ z.T + low[:, -1:]
            losses, residual, self.p[:, rows] = _cross_entropy(
                scores, self.y[..., rows]
            )
            loss = loss + losses.sum(axis=-1, dtype=np.float64)
            grad[:, :-1] += residual @ z
            grad[:, -1] += residual.sum(axis=1, dtype=np.float64)
            wrong = np.abs(residual)
            spread = spread + (wrong * (1 - wrong)).sum(axis=1, dtype=np.float64)
        spread = np.maximum(spread / len(self.z), _TINY)
        return _Point(b, np.reshape(loss, (-1, 1)), grad, spread[:, None])

    def hessian_times(self, s):
        """The cross-entropy's Hessian, where last evaluated, times s [k, r + 1]."""
        self.passes += 1
        live = s.any(axis=1) if self.binary else slice(None)
        low = s[live].astype(self.z.dtype)
        out = np.zeros_like(s)
        for rows in _blocks(len(self.z), self.classes):
            z, p = self.z[rows], self.p[live, rows]
            a = low[:, :-1] @ z.T + low[:, -1:]
            if not self.binary:
                # Scores relative to the own class: where p is nearly 1 there, the
                # difference from the mean score would else be rounding.
                y = self.y[rows]
                a -= a[y, np.arange(len(y))]
                a -= (p * a).sum(axis=0)
            a *= p
            out[live, :-1] += a @ z
            out[live, -1] += a.sum(axis=1, dtype=np.float64)
        return out

    def hessian(self):
        """The same Hessian in full [m, unknowns, unknowns]."""
        self.passes += 1
        width = self.z.shape[1] + 1
        out = np.zeros((self.problems, self.unknowns, self.unknowns))
        for rows in _blocks(len(self.z), self.unknowns):
            ones = np.ones((len(self.z[rows]), 1))
            z = np.append(self.z[rows], ones, axis=1).astype(np.float64)
            p = self.p[:, rows].astype(np.float64)
            if not self.binary:
                own = self.y[rows], np.arange(len(z))
                p[own] = 0
                p[own] = 1 - p.sum(axis=0)  # To float64, or the sum is not definite.
                outer = (p.T[:, :, None] * z[:, None]).reshape(len(z), -1)
                out[0] -= outer.T @ outer
            for j in range(self.classes):
                half = z * np.sqrt(p[j])[:, None]
                i = 0 if self.binary else j * width
                part = slice(i, i + width)
                out[j if self.binary else 0, part, part] += half.T @ half
        if not self.binary:
            # The sum of the biases is free; this holds it.
            out[0, width - 1 :: width, width - 1 :: width] += len(self.z)
        return out

    def solve(self, at, l2):
        """Returns the solution, its estimated gap and the gap allowed [m, 1]."""
        absolute = ATOL * len(self.z) * np.log(max(self.classes, 2)) / self.problems
        while True:
            value = self.objective(at, l2)
            goal = RTOL * value + absolute
            step, gap = self.newton_step(at, l2, goal)
            if step is None or self.passes >= _PASSES:
                return at, gap, goal
            length = np.ones_like(gap)
            while True:
                there = self.evaluate(at.b + length * step)
                # The slack, a twentieth of the goal, is for rounding.
                least = value - 1e-4 * length * gap + goal / 20
                short = self.objective(there, l2) > least
                if not short.any():
                    break
                length[short] = np.where(length[short] > 1e-6, length[short] / 2, 0)
            at = there
            # The gap is that before a full step, which has only made it smaller.
            if (length == 1).all() and (gap <= goal / 2).all():
                return at, gap, goal

    def newton_step(self, at, l2, goal):
        """The step [k, r + 1], None if none is needed, and the gap before it [m, 1].

        The gap is half the squared Newton decrement, gradient x inverse Hessian x
        gradient: exact for a quadratic, and near the solution the objective is one.
        """
        penalty = self.penalty(l2)
        grad = at.grad + penalty * at.b
        if self.exact:
            return self.exact_step(grad, penalty)
        near_inverse = self.preconditioner(at.spread, penalty)
        if self.smallest is not None:
            # A weaker l2 conditions worse than what was seen so far.
            self.smallest = self.smallest * (l2 / self.smallest_l2) ** 0.25
            self.smallest_l2 = l2
            gap = self.dot(grad, near_inverse(grad)) / self.smallest / 2
            if (gap <= goal / 2).all():
                return None, gap
        self.smallest_l2 = l2
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
        return step, -self.dot(grad, step) / 2

    def preconditioner(self, spread, penalty):
        """A function, r -> near inverse of the Hessian x r."""
        inverse = 1 / (spread * np.append(self.second, len(self.z)) + penalty)
        if self.binary:
            return lambda r: inverse * r
        # Softmax leaves a sum over classes undetermined: stay where the sum is 0.
        share = inverse / inverse.sum(axis=0)

        def near_inverse(r):
            s = inverse * r
            return s - share * s.sum(axis=0)

        return near_inverse

    def gradients_step(self, grad, near_inverse, penalty, goal):
        """The Newton step by conjugate gradients, to half the gap or half the goal.

        The squared decrement is what the iterations have won of it and, of the rest, a
        bound: residual x near inverse x residual over the smallest eigenvalue of near
        inverse x Hessian. For that stands a quarter of the smallest Ritz value seen on
        the path; Ritz values come from above.
        """
        step, r = np.zeros_like(grad), -grad
        s = near_inverse(r)
        direction, rho, won = s, self.dot(r, s), 0
        smallest = np.ones_like(goal) if self.smallest is None else self.smallest
        live = np.ones(goal.shape, bool)
        alphas, betas = [], []
        while True:
            product = self.hessian_times(direction) + penalty * direction
            # A problem that is done stands still: going on would only divide rounding
            # by rounding.
            alpha = live * rho / np.maximum(self.dot(direction, product), _TINY)
            step += alpha * direction
            r -= alpha * product
            won = won + alpha * rho
            s = near_inverse(r)
            rho, last = self.dot(r, s), rho
            beta = rho / np.maximum(last, _TINY)
            alphas.append(alpha)
            betas.append(beta)
            enough = np.maximum(won, goal) / 2
            if (live & (rho <= smallest * enough)).any():
                smallest = np.minimum(smallest, _smallest_ritz(alphas, betas) / 4)
                live &= rho > smallest * enough
            # The Hessian in full costs about as much as so many passes.
            slow = self.passes > max(100, self.unknowns // 4)
            self.exact = slow and self.problems * self.unknowns**2 <= _DENSE
            if not live.any() or self.exact or self.passes >= _PASSES:
                self.smallest = smallest
                return step, (won + rho / smallest) / 2
            direction = live * (s + beta * direction)


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


def _rotate(x):
    """Features in the eigenvectors of their second moment about the mean.

    Returns:
        z [n, r], r = min(n, d), float32 unless small; the sums of its squares [r];
        mean [d]; the eigenvectors [d, r]. So z = (x - mean) @ eigenvectors.
    """
    n, d = x.shape
    mean = sum(x[rows].sum(axis=0, dtype=np.float64) for rows in _blocks(n, d)) / n
    if n < d:
        span, low = scipy.linalg.qr((x - mean).T, mode='economic')
        second = low @ low.T
    else:
        second = np.zeros((d, d))
        for rows in _blocks(n, d):
            centred = x[rows] - mean
            second += centred.T @ centred
    # In float64: the directions of least variance count most at the weakest l2s.
    _, v = scipy.linalg.eigh(second.T, overwrite_a=True, driver='evd')
    z = np.empty((n, len(v)), np.float64 if n * len(v) <= _DOUBLE else np.float32)
    squares = np.zeros(len(v))
    for rows in _blocks(n, d):
        block = (low.T[rows] if n < d else x[rows] - mean) @ v
        z[rows] = block
        squares += (block**2).sum(axis=0)
    return z, squares, mean, span @ v if n < d else v


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
