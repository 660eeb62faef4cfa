"""Cells laid beside one another: points of the figures, paired tests, wins."""

import typing
import zipfile
import zlib

import numpy as np

from tfxfer import cells, config, metrics, results, stats

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
        own, note = _one_recipe([cell for cell in group if cell.setting == setting])
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


def _one_recipe(own):
    """The Cells of the recipe with most of them, and a note about the others."""
    groups = cells.grouped(own, lambda cell: cell.recipe)
    if len(groups) < 2:
        return own, []
    recipe = max(sorted(groups), key=lambda name: len(groups[name]))
    others = ', '.join(name for name in sorted(groups) if name != recipe)
    note = f'{own[0].setting}: drawn with {recipe}; in the tables also {others}.'
    return groups[recipe], [note]


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
        config.InputError: predictions that are not those the record was scored on.
    """
    found, notes = [], []
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
                rows.append(_compared(first, other, workdir))
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


def _compared(a, b, workdir):
    seeds = [{r.run.seed: r for r in cell.records} for cell in (a, b)]
    common = sorted(set(seeds[0]) & set(seeds[1]))
    pair = [own[common[0] if common else min(own)] for own in seeds]
    (index_a, label_a, right_a), (index_b, label_b, right_b) = (
        _right(record, workdir) for record in pair
    )
    if not np.array_equal(index_a, index_b) or not np.array_equal(label_a, label_b):
        raise _Different
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


def _right(record, workdir):
    """(index, label, right or wrong) of a final Run's test images, by index."""
    folder = results.folder(workdir, record.run)
    try:
        seen = results.read_predictions(folder)
        index, label, logits = seen['index'], seen['label'], seen['logits']
        score = metrics.METRICS[record.metric](label, logits)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise config.InputError(
            f'{folder}/predictions.npz cannot be scored ({error}). Remove the folder '
            'and run it again.'
        ) from error
    if abs(score - record.score) > 1e-6:
        raise config.InputError(
            f'{folder}: the record says {record.score:.6f}, its predictions give '
            f'{score:.6f}. Remove the folder and run it again.'
        )
    order = np.argsort(index, kind='stable')
    return index[order], label[order], (logits.argmax(1) == label)[order]


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
        own, note = _one_recipe(group)
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
