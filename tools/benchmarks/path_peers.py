"""The peers of tfxfer.logreg: who else solves the problem at one l2 from a given start.

A peer is made of features x [n, d], labels y [n] and the number of classes k, in its
own precision and place, and is then a function

    fit(l2, start, tol, iterations) -> (w, iterations it took)

with w and start [d + 1, k] as logreg.path has them; start None is the peer's own. `tol`
is the peer's own criterion, whatever it measures: smaller is closer to the minimum.
"""

import importlib
import importlib.util
import os
import typing
import warnings
from collections.abc import Callable

import numpy as np

from tools.benchmarks import machine

Fit = Callable[[float, np.ndarray | None, float, int], tuple[np.ndarray, int]]


class Unavailable(Exception):
    """A peer cannot take part; says why."""


class Peer(typing.NamedTuple):
    """Who, in which precision; `key` is of MAKERS."""

    key: str
    precision: str = 'float32'

    def __str__(self) -> str:
        return MAKERS[self.key].name + f', {self.precision}' * (
            self.precision != 'float32'
        )

    def make(self, x: np.ndarray, y: np.ndarray, classes: int) -> Fit:
        """Its function.

        Raises:
            Unavailable: it cannot take part.
        """
        return MAKERS[self.key].make(x.astype(self.precision, copy=False), y, classes)


def missing(key: str, features: int, classes: int) -> str:
    """Why a peer cannot take part in a problem of that size, or ''."""
    maker = MAKERS[key]
    if not importlib.util.find_spec(maker.module):
        return f'{maker.module} is not installed'
    if maker.on_gpu and not machine.gpus():
        return 'there is no GPU'
    if key == 'newton-cholesky':
        needed = 3 * 8 * ((features + 1) * classes) ** 2
        room = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_AVPHYS_PAGES')
        if needed > room / 2:
            return f'its Hessian would take {needed / 2**30:.0f} GiB of memory'
    return ''


def _like_scikit_learn(module: str, solver: str) -> Callable[..., Fit]:
    """LogisticRegression of scikit-learn, or of a library with the same class."""

    def make(x, y, classes):
        cls = importlib.import_module(f'{module}.linear_model').LogisticRegression
        # It has one column u for two classes, softmax -u / 2 and u / 2: half the
        # penalty.
        halves = classes == 2

        def fit(l2, start, tol, iterations):
            model = cls(
                C=(2 if halves else 1) / l2, solver=solver, tol=tol,
                max_iter=iterations, warm_start=True, random_state=0,
            )  # fmt: skip
            if start is not None:
                start = start[:, 1:] - start[:, :1] if halves else start
                start = start.astype(x.dtype)
                model.coef_, model.intercept_ = start[:-1].T.copy(), start[-1].copy()
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # That it stops early is what is asked.
                model.fit(x, y)
            w = np.vstack([model.coef_.T, model.intercept_])
            w = np.hstack([-w, w]) / 2 if halves else w
            return w, int(np.max(model.n_iter_))

        return fit

    return make


def _cuml(x, y, classes):
    """cuML's quasi-Newton method, which takes no start."""
    linear_model = importlib.import_module('cuml.linear_model')

    def fit(l2, start, tol, iterations):
        model = linear_model.LogisticRegression(
            C=(2 if classes == 2 else 1) / l2, tol=tol, max_iter=iterations,
            output_type='numpy',
        )  # fmt: skip
        model.fit(x, y)
        w = np.vstack([np.asarray(model.coef_).T, np.asarray(model.intercept_)])
        w = np.hstack([-w, w]) / 2 if w.shape[1] == 1 else w
        return w, int(np.max(model.n_iter_))

    return fit


def torch_lbfgs(device: str) -> Callable[..., Fit]:
    """torch.optim.LBFGS with its strong Wolfe search, the data on a device."""

    def make(x, y, classes):
        import torch

        if device == 'cuda' and not torch.cuda.is_available():
            raise Unavailable('torch sees no GPU')
        n, d = x.shape
        features = torch.from_numpy(x).to(device)
        labels = torch.from_numpy(y.astype(np.int64)).to(device)

        def fit(l2, start, tol, iterations):
            if start is None:
                start = np.zeros((d + 1, classes))
            w = torch.tensor(start, dtype=features.dtype, device=device)
            w.requires_grad_()
            optimizer = torch.optim.LBFGS(
                [w], max_iter=iterations, max_eval=2 * iterations, tolerance_grad=tol,
                tolerance_change=1e-16, history_size=20, line_search_fn='strong_wolfe',
            )  # fmt: skip

            def loss():
                optimizer.zero_grad()
                value = (
                    torch.nn.functional.cross_entropy(
                        torch.addmm(w[-1], features, w[:-1]), labels
                    )
                    + l2 / (2 * n) * w[:-1].square().sum()
                )
                value.backward()
                return value

            optimizer.step(loss)
            return w.detach().cpu().numpy(), optimizer.state[w].get('n_iter', 0)

        return fit

    return make


class Maker(typing.NamedTuple):
    """How a peer is made."""

    name: str
    module: str  # That must be installed.
    make: Callable[[np.ndarray, np.ndarray, int], Fit]
    on_gpu: bool = False


# In the order in which they run: who is slower than one before is stopped.
MAKERS = {
    'torch': Maker('torch LBFGS (GPU)', 'torch', torch_lbfgs('cuda'), on_gpu=True),
    'cuml': Maker('cuML', 'cuml', _cuml, on_gpu=True),
    'intelex': Maker(
        'scikit-learn-intelex lbfgs',
        'sklearnex',
        _like_scikit_learn('sklearnex', 'lbfgs'),
    ),
    **{
        solver: Maker(
            f'scikit-learn {solver}', 'sklearn', _like_scikit_learn('sklearn', solver)
        )
        for solver in ('lbfgs', 'newton-cg', 'newton-cholesky', 'saga')
    },
}  # fmt: skip
