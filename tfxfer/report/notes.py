"""Sentences about what is missing, and what makes a number less sure than it looks."""

import math
import os
import pathlib
from collections.abc import Iterator, Sequence

from tfxfer import number_format, results
from tfxfer.analysis import cells, points, stats


def complete_parts(all_cells: Sequence[cells.Cell]) -> Iterator[str]:
    """What can be averaged where not every network has every dataset."""
    for condition, group in points.conditions(all_cells).items():
        by_setting = cells.grouped(group, lambda cell: cell.setting)
        for setting, members in by_setting.items():
            scores = {(cell.network, cell.dataset): cell.log_odds for cell in members}
            if len(scores) < len(members):
                continue  # Of several recipes the gaps depend on which is meant.
            sentence = _largest_part(scores)
            if sentence:
                size = condition.per_class
                subset = '' if size is None else f', {size} images per class'
                yield f'{setting}{subset}: {sentence}'


def _largest_part(scores):
    """A sentence about {(network, dataset): score}; '' where it offers nothing more."""
    networks = sorted({network for network, _ in scores})
    datasets = sorted({dataset for _, dataset in scores})
    x = [[scores.get((n, d), math.nan) for d in datasets] for n in networks]
    parts = stats.common(x, networks, datasets)
    complete_networks, complete_datasets = parts.block
    if not parts.missing or not complete_networks:
        return ''
    if set(complete_networks) == set(networks):
        return ''  # The datasets that all have, which is said beside figures.
    rest = [name for name in networks if name not in complete_networks]
    rest += [name for name in datasets if name not in complete_datasets]
    largest = 'The largest' if parts.exact else 'A large'
    return (
        f'{len(parts.missing)} of {len(networks)} x {len(datasets)} cells are missing. '
        f'{largest} complete part is {len(complete_networks)} networks on '
        f'{len(complete_datasets)} datasets; it leaves out {", ".join(rest)}.'
    )


def warnings(records: Sequence[results.Record]) -> Iterator[str]:
    """What makes a number less sure than it looks."""
    for record in records:
        if record.run.phase == 'final':
            for sentence in _warnings(record):
                yield f'{record.run.id}: {sentence}'


def _warnings(record):
    if record.status != 'done':
        yield 'loss or gradient was not finite; it has no score.'
    if record.images.get('skipped'):
        yield f'{record.images["skipped"]} broken images were skipped.'
    if record.unverified:
        yield (
            "its images come from archives that are not their authors' files: "
            f'{", ".join(record.unverified)}.'
        )
    early = [point['l2'] for point in record.curve if not point.get('solved', True)]
    if early:
        yield (
            f'the solver stopped early at {len(early)} of {len(record.curve)} values '
            f'of l2, up to {number_format.brief(max(early))}.'
        )
    for name, value in record.chosen.items():
        grid = sorted({point[name] for point in record.curve if name in point})
        # Nothing is below a weight decay of 0.
        if value and len(grid) > 2 and value in (grid[0], grid[-1]):
            yield (
                f'{name} = {number_format.brief(value)} is at the edge of the values '
                'tried; a wider grid may score better.'
            )


def unfinished(results_dir: str | os.PathLike) -> list[str]:
    """A sentence for each Run of a results folder that was started and is not done."""
    names = sorted(
        path.parent.name
        for path in pathlib.Path(results_dir).glob('*/run.json')
        if not (path.parent / 'record.json').exists()
    )
    return [f'{name}: started, not finished.' for name in names]
