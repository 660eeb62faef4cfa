"""Paired tests of cells, settings and networks on the same images or datasets."""

import functools
import itertools
import os
import typing
from collections.abc import Iterable, Sequence

import numpy as np

from tfxfer import errors, metrics, results
from tfxfer.analysis import cells, points, stats

PAIRS = (('finetune', 'logistic'), ('finetune', 'scratch'), ('logistic', 'scratch'))


# Paired tests of the best cell of each task against the others.


class Comparison(typing.NamedTuple):
    """Best Cell `a` against Cell `b` of the same task, on the same test images.

    difference: of the two scores, 0-1. only_a, only_b: images that only one of them has
    right. p_holm: p after Holm's correction over the comparisons of the task.
    """

    a: cells.Cell
    b: cells.Cell
    seed_a: int
    seed_b: int
    difference: float
    only_a: int
    only_b: int
    test: str
    p: float
    p_holm: float


def compare(
    all_cells: Sequence[cells.Cell], workdir: str | os.PathLike
) -> tuple[list[Comparison], list[str]]:
    """Comparisons of each task's best Cell with all others, the next best first.

    Of Cells with several seeds the lowest common one is compared, else the lowest of
    each. Average precision has no per-image value and is not tested.

    Returns:
        ([Comparison, ...], [sentence about what could not be compared, ...]).

    Raises:
        errors.InputError: predictions that are not those the record was scored on.
    """
    comparisons, notes = [], []
    by_id = {record.run.id: record for cell in all_cells for record in cell.records}
    read = functools.cache(lambda name: predictions(by_id[name], workdir))
    for group in cells.tasks(all_cells).values():
        best = cells.best(group)
        if best is not None and best.metric != 'voc_map':
            rows, lacking = _compared_with(best, group, read)
            comparisons += rows
            notes += lacking
    return comparisons, notes


def _compared_with(best, group, read):
    """As `compare`, of one task; read: predictions of a Run id."""
    rows, notes = [], []
    others = [cell for cell in group if cell is not best and cell.score is not None]
    for other in sorted(others, key=lambda cell: -cell.score):
        try:
            rows.append(_compared(best, other, read))
        except FileNotFoundError:
            reason = 'predictions.npz is missing'
        except _Different:
            reason = 'they were scored on different images'
        else:
            continue
        notes.append(
            f'{best.dataset}: no paired test of {best.name} against {other.name}: '
            f'{reason}.'
        )
    return _with_holm(rows, [row.p for row in rows]), notes


def _with_holm(rows, p):
    """The rows with the Holm-corrected of their p as p_holm."""
    adjusted = stats.holm(p) if rows else ()
    return [
        row._replace(p_holm=float(value))
        for row, value in zip(rows, adjusted, strict=True)
    ]


class _Different(Exception):
    """Two Cells were scored on different images."""


def _compared(a, b, read):
    record_a, record_b = _same_seed(a, b)
    seen_a, seen_b = read(record_a.run.id), read(record_b.run.id)
    if not np.array_equal(seen_a.image, seen_b.image):
        raise _Different
    if not np.array_equal(seen_a.label, seen_b.label):
        raise _Different
    label = seen_a.label
    right_a, right_b = seen_a.predicted == label, seen_b.predicted == label
    only_a, only_b, p = stats.mcnemar(right_a, right_b)
    test = 'exact McNemar'
    if a.metric == 'mean_per_class':
        # Means over classes differ by sums of these, so this tests the metric itself.
        weight = 1 / np.bincount(label)[label]
        p, test = stats.permutation(right_a * weight, right_b * weight), 'permutation'
    return Comparison(
        a=a,
        b=b,
        seed_a=record_a.run.seed,
        seed_b=record_b.run.seed,
        difference=a.score - b.score,
        only_a=only_a,
        only_b=only_b,
        test=test,
        p=p,
        p_holm=p,
    )


def _same_seed(a, b):
    """One Record of each, of their lowest common seed, else of the lowest of each."""
    by_seed = [{r.run.seed: r for r in cell.records} for cell in (a, b)]
    common = set(by_seed[0]) & set(by_seed[1])
    return [records[min(common or records)] for records in by_seed]


class Predictions(typing.NamedTuple):
    """Of a final Run's n test images: index in the dataset, rising, i64; i32 [n]."""

    image: np.ndarray
    label: np.ndarray
    predicted: np.ndarray


def predictions(record: results.Record, workdir: str | os.PathLike) -> Predictions:
    """Index, label and predicted class of a final Run's test images.

    The scores themselves, thousands of times as large, are not read. For metrics of one
    label per image.

    Raises:
        FileNotFoundError: they are gone.
        errors.InputError: they are damaged, or not those the record was scored on.
    """
    folder = results.folder(workdir, record.run)
    names = ('index', 'label', 'predicted')
    seen = results.read_predictions(folder, names, digest=record.predictions)
    try:
        index, label, predicted = seen['index'], seen['label'], seen['predicted']
        score = metrics.of_classes(record.metric, label, predicted, len(record.classes))
    except (KeyError, ValueError) as error:
        raise errors.InputError(
            f'{folder}/predictions.npz cannot be scored ({error}). Remove the folder '
            'and run it again.'
        ) from error
    if record.score is None or abs(score - record.score) > 1e-6:
        raise errors.InputError(
            f'{folder}: the record says {record.score or 0:.6f}, its predictions give '
            f'{score:.6f}. Remove the folder and run it again.'
        )
    order = np.argsort(index, kind='stable')
    return Predictions(index[order], label[order], predicted[order])


class Wins(typing.NamedTuple):
    """How often setting a beats setting b on the same (network, dataset).

    p: of the sign test, ties left out.
    """

    a: str
    b: str
    wins_a: int
    wins_b: int
    ties: int
    p: float


def wins(all_cells: Iterable[points.Scored]) -> tuple[list[Wins], list[str]]:
    """Wins of PAIRS of settings, and sentences about recipes that are left out."""
    pairs, notes = points.setting_pairs(all_cells, PAIRS)
    rows = []
    for (a, b), both in pairs.items():
        if both:
            scores = np.array([[cell.score for cell in pair] for pair in both])
            signs = np.sign(scores[:, 0] - scores[:, 1])
            won, lost = int(np.sum(signs > 0)), int(np.sum(signs < 0))
            ties = len(both) - won - lost
            rows.append(Wins(a, b, won, lost, ties, stats.sign_test(won, lost)))
    return rows, notes


class NetworkPair(typing.NamedTuple):
    """Networks a and b over the same datasets; `test` is stats.paired_t's Difference.

    mean: of the differences in log odds, a - b. p_holm: corrected for all pairs of the
    setting.
    """

    setting: str
    per_class: int | None
    image_size: int | None
    a: str
    b: str
    datasets: tuple[str, ...]
    test: stats.Difference
    p_holm: float


def network_pairs(
    all_cells: Iterable[cells.Cell],
) -> tuple[list[NetworkPair], list[str]]:
    """Paired t-tests over datasets, log odds, of all networks that have all of them.

    The datasets are those that occur in the setting; at least 2. A network that lacks
    one is left out and named: another set of datasets is another question.

    Returns:
        ([NetworkPair, ...], [sentence about what could not be tested, ...]).
    """
    pairs, notes = [], []
    for key, matrix in points.matrices(all_cells).items():
        datasets, complete = matrix.datasets, matrix.complete
        if len(datasets) < 2 or len(matrix.networks) < 2:
            continue
        if len(complete) < len(matrix.networks):
            rest = ', '.join(n for n in matrix.networks if n not in complete)
            notes.append(
                f'{key[0]}: no paired t-test for {rest}: not measured on all '
                f'{len(datasets)} datasets.'
            )
        rows = []
        for a, b in itertools.combinations(complete, 2):
            x, y = ([matrix.cells[n, d].log_odds for d in datasets] for n in (a, b))
            try:
                test = stats.paired_t(x, y)
            except ValueError:
                notes.append(
                    f'{key[0]}: {a} and {b} differ by the same log odds on all '
                    'datasets, so that t is undefined.'
                )
                continue
            rows.append(NetworkPair(*key, a, b, datasets, test, test.p))
        pairs += _with_holm(rows, [row.test.p for row in rows])
    return pairs, notes
