import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from statsmodels import api as sm
from statsmodels.stats import (
    anova,
    multitest,
    proportion,
    weightstats,
)

from tfxfer.analysis import stats


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_log_odds_are_the_plain_logit_inside_0_and_1():
    assert stats.log_odds(0.9) == pytest.approx(math.log(9))
    # Also where n is given: only 0 and 1 are corrected.
    np.testing.assert_allclose(stats.log_odds([0.5, 0.1], 10), [0, -math.log(9)])


def test_log_odds_of_0_and_1_come_from_counts_corrected_by_a_half():
    # 20 of 20: ln(20.5 / 0.5) = ln 41; 0 of 3: ln(0.5 / 3.5) = -ln 7.
    np.testing.assert_allclose(
        stats.log_odds([1.0, 0.0, 0.75], [20, 3, 4]),
        [math.log(41), -math.log(7), math.log(3)],
    )


def test_log_odds_rise_with_the_count_through_the_corrected_ends():
    n = 7
    values = stats.log_odds(np.arange(n + 1) / n, n)
    assert np.all(np.diff(values) > 0)
    np.testing.assert_allclose(values, -values[::-1], atol=1e-12)


@pytest.mark.parametrize('p', [-0.1, 1.1, math.nan, 93.2])
def test_log_odds_refuse_what_is_no_proportion(p):
    with pytest.raises(ValueError, match='from 0 to 1'):
        stats.log_odds([0.5, p])


def test_log_odds_of_1_are_refused_without_the_number_of_images():
    with pytest.raises(ValueError, match='give n'):
        stats.log_odds(1.0)
    with pytest.raises(ValueError, match='at least 1'):
        stats.log_odds(1.0, 0)


def test_proportion_inverts_log_odds():
    p = np.array([0.001, 0.3, 0.5, 0.999])
    np.testing.assert_allclose(stats.proportion(stats.log_odds(p)), p, rtol=1e-12)


@pytest.mark.parametrize(
    ('correct', 'n'), [(0, 5), (1, 5), (5, 5), (90, 100), (1800, 1880)]
)
def test_wilson_equals_scipys(correct, n):
    expected = scipy_stats.binomtest(correct, n).proportion_ci(method='wilson')
    np.testing.assert_allclose(stats.wilson(correct, n), expected, atol=1e-12)


@pytest.mark.parametrize('level', [0.9, 0.95, 0.99])
def test_wilson_equals_statsmodels_at_every_count(level):
    n = 37
    counts = np.arange(n + 1)
    expected = proportion.proportion_confint(counts, n, 1 - level, method='wilson')
    np.testing.assert_allclose(stats.wilson(counts, n, level), expected, atol=1e-12)


def test_wilson_by_hand():
    # Wilson (1927): the p at which (p - 1/2)^2 = z^2 p (1 - p) / n. With z = 2, n = 4
    # and 2 right: 2 (p - 1/2)^2 = 1/4, p = 1/2 +- sqrt(1/8).
    level = scipy_stats.norm.cdf(2) - scipy_stats.norm.cdf(-2)
    found = stats.wilson(2, 4, level)
    assert found == pytest.approx((0.5 - math.sqrt(1 / 8), 0.5 + math.sqrt(1 / 8)))


def test_wilson_of_90_in_100_is_the_textbook_interval():
    low, high = stats.wilson(90, 100)
    assert (round(float(low), 4), round(float(high), 4)) == (0.8256, 0.9448)


@pytest.mark.parametrize(('correct', 'n'), [(-1, 5), (6, 5), (math.nan, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError, match='got'):
        stats.wilson(correct, n)


# 3 networks x 2 datasets; dataset means 2 and 7.
SCORES = np.array([[1.0, 5.0], [2.0, 9.0], [3.0, 7.0]])


def test_adjusted_scores_are_differences_from_the_dataset_mean():
    np.testing.assert_allclose(stats.adjusted(SCORES), [[-1, -2], [0, 2], [1, 0]])


def test_within_errors_by_hand():
    # Row [0, 2]: standard deviation sqrt 2, / sqrt 2 datasets = 1, x sqrt(3 / 2).
    # The other two rows differ by 1: half of it.
    expected = np.array([0.5, 1.0, 0.5]) * math.sqrt(3 / 2)
    np.testing.assert_allclose(stats.within_errors(SCORES), expected)


def test_within_errors_of_two_networks_equal_the_paired_differences_error():
    # With M = 2 the bar of either is sqrt 2 x half the standard error of x1 - x2.
    x = normal(2, 9)
    error = scipy_stats.sem(x[0] - x[1]) / math.sqrt(2)
    np.testing.assert_allclose(stats.within_errors(x), [error, error])


def test_squared_within_errors_average_to_the_anovas_error():
    # Morey (2008): what his factor is for. Of a repeated-measures analysis of variance
    # with the datasets as subjects, the mean square of the error / datasets.
    x = normal(5, 8)
    rows = [
        {'network': m, 'dataset': d, 'x': x[m, d]} for m in range(5) for d in range(8)
    ]
    table = anova.AnovaRM(pd.DataFrame(rows), 'x', 'dataset', ['network']).fit()
    between = 8 * x.mean(axis=1).var(ddof=1)  # Mean square of the networks.
    error = between / table.anova_table['F Value'].iloc[0]
    assert np.mean(stats.within_errors(x) ** 2) == pytest.approx(error / 8)


def test_a_dataset_wide_constant_changes_nothing():
    x = normal(5, 7)
    shifted = x + normal(7, seed=1)
    np.testing.assert_allclose(stats.adjusted(shifted), stats.adjusted(x), atol=1e-12)
    np.testing.assert_allclose(stats.within_errors(shifted), stats.within_errors(x))


def test_permuting_networks_permutes_scores_and_errors():
    x, order = normal(5, 7), [3, 1, 4, 0, 2]
    np.testing.assert_allclose(stats.adjusted(x[order]), stats.adjusted(x)[order])
    np.testing.assert_allclose(
        stats.within_errors(x[order]), stats.within_errors(x)[order]
    )


def test_a_missing_cell_is_refused_and_located():
    x = SCORES.copy()
    x[2, 1] = math.nan
    with pytest.raises(ValueError, match=r'1 of 6 .* first at \(2, 1\)'):
        stats.adjusted(x)
    with pytest.raises(ValueError, match='have no score'):
        stats.within_errors(x)


@pytest.mark.parametrize('shape', [(1, 5), (5, 1)])
def test_within_errors_need_two_networks_and_two_datasets(shape):
    with pytest.raises(ValueError, match='at least 2 networks and 2 datasets'):
        stats.within_errors(np.zeros(shape))


def test_correlation_by_hand():
    # x - 2 = [-1, 0, 1], y - 2 = [-1, 1, 0]: r = 1 / (sqrt 2 sqrt 2) = 1/2.
    # p = 2/3: with 1 degree of freedom t is Cauchy, t = r / sqrt(1 - r^2) = tan 30.
    found = stats.correlate([1, 2, 3], [1, 3, 2])
    assert found.r == pytest.approx(0.5)
    assert found.p == pytest.approx(2 / 3)
    assert (found.low, found.high) == (-1, 1)
    assert found.rho == pytest.approx(0.5)
    assert found.n == 3


def test_correlation_and_line_equal_those_of_statsmodels_regression():
    x, noise = normal(2, 16)
    fit = sm.OLS(x + 2 * noise, sm.add_constant(x)).fit()
    found = stats.correlate(x, x + 2 * noise)
    # Of a line through points r^2 is the share explained; r's p is the slope's.
    assert found.r == pytest.approx(math.copysign(fit.rsquared**0.5, fit.params[1]))
    assert found.p == pytest.approx(fit.pvalues[1])
    assert stats.line(x, x + 2 * noise) == pytest.approx(tuple(fit.params[::-1]))


def test_spearman_by_hand():
    # Ranks 2 1 4 3 5 differ by 1, 1, 1, 1, 0: rho = 1 - 6 x 4 / (5 x 24) = 0.8.
    found = stats.correlate([10, 20, 30, 40, 50], [2, 1, 9, 4, 70])
    assert found.rho == pytest.approx(0.8)


def test_correlation_interval_equals_scipys():
    x, noise = normal(2, 16)
    expected = scipy_stats.pearsonr(x, x + noise).confidence_interval(0.95)
    found = stats.correlate(x, x + noise)
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_spearman_sees_order_only():
    x = np.arange(6.0)
    found = stats.correlate(x, np.exp(x))
    assert found.rho == pytest.approx(1)
    assert found.r < 0.9


def test_correlation_is_the_same_on_any_linear_scale_and_order():
    x, y = normal(2, 12)
    order = np.random.default_rng(1).permutation(12)
    assert stats.correlate(3 * x[order] - 1, y[order]) == pytest.approx(
        stats.correlate(x, y)
    )


@pytest.mark.parametrize(
    ('x', 'y', 'reason'),
    [
        ([1, 2], [1, 2], 'at least 3'),
        ([1, 1, 1], [1, 2, 3], 'constant'),
        ([1, 2, math.nan], [1, 2, 3], 'finite'),
        ([1, 2, 3], [1, 2], 'Pairs'),
    ],
)
def test_correlation_refuses(x, y, reason):
    with pytest.raises(ValueError, match=reason):
        stats.correlate(x, y)


def test_line_equals_scipys():
    x, y = normal(2, 10)
    expected = scipy_stats.linregress(x, y)
    assert stats.line(x, y) == pytest.approx((expected.slope, expected.intercept))


def test_line_refuses_points_above_one_another():
    with pytest.raises(ValueError, match='slope is undefined'):
        stats.line([2, 2, 2], [1, 2, 3])


def test_band_of_points_on_a_line_is_that_line():
    low, high = stats.line_band([0, 1, 2, 5], [1, 3, 5, 11], [0, 10])
    np.testing.assert_allclose([low, high], [[1, 21], [1, 21]])


def test_band_equals_scipys_bootstrap_of_the_fitted_value():
    x = np.linspace(0, 1, 16)
    y = 2 * x + 0.3 * normal(16)

    def at_half(x, y):
        fit = scipy_stats.linregress(x, y)
        return fit.intercept + 0.5 * fit.slope

    expected = scipy_stats.bootstrap(
        (x, y),
        at_half,
        paired=True,
        vectorized=False,
        method='percentile',
        n_resamples=2000,
        rng=np.random.default_rng(7),
    ).confidence_interval
    low, high = stats.line_band(x, y, [0.5], samples=20_000)
    # Monte Carlo error of a 2.5 % quantile of 2,000 draws: about 4 % of the width.
    tolerance = 0.1 * (expected.high - expected.low)
    assert low[0] == pytest.approx(expected.low, abs=tolerance)
    assert high[0] == pytest.approx(expected.high, abs=tolerance)


def test_band_is_the_same_for_the_same_seed_only():
    x, y = normal(2, 8)
    again = stats.line_band(x, y, [0, 1])
    np.testing.assert_array_equal(stats.line_band(x, y, [0, 1]), again)
    assert not np.array_equal(stats.line_band(x, y, [0, 1], seed=1), again)


def test_band_draws_again_where_a_draw_has_no_line():
    # One draw in nine of 3 points is one point thrice.
    low, high = stats.line_band([0, 1, 2], [0, 2, 1], [0, 1, 2])
    assert np.all(np.isfinite(low)) and np.all(low <= high)


def test_paired_t_by_hand():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt 3, t = 2 sqrt 3 = 3.4641;
    # the 97.5 % quantile of t with 2 degrees of freedom is 4.3027.
    found = stats.paired_t([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.t == pytest.approx(2 * math.sqrt(3))
    # t with 2 degrees of freedom has p = 1 - t / sqrt(t^2 + 2).
    assert found.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert found.low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4)
    assert found.high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-4)
    assert found.n == 3


def test_paired_t_equals_statsmodels():
    x, y = normal(2, 12)
    peer = weightstats.DescrStatsW(x - y)
    t, p, _ = peer.ttest_mean()
    found = stats.paired_t(x, y)
    assert (found.t, found.p) == pytest.approx((t, p))
    assert (found.low, found.high) == pytest.approx(peer.tconfint_mean(0.05))


@pytest.mark.parametrize('shift', [0, 0.5])
def test_paired_t_refuses_one_difference_everywhere(shift):
    x = normal(5)
    with pytest.raises(ValueError, match='same on all'):
        stats.paired_t(x + shift, x)


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04, x 4 3 2 1: .04 .06 .06 .04, never falling.
    found = stats.holm([0.03, 0.01, 0.04, 0.02])
    np.testing.assert_allclose(found, [0.06, 0.04, 0.06, 0.06])


def test_holm_never_exceeds_1_and_keeps_the_order():
    p = np.random.default_rng(0).random(30)
    found = stats.holm(p)
    assert np.all(found >= p) and np.all(found <= 1)
    assert np.all(np.diff(found[np.argsort(p)]) >= 0)


def test_holm_rejects_what_stepping_down_by_definition_rejects():
    # Holm (1979): reject in order while p_(i) <= alpha / (n - i + 1).
    for p in itertools.product([0.005, 0.02, 0.04, 0.3], repeat=3):
        rejected = 0
        while rejected < 3 and sorted(p)[rejected] <= 0.05 / (3 - rejected):
            rejected += 1
        assert np.sum(stats.holm(p) <= 0.05) == rejected, p


def test_holm_equals_statsmodels():
    # Few: statsmodels collects garbage at every call. With ties.
    p = np.random.default_rng(1).beta(0.3, 3, size=(4, 9)).round(2)
    for row in p:
        expected = multitest.multipletests(row, method='holm')[1]
        np.testing.assert_allclose(stats.holm(row), expected, atol=1e-15)


def test_holm_refuses_what_is_no_p():
    with pytest.raises(ValueError, match='from 0 to 1'):
        stats.holm([0.1, 1.2])


def table(text):
    """Scores of '1 - 1' and such rows: 1.0 where there is one, NaN where a dash."""
    rows = [row.split() for row in text.split('/')]
    return np.array([[math.nan if v == '-' else float(v) for v in row] for row in rows])


def test_what_a_table_with_gaps_offers():
    x = table('1 2 3 4 / 1 2 3 - / - 2 3 4')
    found = stats.common(x, 'abc', 'wxyz')
    np.testing.assert_array_equal(found.measured, ~np.isnan(x))
    assert found.missing == (('b', 'z'), ('c', 'w'))
    assert found.datasets == ('x', 'y')
    # Three blocks of 6: all three networks on x, y comes before two on three datasets.
    assert found.block == (('a', 'b', 'c'), ('x', 'y'))
    assert found.exact


def test_leaving_out_a_network_may_keep_more():
    x = table('1 2 3 4 / 1 2 3 4 / 1 2 3 4 / 1 - - -')
    found = stats.common(x, 'abcd', 'wxyz')
    assert found.datasets == ('w',)
    assert found.block == (('a', 'b', 'c'), tuple('wxyz'))


def test_a_block_has_at_least_two_networks():
    # The first alone has 3 datasets; nothing is compared with it there.
    found = stats.common(table('1 1 1 / 1 - -'), 'ab', 'xyz')
    assert found.block == (('a', 'b'), ('x',))
    found = stats.common(table('1 - / - 1'), 'ab', 'xy')
    assert (found.datasets, found.block) == ((), ((), ()))


def test_a_whole_table_is_its_own_block():
    found = stats.common(SCORES, 'abc', 'xy')
    assert found.missing == ()
    assert found.datasets == ('x', 'y') and found.block == (('a', 'b', 'c'), ('x', 'y'))


@pytest.mark.parametrize('shape', [(4, 6), (6, 4)])
def test_the_block_is_as_large_as_any_of_all_blocks(shape):
    rng = np.random.default_rng(0)
    names = [f'n{i}' for i in range(shape[0])], [f'd{i}' for i in range(shape[1])]
    for _ in range(30):
        x = np.where(rng.random(shape) < 0.3, math.nan, 1)
        sizes = [0]
        for mask in itertools.product((False, True), repeat=sum(shape)):
            rows, columns = np.array(mask[: shape[0]]), np.array(mask[shape[0] :])
            if rows.sum() >= 2 and not np.isnan(x[np.ix_(rows, columns)]).any():
                sizes.append(rows.sum() * columns.sum())
        networks, datasets = stats.common(x, *names).block
        assert len(networks) * len(datasets) == max(sizes)
        own = (
            [names[0].index(n) for n in networks],
            [names[1].index(d) for d in datasets],
        )
        assert not np.isnan(x[np.ix_(*own)]).any()


def test_of_a_large_table_a_block_is_found_and_said_not_to_be_exact():
    x = np.ones((20, 17))
    x[3], x[:, 5] = math.nan, math.nan
    x[3, 0] = 1
    found = stats.common(x, range(20), range(17))
    assert not found.exact
    assert found.block == (
        tuple(i for i in range(20) if i != 3), tuple(j for j in range(17) if j != 5)
    )  # fmt: skip
    assert stats.common(x[:16], range(16), range(17)).exact


def test_permuting_networks_offers_the_same():
    x, order = table('1 - 1 / 1 1 1 / - 1 1 / 1 1 -'), [2, 0, 3, 1]
    whole = stats.common(x, 'abcd', 'xyz')
    other = stats.common(x[order], [('abcd')[i] for i in order], 'xyz')
    assert set(whole.missing) == set(other.missing)
    assert whole.datasets == other.datasets
    sizes = [len(c.block[0]) * len(c.block[1]) for c in (whole, other)]
    assert sizes[0] == sizes[1] == 4


@pytest.mark.parametrize(
    ('x', 'networks', 'datasets', 'reason'),
    [
        (SCORES, 'abc', 'xyz', r'got \(3, 2\) for 3 networks and 3 datasets'),
        (SCORES, 'aab', 'xy', 'networks must differ'),
        (SCORES * math.inf, 'abc', 'xy', 'finite'),
    ],
)
def test_tables_that_are_none_are_refused(x, networks, datasets, reason):
    with pytest.raises(ValueError, match=reason):
        stats.common(x, networks, datasets)
