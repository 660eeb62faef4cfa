import math

import pytest

from tests.support import made_results as made
from tests.support import show
from tests.support.experiments import matrix_of
from tests.support.show import logit


def test_scores_are_networks_by_datasets_with_the_mean_log_odds():
    scores = {'a': {'dtd': 0.5, 'pets': 0.5}, 'b': {'dtd': 0.8, 'pets': 0.6}}
    built, _ = show.tables(matrix_of(scores))
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
    built, notes = show.tables(matrix_of(scores))
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
    built, _ = show.tables(records)
    table = built['scores_scratch']
    rows = [table.shown.values.tolist()[i] for i, _ in sorted(table.bold)]
    assert rows == [['a', '', '90.0'], ['a', '5', '50.0']]
