import subprocess
import sys

import numpy as np
import pytest
import threadpoolctl

from tests.conftest import ROOT
from tests.support.logistic import features
from tfxfer import logreg
from tfxfer.logreg import backends


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


def test_tensorflow_is_never_imported_for_a_path():
    code = (
        'import sys\nimport numpy as np\nfrom tfxfer import logreg\n'
        'logreg.fit(np.eye(4), np.arange(4) % 2, 2, 1.0)\n'
        'assert not {"tensorflow", "keras"} & set(sys.modules)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr
