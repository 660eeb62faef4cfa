import pytest

from tests.support import made_results as made
from tfxfer.analysis import cells, convergence


def lengths(scores, setting='scratch', **fields):
    """Records of one network on pets trained for {steps: score}."""
    images = {'train': 2944, 'valid': 736, 'test': 3669}
    return [
        made.final(
            'a', setting, score, hparams={'steps': steps}, images=images, **fields
        )
        for steps, score in scores.items()
    ]


def test_lengths_are_by_steps_with_epochs_over_train_and_valid():
    (series,) = convergence.lengths(cells.cells(lengths({1000: 0.8, 100: 0.5})))
    assert [s.steps for s in series] == [100, 1000]
    assert [s.odds for s in series] == pytest.approx([1, 4])
    # 100 x 256 / (2944 + 736).
    assert series[0].epochs == pytest.approx(25600 / 3680)


def test_steps_to_ninety_percent_of_the_best_odds_by_hand():
    # 0.9 x 10 = 9 lies half-way between 8 and 10, and so between 1,000 and 4,000 at
    # 2,000, which is half-way in the logarithm.
    answer = convergence.steps_to(0.9, [100, 1000, 4000], [1.0, 8.0, 10.0])
    assert answer.value == pytest.approx(2000)
    assert answer.words == '2000'


def test_the_first_length_that_has_it_counts_where_odds_fall_again():
    answer = convergence.steps_to(0.9, [10, 100, 1000], [1.0, 10.0, 5.0])
    # 9 of 1 to 10: 8 / 9 of the decade.
    assert answer.value == pytest.approx(10 ** (1 + 8 / 9))


def test_the_shortest_that_has_it_is_a_bound_not_a_number():
    answer = convergence.steps_to(0.9, [100, 1000], [9.5, 10.0])
    assert answer == (None, '<= 100')


def test_a_network_that_differs_in_more_than_steps_is_no_series():
    records = [
        made.final('a', 'scratch', 0.5, hparams={'steps': 100, 'batch': 64}),
        made.final('a', 'scratch', 0.6, hparams={'steps': 1000, 'batch': 256}),
    ]
    assert convergence.lengths(cells.cells(records)) == []


def test_scratch_takes_so_many_times_the_steps_of_fine_tuning():
    records = lengths({100: 0.5, 1000: 8 / 9, 4000: 10 / 11}, 'finetune')
    records += lengths({1000: 0.5, 10_000: 8 / 9, 40_000: 10 / 11})
    speeds = convergence.speeds(convergence.lengths(cells.cells(records)))
    assert [s.best.setting for s in speeds] == ['finetune', 'scratch']
    assert [s.steps.value for s in speeds] == pytest.approx([2000, 20_000])
    assert speeds[0].epochs.value == pytest.approx(2000 * 256 / 3680)
    assert convergence.slower(speeds[1], speeds).value == pytest.approx(10)
    assert convergence.slower(speeds[0], speeds) == (None, '')


def test_no_ratio_to_a_bound():
    records = lengths({100: 0.5, 1000: 0.5}, 'finetune')
    records += lengths({1000: 0.5, 10_000: 0.9})
    speeds = convergence.speeds(convergence.lengths(cells.cells(records)))
    assert speeds[0].steps == (None, '<= 100')
    assert speeds[0].epochs.words == '<= 6.96'  # 25,600 / 3,680
    assert convergence.slower(speeds[1], speeds) == (None, 'not bracketed')
