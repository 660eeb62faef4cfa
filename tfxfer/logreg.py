"""L2-regularised logistic regression, solved at every l2 of a path.

The objective is the SUM over images of the cross-entropy plus l2/2 |w|^2 with a free
bias, so l2 is 1/C of scikit-learn. Labels y [n] are classes (softmax). Labels
y [n, classes] are 1 present, 0 absent, -1 difficult; then each class is a binary
problem of its own, without the images that are difficult for it.

The method is Newton's, its steps by preconditioned conjugate gradients. Features are
centred and rotated once to the eigenvectors of their second moment; there the Hessian
is near (mean curvature of the class) x (eigenvalue) + l2, a diagonal. Products are in
float32, sums over images in float64.
"""

import numpy as np
import scipy.linalg
from absl import logging

# Solved means f - f* <= RTOL f* + ATOL n ln(k). Of k binary problems each must reach
# RTOL and its k-th of the rest. ATOL is what ends the weakest l2s of separable data,
# where f* is all but 0.
RTOL, ATOL = 1e-4, 1e-7
_PASSES = 5000  # Over the images, before an l2 is given up.
_ROWS = 2048  # Images to a block: bounds the temporaries, some of them float64.
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
    """Solves one l2: w [d + 1, k] float32. Arguments and errors are those of path."""
    entries = []
    # Newton's method wants a start near the solution: come down from a strong l2.
    above = [l2 * 10**i for i in range(1, 20) if l2 * 10**i <= len(x)]
    *_, (_, w) = path(x, y, classes, [l2, *above], entries)
    if trace is not None:
        trace.append(entries[-1])
    return w


def _path(x, y, classes, l2s, trace):
    problem = _Problem(x, y, classes)
    b, done = problem.start(), []
    at = problem.evaluate(b)
    for l2 in l2s:
        problem.passes = 0
        if len(done) == 2:
            # The solution is nearly linear in log l2. Far out the line is of no use.
            (l2_0, b_0), (l2_1, b_1) = done
            reach = min(np.log(l2_1 / l2) / np.log(l2_0 / l2_1), 4)
            ahead = b_1 + reach * (b_1 - b_0)
            before, at = problem.objective(b, at, l2), problem.evaluate(ahead)
            worse = problem.objective(ahead, at, l2) > before
            b = np.where(worse, b, ahead)
            if worse.any():
                at = problem.evaluate(b)
        b, at, gap, goal = problem.solve(b, at, l2)
        done = [*done[-1:], (l2, b)]
        solved = bool((gap <= goal).all())
        if not solved:
            logging.warning(
                'l2 %g is not solved: after %d passes over the images the objective is '
                'estimated to be %.2g above its minimum, and %.2g was wanted.',
                l2, problem.passes, gap.sum(), goal.sum(),
            )  # fmt: skip
        if trace is not None:
            trace.append(
                {
                    'l2': l2,
                    'objective': float(problem.objective(b, at, l2).sum()),
                    'iterations': problem.passes,
                    'gap': float(gap.sum()),
                    'solved': solved,
                }
            )
        yield l2, problem.original(b)


class _Problem:
    """Objective and Newton steps in the rotated coordinates b [k, r + 1], bias last.

    Softmax is m = 1 problem; one-vs-rest is m = k problems, solved side by side with
    step sizes of their own. Scalars of the problems are [m, 1].
    """

    def __init__(self, x, y, classes):
        self.z, self.second, self.mean, self.basis = _rotate(x)
        self.y, self.classes = np.ascontiguousarray(y.T, np.int32), classes
        self.binary = y.ndim == 2
        # What `evaluate` leaves for `hessian`: probabilities, or p (1 - p) if binary.
        self.p = np.empty((classes, len(x)), self.z.dtype)
        self.smallest = None  # Lower estimate of the spectrum of inverse x Hessian.
        self.passes = 0

    def dot(self, a, b):
        axes = 1 if self.binary else (0, 1)
        return (a * b).sum(axis=axes, keepdims=True)

    def start(self):
        """The solution for an infinite l2: no weights, the classes' log odds."""
        b = np.zeros((self.classes, self.z.shape[1] + 1))
        if self.binary:
            present, absent = (self.y == 1).sum(axis=1), (self.y == 0).sum(axis=1)
            b[:, -1] = np.log(present / absent)
        else:
            b[:, -1] = np.log(np.bincount(self.y, minlength=self.classes))
            b[:, -1] -= b[:, -1].mean()
        return b

    def original(self, b):
        """w [d + 1, k] float32; its bias makes up for rounding of the mean score."""
        w = (self.basis @ b[:, :-1].T).astype(np.float32)
        return np.vstack([w, b[:, -1] - self.mean @ w]).astype(np.float32)

    def penalty(self, l2):
        return np.append(np.full(self.z.shape[1], float(l2)), 0)

    def objective(self, b, at, l2):
        return at[0] + self.dot(self.penalty(l2) * b, b) / 2

    def evaluate(self, b):
        """Cross-entropy [m, 1], its gradient, mean p (1 - p) of the classes [k, 1]."""
        self.passes += 1
        b32 = b.astype(self.z.dtype)
        loss, grad, spread = 0, np.zeros_like(b), 0
        for rows in _blocks(len(self.z)):
            z = self.z[rows]
            scores = b32[:, :-1] @ z.T + b32[:, -1:]
            losses, residual, self.p[:, rows] = _cross_entropy(
                scores, self.y[..., rows]
            )
            loss = loss + losses.sum(axis=-1, dtype=np.float64)
            grad[:, :-1] += residual @ z
            grad[:, -1] += residual.sum(axis=1, dtype=np.float64)
            wrong = np.abs(residual)
            spread = spread + (wrong * (1 - wrong)).sum(axis=1, dtype=np.float64)
        spread = np.maximum(spread / len(self.z), _TINY)
        return np.reshape(loss, (-1, 1)), grad, spread[:, None]

    def hessian(self, s):
        """The cross-entropy's Hessian, where last evaluated, times s [k, r + 1]."""
        self.passes += 1
        live = s.any(axis=1) if self.binary else slice(None)
        s32 = s[live].astype(self.z.dtype)
        out = np.zeros_like(s)
        for rows in _blocks(len(self.z)):
            z, p = self.z[rows], self.p[live, rows]
            a = s32[:, :-1] @ z.T + s32[:, -1:]
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

    def preconditioner(self, spread, penalty):
        """A function, r -> the near-inverse of the Hessian times r."""
        inverse = 1 / (spread * np.append(self.second, len(self.z)) + penalty)
        if self.binary:
            return lambda r: inverse * r
        # Softmax leaves a sum over classes undetermined: stay where the sum is 0.
        share = inverse / inverse.sum(axis=0)

        def near_inverse(r):
            s = inverse * r
            return s - share * s.sum(axis=0)

        return near_inverse

    def solve(self, b, at, l2):
        """Returns b, its evaluation, the estimated gap and the gap allowed [m, 1]."""
        penalty = self.penalty(l2)
        m = self.classes if self.binary else 1
        absolute = ATOL * len(self.z) * np.log(max(self.classes, 2)) / m
        while True:
            value = self.objective(b, at, l2)
            goal = RTOL * value + absolute
            grad = at[1] + penalty * b
            near_inverse = self.preconditioner(at[2], penalty)
            if self.smallest is not None:
                gap = self.dot(grad, near_inverse(grad)) / self.smallest / 2
                if (gap <= goal / 2).all() or self.passes >= _PASSES:
                    return b, at, gap, goal
            step, gap = self.newton_step(grad, near_inverse, penalty, goal)
            length = np.ones_like(gap)
            while True:
                at = self.evaluate(b + length * step)
                # The slack is for rounding.
                least = value - 1e-4 * length * 2 * gap + goal / 20
                short = self.objective(b + length * step, at, l2) > least
                if not short.any() or self.passes >= _PASSES:
                    break
                length[short] /= 2
            b = b + length * step
            # The gap is that before a full step, which has only made it smaller.
            if not short.any() and (length == 1).all() and (gap <= goal / 2).all():
                return b, at, gap, goal

    def newton_step(self, grad, near_inverse, penalty, goal):
        """Conjugate gradients for -inverse Hessian x grad, and the gap before the step.

        The gap is half the squared Newton decrement: what the steps so far have won
        of it plus, for the rest, residual' x near inverse x residual over the smallest
        eigenvalue of near inverse x Hessian. For that stands half the smallest Ritz
        value seen on the path.
        """
        step, r = np.zeros_like(grad), -grad
        s = near_inverse(r)
        direction, rho, won = s, self.dot(r, s), 0
        alphas, betas = [], []
        smallest = np.ones_like(goal) if self.smallest is None else self.smallest
        live = np.ones(goal.shape, bool)
        while True:
            product = self.hessian(direction) + penalty * direction
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
                smallest = np.minimum(smallest, _smallest_ritz(alphas, betas) / 2)
                live &= rho > smallest * enough
            if not live.any() or self.passes >= _PASSES:
                self.smallest = smallest
                return step, (won + rho / smallest) / 2
            direction = live * (s + beta * direction)


def _smallest_ritz(alphas, betas):
    """Smallest eigenvalue [m, 1] of the Lanczos matrices of conjugate gradients."""
    alpha, beta = np.maximum(np.hstack(alphas), _TINY), np.hstack(betas)[:, :-1]
    m, j = alpha.shape
    lanczos = np.zeros((m, j, j))
    i = np.arange(j)
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


def _blocks(n):
    return [slice(i, min(i + _ROWS, n)) for i in range(0, n, _ROWS)]


def _rotate(x):
    """Features in the eigenvectors of their second moment about the mean.

    Returns:
        z [n, r] float32, r = min(n, d); the sums of its squares [r]; mean [d]; and
        the eigenvectors [d, r], so that z = (x - mean) @ eigenvectors.
    """
    n, d = x.shape
    mean = sum(x[rows].sum(axis=0, dtype=np.float64) for rows in _blocks(n)) / n
    if n < d:
        span, low = scipy.linalg.qr((x - mean).T, mode='economic', check_finite=False)
        second = low @ low.T
    else:
        second = np.zeros((d, d))
        for rows in _blocks(n):
            centred = x[rows] - mean
            second += centred.T @ centred
    # In float64: the directions of least variance count most at the weakest l2s.
    _, v = scipy.linalg.eigh(
        second.T, overwrite_a=True, check_finite=False, driver='evd'
    )
    z, squares = (
        np.empty((n, len(v)), np.float64 if n * len(v) <= 2**20 else np.float32),
        np.zeros(len(v)),
    )
    for rows in _blocks(n):
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
    bad = [l2 for l2 in l2s if not 0 < l2 < np.inf]
    if bad or not l2s:
        raise ValueError(f'l2 must be positive and finite, and at least one: {l2s}.')
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
            f'Classes {np.flatnonzero(single).tolist()} {lack} in the training data, '
            f'so their weights are undefined. Is `classes` ({classes}) right, and does '
            'the split keep every class?'
        )
    finite = [np.isfinite(x[rows]).all(axis=1) for rows in _blocks(n)]
    broken = np.flatnonzero(~np.concatenate(finite))
    if len(broken):
        raise ValueError(
            f'{len(broken)} of {n} images have features that are NaN or infinite, the '
            f'first at {broken[:10].tolist()}. Extract them again; leave out images '
            'that do not decode.'
        )
