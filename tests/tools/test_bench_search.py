"""The numbers that the benchmark prints."""

import math

import pytest

from tests.support import studies
from tools import bench_search


def score(run):
    """Grows with the rate; the final Run of halving is one point better."""
    halved = run.phase == 'final' and run.search == 'halving'
    return 0.5 + 0.01 * math.log10(run.hparams.lr) + 0.01 * halved


def test_halving_is_compared_with_the_grid_by_hand():
    searches = {}
    for name in ('grid', 'halving'):
        study = studies.one_cell(search=name, eta=2, seeds=(0, 1))
        _, records = studies.carried_out(study, score)
        searches[name] = bench_search.outcomes(study, records)
    grid, halving = bench_search.comparison(searches).frame.to_dict('records')
    # Two cells: 8 points x 16 steps; 8 x 4, 4 of them to 8 and 2 of these to 16.
    assert (grid['steps'], halving['steps']) == (2 * 128, 2 * (4 * 4 + 2 * 8 + 2 * 16))
    assert (grid['cells'], halving['same']) == (2, 2)
    assert grid['loss'] == 0 and halving['loss'] == pytest.approx(-1)
    assert grid['score'] == pytest.approx(0.5)
    row = bench_search.row('halving', searches)
    assert (row.ours, row.peers) == (
        2 * (4 * 4 + 2 * 8 + 2 * 16),
        {'the whole grid': 256},
    )
    assert row.note == '-1.00 percentage points below the grid'
