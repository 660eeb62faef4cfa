"""How the numbers of a report were made: methods in words, versions as a table."""

import collections
from collections.abc import Callable, Sequence

from tfxfer import config, number_format, results
from tfxfer.analysis import cells
from tfxfer.report import formats


def methods(
    records: Sequence[results.Record], all_cells: Sequence[cells.Cell]
) -> list[str]:
    """How the numbers that occur were made, one paragraph each."""
    runs = [record.run for cell in all_cells for record in cell.records]
    runs += [record.run for record in records if record.run.setting == 'pretrain']
    paragraphs = [
        describe(setting, members)
        for setting, describe in _METHODS.items()
        if (members := [run for run in runs if run.setting == setting])
    ]
    if all_cells:
        paragraphs.append(
            'All hyperparameters were chosen on validation images. With the chosen '
            'values the network was fitted on train + validation, and the test images '
            'were scored once.'
        )
    metrics = sorted({cell.metric for cell in all_cells})
    if metrics:
        names = ', '.join(formats.METRICS[name] for name in metrics)
        paragraphs.append(f'Score: {names}.')
    for name, path in cells.folders(records).items():
        paragraphs.append(f'{name} is {path}.')
    paragraphs.append(
        'The unrounded numbers of all tables and figures are in results.csv, tables/ '
        'and figures/ beside this page.'
    )
    return paragraphs


def _logistic(setting, runs):
    grids = sorted({number_format.brief(run.hparams.l2s) for run in runs})
    return (
        f'{setting}: features are the inputs of the classifier, with the network in '
        'inference mode, of whole images without augmentation; multinomial logistic '
        'regression minimises the sum of the cross-entropies + l2/2 |w|^2. '
        f'l2: {"; ".join(grids)}.'
    )


def _trained(setting, runs):
    start = (
        'given weights with a new head' if setting == 'finetune' else 'random weights'
    )

    def values(name):
        seen = sorted({getattr(run.hparams, name) for run in runs})
        return ', '.join(map(number_format.brief, seen))

    return (
        f'{setting}: all weights are trained, from {start}; SGD with Nesterov momentum '
        f'{values("momentum")}, cosine decay of the learning rate to 0, '
        f'{values("steps")} steps at batch size {values("batch")}; random resized '
        'crops.'
    )


_METHODS: dict[str, Callable[[str, list[config.Run]], str]] = {
    'logistic': _logistic,
    'finetune': _trained,
    'scratch': _trained,
    'pretrain': _trained,
}


def versions(records: Sequence[results.Record]) -> formats.Table:
    """Versions by part, with the number of Runs of each."""
    seen: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for record in records:
        for name, value in record.versions.items():
            if name != 'host' and value is not None:
                seen[name][str(value)] += 1
    rows = [
        {'name': name, 'value': value, 'runs': count}
        for name, values in seen.items()
        for value, count in sorted(values.items())
    ]
    return formats.table(
        'versions',
        'Versions',
        rows,
        {
            'part': lambda row: row['name'],
            'version': lambda row: row['value'],
            'Runs': lambda row: str(row['runs']),
        },
    )
