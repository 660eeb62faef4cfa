import math
import re

import pytest

from tests.support import made_results as made
from tfxfer import config, results
from tfxfer.analysis import cells, points, stats


@pytest.fixture
def study(tmp_path):
    return made.write_study(tmp_path)


def read(folder):
    return cells.cells(cells.read(folder))


def test_points_of_one_dataset_have_intervals_as_bars(study):
    ((condition, group),) = points.conditions(read(study)).items()
    assert condition == ('digits_0_4', None, None)
    drawn, notes = points.mean_points(group)
    assert notes == [] and len(drawn) == 9
    point = next(p for p in drawn if p[:2] == ('finetune', 'mobilenet_v1_0.5'))
    assert (point.score, point.source_score) == (0.94, 0.95)
    assert point.x == pytest.approx(math.log(19))
    assert point.y == pytest.approx(math.log(94 / 6))
    bars = stats.proportion([point.low, point.high]).round(4).tolist()
    assert (point.bars, bars) == ('interval', [0.8752, 0.9722])


def write_scores(folder, scores):
    """Writes logistic cells: {(network number, dataset): right of 100}."""
    made.write_sources(folder)
    for (i, dataset), right in scores.items():
        made.write_cell(folder, made.NETWORKS[i], 'logistic', right, dataset=dataset)
    ((_, group),) = points.conditions(read(folder)).items()
    return points.mean_points(group)


def test_points_of_several_datasets_have_bars_within_datasets(tmp_path):
    right = {(0, 'digits'): 50, (1, 'digits'): 80, (0, 'pets'): 50, (1, 'pets'): 60}
    drawn, notes = write_scores(tmp_path, right)
    assert notes == [] and {p.bars for p in drawn} == {'within'}
    # Network 0 is at log odds 0 on both; network 1 at ln 4 and ln 1.5.
    a, b = drawn
    assert (a.y, b.y) == pytest.approx((0, (math.log(4) + math.log(1.5)) / 2))
    # Differences d = ln 4, ln 1.5: of two networks the bar is sem(d) / sqrt 2.
    bar = abs(math.log(4) - math.log(1.5)) / 2 / math.sqrt(2)
    for point in drawn:
        assert point.high - point.y == pytest.approx(bar)
        assert point.y - point.low == pytest.approx(bar)
        assert point.datasets == ('digits', 'pets')


def test_only_datasets_that_all_networks_have_are_averaged(tmp_path):
    right = {(0, 'digits'): 50, (1, 'digits'): 80, (2, 'digits'): 70, (0, 'pets'): 99}
    drawn, (note,) = write_scores(tmp_path, right)
    assert {point.datasets for point in drawn} == {('digits',)}
    assert drawn[0].score == 0.5
    assert 'left out: pets' in note


def test_a_setting_without_a_common_dataset_has_no_points(tmp_path):
    drawn, (note,) = write_scores(tmp_path, {(0, 'digits'): 50, (1, 'pets'): 80})
    assert drawn == []
    assert 'the 0 datasets' in note


def test_a_perfect_score_is_drawn_at_its_corrected_counts(tmp_path):
    drawn, _ = write_scores(tmp_path, {(0, 'digits'): 100, (1, 'digits'): 80})
    assert drawn[0].score == 1
    assert drawn[0].y == pytest.approx(math.log(100.5 / 0.5))
    assert drawn[0].high == math.inf and math.isfinite(drawn[0].low)


def test_subsets_are_conditions_of_their_own(tmp_path):
    made.write_sources(tmp_path)
    for per_class in (10, None):
        for arch in made.NETWORKS:
            made.write_cell(tmp_path, arch, 'logistic', 60, per_class=per_class)
    found = points.conditions(read(tmp_path))
    assert [condition.per_class for condition in found] == [None, 10]
    assert all(len(group) == 3 for group in found.values())


def write_lengths(folder, lengths):
    """Writes scratch Runs, {steps: number of networks}, that score steps / 1000."""
    for steps, count in lengths.items():
        for i in range(count):
            run = made.run(f'network_{i}', 'scratch', hparams={'steps': steps})
            origin = {'dataset': 'imagenet2012', 'score': 0.7, 'images': None}
            record = made.record(run, steps / 1000, source=origin)
            results.write(folder, record, made.predictions(steps // 10))
    ((_, group),) = points.conditions(read(folder)).items()
    return points.mean_points(group)


def test_of_several_lengths_the_longest_is_drawn_and_the_others_named(tmp_path):
    drawn, (note,) = write_lengths(tmp_path, {50: 3, 100: 3, 500: 2})
    assert [point.score for point in drawn] == [0.5] * 2
    assert note.startswith('scratch: ')
    assert re.findall(r'steps=\d+', note) == ['steps=500', 'steps=100', 'steps=50']


def test_one_network_trained_longer_does_not_stand_for_all(tmp_path):
    drawn, _ = write_lengths(tmp_path, {50: 4, 500: 1})
    assert [point.score for point in drawn] == [0.05] * 4


def test_points_of_each_dataset_have_its_own_networks(tmp_path):
    made.write_sources(tmp_path)
    for i, dataset in ((0, 'digits'), (1, 'digits'), (1, 'pets')):
        made.write_cell(tmp_path, made.NETWORKS[i], 'logistic', 80, dataset=dataset)
    ((_, group),) = points.conditions(read(tmp_path)).items()
    drawn = points.dataset_points(group)
    assert [(p.datasets, p.network) for p in drawn] == [
        (('digits',), made.NETWORKS[0]),
        (('digits',), made.NETWORKS[1]),
        (('pets',), made.NETWORKS[1]),
    ]
    assert {p.bars for p in drawn} == {'interval'}


def test_datasets_of_other_steps_each_are_all_in_means_and_matrices():
    images = {'pets': 3680, 'flowers': 2040, 'cars': 8144}
    records = [
        made.final(
            arch, 'finetune', 0.5, dataset=name, source_score=0.7,
            hparams={'steps': count * 10 // 256},
        )
        for name, count in images.items()
        for arch in 'ab'
    ]  # fmt: skip
    found = cells.cells(records)
    ((_, group),) = points.conditions(found).items()
    drawn, notes = points.mean_points(group)
    assert notes == []
    assert {point.datasets for point in drawn} == {('cars', 'flowers', 'pets')}
    (matrix,) = points.matrices(found).values()
    assert matrix.complete == ('a', 'b') and len(matrix.datasets) == 3


def test_of_two_metrics_the_datasets_own_is_averaged_and_the_other_named():
    records = [
        made.final(arch, 'logistic', score, dataset=name, source_score=0.7)
        for arch in 'ab'
        for name, score in (('pets', 0.6), ('dtd', 0.5))
    ]
    records += [
        made.record(
            config.from_dict({**config.to_dict(r.run), 'metric': 'mean_per_class'}),
            0.1, metric='mean_per_class', source=r.source,
        )
        for r in records
        if r.run.dataset == 'pets'
    ]  # fmt: skip
    ((_, group),) = points.conditions(cells.cells(records)).items()
    drawn, (note,) = points.mean_points(group)
    mean = (math.log(0.6 / 0.4) + math.log(0.5 / 0.5)) / 2
    assert [point.y for point in drawn] == pytest.approx([mean, mean], abs=1e-2)
    assert 'pets' in note and 'mean_per_class' in note


def test_scratch_is_paired_with_every_weights_of_its_architecture():
    found = cells.cells(
        [
            made.final('a', 'finetune', 0.8, weights='slim'),
            made.final('a', 'finetune', 0.7, weights='keras'),
            made.final('a', 'scratch', 0.75),
            made.final('b', 'finetune', 0.8),
            made.final('b', 'scratch', 0.4),
        ]
    )
    asked = ('finetune', 'scratch'), ('logistic', 'scratch')
    pairs, notes = points.setting_pairs(found, asked)
    assert notes == [] and pairs['logistic', 'scratch'] == []
    assert [(a.network, a.score, b.score) for a, b in pairs['finetune', 'scratch']] == [
        ('a (keras)', 0.7, 0.75),
        ('a (slim)', 0.8, 0.75),
        ('b', 0.8, 0.4),
    ]
