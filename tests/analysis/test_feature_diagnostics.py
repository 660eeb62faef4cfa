import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.spatial import distance

from tfxfer.analysis import feature_diagnostics


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Classes.


def test_spread_of_four_points_by_hand():
    """Classes at x = 0 and 10, each with a point 1 above and 1 below its mean."""
    x = np.array([[0, 1], [0, -1], [10, 1], [10, -1]], float)
    found = feature_diagnostics.spread(x, [0, 0, 1, 1])
    assert found == (1, 25)
    assert found.total == 26 and found.share == 25 / 26 and found.ratio == 1 / 25


def test_a_class_counts_in_the_spread_by_its_images():
    """Three at 0 and one at 4: mean 1, between (3 x 1 + 1 x 9) / 4."""
    found = feature_diagnostics.spread(np.array([[0], [0], [0], [4]]), [7, 7, 7, -2])
    assert found == (0, 3) and found.share == 1 and found.ratio == 0


def test_classes_of_one_mean_have_no_variance_between_them():
    found = feature_diagnostics.spread(np.array([[-1.0], [1], [-2], [2]]), [0, 0, 1, 1])
    assert found == (2.5, 0) and found.share == 0 and found.ratio == math.inf


def scattered(x, labels):
    """(within, between) by the definition: traces of scatter matrices, / n."""
    within, between = np.zeros(2 * x.shape[1:]), np.zeros(2 * x.shape[1:])
    for c in np.unique(labels):
        own = x[labels == c]
        within += (own - own.mean(axis=0)).T @ (own - own.mean(axis=0))
        apart = own.mean(axis=0) - x.mean(axis=0)
        between += len(own) * np.outer(apart, apart)
    return np.trace(within) / len(x), np.trace(between) / len(x)


@pytest.mark.parametrize('offset', [0, 1e6])
def test_spread_equals_the_scatter_matrices_and_adds_up_to_the_variance(offset):
    n = feature_diagnostics._ROWS + 500  # More than one part.
    labels = np.random.default_rng(1).choice([2, 3, 5, 9], n, p=[0.7, 0.2, 0.08, 0.02])
    x = normal(n, 6) + 0.5 * labels[:, None] + offset
    found = feature_diagnostics.spread(x, labels)
    np.testing.assert_allclose(found, scattered(x, labels), rtol=1e-8)
    assert found.total == pytest.approx(x.var(axis=0).sum(), rel=1e-8)


def test_spread_is_the_r2_of_a_one_way_analysis_of_variance():
    x, labels = normal(60, 1), np.repeat([0, 1, 2], [10, 20, 30])
    f = scipy_stats.f_oneway(*(x[labels == c, 0] for c in range(3))).statistic
    found = feature_diagnostics.spread(x, labels)
    assert found.share == pytest.approx(2 * f / (2 * f + 57))


def cosine_r2(x, labels):
    """Class separation by all pairs."""
    apart = distance.cdist(x, x, 'cosine')
    own = [labels == c for c in np.unique(labels)]
    within = np.mean([apart[np.ix_(a, a)].mean() for a in own])
    overall = np.mean([apart[np.ix_(a, b)].mean() for a in own for b in own])
    return 1 - within / overall


def test_class_separation_equals_that_of_all_pairs_with_classes_alike():
    labels = np.random.default_rng(1).choice(4, 300, p=[0.7, 0.2, 0.08, 0.02])
    x = normal(300, 5) + 2 * np.eye(5)[labels]
    found = feature_diagnostics.class_separation(x, labels)
    assert found == pytest.approx(cosine_r2(x, labels), abs=1e-12)
    # More images of one class change the weights of images, not those of classes.
    more = np.concatenate([x, x[labels == 0]])
    again = feature_diagnostics.class_separation(
        more, np.append(labels, labels[labels == 0])
    )
    assert again == pytest.approx(found, abs=1e-12)


def test_class_separation_ends_at_1_and_0():
    x = np.array([[1, 0], [5, 0], [0, 2], [0, 3]])
    assert feature_diagnostics.class_separation(x, [0, 0, 1, 1]) == 1
    assert feature_diagnostics.class_separation(x, [0, 1, 0, 1]) == pytest.approx(0)


def test_class_separation_sees_directions_alone():
    x, labels = normal(40, 3), np.arange(40) % 2
    lengths = np.geomspace(1e-200, 1e200, 40)[:, None]
    found = feature_diagnostics.class_separation(x * lengths, labels)
    assert found == pytest.approx(feature_diagnostics.class_separation(x, labels))


# Sparsity.


def test_sparsity_of_a_table_by_hand():
    x = np.array([[0, 0, 1, 2], [0, 3, 0, 0]])
    assert feature_diagnostics.sparsity(x) == (5 / 8, 1 / 4, 3 / 8, 1 / 4)
    assert feature_diagnostics.sparsity(-x) == feature_diagnostics.sparsity(x)
    assert feature_diagnostics.sparsity(x, threshold=2) == (7 / 8, 3 / 4, 1 / 8, 0)


def test_a_feature_that_one_image_of_the_last_part_has_is_alive():
    x = np.zeros((feature_diagnostics._ROWS + 1, 2), np.float16)
    x[-1, 1] = 1
    found = feature_diagnostics.sparsity(x)
    assert found.dead == 0.5 and found.least == 0
    assert found.zero == pytest.approx(1 - 1 / x.size)


# Rank.


def with_spectrum(values, n=200):
    """Features whose covariance has these eigenvalues."""
    d = len(values)
    x = normal(n, d)
    left, _, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return left * np.sqrt(n * np.asarray(values)) @ right + 3


@pytest.mark.parametrize('values', [[4.0, 1.0], [9.0, 4.0, 1.0, 0.25, 0.0]])
def test_spectrum_is_that_of_the_covariance(values):
    x = with_spectrum(values)
    np.testing.assert_allclose(feature_diagnostics.spectrum(x), values, atol=1e-12)
    total = feature_diagnostics.spread(x, np.arange(len(x)) % 2).total
    assert feature_diagnostics.spectrum(x).sum() == pytest.approx(total)


def test_spectrum_of_float32_is_right_to_its_precision():
    x = normal(3000, 40, dtype=np.float32) * np.geomspace(1, 1e-2, 40, dtype=np.float32)
    expected = np.linalg.svd(x - x.mean(axis=0, dtype=float), compute_uv=False) ** 2
    found = feature_diagnostics.spectrum(x + np.float32(1))
    np.testing.assert_allclose(found, expected / 3000, atol=1e-6 * found[0])


def test_ranks_of_spectra_in_closed_form():
    even, one = np.full(7, 3.0), [5.0, 0, 0]
    assert feature_diagnostics.participation_ratio(even) == pytest.approx(7)
    assert feature_diagnostics.effective_rank(even) == pytest.approx(7)
    assert feature_diagnostics.components(even) == 7  # 6 of 7 are 86 %.
    assert feature_diagnostics.participation_ratio(one) == 1
    assert feature_diagnostics.effective_rank(one) == 1
    assert feature_diagnostics.components(one) == 1
    # Shares 3/4 and 1/4: 1 / (9/16 + 1/16), and the entropy of a biased coin.
    assert feature_diagnostics.participation_ratio([3, 1]) == pytest.approx(1.6)
    entropy = scipy_stats.entropy([0.75, 0.25])
    assert feature_diagnostics.effective_rank([3, 1]) == pytest.approx(
        math.exp(entropy)
    )


@pytest.mark.parametrize('share, count', [(0.5, 1), (0.51, 2), (0.95, 3), (1.0, 4)])
def test_components_are_the_fewest_that_hold_the_share(share, count):
    assert feature_diagnostics.components([0.15, 0.5, 0.05, 0.3, 0.0], share) == count


def test_ranks_do_not_depend_on_the_unit():
    x = with_spectrum([3.0, 2.0, 0.1])
    for scale in (1e-150, 1e150):
        own = feature_diagnostics.spectrum(scale * x)
        plain = feature_diagnostics.spectrum(x)
        for rank in (
            feature_diagnostics.participation_ratio,
            feature_diagnostics.effective_rank,
        ):
            assert rank(own) == pytest.approx(rank(plain))


# Similarity.


def hsic_cka(x, y):
    """Linear CKA by the definition: HSIC of n x n Gram matrices, in float64."""
    n = len(x)
    h = np.eye(n) - 1 / n

    def hsic(k, m):
        return np.trace(k @ h @ m @ h) / (n - 1) ** 2

    k, m = (a.astype(np.float64) @ a.astype(np.float64).T for a in (x, y))
    return hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m))


def related(n=120, seed=0, dtype=np.float64):
    """Two networks' features that share some directions, not centred."""
    shared = normal(n, 4, seed=seed)
    x = np.hstack([shared, normal(n, 3, seed=seed + 1)]) @ normal(7, 7, seed=seed + 2)
    y = np.hstack([shared, normal(n, 6, seed=seed + 3)]) @ normal(10, 9, seed=seed + 4)
    return (x + 2).astype(dtype), (5 * y - 1).astype(dtype)


@pytest.mark.parametrize('seed', [0, 10])
def test_cka_equals_hsic_of_gram_matrices(seed):
    x, y = related(seed=seed)
    found = feature_diagnostics.linear_cka(x, y)
    assert 0.1 < found < 0.9
    assert found == pytest.approx(hsic_cka(x, y), abs=1e-12)


def test_cka_of_pairs_by_hand():
    """Centred already: X'Y = (2, 2), X'X = 4, Y'Y diagonal (2, 2): 8 / (4 sqrt 8)."""
    x = np.array([[1], [1], [-1], [-1]])
    y = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    assert feature_diagnostics.linear_cka(x, y) == pytest.approx(1 / math.sqrt(2))
    assert feature_diagnostics.linear_cka(x, np.array([[1], [-1], [1], [-1]])) == 0


def test_cka_does_not_see_rotations_scales_and_shifts_and_sees_other_maps():
    x, y = related()
    turn = np.linalg.qr(normal(7, 7, seed=9))[0]
    expected = feature_diagnostics.linear_cka(x, y)
    assert feature_diagnostics.linear_cka(y, x) == pytest.approx(expected, abs=1e-14)
    moved = 1e-3 * x @ turn + 40
    assert feature_diagnostics.linear_cka(moved, y) == pytest.approx(
        expected, abs=1e-12
    )
    assert feature_diagnostics.linear_cka(x, moved) == pytest.approx(1, abs=1e-12)
    assert feature_diagnostics.linear_cka(x, x.copy()) == pytest.approx(1, abs=1e-14)
    assert feature_diagnostics.linear_cka(x * np.geomspace(1, 30, 7), x) < 0.9


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
@pytest.mark.parametrize('scale', [1e-3, 1.0, 100.0])
def test_cka_in_float32_is_right_to_a_millionth(dtype, scale):
    """Against sums in float64, of features that are far from 0."""
    x, y = (scale * (a + 10) for a in related(n=2 * feature_diagnostics._ROWS + 77))
    x, y = x.astype(dtype), y.astype(dtype)
    a, b = (z.astype(float) - z.astype(float).mean(axis=0) for z in (x, y))
    own = [np.linalg.norm(z.T @ z) for z in (a, b)]
    expected = np.linalg.norm(a.T @ b) ** 2 / np.prod(own)
    assert abs(feature_diagnostics.linear_cka(x, y) - expected) < 1e-6


@pytest.mark.parametrize('scale', [1e-30, 1e30])
def test_cka_of_very_small_and_large_float32_does_not_lose_its_squares(scale):
    x, y = related(dtype=np.float32)
    found = feature_diagnostics.linear_cka(x * np.float32(scale), y)
    assert found == pytest.approx(feature_diagnostics.linear_cka(x, y), abs=1e-6)


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_memory_maps_give_what_arrays_give(tmp_path, dtype):
    n = 2 * feature_diagnostics._ROWS + 7
    x = np.maximum(normal(n, 12, dtype=dtype), 0)
    np.save(tmp_path / 'x.npy', x)
    mapped = np.load(tmp_path / 'x.npy', mmap_mode='r')
    y, labels = normal(n, 5), np.arange(n) % 3
    assert feature_diagnostics.linear_cka(mapped, y) == feature_diagnostics.linear_cka(
        x, y
    )
    for function in (feature_diagnostics.spread, feature_diagnostics.class_separation):
        assert function(mapped, labels) == function(x, labels)
    assert feature_diagnostics.sparsity(mapped) == feature_diagnostics.sparsity(x)
    np.testing.assert_array_equal(
        feature_diagnostics.spectrum(mapped), feature_diagnostics.spectrum(x)
    )


def test_parts_of_other_lengths_give_the_same(monkeypatch):
    x, y = related()
    labels = np.arange(len(x)) % 3
    found = []
    for rows in (1, 7, 119, 120, 4096):
        monkeypatch.setattr(feature_diagnostics, '_ROWS', rows)
        found.append(
            [
                feature_diagnostics.linear_cka(x, y),
                *feature_diagnostics.spread(x, labels),
                feature_diagnostics.class_separation(x, labels),
                *feature_diagnostics.sparsity(x, 1.0),
                *feature_diagnostics.spectrum(x),
            ]
        )
    np.testing.assert_allclose(found, [found[-1]] * len(found), rtol=1e-10)


def test_cka_of_several_networks_is_that_of_each_pair():
    networks = [*related(), *related(seed=5)]
    found = feature_diagnostics.cka_matrix(networks)
    assert found.shape == (4, 4) and (np.diag(found) == 1).all()
    np.testing.assert_array_equal(found, found.T)
    for i in range(4):
        for j in range(i):
            pair = feature_diagnostics.linear_cka(networks[i], networks[j])
            assert found[i, j] == pytest.approx(pair, abs=1e-14)


def test_few_images_make_independent_networks_look_alike_as_the_docstring_says():
    found = feature_diagnostics.linear_cka(normal(100, 400), normal(100, 400, seed=1))
    assert found == pytest.approx(400 / 500, abs=0.01)


# What is refused.

X, LABELS = normal(6, 3), [0, 0, 1, 1, 2, 2]
OF_X = {
    'spread': lambda x: feature_diagnostics.spread(x, np.arange(len(x)) % 2),
    'class_separation': lambda x: feature_diagnostics.class_separation(
        x, np.arange(len(x)) % 2
    ),
    'sparsity': feature_diagnostics.sparsity,
    'spectrum': feature_diagnostics.spectrum,
    'linear_cka': lambda x: feature_diagnostics.linear_cka(x, x),
}


@pytest.mark.parametrize('function', OF_X)
@pytest.mark.parametrize(
    'x, message',
    [
        (X[0], r'features \[n, d\]; got shape \(3,\)'),
        (X[None], 'got shape'),
        (X[:, :0], 'got shape'),
        (X[:1], 'at least 2 images; got 1'),
        (X > 0, 'real numbers; got bool'),
        (X + 1j, 'real numbers; got complex'),
        (np.where(np.eye(6, 3) == 1, np.nan, X), 'those of image 0 are not'),
        (np.where(np.arange(6)[:, None] == 4, np.inf, X), 'those of image 4 are not'),
    ],
)
def test_features_that_are_none_are_refused(function, x, message):
    with pytest.raises(ValueError, match=message):
        OF_X[function](x)


@pytest.mark.parametrize('function', ['spread', 'spectrum', 'linear_cka'])
def test_features_that_do_not_vary_are_refused(function):
    noise = 1e-7 * normal(6, 3)  # What float32 leaves of a constant.
    for x in (np.full((6, 3), 0.1), np.zeros((6, 3)), np.float32(noise + 0.1)):
        with pytest.raises(ValueError, match='the same features'):
            OF_X[function](x)
    assert OF_X[function](noise + 0.1) is not None  # In float64 it is no noise.
    with pytest.raises(ValueError, match='not finite'):
        OF_X[function](1e200 * X)


@pytest.mark.parametrize(
    'function', [feature_diagnostics.spread, feature_diagnostics.class_separation]
)
@pytest.mark.parametrize(
    'labels, message',
    [
        (LABELS[:5], r'each of 6 images; got shape \(5,\)'),
        (np.eye(6), 'got shape'),
        (np.array(LABELS, float), 'whole numbers; got float64'),
        ([3] * 6, 'at least 2 classes'),
    ],
)
def test_labels_that_are_none_are_refused(function, labels, message):
    with pytest.raises(ValueError, match=message):
        function(X, labels)


def test_directions_that_are_none_are_refused():
    x = X.copy()
    x[2] = 0
    with pytest.raises(ValueError, match='1 or more images have features that are all'):
        feature_diagnostics.class_separation(x, LABELS)
    with pytest.raises(ValueError, match='the same direction'):
        feature_diagnostics.class_separation(np.arange(1, 7)[:, None] * X[0], LABELS)


@pytest.mark.parametrize(
    'function',
    [
        feature_diagnostics.participation_ratio,
        feature_diagnostics.effective_rank,
        feature_diagnostics.components,
    ],
)
@pytest.mark.parametrize(
    'values, message',
    [
        ([], 'got shape'),
        (np.eye(2), 'got shape'),
        ([1, -1], '0 or more; got -1'),
        ([1, np.nan], '0 or more; got nan'),
        ([0, 0], 'no variance'),
    ],
)
def test_spectra_that_are_none_are_refused(function, values, message):
    with pytest.raises(ValueError, match=message):
        function(values)


def test_other_arguments_that_cannot_be_right_are_refused():
    with pytest.raises(ValueError, match='0 or more; got -1'):
        feature_diagnostics.sparsity(X, threshold=-1)
    for share in (0, 1.1, math.nan):
        with pytest.raises(ValueError, match='at most 1'):
            feature_diagnostics.components([1.0], share)
    with pytest.raises(ValueError, match=r'got \[5, 6\] images'):
        feature_diagnostics.linear_cka(X, X[:5])
    with pytest.raises(ValueError, match='of 2 networks; got 1'):
        feature_diagnostics.cka_matrix([X])
    with pytest.raises(ValueError, match='Network 1: .* the same features'):
        feature_diagnostics.cka_matrix([X, 0 * X])
