import pandas as pd

from tests.support import made_results as made
from tests.support import show
from tfxfer.analysis import cells
from tfxfer.report import formats


def test_export_tables_writes_the_formats_asked_for(study, program, tmp_path):
    out = tmp_path / 'out'
    done = program(
        'tools.export_tables', f'--results={study}', f'--output={out}', '--formats=csv'
    )
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in out.iterdir()} == {'.csv'}
    built, _ = show.tables(cells.read(study), folder=study)
    assert (out / 'results.csv').read_text() == formats.csv(built['results'])


def test_export_tables_names_a_wrong_format_in_one_line(study, program, tmp_path):
    done = program('tools.export_tables', f'--results={study}', '--formats=xls')
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "No format named 'xls'" in line
    assert 'csv, md, tex, html, parquet' in line


def test_export_tables_takes_published_results_and_says_what_is_missing(
    program, tmp_path
):
    study, out = tmp_path / 'study', tmp_path / 'out'
    made.write_cell(study, made.NETWORKS[0], 'scratch', 80, dataset='pets')
    made.write_trials(study, made.NETWORKS[1], 'scratch', dataset='pets')
    theirs = tmp_path / 'theirs.csv'
    theirs.write_text('dataset,network,setting,score\nPets,A,scratch,81.5\n')
    done = program(
        'tools.export_tables', f'--results={study}', f'--output={out}',
        '--formats=parquet', f'--published={theirs}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert f'Missing: {made.NETWORKS[1]}, pets, scratch (4 trials are done).' in said
    read = pd.read_parquet(out / 'published.parquet')
    assert read[['network', 'score', 'our_score']].values.tolist() == [
        ['A', 0.815, 0.8]
    ]
    assert {path.suffix for path in out.iterdir()} == {'.parquet'}
