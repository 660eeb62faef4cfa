import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import threadpoolctl

from tests.conftest import ROOT
from tests.support.logistic import (
    L2S,
    Reference,
    allowed,
    assert_solved,
    both_methods,
    features,
    present,
)
from tfxfer import logreg
from tfxfer.logreg import backends
from tfxfer.logreg.problem import prepare
from tfxfer.logreg.regularization_path import solutions


@pytest.mark.parametrize('transposed', [False, True])
@pytest.mark.parametrize(('n', 'd', 'k'), [(1, 1, 1), (70, 33, 3), (1001, 130, 10)])
def test_compiled_products_are_numpys(n, d, k, transposed):
    rng = np.random.default_rng(0)
    a, other = rng.standard_normal((2, k, d if transposed else n), np.float32)
    z = rng.standard_normal((n, d), np.float32)
    expected = a @ (z.T if transposed else z)
    for product in (
        backends.compiled_product(k, z.shape, transposed, z),
        lambda a: backends.compiled_product(k, z.shape, transposed)(a, z),
    ):
        product(other)
        np.testing.assert_allclose(product(a), expected, rtol=1e-5, atol=1e-4)


def test_blas_has_its_threads_back_after_each_solution():
    def threads():
        return [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]

    x, y = features(3000, 400, 5, apart=0.5)
    before = threads()
    assert x.size > logreg.Limits().float64_size
    for _ in logreg.path(x, y, 5, [1, 0.1]):
        assert threads() == before


@both_methods
@pytest.mark.parametrize('multi_label', [False, True])
def test_products_by_tensorflow_give_the_same_minimum(multi_label, limits):
    backend = backends.TensorFlow(pytest.importorskip('tensorflow'), '/CPU:0')
    # 15 images of 4 classes, 31 of 2.
    limits = dataclasses.replace(limits, block_size=1000)
    x, y = features(300, 12, 4, apart=0.5)
    if not multi_label:
        assert_solved(x, y, 4, L2S, limits, backend)
        return
    y = present(300, 2)
    labelled = y.T >= 0
    minimum = sum(
        Reference(x[labelled[j]], y[labelled[j], j : j + 1]).minimum(0.1)
        for j in range(2)
    )
    ((_, w),) = solutions(prepare(x, y, 2, limits, backend), [0.1])
    f = logreg.loss_and_grad(w, x, y, 0.1)[0]
    assert f - minimum <= allowed(minimum, 300, 2)


def test_products_are_on_the_gpu_where_tensorflow_sees_one():
    tensorflow = pytest.importorskip('tensorflow')
    if not tensorflow.config.list_physical_devices('GPU'):
        pytest.skip('TensorFlow sees no GPU')
    x, y = features(11000, 100, 3, apart=0.2)
    assert 'GPU' in backends.available().put(x).device
    assert_solved(x, y, 3, L2S)


def test_a_device_keeps_the_choice_of_tensor_float_32():
    tensorflow = pytest.importorskip('tensorflow')
    enabled = tensorflow.config.experimental.tensor_float_32_execution_enabled()
    ones = np.ones((2, 2), np.float32)
    backend = backends.TensorFlow(tensorflow, '/CPU:0')
    product = backend.product(ones, ones, transpose_a=True)
    assert product.tolist() == [[2, 2], [2, 2]]
    assert tensorflow.config.experimental.tensor_float_32_execution_enabled() == enabled


def test_tensorflow_is_never_imported_for_a_path():
    code = (
        'import sys\nimport numpy as np\nfrom tfxfer import logreg\n'
        'logreg.fit(np.eye(4), np.arange(4) % 2, 2, 1.0)\n'
        'assert not {"tensorflow", "keras"} & set(sys.modules)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr
