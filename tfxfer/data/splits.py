"""Which image is in which split: stratified, nested, the same on every machine.

Our own instead of scikit-learn's: they depend on no library's random numbers, and stay
when other images come or go.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

HELD_OUT = 0.2  # Of train for validation; the paper does not say how much.


def order(
    labels: np.ndarray, seed: object, keys: Iterable[object] | None = None
) -> dict[int, np.ndarray]:
    """The images of each class in a random order: {class: i64 indices}.

    The order is by a hash of (seed, key), so that it depends on no library's random
    numbers, and taking the first n of each class gives nested subsets.

    labels [n] ints, or [n, k] (then an image's class is the first that is present);
    keys: a name for each image that stays when others come or go; its index otherwise.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2:
        labels = np.argmax(labels == 1, axis=1)
    keys = range(len(labels)) if keys is None else keys
    ranks = [hashlib.sha256(f'{seed}/{key}'.encode()).digest() for key in keys]
    result: dict[int, list[int]] = {int(c): [] for c in np.unique(labels)}
    for i in sorted(range(len(labels)), key=ranks.__getitem__):
        result[int(labels[i])].append(i)
    return {c: np.array(v, np.int64) for c, v in result.items()}


def hold_out(
    labels: np.ndarray,
    share: float = HELD_OUT,
    seed: object = 0,
    keys: Iterable[object] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Splits a set in two, stratified: (kept, held), sorted i64 indices.

    Of n images floor(share x n) are held: of a class of m the floor or the ceiling of
    share x m (the largest remainders get the ceiling), but at least one where m >= 2,
    and never all.
    """
    classes = list(order(labels, seed, keys).values())
    quotas = np.array([share * len(indices) for indices in classes])
    most = np.array([len(indices) - 1 for indices in classes])
    counts = np.minimum(np.maximum(np.floor(quotas), 1), most).astype(int)
    missing = int(share * sum(map(len, classes))) - counts.sum()
    remainders = np.where(counts < most, quotas - counts, -1)
    for c in np.argsort(-remainders, kind='stable')[: max(0, missing)]:
        counts[c] += remainders[c] > 0
    pairs = list(zip(classes, counts, strict=True))
    return (
        _sorted([indices[count:] for indices, count in pairs]),
        _sorted([indices[:count] for indices, count in pairs]),
    )


def few(
    labels: np.ndarray,
    splits: Mapping[str, np.ndarray],
    per_class: int,
    seed: object = 0,
    keys: Sequence[object] | None = None,
) -> dict[str, np.ndarray]:
    """Cuts train and valid to `per_class` images per class in both together.

    One fifth of them (at least one) is for validation, so that the final fit, on train
    + valid, sees exactly `per_class`. Where train or valid holds fewer of a class than
    its share, as official splits may, the other gives the rest. Smaller sets are parts
    of larger ones. A class that has fewer keeps what it has.

    splits: {'train', 'valid', ...: i64 indices into labels}; others pass unchanged.

    Raises:
        ValueError: per_class < 2, which leaves nothing to train on or to choose by.
    """
    if per_class < 2:
        raise ValueError(
            f'per_class must be at least 2 (one to train on, one to choose '
            f'hyperparameters by); got {per_class}.'
        )
    share = max(1, round(HELD_OUT * per_class))
    train, valid = (
        _ordered(labels, splits[name], seed, keys) for name in ('train', 'valid')
    )
    none = np.empty(0, np.int64)
    parts: dict[str, list[np.ndarray]] = {'train': [], 'valid': []}
    for c in sorted({*train, *valid}):
        to_train, to_choose = train.get(c, none), valid.get(c, none)
        held = min(max(share, per_class - len(to_train)), len(to_choose))
        parts['train'].append(to_train[: per_class - held])
        parts['valid'].append(to_choose[:held])
    return {**splits, **{name: _sorted(part) for name, part in parts.items()}}


def part(
    labels: np.ndarray,
    splits: Mapping[str, np.ndarray],
    share: float,
    keys: Sequence[object] | None = None,
) -> dict[str, np.ndarray]:
    """Cuts every split to a share of its images, stratified, at least one per class.

    Of a class of m images the floor or the ceiling of share x m is taken, so that
    smaller shares are parts of larger ones.

    splits: {name: i64 indices into labels}.
    """
    return {
        name: _sorted(
            [
                images[: max(1, round(share * len(images)))]
                for images in _ordered(labels, indices, 0, keys).values()
            ]
        )
        for name, indices in splits.items()
    }


def _ordered(
    labels: np.ndarray,
    indices: np.ndarray,
    seed: object,
    keys: Sequence[object] | None,
) -> dict[int, np.ndarray]:
    """The images of a split in the order of `order`: {class: indices into labels}."""
    indices = np.asarray(indices)
    names = indices if keys is None else [keys[i] for i in indices]
    ordered = order(np.asarray(labels)[indices], seed, names)
    return {c: indices[places] for c, places in ordered.items()}


def _sorted(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
