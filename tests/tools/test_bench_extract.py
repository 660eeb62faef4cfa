"""The lines of the program, by hand."""

import pytest

from tfxfer import errors
from tfxfer.cli import app
from tools import bench_extract

RATES = {'decoding': 300.0, 'network': 100.0, 'together': 60.0}


def test_a_line_says_rates_and_shares():
    # 1 / (1/300 + 1/100) = 75.
    assert bench_extract.line('net', 'float32', RATES) == (
        'net float32: decoding 300/s, network 100/s, together 60/s; 60 % of the '
        'slower, 80 % of the bound'
    )


def test_a_row_has_its_parts_as_peers():
    row = bench_extract.row('net', 'float32', RATES)
    assert (row.ours, row.unit) == (60.0, 'images/s')
    assert row.peers == {'decoding alone': 300.0, 'network alone': 100.0}


def test_an_unknown_network_is_refused():
    with pytest.raises(errors.InputError, match="'resnet_5'"):
        app.call(bench_extract, ['--archs=resnet_5'])
