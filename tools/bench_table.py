"""The table of docs/benchmarks.md, of the rows that tools/bench_*.py wrote.

    python -m tools.bench_input --out=docs/benchmarks/my_machine
    python -m tools.bench_table docs/benchmarks

prints the table of all rows below a folder, each machine's under its name, and puts it
into --page, between two lines of comment. Rows of --quick are left out.
"""

import pathlib
import sys

from absl import flags

from tfxfer import errors, storage
from tfxfer.cli import app
from tools.benchmarks import rows


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.positional('folder')
    define.string(
        'page', 'docs/benchmarks.md', 'Markdown page with the two lines; "": none.'
    )
    return define.given


def main(given: app.Given) -> None:
    if len(given.folder) != 1:
        raise errors.InputError(
            f'One folder of rows was expected, such as docs/benchmarks; got '
            f'{len(given.folder)}.'
        )
    table = rows.table(rows.read_folder(given.folder[0]))
    if given.page:
        page = pathlib.Path(given.page)
        text = rows.put_into(page.read_text(encoding='utf-8'), table)
        with storage.replacing(page) as temporary:
            temporary.write_text(text, encoding='utf-8')
    print(table)


if __name__ == '__main__':
    app.run(sys.modules[__name__])
