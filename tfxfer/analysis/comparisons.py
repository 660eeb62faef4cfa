"""Cells laid beside one another: points of the figures, paired tests, wins."""

import functools
import itertools
import typing
import zipfile
import zlib

import numpy as np

from tfxfer import errors, metrics, results
from tfxfer.analysis import cells, stats

PAIRS = (('finetune', 'logistic'), ('finetune', 'scratch'), ('logistic', 'scratch'))


class Condition(typing.NamedTuple):
    """What must be the same for networks to be laid beside one another."""

    source: str
    per_class: int | None
    image_size: int | None


class Point(typing.NamedTuple):
    """A network in a setting. x, y, low, high are log odds; scores are 0-1.

    `bars` says what low and high are: 'binomial' (95 %, of one dataset's images),
    'within' (Morey's standard error over datasets) or '' (none: both equal y).
    """

    setting: str
    network: str
    source_score: float
    score: float
    x: float
    y: float
    low: float
    high: float
    bars: str
    datasets: tuple[str, ...]


def conditions(all_cells):
    """Conditions in which networks were measured: {Condition: [Cell, ...]}.

    Those of most networks first. Cells that diverged or whose source accuracy is not
    known are left out.
    """
    usable = [
        cell
        for cell in all_cells
        if cell.score is not None and cell.source and cell.source['score'] is not None
    ]
    found = cells.grouped(
        usable,
        lambda cell: Condition(cell.source['dataset'], cell.per_class, cell.image_size),
    )

    def order(item):
        networks = {cell.network for cell in item[1]}
        return -len(networks), item[0].source, cells.sortable(item[0][1:])

    return dict(sorted(found.items(), key=order))


def points(group):
    """Points of the Cells of one Condition, and what was left out.

    Scores are averaged, as log odds, over the datasets that all networks of a setting
    have; a mean over different datasets would compare datasets, not networks.

    Returns:
        ([Point, ...] by setting and network, [sentence, ...]).
    """
    found, notes = [], []
    for setting in cells.SETTINGS:
        own, note = one_recipe([cell for cell in group if cell.setting == setting])
        notes += note
        if not own:
            continue
        networks = sorted({cell.network for cell in own})
        by_key = {(cell.network, cell.dataset): cell for cell in own}
        seen = sorted({cell.dataset for cell in own})
        common = [d for d in seen if all((n, d) in by_key for n in networks)]
        if len(common) < len(seen):
            rest = ', '.join(d for d in seen if d not in common)
            notes.append(
                f'{setting}: only the {len(common)} datasets that all '
                f'{len(networks)} networks have; left out: {rest}.'
            )
        if common:
            table = [[by_key[n, d] for d in common] for n in networks]
            found += _points(setting, networks, common, table)
    return found, notes


def dataset_points(group):
    """Points of each dataset alone, of the Cells of one Condition.

    Of each setting's one recipe, as `points` takes it over all datasets.

    Returns:
        [Point, ...] by dataset, setting and network.
    """
    found = []
    for name in sorted({cell.dataset for cell in group}):
        for setting in cells.SETTINGS:
            own, _ = one_recipe([cell for cell in group if cell.setting == setting])
            table = {c.network: [c] for c in own if c.dataset == name}
            if table:
                networks = sorted(table)
                rows = [table[network] for network in networks]
                found += _points(setting, networks, [name], rows)
    return found


def one_recipe(own):
    """The Cells of one recipe of a setting, and a note about the others.

    That of the longest training, among the recipes that have at least half as many
    Cells as the commonest: a series of lengths is drawn at its end, and one network
    that was trained longer than all others does not stand for them.
    """
    groups = cells.grouped(own, lambda cell: cell.recipe)
    if len(groups) < 2:
        return own, []
    least = max(map(len, groups.values())) / 2
    recipe = max(
        sorted(name for name, group in groups.items() if len(group) >= least),
        key=lambda name: (_longest(groups[name]), len(groups[name])),
    )
    others = ', '.join(name for name in sorted(groups) if name != recipe)
    note = f'{own[0].setting}: drawn with {recipe}; in the tables also {others}.'
    return groups[recipe], [note]


def _longest(group):
    return max(
        getattr(record.run.hparams, 'steps', 0)
        for cell in group
        for record in cell.records
    )


def _points(setting, networks, names, table):
    """table [networks][datasets] of Cells."""
    x = np.array([[cell.log_odds for cell in row] for row in table])
    y = x.mean(axis=1)
    low, high, bars = y, y, ''
    if len(names) == 1:
        n = table[0][0].test_images
        if table[0][0].metric == 'top1':
            correct = np.array([row[0].score * n for row in table])
            (low, high), bars = stats.wilson_log_odds(correct, n), 'binomial'
    elif len(networks) > 1:
        error, bars = stats.within_errors(x), 'within'
        low, high = y - error, y + error
    for i, network in enumerate(networks):
        source = table[i][0].source
        # One dataset's score as it is; of several the score whose log odds are y.
        score = table[i][0].score if len(names) == 1 else stats.proportion(y[i])
        yield Point(
            setting=setting,
            network=network,
            source_score=source['score'],
            score=float(score),
            x=float(stats.log_odds(source['score'], source['images'])),
            y=float(y[i]),
            low=float(low[i]),
            high=float(high[i]),
            bars=bars,
            datasets=tuple(names),
        )


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


def compare(all_cells, workdir):
    """Comparisons of each task's best Cell with all others, the next best first.

    Of Cells with several seeds the lowest common one is compared, else the lowest of
    each. Average precision has no per-image value and is not tested.

    Returns:
        ([Comparison, ...], [sentence about what could not be compared, ...]).

    Raises:
        errors.InputError: predictions that are not those the record was scored on.
    """
    found, notes = [], []
    by_id = {record.run.id: record for cell in all_cells for record in cell.records}
    read = functools.cache(lambda name: predictions(by_id[name], workdir))
    for group in cells.tasks(all_cells).values():
        first = cells.best(group)
        if first is None or first.metric == 'voc_map':
            continue
        rows = []
        others = [cell for cell in group if cell.score is not None]
        for other in sorted(others, key=lambda cell: -cell.score):
            if other is first:
                continue
            try:
                rows.append(_compared(first, other, read))
            except FileNotFoundError:
                notes.append(
                    f'{first.dataset}: no paired test of {first.name} against '
                    f'{other.name}: predictions.npz is gone.'
                )
            except _Different:
                notes.append(
                    f'{first.dataset}: no paired test of {first.name} against '
                    f'{other.name}: they were scored on different images.'
                )
        adjusted = stats.holm([row.p for row in rows]) if rows else ()
        found += [
            row._replace(p_holm=float(p)) for row, p in zip(rows, adjusted, strict=True)
        ]
    return found, notes


class _Different(Exception):
    """Two Cells were scored on different images."""


def _compared(a, b, read):
    seeds = [{r.run.seed: r for r in cell.records} for cell in (a, b)]
    common = sorted(set(seeds[0]) & set(seeds[1]))
    pair = [own[common[0] if common else min(own)] for own in seeds]
    (index_a, label_a, said_a), (index_b, label_b, said_b) = (
        read(record.run.id) for record in pair
    )
    if not np.array_equal(index_a, index_b) or not np.array_equal(label_a, label_b):
        raise _Different
    right_a, right_b = said_a == label_a, said_b == label_b
    only_a, only_b, p = stats.mcnemar(right_a, right_b)
    test = 'exact McNemar'
    if a.metric == 'mean_per_class':
        # Means over classes differ by sums of these, so this tests the metric itself.
        weight = 1 / np.bincount(label_a)[label_a]
        p, test = stats.permutation(right_a * weight, right_b * weight), 'permutation'
    return Comparison(
        a=a,
        b=b,
        seed_a=pair[0].run.seed,
        seed_b=pair[1].run.seed,
        difference=a.score - b.score,
        only_a=only_a,
        only_b=only_b,
        test=test,
        p=p,
        p_holm=p,
    )


def predictions(record, workdir):
    """(index, label, predicted class) of a final Run's test images, by index.

    The scores themselves, thousands of times as large, are not read. For metrics of one
    label an image.

    Raises:
        FileNotFoundError: they are gone.
        errors.InputError: they are not those the record was scored on.
    """
    folder = results.folder(workdir, record.run)
    try:
        seen = results.read_predictions(folder, ('index', 'label', 'predicted'))
        index, label, predicted = seen['index'], seen['label'], seen['predicted']
        score = metrics.of_classes(record.metric, label, predicted, len(record.classes))
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise errors.InputError(
            f'{folder}/predictions.npz cannot be scored ({error}). Remove the folder '
            'and run it again.'
        ) from error
    if abs(score - record.score) > 1e-6:
        raise errors.InputError(
            f'{folder}: the record says {record.score:.6f}, its predictions give '
            f'{score:.6f}. Remove the folder and run it again.'
        )
    order = np.argsort(index, kind='stable')
    return index[order], label[order], predicted[order]


def wins(all_cells):
    """How often one setting beats another on the same (network, dataset).

    Returns:
        ([(setting a, setting b, wins of a, wins of b, ties, sign test's p), ...],
        [sentence about recipes left out, ...]).
    """
    scored = [cell for cell in all_cells if cell.score is not None]
    groups = cells.grouped(
        scored, lambda cell: (cell.setting, cell.per_class, cell.image_size)
    )
    scores, notes = {name: {} for name in cells.SETTINGS}, []
    for (setting, *condition), group in groups.items():
        own, note = one_recipe(group)
        notes += note
        for cell in own:
            scores[setting][cell.network, cell.dataset, *condition] = cell.score
    rows = []
    for a, b in PAIRS:
        both = sorted(set(scores[a]) & set(scores[b]), key=str)
        if both:
            signs = np.sign([scores[a][key] - scores[b][key] for key in both])
            won, lost = int(np.sum(signs > 0)), int(np.sum(signs < 0))
            ties = len(both) - won - lost
            rows.append((a, b, won, lost, ties, stats.sign_test(won, lost)))
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


def network_pairs(all_cells):
    """Paired t-tests over datasets, log odds, of all networks that have all of them.

    The datasets are those that occur in the setting; at least 2. A network that lacks
    one is left out and named: another set of datasets is another question.

    Returns:
        ([NetworkPair, ...], [sentence about what could not be tested, ...]).
    """
    found, notes = [], []
    for (setting, *condition), matrix in matrices(all_cells).items():
        names, full = matrix.datasets, matrix.complete
        if len(names) < 2 or len(matrix.networks) < 2:
            continue
        if len(full) < len(matrix.networks):
            rest = ', '.join(n for n in matrix.networks if n not in full)
            notes.append(
                f'{setting}: no paired t-test of {rest}, which lack one of the '
                f'{len(names)} datasets.'
            )
        rows = []
        for a, b in itertools.combinations(full, 2):
            x, y = ([matrix.cells[n, d].log_odds for d in names] for n in (a, b))
            try:
                test = stats.paired_t(x, y)
            except ValueError:
                notes.append(
                    f'{setting}: {a} and {b} differ by the same log odds on all '
                    'datasets; there is no t-test of that.'
                )
                continue
            rows.append(
                NetworkPair(setting, *condition, a, b, tuple(names), test, test.p)
            )
        adjusted = stats.holm([row.test.p for row in rows]) if rows else ()
        found += [
            row._replace(p_holm=float(p)) for row, p in zip(rows, adjusted, strict=True)
        ]
    return found, notes


class Matrix(typing.NamedTuple):
    """Scores of one setting: networks x datasets.

    cells: {(network, dataset): Cell}, those that were scored. complete: networks that
    have all datasets.
    """

    networks: tuple[str, ...]
    datasets: tuple[str, ...]
    cells: dict
    complete: tuple[str, ...]


def matrices(all_cells):
    """{(setting, per_class, image_size): Matrix} of each setting's one recipe."""
    groups = cells.grouped(
        all_cells, lambda cell: (cell.setting, cell.per_class, cell.image_size)
    )
    found = {}
    for key, group in sorted(
        groups.items(),
        key=lambda item: (cells.SETTINGS.index(item[0][0]), _sizes(item[0])),
    ):
        own, _ = one_recipe(group)
        networks = sorted({cell.network for cell in own})
        names = sorted({cell.dataset for cell in own})
        scored = {(c.network, c.dataset): c for c in own if c.score is not None}
        found[key] = Matrix(
            tuple(networks),
            tuple(names),
            scored,
            tuple(n for n in networks if all((n, d) in scored for d in names)),
        )
    return found


def _sizes(key):
    return cells.sortable(key[1:])
