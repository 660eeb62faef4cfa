"""How many images per class does each setting need? Runs the experiment and answers.

    python -m tools.dataset_size --data=MY_DATA --workdir=runs/dataset_size

carries out configs/dataset_size.py, or --config, as tools.sweep does (--plan, --status,
--shard and the rest are the same). It ends with the table of scores by images per class
and the number of images at which training from scratch equals fine-tuning on half as
many; the figure, log odds with error bars, is in the report and in WORKDIR/figures.
"""

from tfxfer.report import formats, section
from tfxfer.report.sections import dataset_size
from tools import studies


def summary(records):
    """The experiment's tables as text."""
    study = section.of(records)
    tables = [table for table in dataset_size.SECTION.tables(study) if len(table.frame)]
    if not tables:
        sizes = {cell.per_class for cell in study.cells}
        return f'Only one number of images per class was measured: {sizes}.'
    return '\n'.join(map(formats.md, tables))


if __name__ == '__main__':
    studies.program('configs/dataset_size.py', summary)
