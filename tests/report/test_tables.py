import dataclasses
import io
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from tests.report import test_experiments as test_experiments
from tests.report import test_figures as test_figures
from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import cells, comparisons, published
from tfxfer.report import formats, tables


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


def test_the_search_that_chose_is_named_and_its_points_are_counted(tmp_path):
    made.write_sources(tmp_path)
    record = made.write_cell(tmp_path, made.NETWORKS[0], 'finetune', 80)
    for search, said in (('', '4 values'), ('grid', '4 values')):
        own = dataclasses.replace(record.run, search=search)
        found = cells.cells([dataclasses.replace(record, run=own)])
        assert tables.runs(found).shown['from'].tolist() == [said]
    # Three trials more, of points that went on.
    trials = record.run.trials + ('a', 'b', 'c')
    own = dataclasses.replace(record.run, search='halving', trials=trials)
    table = tables.runs(cells.cells([dataclasses.replace(record, run=own)]))
    assert table.shown['from'].tolist() == ['4 values by halving']
    assert table.shown['Runs'].tolist() == ['8']


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


def test_names_list_every_table(tmp_path):
    records = cells.read(made.write_study(tmp_path))
    records += made.study_records({'x': 0.7, 'y': 0.8}, ['dtd', 'pets'], points=1)
    records += test_figures.sizes() + test_figures.lengths()
    scores = {(0.0, 0.2): {'cars': 0.8}, (0.1, 0.2): {'cars': 0.7}}
    records += test_experiments.pretrained(scores)
    records += test_experiments.public_and_own(names=('cars', 'flowers'))
    paired, _ = comparisons.compare(cells.cells(cells.read(tmp_path)), tmp_path)
    built, _ = tables.build(records, paired, PUBLISHED)
    assert tuple(table.name for table in built) == tables.NAMES


PUBLISHED = (
    published.Published('pets', 'Theirs', 'finetune', 0.9, 0.76, 'paper'),
    published.Published('pets', 'Old', 'finetune', 0.8, None, 'paper'),
    published.Published('flowers', 'Theirs', 'finetune', 0.95, 0.76, 'paper'),
)


def tables_of(records, published=()):
    built, notes = tables.build(records, [], published)
    return {table.name: table for table in built}, notes


def logit(p):
    return math.log(p / (1 - p))


def matrix_of(scores, setting='logistic'):
    """Records of {network: {dataset: score}}."""
    return [
        made.final(network, setting, score, dataset=dataset, source_score=0.7)
        for network, row in scores.items()
        for dataset, score in row.items()
    ]


def test_scores_are_networks_by_datasets_with_the_mean_log_odds():
    scores = {'a': {'dtd': 0.5, 'pets': 0.5}, 'b': {'dtd': 0.8, 'pets': 0.6}}
    built, _ = tables_of(matrix_of(scores))
    table = built['scores_logistic']
    # Of two networks Morey's bar is sem(differences) / sqrt 2; d = ln 4, ln 1.5.
    error = (math.log(4) - math.log(1.5)) / 2 / math.sqrt(2)
    mean = (math.log(4) + math.log(1.5)) / 2
    assert table.shown.values.tolist() == [
        ['a', '50.0', '50.0', f'0.000 +- {error:.3f}'],
        ['b', '80.0', '60.0', f'{mean:.3f} +- {error:.3f}'],
    ]
    assert table.bold == {(1, 'dtd %'), (1, 'pets %')}
    assert table.frame.error.tolist() == pytest.approx([error, error])


def test_a_network_that_lacks_a_dataset_has_no_mean_and_that_is_said():
    scores = {'a': {'dtd': 0.9, 'pets': 0.5}, 'b': {'dtd': 0.8}}
    built, notes = tables_of(matrix_of(scores))
    table = built['scores_logistic']
    assert table.shown['pets %'].tolist() == ['50.0', '']
    assert table.shown['mean log odds'].tolist() == [
        f'{(logit(0.9) + logit(0.5)) / 2:.3f}',
        '',
    ]
    assert any('1 cells are not measured yet' in note for note in notes)
    assert built['missing'].shown.values.tolist() == [['b', 'pets', 'logistic', '0']]


def test_each_size_of_subset_has_its_own_best_in_the_scores():
    records = [
        made.final(network, 'scratch', score, per_class=per_class)
        for network, per_class, score in (
            ('a', 5, 0.5),
            ('b', 5, 0.4),
            ('a', None, 0.9),
        )
    ]
    built, _ = tables_of(records)
    table = built['scores_scratch']
    rows = [table.shown.values.tolist()[i] for i, _ in sorted(table.bold)]
    assert rows == [['a', '', '90.0'], ['a', '5', '50.0']]


def test_correlations_are_of_each_dataset_and_of_their_mean():
    rng = np.random.default_rng(0)
    tops = {f'n{i}': 0.6 + 0.05 * i for i in range(5)}
    scores = {n: dict(zip(('dtd', 'pets'), rng.uniform(0.5, 0.9, 2), strict=True))
              for n in tops}  # fmt: skip
    records = [
        made.final(n, 'logistic', score, dataset=dataset, source_score=tops[n])
        for n, row in scores.items()
        for dataset, score in row.items()
    ]
    frame = tables_of(records)[0]['correlations'].frame
    assert frame.datasets.tolist() == ['dtd; pets', 'dtd', 'pets']
    x = [logit(top) for top in tops.values()]
    odds = {d: [logit(scores[n][d]) for n in tops] for d in ('dtd', 'pets')}
    y = [np.mean([odds['dtd'], odds['pets']], axis=0), odds['dtd'], odds['pets']]
    r = [scipy_stats.pearsonr(x, values).statistic for values in y]
    assert frame.r.tolist() == pytest.approx(r)


def test_t_tests_are_those_of_comparisons():
    scores = {'a': {'dtd': 0.5, 'pets': 0.5}, 'b': {'dtd': 0.8, 'pets': 0.6}}
    records = matrix_of(scores)
    (row,) = tables_of(records)[0]['t_tests'].frame.itertuples()
    test = scipy_stats.ttest_rel([0, 0], [logit(0.8), logit(0.6)])
    assert (row.a, row.b, row.n) == ('a', 'b', 2)
    assert (row.t, row.p) == pytest.approx((test.statistic, test.pvalue))
    assert row.p_holm == pytest.approx(test.pvalue)
    assert row.mean == pytest.approx(-(math.log(4) + math.log(1.5)) / 2)


def test_published_results_stand_beside_our_best_of_the_same_task():
    records = [made.final('a', 'finetune', 0.85), made.final('b', 'finetune', 0.87)]
    records += [made.final('a', 'logistic', 0.99)]
    records += [made.final('a', 'finetune', 0.99, per_class=5)]
    table = tables_of(records, PUBLISHED)[0]['published']
    assert table.frame.our_network.tolist() == ['b, finetune'] * 2
    assert table.frame.difference.tolist() == pytest.approx([-0.03, 0.07])
    assert table.shown['points more'].tolist() == ['-3.0', '+7.0']
    assert 'published' not in tables_of(records)[0]


def test_dataset_size_has_scores_errors_and_draws_by_setting():
    built, _ = tables_of(test_figures.sizes())
    few, many = built['dataset_size'].frame.to_dict('records')
    assert (few['images'], few['finetune.score'], few['scratch.draws']) == (10, 0.5, 2)
    half = (logit(0.3) - logit(0.2)) / 2
    assert few['scratch.error'] == pytest.approx(half)
    assert math.isnan(many['scratch.error'])
    shown = built['dataset_size'].shown
    assert shown['draws'].tolist() == ['1 / 2', '1 / 1']
    assert shown['scratch %'].tolist() == ['24.7 (20.0-30.0)', '40.0']
    assert built['crossings'].shown['training images a class'].tolist() == [
        'not up to 20 images a class, the most that compare'
    ]


def test_convergence_says_steps_epochs_and_ratio():
    images = {'train': 2944, 'valid': 736, 'test': 3669}
    records = [
        made.final('a', setting, score, hparams={'steps': steps * scale}, images=images)
        for setting, scale in (('finetune', 1), ('scratch', 10))
        for steps, score in ((100, 0.5), (1000, 8 / 9), (4000, 10 / 11))
    ]
    built, _ = tables_of(records)
    shown = built['convergence'].shown.to_dict('records')
    # 90 % of odds of 10 is half-way from 8 to 10: 2,000 steps, x 256 / 3,680 epochs.
    assert [row['steps to 90 %'] for row in shown] == ['2000', '20000']
    assert [row['epochs to 90 %'] for row in shown] == ['139', '1391']
    assert [row['scratch / finetune'] for row in shown] == ['', '10']
    assert shown[0]['at steps'] == '4000 (the longest)'
    assert built['convergence'].frame.best_odds.tolist() == pytest.approx([10, 10])


def test_lengths_of_training_do_not_spoil_the_other_tables():
    tops = {'a': 0.7, 'b': 0.75, 'c': 0.8}
    records = [
        made.final(n, 'finetune', top, hparams={'steps': steps}, source_score=top)
        for n, top in tops.items()
        for steps in ((20_000, 100) if n == 'a' else (20_000,))
    ]
    built, _ = tables_of(records)
    assert built['scores_finetune'].shown['pets %'].tolist() == ['70.0', '75.0', '80.0']
    assert built['correlations'].frame.r.tolist() == pytest.approx([1])


def test_training_settings_and_their_effects_are_tables():
    scores = {
        (0.0, 0.2): {'pets': 0.8, 'dtd': 0.6},
        (0.1, 0.2): {'pets': 0.7, 'dtd': 0.55},
    }
    built, _ = tables_of(test_experiments.pretrained(scores))
    frame = built['training_settings'].frame
    assert frame[['dataset', 'label_smoothing', 'score']].values.tolist() == [
        ['dtd', 0.0, 0.6], ['dtd', 0.1, 0.55], ['pets', 0.0, 0.8], ['pets', 0.1, 0.7],
    ]  # fmt: skip
    x = [logit(0.55) - logit(0.6), logit(0.7) - logit(0.8)]
    source, shown = built['setting_effects'].shown.to_dict('records')
    assert (source['setting'], source['change of log odds']) == ('source', '+0.000')
    assert shown['changed'] == 'label smoothing 0 to 0.1'
    assert (
        shown['change of log odds'] == f'{np.mean(x):.3f} +- {scipy_stats.sem(x):.3f}'
    )
    assert built['setting_effects'].frame.p[1] == pytest.approx(
        scipy_stats.ttest_1samp(x, 0).pvalue
    )
    by_dataset = built['setting_effects_by_dataset']
    assert by_dataset.shown.values.tolist() == [
        ['inception_v1', 'source', 'imagenet2012', '+0.000'],
        ['inception_v1', 'logistic', 'dtd', f'{x[0]:.3f}'],
        ['inception_v1', 'logistic', 'pets', f'{x[1]:.3f}'],
    ]
    mean = by_dataset.frame['label_smoothing 0 to 0.1.mean'.replace('_', ' ')]
    assert mean.tolist() == pytest.approx([0, *x])


def test_effects_over_seeds_have_a_column_and_switches_read_on_and_off():
    built, _ = tables_of(test_experiments.scaled(test_experiments.SEEDS))
    table = built['setting_effects']
    assert table.shown['changed'].tolist() == ['scale off to on'] * 2
    errors = table.frame.seed_error
    assert table.shown['over seeds'].tolist() == [f'+- {e:.3f}' for e in errors]
    assert table.shown['seeds'].tolist() == ['3', '3']
    assert table.frame[['low', 'high']].values.tolist() == [[0, 1], [0, 1]]
    ways = built['training_settings'].shown
    assert ways['scale'].tolist() == ['off', 'on', 'off', 'on']
    assert ways['seeds'].tolist() == ['3'] * 4
    shown = built['setting_effects_by_dataset'].shown['scale off to on']
    assert all(' +- ' in text for text in shown)


def test_public_and_own_are_rows_with_their_r():
    built, _ = tables_of(test_experiments.public_and_own())
    table = built['public_and_own']
    for row, given in zip(
        table.frame.itertuples(),
        (test_experiments.PUBLIC, test_experiments.OWN),
        strict=True,
    ):
        x = [logit(top) for top, *_ in given.values()]
        y = [np.mean([logit(p) for p in scores]) for _, *scores in given.values()]
        assert row.r == pytest.approx(scipy_stats.pearsonr(x, y).statistic)
        assert (row.networks, row.datasets) == (len(given), 'dtd; pets')
    assert table.shown['weights'].tolist() == ['public', 'own']
    assert table.shown['r'].tolist() == [f'{r:.2f}' for r in table.frame.r]


def test_networks_of_one_accuracy_have_no_r():
    same = dict.fromkeys('xyz', (0.7, 0.6, 0.5))
    built, _ = tables_of(test_experiments.public_and_own(public=same))
    assert built['public_and_own'].shown['r'].tolist()[0] == ''


def test_every_format_takes_every_table(tmp_path):
    records = made.study_records({'x': 0.7, 'y': 0.8}, ['dtd', 'pets'], points=1)
    records += test_figures.sizes() + test_figures.lengths()
    scores = {(0.0, 0.2): {'cars': 0.8}, (0.1, 0.2): {'cars': 0.7}}
    records += test_experiments.pretrained(scores)
    records += test_experiments.scaled(test_experiments.SEEDS)
    records += test_experiments.public_and_own()
    built, _ = tables.build(records, [], PUBLISHED)
    formats.write(built, tmp_path, tuple(formats.FORMATS))
    for table in built:
        read = pd.read_parquet(tmp_path / f'{table.name}.parquet')
        text = pd.read_csv(tmp_path / f'{table.name}.csv')
        pd.testing.assert_frame_equal(
            read.astype(object).fillna(0).astype(str).replace({'': '0', 'None': '0'}),
            table.frame.astype(object)
            .fillna(0)
            .astype(str)
            .replace({'': '0', 'None': '0'}),
        )
        assert len(text) == len(read) == len(table.shown)


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
