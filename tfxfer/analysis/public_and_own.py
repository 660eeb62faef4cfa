"""Public checkpoints against networks trained here alike (the paper's supplement)."""

import typing
from collections.abc import Iterable

from tfxfer.analysis import cells, stats
from tfxfer.analysis.points import Point, conditions, mean_points, one_recipe

KINDS = ('public', 'own')  # Of weights, as cells.Cell.origin says.
LEAST = 3  # Networks of a correlation.


class Side(typing.NamedTuple):
    """Networks of one kind of weights: 'public' or 'own'.

    points: of logistic. archs: {network: architecture}. correlation: of the points;
    None where one of their coordinates is constant.
    """

    kind: str
    source: str
    per_class: int | None
    image_size: int | None
    datasets: tuple[str, ...]
    points: tuple[Point, ...]
    archs: dict[str, str]
    correlation: stats.Correlation | None


def public_and_own(all_cells: Iterable[cells.Cell]) -> list[tuple[Side, Side]]:
    """[(public Side, own Side), ...], one a size of subset, of logistic.

    Over the datasets that all networks of both have. Of each kind those of one source
    and image size, of which there are the most; at least LEAST networks each.
    """
    logistic = [cell for cell in all_cells if cell.setting == 'logistic']
    largest: dict = {}  # {per_class: {kind: (Condition, Cells)}}
    for condition, group in conditions(logistic).items():
        by_kind = largest.setdefault(condition.per_class, {})
        for kind, members in cells.grouped(group, lambda cell: cell.origin).items():
            best = by_kind.get(kind)
            if best is None or len(_networks(members)) > len(_networks(best[1])):
                by_kind[kind] = condition, members
    pairs = [
        _side_pair([(kind, *by_kind[kind]) for kind in KINDS])
        for by_kind in largest.values()
        if all(kind in by_kind for kind in KINDS)
    ]
    return sorted(
        filter(None, pairs), key=lambda pair: cells.sortable((pair[0].per_class,))
    )


def _networks(group):
    return {cell.network for cell in group}


def _side_pair(kinds):
    """The two Sides of (kind, Condition, Cells), or None where there are too few."""
    groups = [group for *_, group in kinds]
    alike, _ = one_recipe([cell for group in groups for cell in group])
    by_network = cells.grouped(alike, lambda cell: cell.network)
    names = set.intersection(
        *({cell.dataset for cell in group} for group in by_network.values())
    )
    sides = []
    for kind, condition, group in kinds:
        shared = [
            cell
            for name in sorted(_networks(group) & set(by_network))
            for cell in by_network[name]
            if cell.dataset in names
        ]
        points, _ = mean_points(shared)
        if len(points) < LEAST:
            return None
        sides.append(
            Side(
                kind=kind,
                source=condition.source,
                per_class=condition.per_class,
                image_size=condition.image_size,
                datasets=tuple(sorted(names)),
                points=tuple(points),
                archs={cell.network: cell.arch for cell in shared},
                correlation=_correlation(points),
            )
        )
    return tuple(sides)


def _correlation(points):
    try:
        return stats.correlate([p.x for p in points], [p.y for p in points])
    except ValueError:  # All networks are alike.
        return None
