"""Writes the tables of a results folder as .csv, .md, .tex, .html or .parquet.

python -m tools.export_tables --results=runs/quickstart --output=tables --formats=tex

What the tables do not say, such as the cells that are still missing, is printed.
"""

from absl import flags

from tfxfer import errors
from tfxfer.analysis import cells, comparisons, published
from tfxfer.cli import app
from tfxfer.report import formats, tables


def main(argv):
    del argv
    for name in FORMATS.value:  # A wrong one is named before the work.
        errors.find('format', formats.FORMATS, name)
    others = [one for path in PUBLISHED.value for one in published.read(path)]
    records = cells.read(RESULTS.value)
    paired, notes = comparisons.compare(cells.cells(records), RESULTS.value)
    built, more = tables.build(records, paired, others)
    for path in formats.write(built, OUTPUT.value, FORMATS.value):
        print(path)
    for note in notes + more:
        print(note)
    for gap in cells.missing(records):
        print(f'Missing: {gap.network}, {gap.dataset}, {gap.setting}{_few(gap)}.')


def _few(gap):
    few = '' if gap.per_class is None else f', {gap.per_class} images a class'
    return few + (f' ({gap.trials} trials are done)' if gap.trials else '')


if __name__ == '__main__':
    RESULTS = flags.DEFINE_string(
        'results', 'runs', 'Folder of finished Runs: the --workdir that made them.'
    )
    OUTPUT = flags.DEFINE_string('output', 'tables', 'Folder to write into.')
    FORMATS = flags.DEFINE_list(
        'formats', list(formats.USUAL), f'Which: {",".join(formats.FORMATS)}.'
    )
    PUBLISHED = flags.DEFINE_list(
        'published', [], 'CSV files of published results, to lay beside ours.'
    )
    app.run(main)
