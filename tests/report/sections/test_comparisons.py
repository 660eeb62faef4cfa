from tests.support import show
from tfxfer.analysis import cells


def test_comparisons_read_from_the_best_down(study):
    built, _ = show.tables(cells.read(study), folder=study)
    table = built['comparisons'].shown
    assert table['best'].unique().tolist() == ['mobilenet_v1_0.5, finetune']
    assert table['difference (percentage points)'].tolist()[:3] == ['2.0', '4.0', '8.0']
    assert table['p (Holm)'].tolist()[:3] == ['0.5', '0.25', '0.023']
