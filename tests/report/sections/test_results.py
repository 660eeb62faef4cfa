import io

import pandas as pd

from tests.support import made_results as made
from tests.support import show
from tfxfer import results
from tfxfer.analysis import cells
from tfxfer.report import formats


def main_table(folder):
    return show.tables(cells.read(folder))[0]['results']


def test_main_table_has_the_numbers_of_the_records(study):
    shown = main_table(study).shown
    assert shown.values.tolist() == [
        ['mobilenet_v1_0.25', 'digits_5_9', 'top1', '100', 'digits_0_4', '90.0',
         '80.0 (71.1-86.7)', '85.0 (76.7-90.7)', '60.0 (50.2-69.1)'],
        ['mobilenet_v1_0.5', 'digits_5_9', 'top1', '100', 'digits_0_4', '95.0',
         '86.0 (77.9-91.5)', '94.0 (87.5-97.2)', '62.0 (52.2-70.9)'],
        ['mobilenet_v2_0.35', 'digits_5_9', 'top1', '100', 'digits_0_4', '98.0',
         '90.0 (82.6-94.5)', '92.0 (85.0-95.9)', '58.0 (48.2-67.2)'],
    ]  # fmt: skip


def test_main_csv_has_score_interval_choice_runs_and_seconds(study):
    text = formats.csv(main_table(study))
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
    frame = main_table(study).frame
    records = results.frame(results.read_all(study))
    finals = records[(records.phase == 'final') & (records.setting != 'pretrain')]
    assert len(finals) == 9
    for record in finals.itertuples():
        row = frame[frame.network == record.arch].iloc[0]
        assert row[f'{record.setting}.score'] == record.score


def test_only_the_best_of_the_dataset_is_bold(study):
    text = formats.md(main_table(study))
    assert text.count('**') == 2
    assert '**94.0 (87.5-97.2)**' in text


def test_equal_bests_are_both_bold(tmp_path):
    for arch, right in zip(made.NETWORKS, (70, 90, 90), strict=True):
        made.write_cell(tmp_path, arch, 'scratch', right)
    assert main_table(tmp_path).bold == {
        (1, 'scratch %'),
        (2, 'scratch %'),
    }


def test_each_dataset_and_subset_has_its_own_best(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 60)
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 50, per_class=10)
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 40, dataset='digits')
    table = main_table(tmp_path)
    assert len(table.bold) == 3
    assert table.shown['images per class'].tolist() == ['', '', '10']


def test_what_is_missing_stands_in_the_table(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'logistic', 80)
    made.write_cell(tmp_path, made.NETWORKS[0], 'finetune', 85)
    made.write_trials(tmp_path, made.NETWORKS[1], 'finetune')
    built, _ = show.tables(cells.read(tmp_path), folder=tmp_path)
    row = built['results'].shown.iloc[1]
    assert row['network'] == 'mobilenet_v1_0.5'
    assert row['logistic %'] == 'missing'
    assert row['finetune %'] == 'missing (trials done: 4)'
    assert 'scratch %' not in built['results'].shown  # Nobody asked for it.
    assert built['missing'].shown['setting'].tolist() == ['logistic', 'finetune']


def test_a_study_of_trials_only_is_a_table_of_what_is_missing(tmp_path):
    made.write_trials(tmp_path, made.NETWORKS[0], 'finetune')
    built, _ = show.tables(cells.read(tmp_path), folder=tmp_path)
    assert sorted(built) == ['missing', 'results']
    shown = built['results'].shown
    assert shown['finetune %'].tolist() == ['missing (trials done: 4)']


def test_a_diverged_run_is_said_not_scored(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'logistic', 80)
    run = made.run(made.NETWORKS[0], 'scratch')
    results.write(tmp_path, made.record(run, 0.0, status='diverged'), {})
    built, _ = show.tables(cells.read(tmp_path), folder=tmp_path)
    assert built['results'].shown['scratch %'].tolist() == ['diverged']
    assert built['results'].bold == {(0, 'logistic %')}
    assert built['results'].frame['scratch.score'].isna().all()
    assert built['runs'].shown['test %'].tolist() == ['80.0', 'diverged']


def test_seeds_are_shown_as_mean_and_standard_error(tmp_path):
    for seed, right in enumerate((80, 84, 88)):
        made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', right, seed=seed)
    built, _ = show.tables(cells.read(tmp_path), folder=tmp_path)
    # 4 / sqrt 3 = 2.3, with Student's 4.3 of two degrees of freedom: far more than
    # Wilson's 75.6-89.9 of 84 in 100, and about 10 on either side.
    assert built['results'].shown['scratch %'].tolist() == ['84.0 +- 2.3 (69.9-92.2)']
    assert built['results'].frame['scratch.seeds'].tolist() == [3]
    assert built['runs'].shown['seed'].tolist() == ['0', '1', '2']
    assert built['runs'].shown['time'].tolist() == ['13 s'] * 3


def test_average_precision_is_shown_without_interval(tmp_path):
    run = made.run(made.NETWORKS[0], 'scratch')
    record = made.record(run, 0.9, metric='voc_map')
    results.write(tmp_path, record, made.predictions(90))
    table = main_table(tmp_path)
    assert table.shown['scratch %'].tolist() == ['90.0']
    assert 'no such interval' in table.note
