import dataclasses
import hashlib
import types

import numpy as np
import pytest

from tests.support import made_results as made
from tfxfer import config, errors, results
from tfxfer.analysis import cells, convergence


@pytest.fixture
def study(tmp_path):
    return made.write_study(tmp_path)


def only(found):
    (cell,) = found
    return cell


def test_a_cell_has_the_records_score_and_counts_the_runs_behind_it(study):
    found = {cell.name: cell for cell in cells.cells(cells.read(study))}
    assert len(found) == 9
    cell = found['mobilenet_v1_0.5, finetune']
    assert cell.score == 0.94
    assert cell.test_images == 100
    assert (cell.runs, cell.seconds) == (5, 4 * 3 + 1)  # 4 trials and the final Run.
    assert found['mobilenet_v1_0.5, logistic'].runs == 1
    # Wilson's interval of 94 in 100, as published calculators give it.
    assert np.round(cell.interval, 4).tolist() == [0.8752, 0.9722]


def test_scratch_stands_at_the_source_accuracy_of_its_architecture(study):
    found = cells.cells(cells.read(study))
    sources = {(cell.network, cell.setting): cell.source for cell in found}
    expected = {'dataset': 'digits_0_4', 'score': 0.9, 'images': 200}
    for setting in cells.SETTINGS:
        assert sources['mobilenet_v1_0.25', setting] == expected


def test_scratch_alone_takes_the_pretrain_run_then_imagenet(tmp_path):
    made.write_sources(tmp_path, made.NETWORKS[:1])
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 50)
    made.write_cell(tmp_path, 'mobilenet_v1', 'scratch', 50)
    sources = {cell.arch: cell.source for cell in cells.cells(cells.read(tmp_path))}
    assert sources[made.NETWORKS[0]]['score'] == 0.9
    # TF-Slim's README: MobileNet_v1_1.0_224, top-1 70.9.
    expected = {'dataset': 'imagenet2012', 'score': 0.709, 'images': None}
    assert sources['mobilenet_v1'] == expected


def test_seeds_are_averaged_with_their_standard_error(tmp_path):
    for seed, right in enumerate((80, 84, 88)):
        made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', right, seed=seed)
    cell = only(cells.cells(cells.read(tmp_path)))
    assert cell.score == pytest.approx(0.84)
    assert cell.error == pytest.approx(0.04 / 3**0.5)  # Deviations -4, 0, 4.
    assert cell.test_images == 100  # The same images thrice are not 300.
    assert cell.runs == 15


def test_equal_seeds_of_logistic_regression_have_no_standard_error():
    alike = [made.final('a', 'logistic', 0.8, seed=seed) for seed in range(3)]
    cell = only(cells.cells(alike))
    assert len(cell.records) == 3 and not cell.varies
    assert cell.error is None
    few = [made.final('a', 'logistic', 0.8, seed=s, per_class=5) for s in range(3)]
    assert only(cells.cells(few)).varies
    assert only(cells.cells(few)).error == pytest.approx(0, abs=1e-15)
    assert only(cells.cells([made.final('a', 'finetune', 0.8)])).varies


def test_seeds_of_the_pretrain_run_are_one_network(tmp_path):
    arch = made.NETWORKS[0]
    for seed in (0, 1):
        source = made.run(arch, 'pretrain', dataset='digits_0_4', seed=seed)
        results.write(tmp_path, made.record(source, 0.9), made.predictions(9, 10))
        run = made.run(arch, 'logistic', seed=seed, weights=f'run:{source.id}')
        results.write(tmp_path, made.record(run, 0.8), made.predictions(80))
    cell = only(cells.cells(cells.read(tmp_path)))
    assert len(cell.records) == 2 and cell.varies


def test_seeds_of_the_pretrain_run_that_chose_different_rates_are_one_cell():
    records = []
    for seed, lr in enumerate((0.1, 0.01)):
        source = made.run(made.NETWORKS[0], 'pretrain', dataset='digits_0_4', seed=seed)
        run = made.run(
            made.NETWORKS[0], 'finetune', weights=f'run:{source.id}', hparams={'lr': lr}
        )
        records += [made.record(source, 0.9), made.record(run, 0.8)]
    assert len(only(cells.cells(records)).records) == 2


def test_weights_are_public_own_or_random():
    ours = made.one_way('a', {}, 0, 0.7, {('pets', 'logistic', None): 0.6})
    elsewhere = {'dataset': 'imagenet2012', 'score': 0.7, 'images': 50_000}
    records = ours + [
        made.final('b', 'logistic', 0.6, source_score=0.7),
        made.final('c', 'logistic', 0.6, weights='/path/model.ckpt', source_score=0.7),
        made.final('d', 'logistic', 0.6, weights='/path/run', source=elsewhere),
        made.final('e', 'scratch', 0.6),
    ]
    assert {cell.network: cell.origin for cell in cells.cells(records)} == {
        'a': 'own', 'b': 'public', 'c': 'public', 'd': 'own', 'e': '',
    }  # fmt: skip


def test_runs_that_differ_in_steps_are_recipes_not_seeds(tmp_path):
    for steps in (50, 500):
        run = made.run(made.NETWORKS[0], 'scratch', hparams={'steps': steps})
        results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    found = cells.cells(cells.read(tmp_path))
    assert [cell.recipe for cell in found] == ['steps=50', 'steps=500']


def test_one_seed_at_two_learning_rates_is_two_recipes(tmp_path):
    for lr in (0.1, 0.01):
        run = made.run(made.NETWORKS[0], 'scratch', hparams={'lr': lr})
        results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    found = cells.cells(cells.read(tmp_path))
    assert [cell.recipe for cell in found] == ['lr=0.01 wd=0', 'lr=0.1 wd=0']


def test_seeds_that_chose_different_learning_rates_are_one_cell(tmp_path):
    for seed, lr in enumerate((0.1, 0.01)):
        run = made.run(made.NETWORKS[0], 'scratch', hparams={'lr': lr}, seed=seed)
        results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    assert len(only(cells.cells(cells.read(tmp_path))).records) == 2


def test_a_diverged_run_has_no_score_and_is_never_best(tmp_path):
    for seed, status in enumerate(('done', 'diverged')):
        run = made.run(made.NETWORKS[0], 'scratch', seed=seed)
        record = made.record(run, 0.9 if status == 'done' else 0.0, status=status)
        results.write(tmp_path, record, {})
    cell = only(cells.cells(cells.read(tmp_path)))
    assert cell.score is None and cell.interval is None and cell.error is None
    assert cells.best([cell]) is None


def test_only_top1_has_a_binomial_interval(tmp_path):
    run = made.run(made.NETWORKS[0], 'scratch')
    record = made.record(run, 0.9, metric='mean_per_class')
    results.write(tmp_path, record, made.predictions(90))
    assert only(cells.cells(cells.read(tmp_path))).interval is None


def test_time_is_not_known_where_a_trial_is_gone(study):
    records = cells.read(study)
    trial = next(r for r in records if r.run.phase == 'trial')
    rest = [record for record in records if record is not trial]
    unknown = [cell for cell in cells.cells(rest) if cell.seconds is None]
    assert only(unknown).runs == 5


def test_missing_cells_are_named_with_their_trials(tmp_path):
    made.write_study(tmp_path, made.NETWORKS[:2], ('logistic',))
    made.write_cell(tmp_path, made.NETWORKS[0], 'finetune', 85)
    made.write_trials(tmp_path, made.NETWORKS[1], 'finetune')
    gap = only(cells.missing(cells.read(tmp_path)))
    assert dataclasses.astuple(gap) == (
        'mobilenet_v1_0.5', 'digits_5_9', 'finetune', None, None, 4,
    )  # fmt: skip


def test_nothing_is_missing_from_a_complete_study(study):
    assert cells.missing(cells.read(study)) == []


def test_missing_is_judged_within_a_subset_size(tmp_path):
    # All images with two settings, 10 a class with one: that one is complete.
    arch = made.NETWORKS[0]
    made.write_cell(tmp_path, arch, 'scratch', 60)
    made.write_cell(tmp_path, arch, 'logistic', 60)
    made.write_cell(tmp_path, arch, 'logistic', 50, per_class=10)
    assert cells.missing(cells.read(tmp_path)) == []


@pytest.mark.parametrize(
    'text', ['{"schema": 1}', '[]', 'x', '{"schema": 1, "run": {"id": 1}}']
)
def test_a_record_that_cannot_be_read_is_left_out_and_named(study, text):
    paths = sorted(study.glob('*/record.json'))
    paths[3].write_text(text)
    found = cells.read_folder(study)
    assert len(found.records) == len(paths) - 1
    assert str(paths[3]) in found.left_out[0]
    for path in paths:
        path.write_text(text)
    with pytest.raises(errors.InputError, match='record.json is not used'):
        cells.read(study)


def test_an_empty_folder_says_how_to_fill_it(tmp_path):
    with pytest.raises(errors.InputError, match='python -m tfxfer.run'):
        cells.read(tmp_path)


def test_no_folder_is_said(tmp_path):
    with pytest.raises(errors.InputError, match=r"No results folder '.*nowhere'"):
        cells.read(tmp_path / 'nowhere')


def test_a_runs_id_is_computed_once_however_often_it_is_asked_for(monkeypatch):
    records = made.study_records({'a': 0.7, 'b': 0.8}, ['dtd', 'pets'], points=4)
    for record in records:
        vars(record.run).pop('id', None)
    digests, sha256 = [], hashlib.sha256
    monkeypatch.setattr(
        config,
        'hashlib',
        types.SimpleNamespace(sha256=lambda text: digests.append(text) or sha256(text)),
    )
    assert len(cells.cells(records)) == 2 * 2 * 3
    assert cells.missing(records) == []
    assert 0 < len(digests) <= len(records)


@pytest.mark.parametrize(
    'field, values',
    [
        ('precision', ('float32', 'bfloat16')),
        ('feature_dtype', ('float32', 'float16')),
        ('skip_broken', (False, True)),
        ('accept_counts', (False, True)),
    ],
)
def test_runs_that_differ_in_what_may_change_the_number_are_no_seeds(field, values):
    records = [
        made.final('a', 'logistic', score, seed=seed, **{field: value})
        for seed, (value, score) in enumerate(zip(values, (0.9, 0.4), strict=True))
    ]
    found = {cell.recipe: cell.score for cell in cells.cells(records)}
    assert found == {f'{field}={values[0]}': 0.9, f'{field}={values[1]}': 0.4}


def test_two_metrics_of_one_dataset_are_two_cells_that_do_not_compete():
    records = [
        made.final('a', 'logistic', 0.894, metric='top1'),
        made.final('a', 'logistic', 0.432, metric='mean_per_class', seed=1),
    ]
    found = cells.cells(records)
    assert {cell.metric: cell.score for cell in found} == {
        'top1': 0.894, 'mean_per_class': 0.432,
    }  # fmt: skip
    assert len(cells.tasks(found)) == 2 and len({cell.name for cell in found}) == 2
    assert cells.missing(records) == []


def test_naming_the_metric_that_a_dataset_has_anyway_makes_no_other_run():
    as_is = made.final('a', 'logistic', 0.9)
    of = dataclasses.replace(as_is.run, metric='top1')
    named = dataclasses.replace(as_is, run=of)
    assert of.id != as_is.run.id
    assert len(only(cells.cells([as_is, named])).records) == 1


def test_one_seed_twice_in_a_cell_is_refused_by_the_names_of_both():
    first = made.final('a', 'logistic', 0.9, dataset_digest='d', dataset='folder:/x')
    # Two names of the same images.
    other = dataclasses.replace(first.run, dataset_digest=None, dataset='d')
    with pytest.raises(errors.InputError) as refused:
        cells.cells([first, dataclasses.replace(first, run=other, score=0.8)])
    assert first.run.id in str(refused.value) and other.id in str(refused.value)
    assert '\n' not in str(refused.value)


def test_steps_that_follow_from_the_number_of_images_are_one_recipe():
    """Ten epochs: another number of steps on each dataset and for each subset."""
    images = {'pets': 3680, 'flowers': 2040, 'cars': 8144}
    records = [
        made.final(
            arch, setting, 0.5, dataset=name, hparams={'steps': count * 10 // 256}
        )
        for name, count in images.items()
        for arch in 'ab'
        for setting in ('finetune', 'scratch')
    ]
    found = cells.cells(records)
    assert {cell.recipe for cell in found} == {''}
    assert len(found) == 12


def test_epochs_asked_for_twice_are_two_recipes_of_all_datasets():
    images = {'pets': 3680, 'flowers': 2040}
    records = [
        made.final(
            'a', 'finetune', 0.5, dataset=name, length=f'epochs={epochs} min_steps=9',
            hparams={'steps': count * epochs // 256},
        )
        for name, count in images.items()
        for epochs in (10, 100)
    ]  # fmt: skip
    found = cells.cells(records)
    assert [(cell.dataset, cell.recipe) for cell in found] == [
        (name, f'epochs={epochs} min_steps=9')
        for name in sorted(images)
        for epochs in (10, 100)
    ]
    assert len(convergence.lengths(found)) == 2


def test_scratch_is_of_the_network_of_each_of_its_weights():
    found = cells.cells(
        [made.final('a', 'finetune', 0.5, weights=name) for name in ('slim', 'keras')]
        + [made.final(arch, 'scratch', 0.5) for arch in 'ab']
    )
    by_name = {cell.name: cell for cell in found}
    keras, slim = by_name['a (keras), finetune'], by_name['a (slim), finetune']
    scratch, other = by_name['a, scratch'], by_name['b, scratch']
    assert scratch.same_network(slim) and keras.same_network(scratch)
    assert not slim.same_network(keras) and not slim.same_network(other)
