import math

import pytest
from scipy import stats as scipy_stats

from tests.support import show
from tests.support.experiments import matrix_of
from tests.support.show import logit


def test_t_tests_are_those_of_the_analysis():
    scores = {'a': {'dtd': 0.5, 'pets': 0.5}, 'b': {'dtd': 0.8, 'pets': 0.6}}
    records = matrix_of(scores)
    (row,) = show.tables(records)[0]['t_tests'].frame.itertuples()
    test = scipy_stats.ttest_rel([0, 0], [logit(0.8), logit(0.6)])
    assert (row.a, row.b, row.n) == ('a', 'b', 2)
    assert (row.t, row.p) == pytest.approx((test.statistic, test.pvalue))
    assert row.p_holm == pytest.approx(test.pvalue)
    assert row.mean == pytest.approx(-(math.log(4) + math.log(1.5)) / 2)
