"""Verdicts by hand, refusals, and the program on small problems."""

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tfxfer import errors
from tfxfer.cli import app
from tools import bench_logreg
from tools.benchmarks import path_race
from tools.benchmarks.path_peers import Peer


def run(program, *flags):
    flags = '--repeats=1', '--every=9', '--peers=lbfgs,newton-cg', *flags
    done = program('tools.bench_logreg', *flags)
    assert done.returncode == 0, done.stderr
    *_, head, line = done.stdout.splitlines()
    assert head.split()[0] == 'problem'
    return done.stdout, line.split()


@pytest.mark.slow
def test_both_sides_are_timed_and_are_within_the_tolerance(program, tmp_path):
    said, line = run(program, '--shapes=60x5x3', f'--out={tmp_path}')
    assert line[:2] == ['60x5x3', '5/5']
    seconds, peer_seconds, ratio, gap, peer_gap = map(float, line[2:7])
    assert 0 < seconds < 60 and 0 < peer_seconds < 60
    assert ratio == pytest.approx(peer_seconds / seconds, rel=0.1, abs=0.06)
    assert 0 <= gap <= 1 and 0 <= peer_gap <= 1
    valid, peer_valid = map(float, line[7:9])
    assert 0 < valid <= 1 and 0 < peer_valid <= 1
    assert all(30 < int(peak) < 2000 for peak in line[9:11])
    assert len(re.findall('  scikit-learn .*: l2 .* gap ', said)) >= 5
    (row,) = json.loads((tmp_path / 'bench_logreg.json').read_text())['rows']
    assert row['what'] == (
        '5 penalties to the same tolerance, 60 x 5 features, 3 classes'
    )
    assert row['ours'] == pytest.approx(seconds, rel=0.01) and not row['at_least']
    assert list(row['peers'].values()) == [pytest.approx(peer_seconds, rel=0.01)]


@pytest.mark.slow
def test_a_peer_that_was_stopped_gives_a_lower_bound(program):
    _, line = run(program, '--shapes=60x5x2', '--limit=0')
    assert line[1] == '0/5'
    assert line[3].startswith('>=') and line[4].startswith('>=')


@pytest.mark.slow
def test_an_interrupted_benchmark_prints_what_it_has():
    command = [
        *(sys.executable, '-m', 'tools.bench_logreg', '--shapes=60x5x3,3000x2048x37'),
        *('--repeats=1', '--every=9', '--peers=lbfgs'),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith('  scikit-learn lbfgs: l2'):  # Of the first problem.
                process.send_signal(signal.SIGTERM)
                break
        rest, error = process.communicate()
    assert process.returncode == 130
    assert 'Interrupted' in error and 'Traceback' not in error
    *_, head, line = (''.join(said) + rest).splitlines()
    assert head.split()[0] == 'problem' and line.split()[0] == '60x5x3'


def test_a_shape_that_is_none_is_refused():
    with pytest.raises(errors.InputError, match="'60x5'.*images x features x classes"):
        app.call(bench_logreg, ['--shapes=60x5'])


def test_folders_without_a_checkpoint_are_refused():
    with pytest.raises(errors.InputError, match='--checkpoints'):
        app.call(bench_logreg, ['--shapes=', '--folders=images'])


def test_an_unknown_peer_is_refused():
    with pytest.raises(errors.InputError, match="'newton'.*'newton-cg'"):
        app.call(bench_logreg, ['--peers=newton'])


# ------------------------------------------------------------ verdicts, by hand


@pytest.fixture
def contest(tmp_path):
    x = np.eye(4, 3, dtype=np.float32)
    y = np.array([0, 1, 0, 1])
    for name, array in (('x', x), ('y', y), ('xv', x), ('yv', y)):
        np.save(tmp_path / f'{name}.npy', array)
    problem = path_race.Problem(tmp_path, [1.0, 0.1])
    problem.least[:] = 1.0
    found = bench_logreg.Contest('made 4x3x2', problem, seconds=[2.0, 1.0, 3.0])
    found.weights, found.values = np.zeros((2, 4, 2)), [1.0, 1.0]
    return found


def way(key, seconds, **more):
    weights = [np.zeros((4, 2))] * len(seconds)
    controls = [path_race.Control(0.1)] * len(seconds)
    values = [1.0] * len(seconds)
    return path_race.Way(Peer(key), seconds, controls, weights, values, **more)


def test_the_fastest_that_is_done_counts(contest):
    contest.ways = [
        way('saga', [1.0], ended='stopped', lost=9.0),
        way('lbfgs', [5.0, 4.0], ended=''),
        way('newton-cg', [3.0, 3.0], ended=''),
    ]
    contest.more = [7.0, 8.0]
    found = bench_logreg.verdict(contest)
    assert (found.way.peer.key, found.seconds, found.at_least) == (
        'newton-cg', 7.0, False,
    )  # fmt: skip
    row = bench_logreg.row(contest)
    assert (row.ours, row.peers) == (2.0, {'scikit-learn newton-cg': 7.0})
    assert bench_logreg.cells(contest)[1:5] == ('2/2', '2', '7', '3.5')


def test_where_none_is_done_the_earliest_stop_is_the_bound(contest):
    contest.ways = [
        way('lbfgs', [5.0], ended='stopped', lost=5.5),
        way('newton-cg', [], ended='stopped', lost=10.0),
        way('saga', [1.0], ended='3 above', beyond=True),
    ]
    found = bench_logreg.verdict(contest)
    assert (found.way.peer.key, found.seconds, found.at_least) == ('lbfgs', 10.0, True)
    assert bench_logreg.row(contest).at_least == ('scikit-learn lbfgs',)
    assert bench_logreg.cells(contest)[1:5] == ('1/2', '2', '>=10', '>=5.0')


def test_who_could_not_take_part_says_nothing(contest):
    contest.ways = [way('torch', [], ended='torch sees no GPU', absent=True)]
    assert bench_logreg.verdict(contest) is None
    assert bench_logreg.row(contest).peers == {}
    assert bench_logreg.cells(contest)[4] == ''
    assert bench_logreg.peer_name(contest) == 'no peer'
