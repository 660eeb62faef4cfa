"""The console command: `tfxfer PROGRAM ...`, or `python -m tfxfer PROGRAM ...`."""

import ast
import difflib
import importlib
import pathlib
import sys
from collections.abc import Sequence

from tfxfer.cli import app

# In the order in which a user meets them.
PROGRAMS = (
    'compare',
    'list_architectures',
    'prepare_dataset',
    'registry_images',
    'convert_checkpoint',
    'run',
    'sweep',
    'scores',
    'dataset_size',
    'report',
    'export_tables',
    'export',
    'predict_images',
    'evaluate',
    'diagnose',
    'features',
)
SHORT = {'predict': 'predict_images'}  # Other names of programs.


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the program that the first argument names.

    Args:
        argv: the command line, `tfxfer` first; default: sys.argv.
    """
    argv = list(sys.argv if argv is None else argv)
    if len(argv) < 2 or argv[1] in app.HELP:
        print(overview())
        return
    name = SHORT.get(argv[1], argv[1])
    if name not in PROGRAMS:
        close = difflib.get_close_matches(name, [*PROGRAMS, *SHORT], n=1)
        hint = f' Did you mean {close[0]!r}?' if close else ''
        app.stop(f'No program named {name!r}.{hint} Known: {", ".join(PROGRAMS)}.')
    program = importlib.import_module(f'tfxfer.cli.{name}')
    app.run(program, [f'tfxfer {name}', *argv[2:]])


def overview() -> str:
    """All programs in one screen."""
    width = max(map(len, PROGRAMS))
    lines = [f'  {name:{width}}  {summary(name)}' for name in PROGRAMS]
    return '\n'.join(
        [
            'Usage: tfxfer PROGRAM [--flag=value ...]',
            'Each says more by: tfxfer PROGRAM --help',
            '',
            *lines,
            '',
            *(f'{short} is short for {name}.' for short, name in SHORT.items()),
        ]
    )


def summary(name: str) -> str:
    """The first line of a program's help; the program is not imported."""
    path = pathlib.Path(__file__).parent / f'{name}.py'
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return text.partition('\n')[0]
