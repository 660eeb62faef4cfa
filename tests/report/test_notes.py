import dataclasses

from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import cells
from tfxfer.report import notes


def test_both_ways_around_missing_cells_are_offered(tmp_path):
    made.write_sources(tmp_path)
    for dataset in ('digits', 'pets', 'dtd'):
        for arch in made.NETWORKS[: 3 if dataset == 'dtd' else 2]:
            made.write_cell(tmp_path, arch, 'logistic', 80, dataset=dataset)
    (note,) = notes.complete_parts(cells.cells(cells.read(tmp_path)))
    assert note.startswith('logistic: 2 of 3 x 3 cells are missing.')
    # Of whole rows; the datasets that all networks have are named beside the figures.
    assert '2 networks on 3 datasets' in note and made.NETWORKS[2] in note


def test_of_a_complete_table_nothing_is_offered(tmp_path):
    made.write_study(tmp_path)
    assert list(notes.complete_parts(cells.cells(cells.read(tmp_path)))) == []


def test_subsets_are_named_by_their_size():
    records = [
        made.final(arch, 'logistic', 0.8, source_score=0.7, dataset=name, per_class=20)
        for arch, name in (('a', 'pets'), ('a', 'dtd'), ('a', 'cars'),
                           ('b', 'pets'), ('b', 'dtd'), ('b', 'cars'), ('c', 'pets'))
    ]  # fmt: skip
    (note,) = notes.complete_parts(cells.cells(records))
    assert note.startswith('logistic, 20 images per class: 2 of 3 x 3')


def test_an_unsolved_regression_is_said():
    run = made.run(made.NETWORKS[0], 'logistic')
    curve = tuple(
        {'l2': l2, 'valid_score': 0.5, 'solved': l2 > 1e-3} for l2 in made.CURVE
    )
    (note,) = notes.warnings([made.record(run, 0.5, curve=curve)])
    assert note.startswith(f'{run.id}: ')
    assert '1 of 3 values of l2, up to 0.001' in note


def test_a_choice_at_the_edge_of_its_grid_is_said():
    run = made.run(made.NETWORKS[0], 'scratch')
    grid = [{'lr': lr, 'wd': 0.0, 'valid_score': 0.5} for lr in (0.001, 0.01, 0.1)]
    inside, edge = (
        made.record(run, 0.5, curve=tuple(grid), chosen={'lr': lr, 'wd': 0.0})
        for lr in (0.01, 0.1)
    )
    assert list(notes.warnings([inside])) == []
    (note,) = notes.warnings([edge])
    assert 'lr = 0.1 is at the edge' in note


def test_a_trial_is_not_warned_of():
    run = made.run(made.NETWORKS[0], 'scratch', phase='trial')
    record = dataclasses.replace(made.record(run, None), status='diverged')
    assert list(notes.warnings([record])) == []


def test_a_run_without_its_record_is_unfinished(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'logistic', 80)
    run = made.run(made.NETWORKS[1], 'finetune')
    results.write_run(tmp_path, run)
    (note,) = notes.unfinished(tmp_path)
    assert note.startswith(f'{run.id}: ')
