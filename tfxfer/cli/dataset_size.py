"""How many images per class does each setting need? Runs the experiment and answers.

    python -m tools.dataset_size --data=MY_DATA --workdir=runs/dataset_size

carries out configs/dataset_size.py, or --config, as tools.sweep does (--plan, --status,
--shard and the rest are the same). It ends with the table of scores by images per class
and the number of images at which training from scratch equals fine-tuning on half as
many; the figure, log odds with error bars, is in the report and in WORKDIR/figures.
"""

from collections.abc import Sequence

from absl import flags

from tfxfer import results
from tfxfer.cli import app, sweep


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    return sweep.define_flags(values, 'configs/dataset_size.py')


def main(given: app.Given) -> None:
    sweep.run(given, summary)


def summary(records: Sequence[results.Record]) -> str:
    """The experiment's tables as text."""
    from tfxfer.report import formats, section  # Matplotlib.
    from tfxfer.report.sections import dataset_size

    study = section.of(records)
    tables = [table for table in dataset_size.SECTION.tables(study) if len(table.frame)]
    if not tables:
        sizes = {cell.per_class for cell in study.cells}
        return f'Only one number of images per class was measured: {sizes}.'
    return '\n'.join(map(formats.md, tables))
