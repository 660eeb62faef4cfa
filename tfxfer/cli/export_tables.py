"""Writes the tables of a results folder as .csv, .md, .tex, .html or .parquet.

python -m tools.export_tables --results=runs/quickstart --output=tables --formats=tex

What the tables do not say, such as the cells that are still missing, is printed.
"""

from absl import flags

from tfxfer import errors
from tfxfer.analysis import cells
from tfxfer.cli import app
from tfxfer.report import formats


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string(
        'results', 'runs', 'Folder of finished Runs: the --workdir that made them.'
    )
    define.string('output', 'tables', 'Folder to write into.')
    define.strings(
        'formats', formats.DEFAULT, f'Formats to write: {",".join(formats.FORMATS)}.'
    )
    define.strings(
        'published', [], 'CSV files of published results, to lay beside ours.'
    )
    return define.given


def main(given: app.Given) -> None:
    from tfxfer.analysis import published
    from tfxfer.report import section, sections

    for name in given.formats:  # A wrong one is named before the work.
        errors.find('format', formats.FORMATS, name)
    others = [one for path in given.published for one in published.read(path)]
    study = section.of(cells.read(given.results), others, given.results)
    for path in formats.write(sections.tables(study), given.output, given.formats):
        print(path)
    for note in sections.notes(study):
        print(note)
    for cell in study.missing:
        print(f'Missing: {cell.network}, {cell.dataset}, {cell.setting}{_few(cell)}.')


def _few(cell: cells.Missing) -> str:
    few = '' if cell.per_class is None else f', {cell.per_class} images per class'
    return few + (f' ({cell.trials} trials are done)' if cell.trials else '')
