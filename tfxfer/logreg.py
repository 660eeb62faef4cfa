"""L2-regularised logistic regression, solved at every l2 of a path."""

import numpy as np
import scipy.linalg
from absl import logging

_ROWS = 2048  # Images to a block: bounds the temporaries, which are in float64.
STATS = {'eval': 0, 'cg': 0, 'newton': 0}
OPT = dict(eta=0.1, extrap=True, safety=0.25, verbose=False)


def _blocks(n):
    return [slice(i, min(i + _ROWS, n)) for i in range(0, n, _ROWS)]


def _cross_entropy(scores, y):
    """Losses, d loss / d score and probabilities; all class-major."""
    if y.ndim == 2:
        kept = y >= 0
        sign = np.where(y == 1, 1, -1).astype(scores.dtype)
        margin = sign * scores
        tail = np.exp(-np.abs(margin))
        losses = (np.maximum(-margin, 0) + np.log1p(tail)) * kept
        wrong = np.where(margin > 0, tail, 1) / (1 + tail) * kept
        return losses, -sign * wrong, wrong * (1 - wrong)
    own = y, np.arange(len(y))
    margin = scores - scores[own]
    top = margin.max(axis=0)
    p = np.exp(margin - top)
    p[own] = 0
    others = p.sum(axis=0)
    mine = np.exp(-top)
    total = others + mine
    losses = top + np.log1p(others + np.expm1(-top))
    p /= total
    residual = p.copy()
    residual[own] = -others / total
    p[own] = mine / total
    return losses, residual, p


def _rotate(x):
    n, d = x.shape
    mean = sum(x[b].sum(axis=0, dtype=np.float64) for b in _blocks(n)) / n
    if n < d:
        base, r = scipy.linalg.qr((x - mean).T, mode='economic', check_finite=False)
        second = r @ r.T
    else:
        second = np.zeros((d, d))
        for b in _blocks(n):
            c = x[b] - mean
            second += c.T @ c
    v = scipy.linalg.eigh(second, overwrite_a=True, check_finite=False)[1]
    z = np.empty((n, len(v)), np.float32)
    e = np.zeros(len(v))
    for b in _blocks(n):
        c = (r.T[b] if n < d else x[b] - mean) @ v
        e += (c * c).sum(axis=0)
        z[b] = c
    return z, e, mean, base @ v if n < d else v


def path(x, y, classes, l2s, trace=None):
    n = len(x)
    z, e, mean, v = _rotate(x)
    multi = y.ndim == 2
    if multi:
        y = np.ascontiguousarray(y.T.astype(np.int8))
        m = classes
        pos, kept = (y == 1).sum(1), (y >= 0).sum(1)
        bias = np.log(pos) - np.log(kept - pos)
    else:
        m = 1
        bias = np.log(np.bincount(y, minlength=classes) / n)
        bias -= bias.mean()

    def dot(a, b):
        return np.einsum('ij,ij->i', a, b)[:, None] if multi else np.vdot(a, b)[None, None]

    prob = np.empty((classes, n), np.float32)

    def evaluate(w):
        STATS['eval'] += 1
        w32 = w.astype(np.float32)
        grad = np.zeros_like(w)
        loss = 0
        curv = np.zeros(classes)
        for b in _blocks(n):
            scores = w32[:, :-1] @ z[b].T
            scores += w32[:, -1:]
            losses, res, prob[:, b] = _cross_entropy(scores, y[..., b])
            grad[:, :-1] += res @ z[b]
            grad[:, -1] += res.sum(axis=1, dtype=np.float64)
            a = np.abs(res)
            curv += (a - a * a).sum(axis=1, dtype=np.float64)
            loss = loss + losses.sum(axis=-1, dtype=np.float64)
        return np.reshape(loss, (-1, 1)), grad, curv / n

    def curvature(s):
        STATS['cg'] += 1
        s32 = s.astype(np.float32)
        out = np.zeros_like(s)
        for b in _blocks(n):
            a = s32[:, :-1] @ z[b].T
            a += s32[:, -1:]
            p = prob[:, b]
            if multi:
                a *= p
            else:
                yb = y[b]
                a -= a[yb, np.arange(len(yb))]
                a *= p
                a -= p * a.sum(axis=0)
            out[:, :-1] += a @ z[b]
            out[:, -1] += a.sum(axis=1, dtype=np.float64)
        return out

    def newton(g, pen, curv, tol):
        inverse = 1 / (np.maximum(curv, 1e-30)[:, None] * np.append(e, n) + pen)
        if not multi:
            share = inverse / inverse.sum(0)

        def pre(r):
            h = r * inverse
            return h if multi else h - share * h.sum(0)

        nonlocal theta
        floor = pen[0] / (curv.max() * e.max() + pen[0])
        s = np.zeros_like(g)
        r = -g
        h = pre(r)
        p = h
        rho = dot(r, h)
        quad = 0
        alphas, betas = [], []
        if OPT.get('zero', 1) and (rho <= 2 * theta * tol).all():
            return s, rho / theta, 0
        while len(alphas) < 500:
            q = curvature(p) + pen * p
            alpha = rho / np.maximum(dot(p, q), 1e-300)
            s += alpha * p
            r -= alpha * q
            quad = quad + alpha * rho
            h = pre(r)
            rho, old = dot(r, h), rho
            beta = rho / np.maximum(old, 1e-300)
            alphas.append(alpha)
            betas.append(beta)
            goal = OPT['eta'] * np.maximum(quad, tol)
            if (rho <= theta * goal).all():
                theta = np.maximum(floor, np.minimum(theta, ritz(alphas, betas)))
                if (rho <= theta * goal).all():
                    break
            p = h + beta * p
        return s, quad + rho / theta, len(alphas)

    theta = np.ones((m, 1))

    def ritz(alphas, betas):
        a, b = np.hstack(alphas), np.hstack(betas)  # [m, j]
        a = np.maximum(a, 1e-300)
        j = a.shape[1]
        t = np.zeros((m, j, j))
        i = np.arange(j)
        t[:, i, i] = 1 / a
        t[:, i[1:], i[1:]] += b[:, :-1] / a[:, :-1]
        t[:, i[1:], i[:-1]] = np.sqrt(b[:, :-1]) / a[:, :-1]
        return np.linalg.eigvalsh(t)[:, :1]

    w = np.zeros((classes, z.shape[1] + 1))
    w[:, -1] = bias
    hist = []
    loss, grad, curv = evaluate(w)
    for l2 in sorted(l2s, reverse=True):
        pen = np.append(np.full(z.shape[1], l2), 0)

        def f(w, loss):
            return loss + dot(pen * w, w) / 2

        start = dict(STATS)
        if len(hist) >= 2:
            kk = int(min(len(hist), OPT.get('order', 1) + 1))
            pts = hist[-kk:]
            trial = 0
            X = np.log(l2)
            for i, (xi, wi) in enumerate(pts):
                c = 1.0
                for jj, (xj, _) in enumerate(pts):
                    if jj != i:
                        c *= (X - xj) / (xi - xj)
                trial = trial + c * wi
            value = f(w, loss)
            tl, tg, tc = evaluate(trial)
            if (f(trial, tl) < value).all():
                w, loss, grad, curv = trial, tl, tg, tc
            else:
                loss, grad, curv = evaluate(w)
        its = []
        for _ in range(50):
            value = f(w, loss)
            g = grad + pen * w
            tol = OPT['safety'] * (1e-4 * value + 1e-7 * n * np.log(max(classes, 2)) / m)
            s, quad, j = newton(g, pen, curv, tol)
            its.append(j)
            if not j and (quad / 2 <= tol).all():
                break
            t = np.ones_like(quad)
            while True:
                loss, grad, curv = evaluate(w + t * s)
                bad = f(w + t * s, loss) > value - 1e-4 * t * quad + 0.1 * tol
                if not bad.any():
                    break
                t = np.where(bad, t / 2, t)
            w = w + t * s
            if (t == 1).all() and (quad / 2 <= tol).all():
                break
        hist = (hist + [(np.log(l2), w)])[-3:]
        value = f(w, loss)
        if trace is not None:
            trace.append(dict(l2=l2, objective=value.sum(), iterations=its,
                              gap=(quad / 2).sum(), tol=tol.sum() / OPT['safety'],
                              theta=theta.min(), work=[STATS[q] - start[q] for q in ('eval', 'cg')]))
        out = v @ w[:, :-1].T
        out = np.vstack([out, w[:, -1] - mean @ out]).astype(np.float32)
        yield l2, out
