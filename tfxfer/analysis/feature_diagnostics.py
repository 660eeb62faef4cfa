"""What the features of a network are like: class spread, sparsity, rank, linear CKA.

Arrays in, numbers out. Features x [n, d] have one row per image and may be a memory
map, of any floating-point or integer type: rows are taken _ROWS at a time and summed in
float64, so that beside x itself no function needs more than d x d numbers. Every
function refuses (ValueError) what it cannot answer.
"""

import itertools
import math
import typing
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg, sparse

VARIANCE = 0.95  # Share that `components` asks of the leading ones.
_ROWS = 2048  # At once; sums of so many products are exact enough in float32.


# Classes.


class Spread(typing.NamedTuple):
    """Variance of features: mean squared distance, in the features' unit squared.

    Attributes:
        within: of images from the mean of their class: trace(S_w) / n.
        between: of the class means from the mean of all images, each class weighted
            by its images: trace(S_b) / n.
    """

    within: float
    between: float

    @property
    def total(self) -> float:
        """Of images from the mean of all; within + between, which is an identity."""
        return self.within + self.between

    @property
    def share(self) -> float:
        """Of the variance, what is between classes, 0-1: the correlation ratio."""
        return self.between / self.total

    @property
    def ratio(self) -> float:
        """Within / between; inf where all classes have the same mean."""
        return self.within / self.between if self.between else math.inf


def spread(x: ArrayLike, labels: ArrayLike) -> Spread:
    """Within-class and between-class variance: a Spread.

    Every image counts alike, so that a class counts by its size. It depends on the
    scale of the features; share and ratio do not.

    Args:
        x: features [n, d].
        labels: [n] whole numbers, which need not be 0 to k - 1.

    Raises:
        ValueError: other shapes; a value that is not finite; fewer than 2 classes; all
            images have the same features.
    """
    x = _features(x)
    classes, counts = _classes(x, labels)
    mean, _ = _moments(x)
    means = _class_sums(x, classes, counts, mean) / counts[:, None]
    within = sum(
        float(np.sum((rows - mean - means[classes[part]]) ** 2))
        for part, rows in _chunks(x)
    )
    between = float(counts @ np.sum(means**2, axis=1))
    return Spread(within / len(x), between / len(x))


def class_separation(x: ArrayLike, labels: ArrayLike) -> float:
    """Share of the cosine distance of images that classes account for: R^2.

    1 - (mean cosine distance of two images of a class, averaged over classes) / (mean
    distance of two images of any two classes, averaged over pairs of classes), as in
    Kornblith, Chen, Lee and Norouzi 2021, "Why Do Better Loss Functions Lead to Less
    Transferable Features?". Every class counts alike, whatever its size; the
    pair of an image with itself and of a class with itself are among the pairs. 1: the
    images of a class have one direction; 0: classes share one mean direction.

    The mean over pairs of a cosine is the product of two means of unit vectors, so that
    this takes O(n d).

    Args:
        x: features [n, d].
        labels: [n] whole numbers, which need not be 0 to k - 1.

    Raises:
        ValueError: other shapes; a value that is not finite; fewer than 2 classes; an
            image whose features are all 0, which has no direction; all images have the
            same one.
    """
    x = _features(x)
    classes, counts = _classes(x, labels)
    means = _class_sums(x, classes, counts, None) / counts[:, None]
    within = 1 - np.mean(np.sum(means**2, axis=1))
    overall = 1 - np.sum(means.mean(axis=0) ** 2)
    if overall <= 1e-12:  # Unit vectors: what rounding leaves of 0.
        raise ValueError('All features have the same direction: R^2 is undefined.')
    return float(1 - within / overall)


def _class_sums(x, classes, counts, mean):
    """Sums over each class [k, d] of x - mean; mean None: of x / |x|."""
    sums = np.zeros((len(counts), x.shape[1]))
    for part, rows in _chunks(x):
        rows = _directions(rows) if mean is None else rows - mean
        count = len(rows)
        members = sparse.csr_array(
            (np.ones(count), (classes[part], np.arange(count))),
            shape=(len(counts), count),
        )
        sums += members @ rows
    return sums


def _directions(rows):
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        raise ValueError(
            f'{np.count_nonzero(largest == 0)} or more images have features that are '
            'all 0, which have no direction: cosine distance is undefined.'
        )
    rows = rows / largest  # Else squares could overflow.
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# Sparsity.


class Sparsity(typing.NamedTuple):
    """How much of the features is 0; shares, 0-1.

    Attributes:
        zero: of all values, those that are 0.
        dead: of the features, those that are 0 for all images.
        active: of an image's features those that are not 0, mean over images: 1 - zero,
            as all images have as many.
        least: the same of the image that has fewest.
    """

    zero: float
    dead: float
    active: float
    least: float


def sparsity(x: ArrayLike, threshold: float = 0.0) -> Sparsity:
    """Shares of values that are 0, of dead and of active features: a Sparsity.

    A mean over places (global pooling) is 0 only where all places are: then a threshold
    above 0 says more.

    Args:
        x: features [n, d].
        threshold: a value counts as 0 where |value| <= threshold, in x's unit.

    Raises:
        ValueError: another shape; a value that is not finite; a threshold below 0.
    """
    x = _features(x)
    if not threshold >= 0:
        raise ValueError(f'The threshold must be 0 or more; got {threshold}.')
    alive, shares = np.zeros(x.shape[1], bool), []
    for _, rows in _chunks(x):
        nonzero = np.abs(rows) > threshold
        alive |= nonzero.any(axis=0)
        shares.append(nonzero.mean(axis=1))
    active = np.concatenate(shares)
    mean = float(active.mean())
    return Sparsity(1 - mean, 1 - float(alive.mean()), mean, float(active.min()))


# Rank.


def spectrum(x: ArrayLike) -> np.ndarray:
    """Eigenvalues of the covariance (divided by n) of features x [n, d], largest first.

    Returns:
        f64 [d], none below 0, in x's unit squared; their sum is Spread.total.

    Raises:
        ValueError: another shape; a value that is not finite; all images have the same
            features.
    """
    x = _features(x)
    centring = _centring(x)
    values = linalg.eigvalsh(_product(x, x, centring, centring), overwrite_a=True)
    # What rounding puts below 0 is 0.
    return np.maximum(values[::-1], 0) * centring.scale**2 / len(x)


def participation_ratio(values: ArrayLike) -> float:
    """(sum of eigenvalues)^2 / sum of their squares: how many carry the variance.

    1 to d; d where all are alike.

    Args:
        values: eigenvalues of a covariance [d], as of `spectrum`.

    Raises:
        ValueError: none, one below 0 or not finite, or all 0.
    """
    p = _shares(values)
    return float(1 / np.sum(p**2))


def effective_rank(values: ArrayLike) -> float:
    """exp(entropy of the shares of the eigenvalues in their sum), 1 to d.

    Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality",
    of the covariance matrix, whose singular values are its eigenvalues; not of the
    centred features, whose singular values are their square roots.

    Args, Raises: as participation_ratio.
    """
    p = _shares(values)
    p = p[p > 0]
    return float(np.exp(-np.sum(p * np.log(p))))


def components(values: ArrayLike, share: float = VARIANCE) -> int:
    """The fewest principal components that hold `share` of the variance.

    Args:
        values: eigenvalues of a covariance [d], as of `spectrum`.
        share: above 0, at most 1.

    Raises:
        ValueError: as participation_ratio; or another share.
    """
    if not 0 < share <= 1:
        raise ValueError(f'A share must be above 0 and at most 1; got {share}.')
    held = np.cumsum(np.sort(_shares(values))[::-1])
    # Equal but for rounding is enough.
    return int(np.argmax(held >= share * (1 - 1e-12))) + 1


def _shares(values):
    values = np.asarray(values, float)
    if values.ndim != 1 or not values.size:
        raise ValueError(f'Takes eigenvalues [d]; got shape {values.shape}.')
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise ValueError(f'Eigenvalues must be 0 or more; got {values[bad][0]}.')
    if not values.any():
        raise ValueError('All eigenvalues are 0: there is no variance to share.')
    values = values / values.max()  # Else squares could overflow.
    return values / values.sum()


# Similarity.


def linear_cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear centred kernel alignment of two networks' features of the same images.

    |Y'X|^2 / (|X'X| |Y'Y|), Frobenius norms, X and Y centred: Kornblith, Norouzi, Lee
    and Hinton 2019, "Similarity of Neural Network Representations Revisited", section
    3. 0-1; 1 where Y is X but for a rotation, a scale and a shift. It is the same as
    HSIC(XX', YY') / sqrt(HSIC(XX', XX') HSIC(YY', YY')), without n x n numbers.

    Of few images it is high whatever the networks: about d / (n + d) of two independent
    ones with d uncorrelated features each. Take more images than features.

    Products are in float32 (float64 where x or y is) of values that were centred in
    float64 and scaled; sums of them in float64. The result is right to about 1e-6.

    Args:
        x: features [n, d1]; y: [n, d2], of the same images in the same order.

    Raises:
        ValueError: other shapes; a value that is not finite; features that are the same
            for all images.
    """
    return float(cka_matrix([x, y])[0, 1])


def cka_matrix(networks: Iterable[ArrayLike]) -> np.ndarray:
    """linear_cka of every two networks: f64 [k, k], symmetric, its diagonal 1.

    Args:
        networks: [x [n, d_i], ...], features of the same n images, at least 2. Memory
            maps are read k + 2 times each.

    Raises:
        ValueError: fewer than 2; else as linear_cka, naming the number of the network.
    """
    networks = list(networks)
    if len(networks) < 2:
        raise ValueError(f'Takes the features of 2 networks; got {len(networks)}.')
    features, centrings = [], []
    for i, x in enumerate(networks):
        try:
            features.append(_features(x))
            centrings.append(_centring(features[-1]))
        except ValueError as error:
            raise ValueError(f'Network {i}: {error}') from error
    counts = {len(x) for x in features}
    if len(counts) > 1:
        raise ValueError(
            f'Networks must have features of the same images; got {sorted(counts)} '
            'images.'
        )
    norms = [
        np.linalg.norm(_product(x, x, centring, centring))
        for x, centring in zip(features, centrings, strict=True)
    ]
    result = np.eye(len(features))
    for i, j in itertools.combinations(range(len(features)), 2):
        product = _product(features[i], features[j], centrings[i], centrings[j])
        # Above 1 by rounding alone.
        value = min(np.sum(product**2) / (norms[i] * norms[j]), 1.0)
        result[i, j] = result[j, i] = value
    return result


class _Centring(typing.NamedTuple):
    """mean [d], and the root mean square over images of the distance from it."""

    mean: np.ndarray
    scale: float


def _centring(x):
    mean, variance = _moments(x)
    return _Centring(mean, float(np.sqrt(variance.sum())))


def _product(x, y, of_x, of_y):
    """X'Y [d1, d2] f64 of centred rows, each divided by its _Centring.scale."""
    exact = np.float64 in (x.dtype, y.dtype)
    kind = np.float64 if exact else np.float32  # Twice as fast.
    total = np.zeros((x.shape[1], y.shape[1]))
    for (_, a), (_, b) in zip(_chunks(x), _chunks(y), strict=True):
        a = ((a - of_x.mean) / of_x.scale).astype(kind)
        # The same array, whose product BLAS takes half as long for.
        b = a if x is y else ((b - of_y.mean) / of_y.scale).astype(kind)
        total += a.T @ b
    return total


# Rows.


def _moments(x):
    """(mean [d], variance [d]) f64, in one pass: Chan, Golub and LeVeque 1983.

    Of x less its first row, so that the variance of equal rows is exactly 0.
    """
    first = np.asarray(x[0], np.float64)
    count, mean, squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for _, rows in _chunks(x):
        rows = rows - first
        chunk_mean, more = rows.mean(axis=0), len(rows)
        shift = chunk_mean - mean
        with np.errstate(over='ignore', invalid='ignore'):  # Refused below.
            squares += np.sum((rows - chunk_mean) ** 2, axis=0)
            squares += shift**2 * (count * more / (count + more))
        count += more
        mean += shift * (more / count)
    if not np.isfinite(squares).all():
        raise ValueError('Features are too large: their variance is not finite.')
    mean, variance = first + mean, squares / count
    # No more than rounding in x's own type leaves of a network that gives one answer.
    noise = 16 * float(np.finfo(x.dtype).eps) if x.dtype.kind == 'f' else 0.0
    if variance.sum() <= noise**2 * np.sum(mean**2):
        raise ValueError(
            'All images have the same features but for rounding: there is no variance.'
        )
    return mean, variance


def _features(x: ArrayLike) -> np.ndarray:
    """x as an array, checked but for its values."""
    x = x if isinstance(x, np.ndarray) else np.asarray(x)
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f'Takes features [n, d]; got shape {x.shape}.')
    if x.dtype.kind not in 'fiu':
        raise ValueError(f'Features must be real numbers; got {x.dtype}.')
    if len(x) < 2:
        raise ValueError(f'Needs at least 2 images; got {len(x)}.')
    return x


def _classes(x, labels):
    """(i64 [n] from 0 to k - 1, images of each of the k classes)."""
    labels = np.asarray(labels)
    if labels.shape != x.shape[:1]:
        raise ValueError(
            f'Takes a label for each of {len(x)} images; got shape {labels.shape}.'
        )
    if labels.dtype.kind not in 'iu':
        raise ValueError(f'Labels must be whole numbers; got {labels.dtype}.')
    values, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(values) < 2:
        raise ValueError('Needs at least 2 classes; all images are of one.')
    return classes, counts


def _chunks(x):
    """(slice, its rows f64), of all rows; refuses values that are not finite."""
    for start in range(0, len(x), _ROWS):
        part = slice(start, start + _ROWS)
        rows = np.asarray(x[part], np.float64)
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise ValueError(
                f'Features must be finite; those of image {start + bad.argmax()} are '
                'not.'
            )
        yield part, rows
