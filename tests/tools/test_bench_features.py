import contextlib

import numpy as np
import pytest

from tests.support.fakes import ARCHITECTURE
from tfxfer import config, errors, models
from tfxfer.cli import app
from tools import bench_features


def test_a_table_says_rates_ratios_shares_and_differences():
    # 20 images x 2 x 10^9 operations are 40 % of 10^11.
    rates = {'Keras predict': 10.0, 'PyTorch float32': 20.0, 'ours bfloat16': 40.0}
    differences = {'Keras predict': 0.0, 'PyTorch float32': None, 'ours bfloat16': 0.01}
    products = {'float32': 1e11, 'bfloat16': 4e11}
    title, head, *rows = bench_features.lines(
        'net', 8, 10**9, rates, differences, products
    )
    assert title == 'net, batches of 8'
    assert head.split() == 'images/s x Keras of product difference'.split()
    assert [row.split() for row in rows] == [
        'Keras predict 10.0 1.00 20 % 0.0e+00'.split(),
        'PyTorch float32 20.0 2.00 40 %'.split(),
        'ours bfloat16 40.0 4.00 20 % 1.0e-02'.split(),
    ]


def test_an_unknown_network_is_refused():
    with pytest.raises(errors.InputError, match="'resnet_5'"):
        app.call(bench_features, ['--archs=resnet_5'])


def test_an_unknown_precision_is_refused():
    with pytest.raises(errors.InputError, match="'float16'.*float32, bfloat16"):
        app.call(bench_features, ['--precisions=float16'])


def test_a_row_has_the_best_of_each_library_in_one_precision():
    rates = {
        'Keras predict': 10.0, 'ours float32': 30.0, 'OpenVINO float32': 20.0,
        'OpenVINO float32, 2 streams': 25.0, 'ours bfloat16': 40.0,
    }  # fmt: skip
    row = bench_features.row_of('net', 'float32', rates)
    assert (row.what, row.ours) == ('net, images to features, float32', 30.0)
    assert row.peers == {'Keras': 10.0, 'OpenVINO': 25.0}
    assert bench_features.row_of('net', 'bfloat16', rates).peers == {}
    assert bench_features.row_of('net', 'bfloat16', {'Keras predict': 1.0}) is None


def test_ours_is_compared_with_pytorch_in_the_same_precision():
    rates = {
        'Keras predict': 10.0,
        'ours float16': 30.0,
        'PyTorch bfloat16': 15.0,
        'PyTorch float16': 20.0,
        'PyTorch float16, compiled': 40.0,
    }
    assert list(bench_features.ratios(rates)) == [
        'ours float16 is 1.50 x PyTorch float16',
        'ours float16 is 0.75 x PyTorch float16, compiled',
    ]


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_what_is_timed_on_a_gpu_gives_the_networks_features(fakes, precision):
    policy = config.POLICIES[precision]
    options = models.NetworkOptions(policy=policy)
    network = models.build(ARCHITECTURE, 3, options=options)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    timed = contextlib.contextmanager(bench_features.ours_on_gpu)
    with timed(network, images, precision, turn=3) as run:
        found = run()
    plain = network(images.astype(np.float32), training=False)['features']
    expected = np.tile(np.asarray(plain, np.float32), (3, 1))
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)
