import csv
import re

import numpy as np
import pytest

from tests.conftest import SHARED
from tests.support import made_results
from tfxfer import errors, results
from tfxfer.cli import app
from tfxfer.ranking import relation, scores
from tools import bench_ranking, finetuned_truth

STRONG = ['resnet101', 'resnet152', 'densenet201']
DOUBTED = 'sun397'  # Whose probe is above fine-tuning.


@pytest.fixture(scope='module')
def tasks():
    path = SHARED / 'published/eleven_networks_finetuned_and_head.csv'
    if not path.exists():
        pytest.skip('shared/published is not beside the project')
    return bench_ranking.read(path)


@pytest.fixture(scope='module')
def profiles(tasks):
    """{name: what a task says of the relation}."""
    return {task.name: relation.profile(task) for task in tasks}


@pytest.mark.parametrize('doubted', [(), (DOUBTED,)])
def test_the_shortlists_score_ranks_published_networks(tasks, doubted):
    kept = [task for task in tasks if task.name not in doubted]
    score = bench_ranking.SCORES['shortlist score']
    row = bench_ranking.judge(kept, score)
    assert row.tau >= 0.76 and row.lost[1].mean() <= 0.05
    row = bench_ranking.judge(bench_ranking.without(kept, STRONG), score)
    assert row.lost[1].mean() <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize('doubted', [(), (DOUBTED,)])
def test_where_it_says_80_percent_75_to_85_hold_the_best(tasks, profiles, doubted):
    """The relation is learned from other datasets than the one that is judged."""
    kept = [task for task in tasks if task.name not in doubted]
    made = []
    for task in kept:
        others = [profiles[one.name] for one in kept if one is not task]
        made += bench_ranking.claims(task, relation.learn(others), count=25)
    stated, held, sets = bench_ranking.share_held(made, 0.8)
    assert stated == pytest.approx(0.8, abs=0.01) and sets > 500
    assert 0.75 <= held <= 0.85
    # A loss that is stated to be the most, with 95 %.
    assert np.mean([claim.lost <= claim.most + 1e-9 for claim in made]) >= 0.93


@pytest.mark.slow
def test_the_constants_are_what_the_table_says(profiles):
    found = relation.learn(profiles.values())
    np.testing.assert_allclose(relation.RELATION, found, rtol=0.01)


ROWS = {
    'birds': {
        'a': (70, 50, 80),
        'b': (72, 60, 82),
        'c': (74, 40, 90),
        'd': (76, 45, 85),
    },
    'cars': {
        'a': (70, 30, 60),
        'b': (72, 33, 62),
        'c': (74, 36, 64),
        'd': (76, 39, 66),
    },
}
AGREED = dict.fromkeys(('cars', 'birds', 'x'), ROWS['cars'])


@pytest.fixture
def table(tmp_path):
    """Writes a table; returns its path."""

    def write(rows=ROWS, columns=bench_ranking.COLUMNS):
        path = tmp_path / 'table.csv'
        with open(path, 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for name, networks in rows.items():
                writer.writerows((name, one, *networks[one]) for one in networks)
        return path

    return write


def test_points_lost_by_hand(table):
    tasks = bench_ranking.read(table())
    row = bench_ranking.judge(tasks, bench_ranking.SCORES['ImageNet top-1'])
    np.testing.assert_allclose(row.lost, [[5, 0], [0, 0], [0, 0]], atol=1e-9)
    row = bench_ranking.judge(tasks, bench_ranking.SCORES['probe'])
    np.testing.assert_allclose(row.lost, [[8, 0], [8, 0], [5, 0]], atol=1e-9)


def test_the_rank_correlation_is_1_of_the_same_order(table):
    tasks = bench_ranking.read(table(AGREED))
    for score in bench_ranking.SCORES.values():
        assert bench_ranking.judge(tasks, score).tau == pytest.approx(1)


def test_shares_held_by_hand():
    def claim(cumulative, place):
        return bench_ranking.Claim('', np.array(cumulative), place, 0.0, 0.0)

    made = [claim([0.78, 1.0], 0), claim([0.82, 1.0], 1), claim([0.5, 0.9, 1.0], 0)]
    assert bench_ranking.share_held(made, 0.8) == pytest.approx((0.8, 0.5, 2))
    assert made[1].asked == (1, 0.82, False) and made[2].asked == (2, 0.9, True)


def test_the_program_prints_scores_and_what_shortlists_said(table, capsys):
    app.call(
        bench_ranking,
        [f'--table={table(AGREED)}', '--pools=2', '--images=50', '--doubted=x'],
    )
    out = capsys.readouterr().out
    for name in bench_ranking.SCORES:
        assert out.count(f'| {name} |') == 2  # All datasets, and without x.
    assert re.search(r'75 to 85 % \(\d+ sets\)', out)
    assert re.search(r'Relation\(slope=', out)


def test_the_program_times_every_score(capsys):
    app.call(bench_ranking, ['--times=60x20x3'])
    out = capsys.readouterr().out
    for one in scores.SCORES.values():
        assert re.search(rf'{one.title} +\d+\.\d\d s', out)
    for shape in ('60x20', '60x0x3', '3x20x60'):
        with pytest.raises(errors.InputError, match='3000x2048x37'):
            app.call(bench_ranking, [f'--times={shape}'])


@pytest.mark.parametrize(
    ('rows', 'columns', 'word'),
    [
        (
            ROWS,
            ('dataset', 'network', 'top1', 'head', 'finetune'),
            'no column imagenet',
        ),
        ({'birds': ROWS['birds']}, bench_ranking.COLUMNS, 'one dataset'),
        (
            {**ROWS, 'x': {'a': (70, 0, 1)}},
            bench_ranking.COLUMNS,
            "head of a on x is '0'",
        ),
        ({**ROWS, 'x': {'a': (70, 1, 1)}}, bench_ranking.COLUMNS, '1 lines of 1 net'),
    ],
)
def test_a_table_that_says_too_little_is_refused(table, rows, columns, word):
    with pytest.raises(errors.InputError, match=word):
        app.call(bench_ranking, [f'--table={table(rows, columns)}'])


def test_unknown_names_are_refused_in_one_line(table, program):
    path = table()
    for flag, word in (
        ('--left_out=e', 'network'),
        ('--left_out=a,b', 'fewer than 3 networks of birds'),
        ('--doubted=car', "mean 'cars'"),
    ):
        with pytest.raises(errors.InputError, match=word):
            app.call(bench_ranking, [f'--table={path}', flag])
    with pytest.raises(errors.InputError, match='says nothing of fine-tuned'):
        app.call(bench_ranking, [f'--table={path}', '--pools=1'])
    with pytest.raises(errors.InputError, match='--table='):
        app.call(bench_ranking, [])
    done = program('tools.bench_ranking', '--table=none.csv')
    assert done.returncode == 2 and done.stderr.count('\n') == 1


TUNED = {  # ImageNet %, and of 100 test images right: logistic, fine-tuned.
    'mobilenet_v1': (71, 60, 90),
    'mobilenet_v2': (74, 66, 92),
    'resnet_50': (75, 70, 91),
    'inception_v3': (78, 50, 80),
}


def write_tuned(folder, networks=TUNED, seeds=(0,)):
    for arch, (imagenet, *rights) in networks.items():
        source = {'dataset': 'imagenet2012', 'score': imagenet / 100, 'images': None}
        for setting, right in zip(('logistic', 'finetune'), rights, strict=True):
            for seed in seeds if setting == 'finetune' else (0,):
                run = made_results.run(arch, setting, weights='slim', seed=seed)
                made = made_results.record(run, right / 100, source=source)
                results.write(folder, made, made_results.predictions(right))


def test_what_each_choice_loses_of_fine_tuning_by_hand(tmp_path):
    write_tuned(tmp_path)
    (truth,) = finetuned_truth.read(tmp_path)
    names = [row.network for row in truth.rows]
    chosen = finetuned_truth.picks(truth)

    def lost(name):
        return truth.lost(chosen[name])

    assert [names[i] for i in chosen['ImageNet top-1']] == ['inception_v3']
    assert [names[i] for i in chosen['probe']] == ['resnet_50']
    # 12 test images of 100 that the best alone has right: 0.12 +- 0.033.
    assert lost('ImageNet top-1') == pytest.approx(
        (12, 100 * (0.12 * 0.88 / 99) ** 0.5)
    )
    assert lost('probe') == pytest.approx((1, 1))
    assert lost('its first two') == (0, 0)
    assert {names[i] for i in chosen['its first two']} == {'resnet_50', 'mobilenet_v2'}
    assert dict(zip(names, truth.finetuned, strict=True)) == {
        name: tuned / 100 for name, (_, _, tuned) in TUNED.items()
    }


def test_the_program_prints_what_fine_tuning_came_to(tmp_path, capsys):
    write_tuned(tmp_path, seeds=(0, 1))
    app.call(bench_ranking, [f'--results={tmp_path}'])
    out = capsys.readouterr().out
    assert re.search(r'\| resnet_50 \| 75.0 \| 70.0 \| 91.0 \| \d+ yes \|', out)
    assert re.search(r'\| ImageNet top-1 \| digits_5_9 \| 1 \| 12.00 \| .* \| no', out)
    assert re.search(r'\| probe \| digits_5_9 \| 1 \| 1.00 \| 1.00 \| yes', out)


def test_results_that_say_too_little_are_refused(tmp_path):
    write_tuned(tmp_path, {k: TUNED[k] for k in list(TUNED)[:3]})
    with pytest.raises(
        errors.InputError, match='a shortlist of 3 networks; it takes 4'
    ):
        finetuned_truth.read(tmp_path)
    run = made_results.run('inception_v3', 'logistic', weights='slim')
    source = {'dataset': 'imagenet2012', 'score': 0.78, 'images': None}
    made = made_results.record(run, 0.5, source=source)
    results.write(tmp_path, made, made_results.predictions(50))
    with pytest.raises(errors.InputError, match='inception_v3 has 0 results of fine-'):
        finetuned_truth.read(tmp_path)
    for path in tmp_path.glob('*finetune*/*'):
        path.unlink()
    with pytest.raises(errors.InputError, match='no finished Run of fine-tuning'):
        finetuned_truth.read(tmp_path)
