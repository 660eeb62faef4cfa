"""Replayed races: costs and picks by hand, and the program on made-up features."""

import re

import numpy as np
import pytest

from tests.support import made_results
from tfxfer import errors, results, storage
from tfxfer.cli import app
from tfxfer.data import image_set
from tfxfer.transfer.feature_store import Store
from tools import bench_race
from tools.race_bench import measure, replay, tables

SHARES = (0.25, 0.5, 1.0)


def board(accuracies, works, budget):
    """100 test images of 400, of which networks have the first ones right."""
    networks = {
        name: measure.Network(name, accuracy, None, work, None)
        for (name, accuracy), work in zip(accuracies.items(), works, strict=True)
    }
    right = {
        (share, name): np.arange(round(100 * share)) < round(100 * share * accuracy)
        for share in SHARES
        for name, accuracy in accuracies.items()
    }
    race = measure.Resampled(
        'made',
        SHARES,
        networks,
        {share: round(400 * share) for share in SHARES},
        {share: np.arange(round(100 * share)) for share in SHARES},
        right,
    )
    return race, replay.Board(race, budget)


def test_what_a_smaller_share_has_is_not_paid_again():
    _, at = board({'a': 0.9, 'b': 0.5}, [3.0, 1.0], 0.5)
    assert at.room == 0.5 * 4 * 400
    assert at.measure('a', 0.25) and at.room == 800 - 300
    assert at.need('a', 0.5) == 300 and at.need('b', 1.0) == 400
    assert at.measure('b', 1.0) and not at.measure('a', 0.5)
    assert (at.at[0.25], at.at[1.0], at.room) == (['a'], ['b'], 100)


def test_others_pick_as_they_say():
    accuracies = {'a': 0.6, 'b': 0.9, 'c': 0.8, 'd': 0.5}
    race, _ = board(accuracies, [1.0] * 4, 0.5)
    assert replay.one_by_one(race, 0.5, ['a', 'd', 'b', 'c']) == 'a'
    assert replay.by_source(race, 0.5) == 'b'
    # All at 1/4 take a quarter, the better half of them to 1/2 an eighth, one to all.
    assert replay.halved(race, 0.5) == 'b'
    # What does not fit is passed over.
    race, _ = board(accuracies, [1.0, 9.0, 1.0, 1.0], 0.25)
    assert replay.by_source(race, 0.25) == 'c'
    assert replay.by_source(race.of_equal_cost(), 0.25) == 'b'


def test_a_race_whose_budget_is_everything_finds_the_best():
    race, _ = board({'a': 0.62, 'b': 0.9, 'c': 0.86, 'd': 0.5}, [1.0] * 4, 1.0)
    found = replay.replayed(0, race, 1.0)
    assert found.regret['race'] == 0 and found.best == ('b',)
    assert next(iter(found.chance)) == 'b'


def replayed(number, regret, chance, best):
    error = dict.fromkeys(regret, 0.01)
    return replay.Replayed(number, 'made', regret, error, chance, best, best)


FOUND = [
    replayed(0, {'race': 0.0}, {'a': 0.95, 'b': 0.05}, ('a',)),
    replayed(1, {'race': 0.004}, {'a': 0.6, 'b': 0.35, 'c': 0.05}, ('b',)),
    replayed(2, {'race': 0.009}, {'a': 0.92, 'b': 0.08}, ('b',)),
    replayed(3, {'race': 0.03}, {'a': 0.55, 'b': 0.45}, ('a', 'b')),
]


def test_tables_by_hand():
    (row,) = tables.strategies(FOUND).frame.to_dict('records')
    assert (row['best'], row['near'], row['error']) == (0.25, 0.5, 0.75)
    assert (row['mean'], row['worst']) == (pytest.approx(1.075), pytest.approx(3.0))
    pairs = tables.stated(FOUND, measured=False)
    assert [was for _, was in pairs] == [True, True, False, True]
    rows = tables.reliability(pairs, (0, 0.94, 1), '').frame
    assert list(rows.n) == [1, 3] and list(rows.was) == [0, 1]
    assert len(tables.singly(FOUND)) == 9


def test_a_best_that_was_not_measured_is_not_among_the_named():
    """z is better than all that the race saw: right of those measured, wrong of all."""
    one = replay.Replayed(0, 'made', {}, {}, {'a': 0.95, 'b': 0.05}, ('z',), ('a',))
    assert tables.stated([one], measured=True) == [(0.95, True)]
    assert tables.stated([one], measured=False) == [(0.95, False)]


def store_of(folder, name, set_name, noise, images):
    """A Run's record and its features: classes as clear as the noise lets them be."""
    run = made_results.run(name, 'logistic', dataset=set_name, weights='slim')
    made = made_results.record(run, 0.5, n=len(images.splits['test']))
    results.write(folder, made, made_results.predictions(50))
    rng = np.random.default_rng(len(name))
    x = np.eye(5)[images.labels] + noise * rng.standard_normal((len(images.labels), 5))
    metadata = {
        'arch': {'name': name, 'input_size': 224},
        'weights': run.weights,
        'dataset': run.dataset,
        'size': 224,
        'images': len(images.labels),
        'dtype': 'float32',
    }
    path = folder / 'cache/features' / storage.key_of(metadata)
    store = Store.create(path, metadata, images, 5)
    store.put(np.arange(len(x)), x.astype(np.float32))


@pytest.fixture
def folder(tmp_path):
    labels = np.arange(250) % 5
    splits = {
        name: np.flatnonzero(np.arange(250) // 5 % 5 == part)
        for name, part in (('valid', 0), ('test', 1))
    }
    splits['train'] = np.setdiff1d(np.arange(250), np.concatenate([*splits.values()]))
    images = image_set.Images(labels.astype(np.int32), splits)
    for set_name in ('digits', 'digits_5_9'):
        for name, noise in (
            ('mobilenet_v1', 0.3), ('mobilenet_v2', 0.5), ('resnet_50', 0.8),
        ):  # fmt: skip
            store_of(tmp_path, name, set_name, noise, images)
    return tmp_path


def test_the_program_replays_races_and_goes_on_where_it_was(folder, capsys):
    """python -m tools.bench_race --results=runs/real --races=50"""
    app.call(bench_race, [f'--results={folder}', '--races=2', '--budget=0.5'])
    first = capsys.readouterr().out
    assert '0: digits: points lost: race ' in first and '2 races on' in first
    kept = sorted((folder / 'bench_race').iterdir())
    times = [path.stat().st_mtime_ns for path in kept]
    app.call(bench_race, [f'--results={folder}', '--races=3', '--budget=0.5'])
    assert first.splitlines()[:2] == capsys.readouterr().out.splitlines()[:2]
    after = sorted((folder / 'bench_race').iterdir())
    assert len(after) == 3 and [p.stat().st_mtime_ns for p in after[:2]] == times


def test_forwards_alone_are_another_budget(folder, capsys):
    """resnet_50 takes ten times the multiply-adds of the others, and is the worst."""
    call = [f'--results={folder}', '--races=2', '--budget=0.4']
    lost = {}
    for flag in ('--noforwards', '--forwards'):
        app.call(bench_race, [*call, flag])
        (row,) = re.findall(r'\| random order.*', capsys.readouterr().out)
        lost[flag] = float(row.split('|')[5])
    # 0.4 of the multiply-adds has room for both others, of the forwards for one.
    assert lost['--noforwards'] == 0 < lost['--forwards']


def test_networks_that_come_later_are_measured_too(folder):
    sets = measure.networks(folder)
    work = {one.name: one.work for one in sets['digits']}
    assert work['mobilenet_v1'] == 567716352
    two = measure.resampled('digits', sets['digits'][:2], 0)
    all_three = measure.resampled('digits', sets['digits'], 0, two)
    for key, right in two.right.items():
        assert np.array_equal(all_three.right[key], right)
    whole = measure.resampled('digits', sets['digits'], 0)
    assert whole.right.keys() == all_three.right.keys()
    assert all(
        np.array_equal(all_three.right[key], whole.right[key]) for key in whole.right
    )


def test_races_of_other_numbers_have_other_images(folder):
    images = Store(measure.networks(folder)['digits'][0].store).images()
    (_, one), (_, other) = (measure.parts(images, seed) for seed in (0, 1))
    assert 199 <= sum(map(len, one[1.0].values())) <= 201
    assert not np.array_equal(one[1.0]['test'], other[1.0]['test'])
    for split in one[1.0]:  # Smaller shares are parts of larger ones.
        assert set(one[0.5][split]) < set(one[1.0][split])


def test_a_folder_without_features_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match='configs/real_networks'):
        made_results.write_cell(tmp_path, 'mobilenet_v1', 'logistic', 50)
        measure.networks(tmp_path)
