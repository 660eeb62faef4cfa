"""Writes the tables of a results folder as .csv, .md, .tex, .html or .parquet.

python -m tools.export_tables --results=runs/quickstart --output=tables --formats=tex

What the tables do not say, such as the cells that are still missing, is printed.
"""

from absl import flags

from tfxfer import errors
from tfxfer.analysis import cells, published
from tfxfer.cli import app
from tfxfer.report import formats, section, sections


def main(argv):
    del argv
    for name in FORMATS.value:  # A wrong one is named before the work.
        errors.find('format', formats.FORMATS, name)
    others = [one for path in PUBLISHED.value for one in published.read(path)]
    study = section.of(cells.read(RESULTS.value), others, RESULTS.value)
    tables = sections.tables(study)
    for path in formats.write(tables, OUTPUT.value, FORMATS.value):
        print(path)
    for note in sections.notes(study):
        print(note)
    for cell in study.missing:
        print(f'Missing: {cell.network}, {cell.dataset}, {cell.setting}{_few(cell)}.')


def _few(cell):
    few = '' if cell.per_class is None else f', {cell.per_class} images per class'
    return few + (f' ({cell.trials} trials are done)' if cell.trials else '')


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
