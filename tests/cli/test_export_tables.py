import pandas as pd
import pytest

from tests.support import made_results as made
from tfxfer import errors
from tfxfer.cli import app, export_tables


def test_the_formats_asked_for_are_written(tmp_path, program):
    study, out = (
        made.write_study(tmp_path / 'study', made.NETWORKS[:1]),
        tmp_path / 'out',
    )
    done = program(
        'tools.export_tables', f'--results={study}', f'--output={out}', '--formats=csv'
    )
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in out.iterdir()} == {'.csv'}
    assert str(out / 'results.csv') in done.stdout.splitlines()


def test_a_wrong_format_is_named_before_the_work(tmp_path):
    with pytest.raises(errors.InputError, match="'xls'.*csv, md, tex, html, parquet"):
        app.call(export_tables, [f'--results={tmp_path}', '--formats=xls'])


def test_published_results_are_taken_and_what_is_missing_is_said(tmp_path, capsys):
    study, out = tmp_path / 'study', tmp_path / 'out'
    made.write_cell(study, made.NETWORKS[0], 'scratch', 80, dataset='pets')
    made.write_trials(study, made.NETWORKS[1], 'scratch', dataset='pets')
    theirs = tmp_path / 'theirs.csv'
    theirs.write_text('dataset,network,setting,score\nPets,A,scratch,81.5\n')
    app.call(export_tables, [
        f'--results={study}', f'--output={out}', '--formats=parquet',
        f'--published={theirs}',
    ])  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert f'Missing: {made.NETWORKS[1]}, pets, scratch (4 trials are done).' in said
    read = pd.read_parquet(out / 'published.parquet')
    assert read[['network', 'score', 'our_score']].values.tolist() == [
        ['A', 0.815, 0.8]
    ]
    assert {path.suffix for path in out.iterdir()} == {'.parquet'}
