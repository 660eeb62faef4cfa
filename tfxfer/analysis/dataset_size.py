"""How many training images per class each setting needs (the paper's figure 9)."""

import math
import typing
from collections.abc import Iterable, Mapping

import numpy as np

from tfxfer.analysis import cells, stats
from tfxfer.analysis.estimate import Estimate, plain, standard_error
from tfxfer.analysis.points import one_recipe


class Size(typing.NamedTuple):
    """A network on a dataset in a setting, with so many training images per class.

    images: per class, of train + valid, which the final fit saw; their mean over the
    classes. per_class: as asked for, None for all; a class may have fewer. log_odds,
    error: mean over seeds and its standard error, None of one seed or where seeds
    change nothing. score: 0-1, whose log odds the mean is. seeds: how many; each
    draws its own subset.
    """

    network: str
    dataset: str
    image_size: int | None
    setting: str
    images: float
    per_class: int | None
    log_odds: float
    error: float | None
    score: float
    seeds: int


def sizes(all_cells: Iterable[cells.Cell]) -> tuple[list[Size], list[str]]:
    """Sizes of networks and datasets that were measured at two or more, in order.

    Cells that diverged are left out. Of several recipes at one size one is taken, as
    points.one_recipe does.

    Returns:
        ([Size, ...], [sentence about what is left out, ...]).
    """
    groups = cells.grouped(all_cells, lambda c: (c.network, c.dataset, c.image_size))
    measured, notes = [], []
    for (network, dataset, _), group in groups.items():
        points, left_out = _one_recipe_each(group)
        if len({size.per_class for size in points}) > 1:
            measured += points
            notes += [
                f'{network} on {dataset}, dataset size: {text}'
                for text in (*left_out, *_fewer(points))
            ]
    order = {setting: i for i, setting in enumerate(cells.SETTINGS)}
    measured.sort(key=lambda s: (s.network, s.dataset, order[s.setting], s.images))
    return measured, notes


def _one_recipe_each(group):
    """(Sizes, notes) of the Cells of one network on one dataset."""
    points, notes = [], []
    by_size = cells.grouped(group, lambda cell: (cell.setting, cell.per_class))
    for members in by_size.values():
        chosen, note = one_recipe(members)
        notes += note
        points += [_size(cell) for cell in chosen if cell.score is not None]
    return points, notes


def _fewer(points):
    """Sentences on the sizes that have fewer images than was asked for."""
    return dict.fromkeys(
        f'{size.per_class} images per class were asked for; there are '
        f'{plain(size.images)} (mean over the classes).'
        for size in points
        if size.per_class is not None and size.images < size.per_class
    )


def _size(cell):
    x = [
        float(stats.log_odds(record.score, record.images['test']))
        for record in cell.records
    ]
    first = cell.records[0]
    trained_on = first.images['train'] + first.images['valid']
    mean = float(np.mean(x))
    return Size(
        network=cell.network,
        dataset=cell.dataset,
        image_size=cell.image_size,
        setting=cell.setting,
        images=trained_on / len(first.classes),
        per_class=cell.per_class,
        log_odds=mean,
        error=standard_error(x) if cell.varies else None,
        score=float(stats.proportion(mean)),
        seeds=len(x),
    )


def catches_up(
    finetune: Mapping[float, float], scratch: Mapping[float, float]
) -> Estimate:
    """Images per class at which scratch first equals fine-tuning on half as many.

    Between measured sizes log odds are linear in log2 of the images; outside them
    nothing is assumed.

    Args:
        finetune, scratch: {images per class: log odds}.
    """
    if len(finetune) < 2 or len(scratch) < 2:
        return Estimate(None, 'one of the two was measured at fewer than 2 sizes')
    f = sorted((math.log2(n) + 1, y) for n, y in finetune.items())  # At twice as many.
    s = sorted((math.log2(n), y) for n, y in scratch.items())
    low, high = max(f[0][0], s[0][0]), min(f[-1][0], s[-1][0])
    if low > high + 1e-9:  # Sums of logarithms are equal but for rounding.
        return Estimate(None, 'the sizes measured do not overlap')
    knots = sorted({x for x, _ in f + s if low <= x <= high} | {low, max(low, high)})
    (fx, fy), (sx, sy) = zip(*f, strict=True), zip(*s, strict=True)
    gap = np.interp(knots, sx, sy) - np.interp(knots, fx, fy)
    gap[np.abs(gap) < 1e-12] = 0
    if gap[0] >= 0:
        return Estimate(None, f'at {_images(low)}, the fewest compared, or with fewer')
    reached = np.flatnonzero(gap >= 0)
    if not len(reached):
        return Estimate(None, f'not up to {_images(high)}, the most compared')
    i = reached[0]
    apart = knots[i] - knots[i - 1]
    x = knots[i - 1] + apart * gap[i - 1] / (gap[i - 1] - gap[i])
    return Estimate(float(2**x), plain(2**x))


def _images(log2):
    return f'{plain(2**log2)} images per class'


def crossings(
    measured: Iterable[Size],
) -> list[tuple[tuple[str, str, int | None], Estimate]]:
    """[((network, dataset, image_size), Estimate of catches_up), ...]."""
    groups = cells.grouped(measured, lambda s: (s.network, s.dataset, s.image_size))
    rows = []
    for key, group in groups.items():
        curves = {
            setting: {s.images: s.log_odds for s in group if s.setting == setting}
            for setting in ('finetune', 'scratch')
        }
        if all(curves.values()):
            rows.append((key, catches_up(curves['finetune'], curves['scratch'])))
    return rows
