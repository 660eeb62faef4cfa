import pandas as pd
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tests.support import show
from tfxfer.analysis import cells


def ranked(folder):
    """{name: Drawing} of the rankings of a folder."""
    found = show.drawn(cells.read(folder), folder=folder)
    return {name: d for name, d in found.items() if name.startswith('ranking')}


def bands(drawing):
    """How many rows have the colour of the group behind them."""
    (panel,) = drawing.figure.axes
    return len(panel.patches)


def test_cells_stand_by_score_with_wilsons_intervals(tmp_path):
    for arch, right in zip(made.NETWORKS, (70, 90, 88), strict=True):
        made.write_cell(tmp_path, arch, 'logistic', right)
    (drawing,) = ranked(tmp_path).values()
    frame = drawing.frame
    assert (100 * frame['score']).round().tolist() == [90, 88, 70]
    for row, right in zip(frame.to_dict('records'), (90, 88, 70), strict=True):
        test = scipy_stats.binomtest(right, 100).proportion_ci(method='wilson')
        assert (row['low'], row['high']) == pytest.approx(tuple(test))
    # 90 and 70 of 100 differ in 20 images that one alone has right: z > 4.
    assert frame['not_told_apart'].tolist() == [True, True, False]
    assert bands(drawing) == 2 and drawing.subject == 'ranking'
    # The highest of three is lucky: without that it is lower, in a wider interval.
    best = frame.iloc[0]
    assert best['corrected_low'] < best['low']
    assert frame['corrected_low'].notna().tolist() == [True, False, False]


def test_of_one_seed_nothing_is_marked_and_that_is_said(tmp_path):
    (drawing,) = ranked(made.write_study(tmp_path)).values()
    assert drawing.frame['not_told_apart'].isna().all() and bands(drawing) == 0
    assert drawing.frame['corrected_low'].isna().all()
    assert 'Nothing is shaded' in drawing.caption
    assert len(drawing.frame) == 9


def test_what_diverged_is_not_ranked_and_one_cell_has_no_ranking():
    assert not show.drawn([made.final('x', 'scratch', 0.5)]).keys() & {'ranking_pets'}
    bad = made.record(made.run('y', 'scratch', dataset='pets'), 0.0, status='diverged')
    records = [made.final(n, 'scratch', 0.5) for n in 'abc']
    assert len(show.drawn([bad, *records])['ranking_pets'].frame) == 3


def test_of_many_cells_the_best_twenty_are_drawn():
    records = [made.final(f'n{i:02d}', 'logistic', 0.5 + i / 100) for i in range(30)]
    drawing = show.drawn(records)['ranking_pets']
    assert drawing.frame['network'].tolist() == [f'n{i}' for i in range(29, 9, -1)]
    assert 'The best 20 of 30 cells' in drawing.caption
    show.assert_nothing_overlaps([drawing])


@pytest.mark.parametrize(
    ('datasets', 'subject', 'figures', 'notes'),
    [(4, 'ranking', 4, 0), (5, 'rankings', 5, 0), (14, 'rankings', 12, 1)],
)
def test_many_datasets_are_folded_and_very_many_bounded(
    datasets, subject, figures, notes
):
    records = [
        made.final(n, 'logistic', 0.5, dataset=f'd{i:02d}')
        for i in range(datasets)
        for n in 'ab'
    ]
    drawn = [d for d in show.drawings(records) if d.name.startswith('ranking')]
    assert len(drawn) == figures and {d.subject for d in drawn} == {subject}
    said = [note for note in show.tables(records)[1] if 'Figures of single' in note]
    assert len(said) == notes


def test_of_several_subsets_the_largest_has_the_figure():
    records = [
        made.final(n, 'logistic', 0.5, per_class=k) for k in (20, 5) for n in 'ab'
    ]
    names = [d.name for d in show.drawings(records) if d.name.startswith('ranking')]
    assert names == ['ranking_pets_20']
    whole = [made.final(n, 'logistic', 0.5) for n in 'ab']
    names = [
        d.name for d in show.drawings(records + whole) if d.name.startswith('ranking')
    ]
    assert names == ['ranking_pets']


def test_names_of_any_length_fit():
    long = [made.final('network ' * 12 + n, 'finetune', 0.5) for n in 'ab']
    drawing = show.drawn(long)['ranking_pets']
    (panel,) = drawing.figure.axes
    assert isinstance(drawing.frame, pd.DataFrame)
    assert all(len(text.get_text()) <= 58 for text in panel.texts)
