import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats import proportion

from tfxfer.analysis import crossed


def outcomes(*right, varies=True, paired=False, label=None):
    """Of classifiers [seeds, n] or [n]; label [n]: each class counts the same."""
    right = [np.atleast_2d(np.asarray(one, float)) for one in right]
    n = right[0].shape[1]
    weight, stratum = np.full(n, 1 / n), np.zeros(n, int)
    if label is not None:
        stratum = np.asarray(label)
        counts = np.bincount(stratum)
        weight = 1 / (len(counts) * counts[stratum])
    many = [varies and len(one) > 1 for one in right]
    return crossed.Outcomes(right, weight, stratum, many, paired=paired)


def drawn(shape, chance=0.8, seed=0):
    return np.random.default_rng(seed).random(shape) < chance


def test_without_seeds_the_variance_is_that_of_means_and_of_paired_differences():
    a, b = drawn((2, 100)).astype(float)
    found = crossed.spread(outcomes(a, b))
    assert found.score == pytest.approx([a.mean(), b.mean()])
    assert found.covariance == pytest.approx(np.cov(a, b) / 100)
    x = found.covariance
    of_difference = x[0, 0] + x[1, 1] - 2 * x[0, 1]
    assert of_difference == pytest.approx(scipy_stats.sem(a - b) ** 2)


def test_the_variance_is_that_of_a_random_effects_analysis():
    # Of a balanced two-way layout without replication (rows: seeds, columns: images)
    # the variance of the grand mean is (MS seeds + MS images - MS residual) / (S n).
    y = drawn((4, 60), seed=3).astype(float)
    y[2] = drawn(60, 0.4, seed=4)
    s, n = y.shape
    by_seed, by_image, mean = y.mean(axis=1), y.mean(axis=0), y.mean()
    seeds = n * np.sum((by_seed - mean) ** 2) / (s - 1)
    images = s * np.sum((by_image - mean) ** 2) / (n - 1)
    rest = np.sum((y - by_seed[:, None] - by_image + mean) ** 2) / ((s - 1) * (n - 1))
    found = crossed.spread(outcomes(y))
    expected = (seeds + images - rest) / (s * n)
    assert found.covariance[0, 0] == pytest.approx(expected, rel=1e-3)
    assert found.freedom.tolist() == [3]


def test_the_p_is_of_the_difference_that_is_shown():
    # Seeds of 76, 90, 90 and 84, 80, 80 of 100: seed 0 alone says the opposite.
    def right(counts):
        return [np.arange(100) < count for count in counts]

    found = crossed.spread(outcomes(right((76, 90, 90)), right((84, 80, 80))))
    tests = crossed.pairs(found)
    assert tests.difference == pytest.approx([4 / 100])
    # Welch's test of the seeds alone says p = 0.5; images make it no surer.
    seeds = scipy_stats.ttest_ind([76, 90, 90], [84, 80, 80], equal_var=False)
    assert seeds.pvalue == pytest.approx(0.5, abs=0.1)
    assert tests.p[0] > 0.3 and tests.adjusted[0] >= tests.p[0]


def test_where_nothing_varies_p_is_mcnemars_with_a_correction():
    for only_a, only_b in ((40, 20), (30, 25), (9, 2)):
        a = np.zeros(1000, bool)
        b = a.copy()
        a[:only_a], b[only_a : only_a + only_b] = True, True
        a[500:], b[500:] = True, True
        tests = crossed.pairs(crossed.spread(outcomes(a, b)))
        z = (only_a - only_b) / math.sqrt(only_a + only_b + 1)
        assert tests.p[0] == pytest.approx(2 * scipy_stats.norm.sf(z), rel=0.03)
        exact = scipy_stats.binomtest(only_a, only_a + only_b).pvalue
        assert 0.5 * exact < tests.p[0] < 1.1 * exact


def test_where_seeds_are_all_p_is_students():
    # On each image a seed is right or wrong as a whole: variances are of seeds alone.
    scores = np.array([[0.60, 0.70, 0.80, 0.74], [0.30, 0.42, 0.36, 0.40]])
    n = 20_000
    right = [[np.arange(n) < score * n for score in row] for row in scores]
    rng = np.random.default_rng(0)
    shuffled = [[rng.permutation(seed) for seed in row] for row in right]
    tests = crossed.pairs(crossed.spread(outcomes(*shuffled)))
    expected = scipy_stats.ttest_ind(*scores).pvalue  # Pooled: 6 degrees of freedom.
    assert tests.p[0] == pytest.approx(expected, rel=0.2)


def test_what_seeds_give_to_all_alike_is_no_difference():
    rng = np.random.default_rng(1)
    subset = np.array([0.4, 0.6, 0.8])  # Of the images that all seeds s have right.
    a = np.array([rng.random(5000) < chance for chance in subset])
    b = np.array([rng.random(5000) < chance - 0.05 for chance in subset])
    apart = crossed.pairs(crossed.spread(outcomes(a, b)))
    paired = crossed.spread(outcomes(a, b, paired=True))
    assert apart.p[0] > 0.3
    assert crossed.pairs(paired).p[0] < 0.05
    # As a paired t-test of the seeds, whose noise is theirs alone here.
    t = scipy_stats.ttest_rel(a.mean(axis=1), b.mean(axis=1))
    assert paired.freedom.tolist() == [2, 2] and t.pvalue < 0.05
    # Each score by itself is as uncertain as before.
    assert paired.covariance[0, 0] > 0.5 * np.var(subset, ddof=1) / 3


def test_moderated_variances_are_pooled_where_they_are_alike():
    variance = np.array([1.0, 1.2, 0.8])
    found, freedom = crossed.moderate(variance, np.full(3, 2.0))
    assert found.tolist() == [1.0] * 3 and freedom.tolist() == [6.0] * 3


def test_moderated_variances_recover_their_prior():
    # Scaled inverse chi-squared: 8 degrees of freedom, level 3.
    rng = np.random.default_rng(0)
    true = 8 * 3 / rng.chisquare(8, 20_000)
    sampled = true * rng.chisquare(2, 20_000) / 2
    found, freedom = crossed.moderate(sampled, np.full(20_000, 2.0))
    assert freedom[0] == pytest.approx(2 + 8, rel=0.1)
    slope, at_zero = np.polyfit(sampled, found, 1)
    assert slope == pytest.approx(2 / 10, rel=0.1)
    assert at_zero == pytest.approx(3 * 8 / 10, rel=0.1)


def test_intervals_are_wilsons_where_nothing_varies():
    right = [np.arange(50) < count for count in (0, 1, 25, 49, 50)]
    low, high = crossed.intervals(crossed.spread(outcomes(*right)))
    for i, count in enumerate((0, 1, 25, 49, 50)):
        expected = proportion.proportion_confint(count, 50, method='wilson')
        assert (low[i], high[i]) == pytest.approx(expected, abs=1e-9)


def test_seeds_that_differ_widen_an_interval():
    same = crossed.spread(outcomes([np.arange(100) < 80] * 3))
    differ = crossed.spread(outcomes([np.arange(100) < k for k in (70, 80, 90)]))
    widths = [np.subtract(*crossed.intervals(one)[::-1])[0] for one in (same, differ)]
    assert differ.score == pytest.approx(same.score)
    assert widths[1] > 2 * widths[0]
    assert widths[0] == pytest.approx(np.subtract(*proportion.proportion_confint(
        80, 100, method='wilson'))[()] * -1)  # fmt: skip


def test_mean_per_class_has_the_variance_of_a_stratified_sample():
    label = np.repeat([0, 1, 2], [10, 20, 70])
    right = drawn(100, 0.6, seed=5)
    found = crossed.spread(outcomes(right, label=label))
    groups = [right[label == i].astype(float) for i in range(3)]
    assert found.score[0] == pytest.approx(np.mean([g.mean() for g in groups]))
    expected = sum(g.var(ddof=1) / len(g) for g in groups) / 9
    assert found.covariance[0, 0] == pytest.approx(expected)


def test_equal_classifiers_are_not_told_apart_and_all_is_finite():
    right = [drawn(200)] * 4
    found = crossed.spread(outcomes(*right))
    tests = crossed.pairs(found)
    assert tests.p == pytest.approx(1) and tests.adjusted == pytest.approx(1)
    best = crossed.winner(found)
    assert best.index == 0 and best.low < found.score[0] < best.high


def test_perfect_and_failed_classifiers_are_answered():
    found = crossed.spread(outcomes(np.ones(30), np.zeros(30)))
    best = crossed.winner(found)
    assert 0.8 < best.low < best.high <= 1
    assert crossed.pairs(found).p[0] < 1e-4


def test_of_equal_counts_the_first_is_best_whichever_images_are_right():
    rng = np.random.default_rng(0)
    for n in (51, 99, 301, 451):  # Sums of 1 / n round by their order.
        right = [rng.permutation(np.arange(n) < 0.6 * n) for _ in range(6)]
        found = crossed.spread(outcomes(*right))
        assert crossed.winner(found).index == 0
        assert not np.any(crossed.pairs(found).difference)


def test_one_image_says_nothing():
    found = crossed.spread(outcomes([True], [False]))
    assert crossed.pairs(found).p[0] > 0.3
    best = crossed.winner(found)
    assert 0 < best.low < 0.1 and 0.9 < best.high < 1


def test_pairs_are_corrected_for_their_number_but_not_for_what_they_share():
    rng = np.random.default_rng(2)
    hard = rng.standard_normal(400)
    right = [hard + 0.3 * rng.standard_normal(400) < 1 for _ in range(6)]
    tests = crossed.pairs(crossed.spread(outcomes(*right)))
    assert np.all(tests.adjusted >= tests.p)
    assert np.all(tests.adjusted <= np.minimum(1, 15 * tests.p) + 1e-12)
    smallest = int(np.argmin(tests.p))
    assert tests.adjusted[smallest] < 15 * tests.p[smallest]


def test_one_classifier_has_the_interval_that_it_has_without_choice():
    found = crossed.spread(outcomes(np.arange(500) < 400))
    best = crossed.winner(found)
    low, high = proportion.proportion_confint(400, 500, method='wilson')
    assert (best.low, best.high) == pytest.approx((low, high), abs=0.004)


def test_a_clear_winner_needs_no_correction_and_a_close_one_does():
    clear = [np.arange(500) < count for count in (400, 250, 240)]
    close = [np.roll(np.arange(500) < 400, 37 * i) for i in range(3)]
    for right, lower in ((clear, 0), (close, 0.024)):
        found = crossed.spread(outcomes(*right))
        best, (low, _) = crossed.winner(found), crossed.intervals(found)
        assert best.low == pytest.approx(low[0] - lower, abs=0.002)


def test_the_truncated_normal_is_scipys():
    for least, most, x in ((-1.0, 2.0, 0.5), (0.5, np.inf, 1.0), (6.0, 9.0, 6.2)):
        expected = scipy_stats.truncnorm.cdf(x / 2, least / 2, most / 2)
        assert crossed._truncated((least, most, x), 2.0) == pytest.approx(expected)
