from tests.support import show
from tfxfer.analysis import cells


def test_pretrain_runs_are_sources_not_targets(study):
    built, _ = show.tables(cells.read(study), folder=study)
    table = built['sources'].shown
    assert table['test %'].tolist() == ['90.0', '95.0', '98.0']
    assert table['95 % interval'][0] == '85.1-93.4'  # 180 of 200.
    assert 'digits_0_4' not in built['results'].shown['dataset'].tolist()
    assert len(built['runs'].frame) == 9
