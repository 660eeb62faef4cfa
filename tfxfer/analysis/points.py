"""Cells as points of figures: conditions, means over datasets, one recipe each."""

import typing
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import special

from tfxfer.analysis import cells, published, stats

Scored = cells.Cell | published.Published
Cells = typing.TypeVar('Cells', cells.Cell, published.Published, Scored)


class Condition(typing.NamedTuple):
    """What must be the same for networks to be laid beside one another."""

    source: str
    per_class: int | None
    image_size: int | None


class Point(typing.NamedTuple):
    """A network in a setting. x, y, low, high are log odds; scores are 0-1.

    Attributes:
        x, source_score: of what the network was trained for.
        y, score: of the datasets; of several the mean log odds, and its proportion.
        bars: what low and high are: 'interval' (95 %, of one dataset: Cell.interval),
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


def conditions(all_cells: Iterable[Cells]) -> dict[Condition, list[Cells]]:
    """Conditions in which networks were measured, and the cells of each.

    Those of most networks first. Cells that diverged or whose source accuracy is not
    known are left out.
    """
    usable = [
        cell
        for cell in all_cells
        if cell.score is not None and cell.source and cell.source['score'] is not None
    ]
    groups = cells.grouped(usable, _condition)

    def order(item):
        networks = {cell.network for cell in item[1]}
        return -len(networks), item[0].source, cells.sortable(item[0][1:])

    return dict(sorted(groups.items(), key=order))


def _condition(cell):
    return Condition(cell.source['dataset'], cell.per_class, cell.image_size)


def mean_points(group: Sequence[Scored]) -> tuple[list[Point], list[str]]:
    """Points of the cells of one Condition, and sentences about what was left out.

    Scores are averaged, as log odds, over the datasets that all networks of a setting
    have; a mean over different datasets would compare datasets, not networks. Points
    are in the order of setting and network.
    """
    points, notes = [], []
    for setting in cells.SETTINGS:
        chosen, note = one_recipe([cell for cell in group if cell.setting == setting])
        notes += note
        if not chosen:
            continue
        networks = sorted({cell.network for cell in chosen})
        by_key = {(cell.network, cell.dataset): cell for cell in chosen}
        datasets = sorted({cell.dataset for cell in chosen})
        common = [d for d in datasets if all((n, d) in by_key for n in networks)]
        if len(common) < len(datasets):
            rest = ', '.join(d for d in datasets if d not in common)
            count = f'{len(common)} dataset{"" if len(common) == 1 else "s"}'
            notes.append(
                f'{setting}: means are over the {count} that all {len(networks)} '
                f'networks have; left out: {rest}.'
            )
        if common:
            points += _points([[by_key[n, d] for d in common] for n in networks])
    return points, notes


def dataset_points(group: Sequence[Scored]) -> list[Point]:
    """Points of each dataset alone, of the cells of one Condition.

    Of each setting's one recipe, as `mean_points` takes it over all datasets. In the
    order of dataset, setting and network.
    """
    points = []
    chosen = {
        setting: one_recipe([cell for cell in group if cell.setting == setting])[0]
        for setting in cells.SETTINGS
    }
    for dataset in sorted({cell.dataset for cell in group}):
        for setting in cells.SETTINGS:
            by_network = {
                cell.network: cell
                for cell in chosen[setting]
                if cell.dataset == dataset
            }
            if by_network:
                points += _points([[by_network[name]] for name in sorted(by_network)])
    return points


def one_recipe(group: Sequence[Cells]) -> tuple[Sequence[Cells], list[str]]:
    """The cells of one recipe, of those of a setting, and notes about the others.

    That of the longest training, among the recipes that have at least half as many
    cells as the commonest: a series of lengths is drawn at its end, and one network
    that was trained longer than all others does not stand for them. Of a dataset that
    was scored by several metrics the cells of one.
    """
    alike: Sequence[Cells]
    notes: list[str]
    alike, notes = _one_metric(group)
    recipes = cells.grouped(alike, lambda cell: cell.recipe_without('metric'))
    if len(recipes) < 2:
        return alike, notes
    least = max(map(len, recipes.values())) / 2
    recipe = max(
        sorted(name for name, members in recipes.items() if len(members) >= least),
        key=lambda name: (_longest(recipes[name]), len(recipes[name])),
    )
    others = ', '.join(name for name in sorted(recipes) if name != recipe)
    note = f'{group[0].setting}: figures show {recipe}; tables also have {others}.'
    return recipes[recipe], [*notes, note]


def _one_metric(group: typing.Any) -> tuple[typing.Any, list[str]]:
    """Of each dataset the cells of its own metric, else of the commonest; notes."""
    chosen, notes = {}, []
    for dataset, members in cells.grouped(group, lambda cell: cell.dataset).items():
        by_metric = cells.grouped(members, lambda cell: cell.metric)
        chosen[dataset] = max(
            sorted(by_metric),
            key=lambda metric: (_own(by_metric[metric]), len(by_metric[metric])),
        )
        if len(by_metric) > 1:
            others = ', '.join(m for m in sorted(by_metric) if m != chosen[dataset])
            notes.append(
                f'{members[0].setting} on {dataset}: figures show '
                f'{chosen[dataset]}; tables also have {others}.'
            )
    return [cell for cell in group if cell.metric == chosen[cell.dataset]], notes


def _own(group):
    """Whether a Run took the metric that is its dataset's own."""
    return any(r.run.metric is None for cell in group for r in cell.records)


def _longest(group):
    return max(
        getattr(record.run.hparams, 'steps', 0)
        for cell in group
        for record in cell.records
    )


def _points(table):
    """Points of a setting; table [networks][datasets] of cells."""
    y, low, high, bars = _means(table)
    for i, row in enumerate(table):
        first = row[0]
        # One dataset's score as it is; of several the score whose log odds are y.
        score = first.score if len(row) == 1 else stats.proportion(y[i])
        source = first.source
        yield Point(
            setting=first.setting,
            network=first.network,
            source_score=source['score'],
            score=float(score),
            x=float(stats.log_odds(source['score'], source['images'])),
            y=float(y[i]),
            low=float(low[i]),
            high=float(high[i]),
            bars=bars,
            datasets=tuple(cell.dataset for cell in row),
        )


def _means(table):
    """(y, low, high [networks], Point.bars) of cells [networks][datasets]."""
    x = np.array([[cell.log_odds for cell in row] for row in table])
    networks, datasets = x.shape
    y = x.mean(axis=1)
    intervals = [getattr(row[0], 'interval', None) for row in table]
    if datasets == 1 and all(intervals):
        low, high = np.array(intervals, float).T
        with np.errstate(divide='ignore'):  # An end at 0 or 1 is infinite.
            return y, special.logit(low), special.logit(high), 'interval'
    if datasets > 1 and networks > 1:
        error = stats.within_errors(x)
        return y, y - error, y + error, 'within'
    return y, y, y, ''


def setting_pairs(
    all_cells: Iterable[Cells], pairs: Iterable[tuple[str, str]]
) -> tuple[dict[tuple[str, str], list[tuple[Cells, Cells]]], list[str]]:
    """Cells of two settings that are alike in all else, and notes about recipes.

    Of each setting's one recipe. Training from scratch stands beside every one of the
    weights that its architecture has. Cells that diverged are left out.

    Args:
        all_cells: of any settings.
        pairs: (setting, another).

    Returns:
        ({(setting, another): [(Cell, Cell), ...]}, [sentence, ...]).
    """
    scored = [cell for cell in all_cells if cell.score is not None]
    groups = cells.grouped(scored, lambda c: (c.setting, c.per_class, c.image_size))
    alike: dict[str, dict] = {setting: {} for setting in cells.SETTINGS}
    notes = []
    for (setting, *condition), group in groups.items():
        chosen, note = one_recipe(group)
        notes += note
        alike[setting] |= {
            (cell.network, cell.dataset, cell.metric, *condition): cell
            for cell in chosen
        }
    found: dict = {pair: [] for pair in pairs}
    for (one, other), matched in found.items():
        for (_, *task), cell in _in_order(alike[one]):
            match = alike[other].get((_network_of(cell, other), *task))
            if match is not None:
                matched.append((cell, match))
    return found, notes


def _in_order(table):
    """Items by key, whose parts may be None."""
    return sorted(table.items(), key=lambda item: str(item[0]))


def _network_of(cell, setting):
    """What the cell's network is called in a setting: scratch knows no weights."""
    return getattr(cell, 'arch', cell.network) if setting == 'scratch' else cell.network


class Matrix(typing.NamedTuple):
    """Scores of one setting: networks x datasets.

    cells: {(network, dataset): Cell}, those that were scored. complete: networks that
    have all datasets.
    """

    networks: tuple[str, ...]
    datasets: tuple[str, ...]
    cells: dict[tuple[str, str], cells.Cell]
    complete: tuple[str, ...]


def matrices(
    all_cells: Iterable[cells.Cell],
) -> dict[tuple[str, int | None, int | None], Matrix]:
    """{(setting, per_class, image_size): Matrix} of each setting's one recipe."""
    groups = cells.grouped(
        all_cells, lambda cell: (cell.setting, cell.per_class, cell.image_size)
    )

    def order(key):
        return cells.SETTINGS.index(key[0]), cells.sortable(key[1:])

    return {key: _matrix(groups[key]) for key in sorted(groups, key=order)}


def _matrix(group):
    chosen, _ = one_recipe(group)
    networks = sorted({cell.network for cell in chosen})
    datasets = sorted({cell.dataset for cell in chosen})
    scored = {(c.network, c.dataset): c for c in chosen if c.score is not None}
    complete = (n for n in networks if all((n, d) in scored for d in datasets))
    return Matrix(tuple(networks), tuple(datasets), scored, tuple(complete))
