"""The main table: source accuracy, and the score of each setting."""

import typing
from collections.abc import Iterable, Sequence

from tfxfer import number_format
from tfxfer.analysis import cells
from tfxfer.report import columns, formats
from tfxfer.report.section import Section, Study

NAME = 'results'


def main_table(
    all_cells: Sequence[cells.Cell], missing: Iterable[cells.Missing]
) -> formats.Table:
    """One row per network and dataset; what is missing stands in it too."""
    items: list[typing.Any] = [*missing, *all_cells]
    by_key = {(_row_key(item), item.setting): item for item in items}
    keys = sorted({key for key, _ in by_key}, key=_row_order)
    occur = [s for s in cells.SETTINGS if any(s == setting for _, setting in by_key)]
    return formats.table(
        NAME,
        'Transfer accuracy on the test images',
        [_row(key, {s: by_key.get((key, s)) for s in cells.SETTINGS}) for key in keys],
        {
            **columns.texts('network', 'dataset'),
            **columns.SIZES,
            **columns.texts('recipe'),
            'metric': lambda row: (row['metric'] or '').replace('_', ' '),
            'test images': columns.count('test_images'),
            'source': columns.text('source'),
            'source %': columns.percent('source_score'),
            **{_head(setting): _score_column(setting) for setting in occur},
        },
        optional=columns.OPTIONAL,
        note=_note(all_cells),
    ).with_bold(_best(all_cells, keys))


def _head(setting):
    return f'{setting} %'


def _best(all_cells, keys):
    """(row, head) of the best of each task; equal bests are all in bold."""
    tops = {
        task: max((c.score for c in group if c.score is not None), default=None)
        for task, group in cells.tasks(all_cells).items()
    }
    places = {key: i for i, key in enumerate(keys)}
    return {
        (places[_row_key(cell)], _head(cell.setting))
        for cell in all_cells
        if cell.score is not None and cell.score == tops[cell.task]
    }


def _row_key(item):
    recipe = item.recipe if isinstance(item, cells.Cell) else ''
    return item.dataset, item.per_class, item.network, item.image_size, recipe


def _row_order(key):
    dataset, per_class, network, size, recipe = key
    return (
        dataset,
        cells.sortable((per_class,)),
        network,
        cells.sortable((size,)),
        recipe,
    )


def _row(key, by_setting):
    dataset, per_class, network, size, recipe = key
    measured = [item for item in by_setting.values() if isinstance(item, cells.Cell)]
    source = next((cell.source for cell in measured if cell.source), None)
    row = {
        'network': network,
        'dataset': dataset,
        'per_class': per_class,
        'image_size': size,
        'recipe': recipe,
        'metric': measured[0].metric if measured else None,
        'test_images': measured[0].test_images if measured else None,
        'source': source and source['dataset'],
        'source_score': source and source['score'],
    }
    for setting, item in by_setting.items():
        numbers = _setting_numbers(item if isinstance(item, cells.Cell) else None)
        if isinstance(item, cells.Missing):
            numbers |= {'status': 'missing', 'runs': item.trials}
        row.update({f'{setting}.{name}': value for name, value in numbers.items()})
    return row


def _setting_numbers(cell: cells.Cell | None) -> dict[str, typing.Any]:
    """Columns of one setting in the .csv, the same whether there is a Cell."""
    low, high = (cell and cell.interval) or (None, None)
    return {
        'score': cell and cell.score,
        'low': low,
        'high': high,
        'error': cell and cell.error,
        'seeds': cell and len(cell.records),
        'chosen': cell and _chosen_text(cell),
        'runs': cell and cell.runs,
        'seconds': cell and cell.seconds,
        'status': cell and ('diverged' if cell.diverged else 'done'),
    }


def _chosen_text(cell):
    """What each seed's validation chose, such as 'lr=0.01 wd=1e-06'; once if alike."""
    texts = [
        ' '.join(f'{name}={value:g}' for name, value in record.chosen.items())
        for record in cell.records
    ]
    return ' | '.join(dict.fromkeys(texts))


def _score_column(setting: str) -> columns.Column:
    return lambda row: _score_text(row, setting)


def _score_text(row, setting):
    value = {
        name: row[f'{setting}.{name}']
        for name in ('status', 'score', 'error', 'low', 'high', 'runs')
    }
    if value['status'] == 'missing' and value['runs']:
        return f'missing (trials done: {value["runs"]})'
    if value['status'] != 'done':
        return value['status'] or ''
    text = number_format.percent(value['score'])
    if value['error'] is not None:
        text += f' +- {number_format.percent(value["error"])}'
    if value['low'] is not None:
        text += f' ({number_format.interval(value["low"], value["high"])})'
    return text


def _note(all_cells):
    parts = ['The highest of each dataset is in bold.']
    if any(cell.interval for cell in all_cells):
        seeds = any(cell.error is not None for cell in all_cells)
        over = 'test images and seeds' if seeds else 'test images'
        parts.append(
            f'In parentheses: 95 % interval over {over}, of each number by itself.'
        )
    if any(not cell.noise_covered for cell in all_cells):
        parts.append(
            'Where a network was trained with one seed, the interval does not cover '
            'training noise.'
        )
    if any(cell.metric == 'voc_map' for cell in all_cells):
        parts.append(
            'Average precision is no mean over images, so it has no such interval.'
        )
    if any(cell.error is not None for cell in all_cells):
        parts.append('After +-: standard error over seeds.')
    return ' '.join(parts)


def _tables(study: Study) -> Iterable[formats.Table]:
    yield main_table(study.cells, study.missing)


SECTION = Section(tables=_tables, names=(NAME,))
