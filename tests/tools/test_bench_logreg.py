import pytest

from tfxfer import errors
from tfxfer.cli import app
from tools import bench_logreg


def run(program, *flags):
    done = program('tools.bench_logreg', '--repeats=1', '--every=9', *flags)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    return head.split(), [line.split() for line in lines]


@pytest.mark.slow
def test_both_sides_are_timed_and_ours_is_within_the_tolerance(program):
    head, (line,) = run(program, '--shapes=60x5x3')
    assert head[0] == 'problem' and line[:2] == ['60x5x3', '5/5']
    seconds, peer_seconds, ratio, gap = map(float, line[2:6])
    assert 0 < seconds < 10 and 0 < peer_seconds < 60 and ratio > 0
    assert 0 <= gap <= 1
    valid, peer_valid = map(float, line[7:9])
    assert 0 < valid <= 1 and 0 < peer_valid <= 1
    assert all(30 < int(peak) < 2000 for peak in line[9:11])


@pytest.mark.slow
def test_a_peer_that_was_stopped_gives_a_lower_bound(program):
    _, (line,) = run(program, '--shapes=60x5x2', '--limit=0')
    assert line[1] == '1/5'
    assert line[4].startswith('>=')


def test_a_shape_that_is_none_is_refused():
    with pytest.raises(errors.InputError, match="'60x5'.*images x features x classes"):
        app.call(bench_logreg, ['--shapes=60x5'])


def test_folders_without_a_checkpoint_are_refused():
    with pytest.raises(errors.InputError, match='--checkpoints'):
        app.call(bench_logreg, ['--shapes=', '--folders=images'])
