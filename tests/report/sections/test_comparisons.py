from tests.support import made_results as made
from tests.support import show
from tfxfer.analysis import cells


def test_comparisons_read_from_the_best_down(tmp_path):
    for arch, counts in zip(made.NETWORKS, ((90, 91, 92), (89,), (60,)), strict=True):
        setting = 'scratch' if len(counts) > 1 else 'logistic'
        for seed, right in enumerate(counts):
            made.write_cell(tmp_path, arch, setting, right, seed=seed)
    built, _ = show.tables(cells.read(tmp_path), folder=tmp_path)
    table = built['comparisons'].shown
    assert table['best'].unique().tolist() == ['mobilenet_v1_0.25, scratch']
    assert table['difference (percentage points)'].tolist() == ['2.0', '31.0']
    assert table['only best correct'].tolist() == ['2', '31']
    assert table['seeds'].tolist() == ['3, 1', '3, 1']
    ps = table['p (corrected)'].astype(float)
    assert ps[0] > 0.05 > ps[1]


def test_of_one_seed_there_is_a_difference_and_no_p(study):
    built, _ = show.tables(cells.read(study), folder=study)
    table = built['comparisons'].shown
    assert table['best'].unique().tolist() == ['mobilenet_v1_0.5, finetune']
    assert table['difference (percentage points)'].tolist()[:3] == ['2.0', '4.0', '8.0']
    assert set(table['p (corrected)']) == {''}
