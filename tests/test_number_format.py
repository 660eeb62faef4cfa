"""Numbers as people read them."""

import pytest

from tfxfer import number_format


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (None, ''),
        (0.25, '0.2 s'),
        (9.96, '10 s'),
        (89, '89 s'),
        (90, '1.5 min'),
        (5400, '1.5 h'),
        (200_000, '2.3 d'),
    ],
)
def test_durations_read_in_the_unit_that_fits(seconds, text):
    assert number_format.duration(seconds) == text


def test_small_p_values_do_not_become_0():
    shown = [number_format.p_value(p) for p in (1.0, 0.0384, 0.00012, 3e-11)]
    assert shown == ['1', '0.038', '0.00012', '3e-11']


def test_scores_are_shown_in_percent_and_nothing_as_an_empty_text():
    assert number_format.percent(0.9156) == '91.6'
    assert number_format.interval(0.9, 0.955) == '90.0-95.5'
    assert number_format.percent(None) == number_format.count(None) == ''
    assert number_format.interval(None, None) == ''
    assert number_format.count(0) == '0'


def test_large_counts_have_at_most_three_digits():
    shown = [number_format.magnitude(n) for n in (0, 999, 12_000, 4_232_978, 84.7e6)]
    assert shown == ['0', '999', '12k', '4.23M', '84.7M']
