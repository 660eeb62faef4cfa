"""How many images a class does each setting need? Runs the experiment, says what came.

    python -m tools.dataset_size --data=MY_DATA --workdir=runs/dataset_size

carries out configs/dataset_size.py, or --config, as tools.sweep does (--plan, --status,
--shard and the rest are the same), and ends with the table of scores by images a class
and the number at which scratch reaches what fine-tuning does with half of them; the
figure, log odds with error bars, is in the report and in WORKDIR/figures.
"""

from tfxfer.analysis import cells
from tfxfer.report import formats, tables
from tools import studies

NAMES = 'dataset_size', 'crossings'


def summary(records):
    """The experiment's tables as text."""
    built, _ = tables.build(records, ())
    found = [formats.md(table) for table in built if table.name in NAMES]
    if not found:
        sizes = {cell.per_class for cell in cells.cells(records)}
        return f'Only one number of images a class was measured: {sizes}.'
    return '\n'.join(found)


if __name__ == '__main__':
    studies.program('configs/dataset_size.py', summary)
