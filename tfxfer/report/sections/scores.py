"""Networks x datasets: a table of test scores per setting, and their mean log odds."""

from collections.abc import Iterable, Mapping

import numpy as np

from tfxfer.analysis import cells, points, stats
from tfxfer.report import columns, formats
from tfxfer.report.section import Section, Study

MEAN = 'mean log odds'


def tables(all_cells: Iterable[cells.Cell]) -> list[formats.Table]:
    """A Table per setting: networks down, datasets across, their mean log odds last.

    The mean is of networks that have all datasets, with Morey's (2008) standard error
    within datasets where there are two of each.
    """
    matrices = points.matrices(all_cells)
    return [
        _table(setting, {k[1:]: m for k, m in matrices.items() if k[0] == setting})
        for setting in cells.SETTINGS
        if any(key[0] == setting for key in matrices)
    ]


def _table(setting: str, by_size: Mapping[tuple, points.Matrix]) -> formats.Table:
    names = sorted({name for m in by_size.values() for name in m.datasets})
    rows: list[dict] = []
    bold: set[tuple[int, str]] = set()
    for (per_class, size), matrix in by_size.items():
        first = len(rows)
        for network, (mean, error) in _means(matrix).items():
            scores = {n: matrix.cells.get((network, n)) for n in names}
            rows.append(
                {
                    'network': network,
                    'per_class': per_class,
                    'image_size': size,
                    **{name: cell and cell.score for name, cell in scores.items()},
                    'mean_log_odds': mean,
                    'error': error,
                }
            )
        bold |= _best(rows, first, names)
    note = 'The best of each dataset is in bold.'
    if len(names) > 1:
        note += (
            ' Mean log odds: of the networks that have all datasets; after +- the '
            'standard error within datasets (Morey 2008), where two networks have them.'
        )
    return formats.table(
        _name(setting),
        f'Test scores of {setting}',
        rows,
        {
            'network': columns.text('network'),
            **columns.SIZES,
            **{_head(name): columns.percent(name) for name in names},
            MEAN: _mean_text,
        },
        optional=(*columns.OPTIONAL, MEAN),
        note=note,
    ).with_bold(bold)


def _name(setting):
    return f'scores_{setting}'


def _head(dataset):
    return f'{dataset} %'


def _best(rows, first, names):
    """(row, head) of the best of each dataset among the rows from `first` on."""
    best = set()
    for name in names:
        scored = [
            (row[name], i)
            for i, row in enumerate(rows[first:], first)
            if row[name] is not None
        ]
        top = max((score for score, _ in scored), default=None)
        best |= {(i, _head(name)) for score, i in scored if score == top}
    return best


def _mean_text(row):
    if row['mean_log_odds'] is None:
        return ''
    error = '' if row['error'] is None else f' +- {row["error"]:.3f}'
    return f'{row["mean_log_odds"]:.3f}{error}'


def _means(matrix):
    """{network: (mean log odds, error)}; None where it has not all datasets."""
    means = dict.fromkeys(matrix.networks, (None, None))
    if len(matrix.datasets) < 2 or not matrix.complete:
        return means
    x = np.array(
        [
            [matrix.cells[n, d].log_odds for d in matrix.datasets]
            for n in matrix.complete
        ]
    )
    errors = stats.within_errors(x).tolist() if len(x) > 1 else [None]
    pairs = zip(x.mean(axis=1).tolist(), errors, strict=True)
    return means | dict(zip(matrix.complete, pairs, strict=True))


def _tables(study: Study) -> Iterable[formats.Table]:
    return tables(study.cells)


SECTION = Section(tables=_tables, names=tuple(map(_name, cells.SETTINGS)))
