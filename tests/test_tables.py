import io

import pandas as pd
import pytest

from tests import made_results as made
from tfxfer import cells, comparisons, formats, results, tables


@pytest.fixture
def study(tmp_path):
    return made.write_study(tmp_path)


def build(folder):
    records = cells.read(folder)
    paired, _ = comparisons.compare(cells.cells(records), folder)
    built, notes = tables.build(records, paired)
    return {table.name: table for table in built}, notes


def test_main_table_has_the_numbers_of_the_records(study):
    shown = tables.main(cells.read(study)).shown
    assert shown.values.tolist() == [
        ['mobilenet_v1_0.25', 'digits_5_9', 'top1', '100', 'digits_0_4', '90.0',
         '80.0 (71.1-86.7)', '85.0 (76.7-90.7)', '60.0 (50.2-69.1)'],
        ['mobilenet_v1_0.5', 'digits_5_9', 'top1', '100', 'digits_0_4', '95.0',
         '86.0 (77.9-91.5)', '94.0 (87.5-97.2)', '62.0 (52.2-70.9)'],
        ['mobilenet_v2_0.35', 'digits_5_9', 'top1', '100', 'digits_0_4', '98.0',
         '90.0 (82.6-94.5)', '92.0 (85.0-95.9)', '58.0 (48.2-67.2)'],
    ]  # fmt: skip


def test_main_csv_has_score_interval_choice_runs_and_seconds(study):
    text = formats.csv(tables.main(cells.read(study)))
    row = pd.read_csv(io.StringIO(text)).iloc[1]
    assert row['network'] == 'mobilenet_v1_0.5'
    assert (row['source'], row['source_score']) == ('digits_0_4', 0.95)
    assert row['finetune.score'] == 0.94
    assert round(row['finetune.low'], 4) == 0.8752
    assert row['finetune.chosen'] == 'lr=0.1 wd=0'
    assert (row['finetune.runs'], row['finetune.seconds']) == (5, 13)
    assert row['logistic.chosen'] == 'l2=1'
    assert (row['logistic.runs'], row['logistic.seconds']) == (1, 1)


def test_every_score_of_the_csv_is_a_records(study):
    frame = tables.main(cells.read(study)).frame
    records = results.frame(results.read_all(study))
    finals = records[(records.phase == 'final') & (records.setting != 'pretrain')]
    assert len(finals) == 9
    for record in finals.itertuples():
        row = frame[frame.network == record.arch].iloc[0]
        assert row[f'{record.setting}.score'] == record.score


def test_only_the_best_of_the_dataset_is_bold(study):
    text = formats.md(tables.main(cells.read(study)))
    assert text.count('**') == 2
    assert '**94.0 (87.5-97.2)**' in text


def test_equal_bests_are_both_bold(tmp_path):
    for arch, right in zip(made.NETWORKS, (70, 90, 90), strict=True):
        made.write_cell(tmp_path, arch, 'scratch', right)
    assert tables.main(cells.read(tmp_path)).bold == {
        (1, 'scratch %'),
        (2, 'scratch %'),
    }


def test_each_dataset_and_subset_has_its_own_best(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 60)
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 50, per_class=10)
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 40, dataset='digits')
    table = tables.main(cells.read(tmp_path))
    assert len(table.bold) == 3
    assert table.shown['images a class'].tolist() == ['', '', '10']


def test_what_is_missing_stands_in_the_table(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'logistic', 80)
    made.write_cell(tmp_path, made.NETWORKS[0], 'finetune', 85)
    made.write_trials(tmp_path, made.NETWORKS[1], 'finetune')
    built, _ = build(tmp_path)
    row = built['results'].shown.iloc[1]
    assert row['network'] == 'mobilenet_v1_0.5'
    assert row['logistic %'] == 'missing'
    assert row['finetune %'] == 'missing (trials done: 4)'
    assert 'scratch %' not in built['results'].shown  # Nobody asked for it.
    assert built['missing'].shown['setting'].tolist() == ['logistic', 'finetune']


def test_a_study_of_trials_only_is_a_table_of_what_is_missing(tmp_path):
    made.write_trials(tmp_path, made.NETWORKS[0], 'finetune')
    built, _ = build(tmp_path)
    assert sorted(built) == ['missing', 'results']
    shown = built['results'].shown
    assert shown['finetune %'].tolist() == ['missing (trials done: 4)']


def test_a_diverged_run_is_said_not_scored(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'logistic', 80)
    run = made.run(made.NETWORKS[0], 'scratch')
    results.write(tmp_path, made.record(run, 0.0, status='diverged'), {})
    built, _ = build(tmp_path)
    assert built['results'].shown['scratch %'].tolist() == ['diverged']
    assert built['results'].bold == {(0, 'logistic %')}
    assert built['results'].frame['scratch.score'].isna().all()
    assert built['runs'].shown['test %'].tolist() == ['80.0', 'diverged']


def test_seeds_are_shown_as_mean_and_standard_error(tmp_path):
    for seed, right in enumerate((80, 84, 88)):
        made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', right, seed=seed)
    built, _ = build(tmp_path)
    # 4 / sqrt 3 = 2.3; Wilson of 84 in 100.
    assert built['results'].shown['scratch %'].tolist() == ['84.0 +- 2.3 (75.6-89.9)']
    assert built['results'].frame['scratch.seeds'].tolist() == [3]
    assert built['runs'].shown['seed'].tolist() == ['0', '1', '2']
    assert built['runs'].shown['time'].tolist() == ['13 s'] * 3


def test_mean_per_class_is_shown_without_interval(tmp_path):
    run = made.run(made.NETWORKS[0], 'scratch')
    record = made.record(run, 0.9, metric='mean_per_class')
    results.write(tmp_path, record, made.predictions(90))
    table = tables.main(cells.read(tmp_path))
    assert table.shown['scratch %'].tolist() == ['90.0']
    assert 'no such interval' in table.note


def test_pretrain_runs_are_sources_not_targets(study):
    built, _ = build(study)
    table = built['sources'].shown
    assert table['test %'].tolist() == ['90.0', '95.0', '98.0']
    assert table['95 % interval'][0] == '85.1-93.4'  # 180 of 200.
    assert 'digits_0_4' not in built['results'].shown['dataset'].tolist()
    assert len(built['runs'].frame) == 9


def test_correlations_are_of_log_odds(study):
    built, _ = build(study)
    row = built['correlations'].frame.iloc[0]
    assert (row.setting, row.networks) == ('logistic', 3)
    # By hand: ln 9, ln 19, ln 49 against ln 4, ln 86/14, ln 9.
    x, y = (2.1972, 2.9444, 3.8918), (1.3863, 1.8153, 2.1972)
    mx, my = sum(x) / 3, sum(y) / 3
    top = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    bottom = sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)
    assert row.r == pytest.approx(top / bottom**0.5, abs=1e-3)


def test_two_networks_have_no_correlation(tmp_path):
    built, _ = build(made.write_study(tmp_path, made.NETWORKS[:2]))
    assert 'correlations' not in built


def test_comparisons_read_from_the_best_down(study):
    built, _ = build(study)
    table = built['comparisons'].shown
    assert table['best'].unique().tolist() == ['mobilenet_v1_0.5, finetune']
    assert table['points less'].tolist()[:3] == ['2.0', '4.0', '8.0']
    assert table['p (Holm)'].tolist()[:3] == ['0.5', '0.25', '0.023']


def test_names_list_every_table(study):
    built, _ = build(study)
    assert set(built) | {'missing'} == set(tables.NAMES)


def test_export_tables_writes_the_formats_asked_for(study, program, tmp_path):
    out = tmp_path / 'out'
    done = program(
        'tools.export_tables', f'--results={study}', f'--output={out}', '--formats=csv'
    )
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in out.iterdir()} == {'.csv'}
    built, _ = build(study)
    assert (out / 'results.csv').read_text() == formats.csv(built['results'])


def test_export_tables_names_a_wrong_format_in_one_line(study, program, tmp_path):
    done = program('tools.export_tables', f'--results={study}', '--formats=xls')
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "No format named 'xls'" in line and 'csv, md, tex' in line
