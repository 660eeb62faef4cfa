"""Who is measured next and who leaves, by hand."""

import pytest

from tfxfer.race import rules

NEEDS = {
    'cheap': rules.Need(1.0, 4.0),
    'usual': rules.Need(2.0, 8.0),
    'dear': rules.Need(10.0, 40.0),
}
CHANCE = {'cheap': 0.2, 'usual': 0.5, 'dear': 0.3}


def test_most_probability_per_cost_comes_first():
    assert rules.order(CHANCE, NEEDS) == ['usual', 'cheap', 'dear']
    assert rules.order({**CHANCE, 'dear': 3.0}, NEEDS)[0] == 'dear'
    # What is done costs nothing more; what has no chance comes last.
    done = {**NEEDS, 'dear': rules.Need(0.0, 0.0)}
    assert rules.order({**CHANCE, 'cheap': 0.0}, done) == ['dear', 'usual', 'cheap']


@pytest.mark.parametrize(
    'room, expected',
    [
        (52.0, ['usual', 'cheap', 'dear']),
        (22.0, ['usual', 'cheap', 'dear']),  # 8 + 4 are kept, 10 remain.
        (21.9, ['usual', 'cheap']),
        (8.9, ['usual']),
        (1.5, ['cheap']),
        (0.5, []),
    ],
)
def test_each_leaves_room_for_those_before_it_on_all_images(room, expected):
    names = ['usual', 'cheap', 'dear']
    assert rules.fitting(names, NEEDS, room, first=False) == expected


def test_the_first_share_takes_a_part_but_where_all_fit():
    names = ['cheap', 'usual', 'dear']
    needs = {**NEEDS, 'dear': rules.Need(10.0, 60.0)}
    assert rules.fitting(names, needs, 72.0, first=True) == names
    # A quarter of 50 is 12.5; of 53, 13.25.
    assert rules.fitting(names, needs, 50.0, first=True) == ['cheap', 'usual']
    assert rules.fitting(names, needs, 53.0, first=True) == names
    # One at least.
    assert rules.fitting(names, needs, 2.0, first=True) == ['cheap']


def test_those_leave_that_are_improbable_together():
    chance = {'a': 0.98, 'b': 0.012, 'c': 0.005, 'd': 0.003}
    assert rules.leaving(chance) == ['d', 'c']
    assert rules.leaving(chance, 0.001) == []
    assert rules.leaving({'a': 1.0}) == []
