"""Settings and networks compared over datasets; predictions, read and checked."""

import itertools
import os
import typing
from collections.abc import Iterable

import numpy as np

from tfxfer import errors, metrics, results
from tfxfer.analysis import cells, points, stats

PAIRS = (('finetune', 'logistic'), ('finetune', 'scratch'), ('logistic', 'scratch'))


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

    The pairs of one dataset, or of one network, are not independent of each other, so
    that their count has no p. Datasets are: `test` is of their means.

    Attributes:
        datasets: on which they were compared.
        test: paired t-test over datasets of the mean log odds of the networks, a - b;
            None of one dataset, or where all differ by the same.
    """

    a: str
    b: str
    wins_a: int
    wins_b: int
    ties: int
    datasets: int
    test: stats.Difference | None


def wins(all_cells: Iterable[points.Scored]) -> tuple[list[Wins], list[str]]:
    """Wins of PAIRS of settings, and sentences about recipes that are left out."""
    pairs, notes = points.setting_pairs(all_cells, PAIRS)
    rows = []
    for (a, b), both in pairs.items():
        if both:
            scores = np.array([[cell.score for cell in pair] for pair in both])
            signs = np.sign(scores[:, 0] - scores[:, 1])
            won, lost = int(np.sum(signs > 0)), int(np.sum(signs < 0))
            by_dataset = cells.grouped(both, lambda pair: pair[0].dataset)
            test = _over_datasets(by_dataset.values())
            ties = len(both) - won - lost
            rows.append(Wins(a, b, won, lost, ties, len(by_dataset), test))
    return rows, notes


def _over_datasets(groups):
    """stats.Difference of (Cell, Cell) by dataset, or None."""
    odds = [
        np.mean([[one.log_odds, other.log_odds] for one, other in group], axis=0)
        for group in groups
    ]
    try:
        return stats.paired_t(*np.transpose(odds))
    except ValueError:  # One dataset, or the same difference on all.
        return None


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
        pairs += _with_holm(rows)
    return pairs, notes


def _with_holm(rows):
    """NetworkPairs with p_holm."""
    adjusted = stats.holm([row.test.p for row in rows]) if rows else ()
    return [
        row._replace(p_holm=float(value))
        for row, value in zip(rows, adjusted, strict=True)
    ]
