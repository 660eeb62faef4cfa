import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.logistic import (
    both_methods,
    features,
)
from tfxfer import logreg
from tfxfer.logreg.point import Step
from tfxfer.logreg.problem import WORK_ARRAYS, prepare


def test_hessian_is_accurate_where_images_are_certain():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 20)
    x = np.eye(3)[y] + 0.1 * rng.standard_normal((60, 3))
    float32 = logreg.Limits(float64_size=0)  # In which 1 - p would be 0.
    problem = prepare(x.astype(np.float32), y, 3, float32)
    w, basis = 20 * np.eye(3), problem.rotate_back(np.eye(3)).T
    point, _ = problem.evaluate(np.hstack([w @ problem.mean[:, None], w @ basis]))
    v = rng.standard_normal((3, 4))
    v -= v.mean(axis=0)
    # Finite differences of the gradient, in float64 and the original coordinates.
    direction = np.vstack([basis @ v[:, 1:].T, v[:, 0]])
    direction[-1] -= problem.mean @ direction[:-1]
    start = np.vstack([w, np.zeros(3)])
    ahead, behind = (
        logreg.loss_and_grad(start + h * direction, x.astype(np.float32), y, 0)[1]
        for h in (1e-5, -1e-5)
    )
    change = (ahead - behind) / 2e-5
    change[:-1] -= problem.mean[:, None] * change[-1]
    expected = np.vstack([change[-1], basis.T @ change[:-1]]).T
    scale = np.abs(expected).max()
    assert 0 < scale < 1e-5
    product = problem.image_sums(
        problem.curvature_product(point, a, rows) for rows, a in problem.scores(v)
    )
    np.testing.assert_allclose(product, expected, atol=1e-3 * scale)
    full = (problem.hessian(point)[0] @ v.ravel()).reshape(3, 4)
    np.testing.assert_allclose(full, expected, atol=1e-3 * scale)


@both_methods
@pytest.mark.parametrize('packed', [0, 150, 300])
def test_images_in_blocks_are_images_at_once(tmp_path, packed, limits):
    x, y = features(300, 12, 4, apart=0.5)
    whole = logreg.fit(x, y, 4, 0.1, limits=limits)
    limits = dataclasses.replace(
        limits,
        block_size=41 * 16 * 4,  # 41 images of 4 classes.
        packed_size=packed * 13 - x.size // 4 + WORK_ARRAYS * 4 * 300,
    )
    np.save(tmp_path / 'x.npy', x)
    mapped = np.load(tmp_path / 'x.npy', mmap_mode='r')
    np.testing.assert_allclose(
        logreg.fit(mapped, y, 4, 0.1, limits=limits),
        whole,
        atol=1e-4 * np.abs(whole).max(),
    )


def test_a_point_reached_by_a_step_is_the_point_evaluated_there():
    x, y = features(100, 5, 3, apart=0.5)
    problem = prepare(x, y, 3, logreg.Limits(block_size=40 * 48))
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 3, 6))
    start, _ = problem.evaluate(first)
    end, _ = problem.evaluate(second)
    step = Step(second - first, end.scores - start.scores)
    reached = problem.moved(start, np.ones((1, 1)), step)
    for name, expected in end._asdict().items():
        np.testing.assert_allclose(getattr(reached, name), expected, err_msg=name)
    assert reached.residual is start.residual  # No memory but that of the scores.


@pytest.mark.slow
def test_the_largest_features_fit_in_the_memory_that_is_promised(tmp_path):
    # Of NASNet Large on a third of Food-101, as a memory map of random numbers.
    shape, rng = (25_250, 4032), np.random.default_rng(0)
    x = np.lib.format.open_memmap(tmp_path / 'x.npy', 'w+', np.float32, shape)
    for i in range(0, len(x), 5000):
        x[i : i + 5000] = rng.random(x[i : i + 5000].shape, np.float32)
    x.flush()
    np.save(tmp_path / 'y.npy', np.arange(len(x)) % 101)
    code = (
        'import pathlib\nimport numpy as np\nfrom tfxfer import logreg\n'
        f'x = np.load({str(tmp_path / "x.npy")!r}, mmap_mode="r")\n'
        f'y = np.load({str(tmp_path / "y.npy")!r})\n'
        'list(logreg.path(x, y, 101, [1e5, 1e4, 1e3]))\n'
        # Not getrusage's, which begins with the peak of the process that made this one.
        'print(pathlib.Path("/proc/self/status").read_text())\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    peak = int(re.search(r'VmHWM:\s+(\d+) kB', done.stdout)[1]) * 1024
    assert x.nbytes < peak <= min(2.5 * x.nbytes + 500 * 2**20, 8 * 2**30)
