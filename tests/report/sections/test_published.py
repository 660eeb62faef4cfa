import pytest

from tests.support import made_results as made
from tests.support import show
from tests.support.experiments import PUBLISHED
from tests.support.show import logit


def test_published_results_stand_beside_our_best_of_the_same_task():
    records = [made.final('a', 'finetune', 0.85), made.final('b', 'finetune', 0.87)]
    records += [made.final('a', 'logistic', 0.99)]
    records += [made.final('a', 'finetune', 0.99, per_class=5)]
    table = show.tables(records, PUBLISHED)[0]['published']
    assert table.frame.our_network.tolist() == ['b, finetune'] * 2
    assert table.frame.difference.tolist() == pytest.approx([-0.03, 0.07])
    assert table.shown['difference (percentage points)'].tolist() == ['-3.0', '+7.0']
    assert 'published' not in show.tables(records)[0]


def test_the_best_of_the_study_is_drawn_against_the_best_published():
    records = [made.final(f'n{i}', 'finetune', 0.85 + 0.01 * i) for i in range(3)]
    records.append(made.final('n0', 'finetune', 0.99, per_class=10))  # Another task.
    drawn = show.drawn(records, PUBLISHED)
    frame = drawn['best_against_published'].frame
    assert frame[['kind', 'dataset', 'network', 'score', 'from']].values.tolist() == [
        ['study', 'pets', 'n2', 0.87, ''],
        ['published', 'pets', 'Theirs', 0.9, 'paper'],
    ]
    (lines,) = drawn['best_against_published'].figure.axes[0].collections
    assert lines.get_segments()[0][0][1] == pytest.approx(logit(0.9))


def test_published_results_of_other_datasets_draw_nothing():
    records = [made.final('a', 'finetune', 0.8, dataset='dtd')]
    names = [d.name for d in show.drawings(records, PUBLISHED)]
    assert 'best_against_published' not in names
