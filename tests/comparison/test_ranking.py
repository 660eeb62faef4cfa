import dataclasses

import pandas as pd

from tests.support import made_results as made
from tfxfer import results
from tfxfer.comparison import ranking
from tfxfer.report import formats, section


def ranked(folder):
    return ranking.ranked(section.of(results.read_all(folder), folder=folder))


def test_the_ranking_is_by_score_with_the_reports_intervals(tmp_path):
    made.write_study(tmp_path)
    rows = ranked(tmp_path)
    scores = [row.score for row in rows]
    right = sorted(n / 100 for group in made.RIGHT.values() for n in group)[::-1]
    assert scores == right and [row.rank for row in rows] == [*range(1, 10)]
    main = section.of(results.read_all(tmp_path), folder=tmp_path)
    cells = {(cell.network, cell.setting): cell for cell in main.cells}
    for row in rows:
        cell = cells[row.network, row.setting]
        assert (row.low, row.high) == cell.interval
        assert row.run == cell.records[0].run.id
    assert rows[0].verdict == 'highest' and rows[0].p is None
    # As the report tells them apart, which one seed does not do for what was trained.
    (report,) = main.judged
    apart = {row.b.name: row.significant for row in report.comparisons}
    for row in rows[1:]:
        name = cells[row.network, row.setting].name
        assert (row.verdict == 'lower') == apart[name]
        assert (row.verdict == 'not tested') == (row.p is None)


def test_equal_scores_have_one_rank_and_a_run_that_diverged_the_last(tmp_path):
    runs = [made.run(name, 'logistic') for name in made.NETWORKS]
    for run, right in zip(runs, (80, 80, 0), strict=True):
        record = made.record(run, right / 100)
        if not right:
            fault = {'step': 3, 'lr': 0.1}
            record = dataclasses.replace(record, status='diverged', fault=fault)
        results.write(tmp_path, record, made.predictions(right))
    rows = ranked(tmp_path)
    assert [row.rank for row in rows] == [1, 1, 3]
    assert [row.verdict for row in rows] == ['highest', 'not told apart', 'diverged']
    assert rows[-1].score is None


def test_the_tables_frame_has_the_numbers_and_its_text_percent(tmp_path):
    made.write_study(tmp_path)
    rows = ranked(tmp_path)
    table = ranking.table(rows)
    names = [field.name for field in dataclasses.fields(ranking.Ranked)]
    assert list(table.frame) == names
    assert table.frame['score'].tolist() == [row.score for row in rows]
    assert isinstance(table.frame, pd.DataFrame)
    assert table.shown['score %'][0] == '94.0'
    assert 'dataset' not in table.shown and 'dataset' in table.frame
    assert formats.md(table).count('\n|') == 2 + len(rows)
