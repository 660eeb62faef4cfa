"""The program on few files, and its lines by hand."""

import pytest

from tools import bench_input
from tools.benchmarks import rows

RATES = {
    ('training', 'ours'): 200.0, ('training', 'keras'): 50.0,
    ('training', 'pytorch'): 100.0, ('evaluation', 'ours'): 300.0,
    ('evaluation', 'keras'): 400.0, ('evaluation', 'pytorch'): 150.0,
    ('decoding', 'ours'): 400.0,
}  # fmt: skip


@pytest.mark.slow
def test_rows_are_written_as_soon_as_they_are_known(program, tmp_path):
    done = program(
        'tools.bench_input', '--images=128', '--repeats=1', f'--out={tmp_path}'
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('  round 1: ') >= 5
    _, (training, evaluation) = rows.read(tmp_path / 'bench_input.json')
    assert 'training batches' in training.what and training.ours > 0
    assert training.peers['Keras'] > 0 and 'Keras' not in evaluation.peers


def test_lines_say_rates_ratios_and_the_share_of_decoding():
    *table, training, evaluation = bench_input.lines(RATES)
    assert table[4].split() == ['evaluation', 'keras', '400', '(not', 'antialiased)']
    assert training == (
        'training: 2.00 times pytorch; decoding alone takes 50 % of the time'
    )
    # Keras' pixels are others: it is no peer.
    assert evaluation == (
        'evaluation: 2.00 times pytorch; decoding alone takes 75 % of the time'
    )
    assert bench_input.row('evaluation', RATES).peers == {'PyTorch': 150.0}


def test_what_an_interrupted_program_has_is_printed():
    some = {('training', 'ours'): 200.0, ('training', 'keras'): 50.0}
    assert list(bench_input.lines(some))[2:] == ['training: 4.00 times keras']
    assert list(bench_input.lines({})) == []


def test_the_recorded_rows_are_those_that_the_program_would_write():
    assert bench_input.row('training', RATES).what == (
        'JPEG files (500 x 375) to 224-pixel training batches'
    )
