"""Writes the tables of a results folder as .csv, .md and .tex.

python -m tools.export_tables --results=runs/quickstart --output=tables --formats=tex
"""

from absl import flags

from tfxfer import app, cells, comparisons, config, formats, tables


def main(argv):
    del argv
    for name in FORMATS.value:  # A wrong one is named before the work.
        config.find('format', formats.FORMATS, name)
    records = cells.read(RESULTS.value)
    paired, notes = comparisons.compare(cells.cells(records), RESULTS.value)
    built, more = tables.build(records, paired)
    for path in formats.write(built, OUTPUT.value, FORMATS.value):
        print(path)
    for note in notes + more:
        print(note)


if __name__ == '__main__':
    RESULTS = flags.DEFINE_string(
        'results', 'runs', 'Folder of finished Runs: the --workdir that made them.'
    )
    OUTPUT = flags.DEFINE_string('output', 'tables', 'Folder to write into.')
    FORMATS = flags.DEFINE_list('formats', list(formats.FORMATS), 'Which: csv,md,tex.')
    app.run(main)
