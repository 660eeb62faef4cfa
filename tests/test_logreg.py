import numpy as np
import pytest
from scipy import optimize, special
from sklearn import linear_model

from tfxfer import config, logreg

L2S = config.Logistic().l2s


def made(n, d, k, *, noise=1.0, seed=0):
    """Correlated, non-negative features as a network's, of classes that overlap."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    hidden = rng.normal(size=(k, 20))[y] + 3 * noise * rng.normal(size=(n, 20))
    x = np.maximum(hidden @ rng.normal(size=(20, d)) + rng.normal(size=(n, d)), 0)
    return x.astype(np.float32), y


def several(y, k, seed=0):
    """Labels y as k binary problems, some of them difficult."""
    present = np.eye(k, dtype=int)[y]
    hard = np.random.default_rng(seed).random(present.shape) < 0.1
    return np.where(hard, -1, present)


def tight(x, y, k, l2s):
    """Minima by SciPy's trust-region Newton method in float64, strongest l2 first.

    Works on features that are rotated and scaled, which changes no objective.
    """
    x = np.asarray(x, float)
    mean = x.mean(0)
    _, s, basis = np.linalg.svd(x - mean, full_matrices=False)
    z = (x - mean) @ basis.T
    n, r = z.shape
    target = np.eye(k)[y]
    start = np.zeros((r + 1, k))
    start[-1] = np.log(target.mean(0))
    minima = {}
    for l2 in sorted(l2s, reverse=True):
        scale = 1 / np.sqrt(s**2 / n * n / k + l2)

        def unscaled(v, scale=scale):
            w = v.reshape(r + 1, k).copy()
            w[:-1] *= scale[:, None]
            return w

        def value(v, l2=l2, scale=scale, unscaled=unscaled):
            w = unscaled(v)
            log_p = special.log_softmax(z @ w[:-1] + w[-1], axis=1)
            residual = np.exp(log_p) - target
            grad = np.vstack([z.T @ residual + l2 * w[:-1], residual.sum(0)])
            grad[:-1] *= scale[:, None]
            return -(target * log_p).sum() + l2 / 2 * (w[:-1] ** 2).sum(), grad.ravel()

        def product(v, u, l2=l2, scale=scale, unscaled=unscaled):
            w, direction = unscaled(v), unscaled(u)
            p = special.softmax(z @ w[:-1] + w[-1], axis=1)
            a = z @ direction[:-1] + direction[-1]
            b = p * (a - (p * a).sum(1, keepdims=True))
            out = np.vstack([z.T @ b + l2 * direction[:-1], b.sum(0)])
            out[:-1] *= scale[:, None]
            return out.ravel()

        inverse = start.copy()
        inverse[:-1] /= scale[:, None]
        solved = optimize.minimize(
            value, inverse.ravel(), jac=True, hessp=product, method='trust-ncg',
            options={'gtol': 1e-9, 'maxiter': 2000},
        )  # fmt: skip
        start = unscaled(solved.x)
        minima[l2] = solved.fun
    return minima


def test_gradient_equals_finite_differences():
    x, y = made(30, 5, 3)
    w = np.random.default_rng(1).normal(size=(6, 3))
    for labels in (y, several(y, 3)):

        def value(v, labels=labels):
            return logreg.loss_and_grad(v.reshape(6, 3), x, labels, 0.7)[0]

        numeric = optimize.approx_fprime(w.ravel(), value, 1e-7).reshape(6, 3)
        _, grad = logreg.loss_and_grad(w, x, labels, 0.7)
        np.testing.assert_allclose(grad, numeric, rtol=1e-4, atol=1e-4)


def test_objective_by_hand():
    # Scores 0: every image costs ln 2; |w|^2 of w = [1, 0] without its bias row is 1.
    x, y = np.zeros((4, 1)), np.array([0, 1, 1, 0])
    w = np.array([[1.0, 0.0], [5.0, 5.0]])
    assert logreg.loss_and_grad(w, x, y, 3.0)[0] == pytest.approx(4 * np.log(2) + 1.5)


@pytest.mark.parametrize(
    'n, d, k, noise',
    [(200, 30, 4, 1.0), (60, 100, 3, 1.0), (150, 20, 5, 0.05), (120, 300, 10, 0.2)],
    ids=['overlapping', 'more features', 'separable', 'separable, more features'],
)
def test_every_l2_of_the_path_is_solved(n, d, k, noise):
    x, y = made(n, d, k, noise=noise)
    trace = []
    minima = tight(x, y, k, L2S)
    order = []
    for l2, w in logreg.path(x, y, k, L2S, trace=trace):
        order.append(l2)
        assert w.shape == (d + 1, k) and w.dtype == np.float32
        best = minima[l2]
        gap = logreg.loss_and_grad(w, x, y, l2)[0] - best
        assert gap <= 1e-4 * best + 1e-7 * n * np.log(k), l2
    assert order == sorted(L2S, reverse=True)
    assert [fact['l2'] for fact in trace] == order
    assert all(fact['solved'] for fact in trace)


@pytest.mark.parametrize('l2', [1e-3, 1.0, 1e3])
def test_solution_equals_scikit_learns(l2):
    x, y = made(300, 12, 4)
    w = logreg.fit(x, y, 4, l2)
    other = linear_model.LogisticRegression(
        C=1 / l2, solver='newton-cg', tol=1e-10, max_iter=10_000
    ).fit(x.astype(float), y)
    ours = special.softmax(logreg.predict(w, x), axis=1)
    np.testing.assert_allclose(ours, other.predict_proba(x), atol=5e-3)
    theirs = np.vstack([other.coef_.T, other.intercept_])
    best = logreg.loss_and_grad(theirs, x, y, l2)[0]
    assert logreg.loss_and_grad(w, x, y, l2)[0] <= best * (1 + 1e-4)


@pytest.mark.parametrize('l2', [0.1, 10.0])
def test_difficult_images_are_left_out_of_their_class_alone(l2):
    x, y = made(200, 10, 3)
    labels = several(y, 3)
    w = logreg.fit(x, labels, 3, l2)
    for c in range(3):
        kept = labels[:, c] >= 0
        other = linear_model.LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000)
        other.fit(x[kept].astype(float), labels[kept, c])
        theirs = np.vstack([other.coef_.T, other.intercept_])
        found, best = (
            logreg.loss_and_grad(v, x[kept], labels[kept][:, [c]], l2)[0]
            for v in (w[:, [c]], theirs)
        )
        assert best * (1 - 1e-6) <= found <= best * (1 + 1e-4) + 1e-7 * 200


def test_every_binary_problem_of_the_path_is_solved():
    x, y = made(150, 20, 3)
    labels = several(y, 3)
    for l2, w in logreg.path(x, labels, 3, L2S[::6]):
        for c in range(3):
            kept = labels[:, c] >= 0
            minimum = tight(x[kept], labels[kept, c], 2, [2 * l2])[2 * l2]
            # A softmax of two classes with penalty 2 l2 is the sigmoid with l2.
            gap = logreg.loss_and_grad(w[:, [c]], x, labels[:, [c]], l2)[0] - minimum
            assert gap <= 1e-4 * minimum + 1e-7 * len(x) * np.log(3), (l2, c)


def test_infinite_penalty_leaves_the_class_frequencies():
    x, y = made(100, 6, 3)
    w = logreg.fit(x, y, 3, 1e12)
    p = special.softmax(logreg.predict(w, x), axis=1)
    np.testing.assert_allclose(p, [np.bincount(y) / 100] * 100, atol=1e-4)


@pytest.mark.parametrize('kind', ['constant', 'duplicate', 'scales', 'shifted'])
def test_awkward_features_are_solved_too(kind):
    x, y = made(120, 8, 3)
    if kind == 'constant':
        x[:, 3] = 7
    elif kind == 'duplicate':
        x[:, 4:] = x[:, :4]
    elif kind == 'scales':
        x = x * np.logspace(-3, 3, 8, dtype=np.float32)
    else:
        x = x + np.float32(50)
    l2s = (1e2, 1e-2, 1e-5)
    minima, trace = tight(x, y, 3, l2s), []
    for l2, w in logreg.path(x, y, 3, l2s, trace=trace):
        gap = logreg.loss_and_grad(w, x, y, l2)[0] - minima[l2]
        assert gap <= 2e-4 * minima[l2] + 2e-7 * 120 * np.log(3), l2
    assert all(fact['solved'] for fact in trace)


def test_one_image_a_class_is_enough():
    x = np.eye(4, dtype=np.float32)
    w = logreg.fit(x, np.arange(4), 4, 1e-3)
    assert logreg.predict(w, x).argmax(1).tolist() == [0, 1, 2, 3]


def test_order_of_the_images_and_of_the_penalties_does_not_matter():
    x, y = made(100, 10, 3)
    first = dict(logreg.path(x, y, 3, (0.1, 10.0, 1.0)))
    turned = dict(logreg.path(x[::-1], y[::-1], 3, (1.0, 0.1, 10.0)))
    for l2 in first:
        values = [logreg.loss_and_grad(w[l2], x, y, l2)[0] for w in (first, turned)]
        assert values[0] == pytest.approx(values[1], rel=2e-4)


def test_memory_mapped_features_give_the_same_numbers(tmp_path):
    x, y = made(100, 10, 3)
    np.save(tmp_path / 'x.npy', x)
    mapped = np.load(tmp_path / 'x.npy', mmap_mode='r')
    np.testing.assert_array_equal(*(logreg.fit(a, y, 3, 1.0) for a in (mapped, x)))


def test_an_l2_that_is_not_solved_is_said(monkeypatch, caplog):
    monkeypatch.setattr(logreg, '_PASSES', 3)
    trace = []
    x, y = made(200, 30, 4)
    list(logreg.path(x, y, 4, (1e-6,), trace=trace))
    assert [fact['solved'] for fact in trace] == [False]
    assert 'l2 1e-06 is not solved' in caplog.text


X, Y = made(20, 4, 3)
BROKEN = X.copy()
BROKEN[[3, 7], 1] = np.nan, np.inf


@pytest.mark.parametrize(
    'x, y, classes, l2s, message',
    [
        (BROKEN, Y, 3, [1.0], r'2 of 20 images have features .* first at \[3, 7\]'),
        (X, Y, 2, [1.0], r'Labels must be 0 to 1'),
        (X, Y, 4, [1.0], r'Classes \[3\] have no image'),
        (X, Y[:-1], 3, [1.0], 'Labels have shape'),
        (X[0], Y, 3, [1.0], 'numbers .images, features.'),
        (X, Y, 3, [], 'at least one'),
        (X, Y, 3, [0.0], 'must be positive'),
        (X, Y, 3, [np.inf], 'positive and finite'),
        (X, Y.astype(float), 3, [1.0], 'whole numbers'),
        (X, np.ones((20, 3), int), 3, [1.0], 'no positive or no negative'),
    ],
)
def test_what_has_no_solution_is_refused_at_once(x, y, classes, l2s, message):
    with pytest.raises(ValueError, match=message):
        logreg.path(x, y, classes, l2s)
