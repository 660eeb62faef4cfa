import re

import pytest

from tfxfer import errors
from tfxfer.cli import app
from tools import bench_train


@pytest.mark.exhaustive
def test_ours_and_keras_are_timed_from_all_feeds(program):
    done = program(
        'tools.bench_train', '--archs=mobilenet_v1_0.25:32', '--batch=4', '--rounds=1',
        '--seconds=0.01', '--every=1', '--images=8',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[-3:]
    for line, feed in zip(lines, bench_train.FEEDS, strict=True):
        assert line.startswith(f'mobilenet_v1_0.25 32 px x 4, {feed}: ours ')
    ready, memory, files = lines
    rates = re.search(r'ours ([\d.]+), Keras ([\d.]+) \(ours/Keras ([\d.]+)\)', ready)
    own, keras, ratio = map(float, rates.groups())
    assert ratio == pytest.approx(own / keras, rel=0.1)
    assert '% of ready' in memory and '% of memory' in files


def test_a_line_says_rates_ratios_and_shares():
    # 50 images x 6 x 10^9 multiply-adds = 0.3 x 10^12 operations.
    rates = {
        ('ours', 'ready'): 50.0, ('keras', 'ready'): 40.0,
        ('ours', 'memory'): 45.0, ('alone', 'memory'): 450.0,
        ('ours', 'files'): 36.0, ('alone', 'files'): 450.0,
    }  # fmt: skip
    problem = bench_train.Problem('net', 8, 2, every=1, seconds=1.0, folder=None)
    reference = bench_train.Reference(10**9, peak=10**12, gpu='')
    ready, memory, files = bench_train.lines(problem, rates, reference)
    assert ready == (
        'net 8 px x 2, ready: ours 50.0, Keras 40.0 (ours/Keras 1.25), '
        "30 % of a matrix product's 1 Tflop/s"
    )
    # 1 / (1/50 + 1/450) = 45.
    assert memory == (
        'net 8 px x 2, memory: ours 45.0, 90 % of ready, 100 % of the bound, '
        'input alone 450'
    )
    assert files == (
        'net 8 px x 2, files: ours 36.0, 80 % of memory, 72 % of ready, '
        '80 % of the bound, input alone 450'
    )


@pytest.mark.parametrize(
    'flag, named',
    [
        ('--archs=resnet_50', 'NAME:PIXELS'),
        ('--archs=resnet_5:128', "'resnet_5'"),
        ('--feeds=disk', "'disk'"),
    ],
)
def test_what_is_not_there_to_be_timed_is_refused(flag, named):
    with pytest.raises(errors.InputError, match=named):
        app.call(bench_train, [flag])


def test_a_row_has_the_faster_of_ours():
    rates = {('ours', 'ready'): 50.0, ('keras', 'ready'): 40.0}
    problem = bench_train.Problem('net', 8, 2, every=1, seconds=1.0, folder=None)
    row = bench_train.row(problem, rates)
    assert (row.what, row.ours, row.note) == (
        'training net, 8 pixels, batch 2', 50.0, '',
    )  # fmt: skip
    assert row.peers == {'Keras': 40.0}
    row = bench_train.row(problem, {**rates, ('xla', 'ready'): 60.0})
    assert (row.ours, row.note) == (60.0, 'by XLA')


def test_an_interrupted_program_prints_what_it_has():
    problem = bench_train.Problem('net', 8, 2, every=1, seconds=1.0, folder=None)
    reference = bench_train.Reference(10**9, peak=None, gpu='')
    assert list(bench_train.lines(problem, {('keras', 'ready'): 4.0}, reference)) == []
    rates = {('ours', 'ready'): 5.0, ('ours', 'memory'): 4.0}
    assert list(bench_train.lines(problem, rates, reference)) == [
        'net 8 px x 2, ready: ours 5.0'
    ]
