import pytest

from tfxfer import errors
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
