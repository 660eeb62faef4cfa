"""Rows of benchmarks: as files, one per program and machine, and as a Markdown table.

A row is kept under what was measured (`what`): measured again, on the same machine, it
takes the place of the one before.
"""

import dataclasses
import os
import pathlib
import typing
from collections.abc import Iterable, Sequence

from tfxfer import errors, escaping, storage
from tools.benchmarks import machine
from tools.benchmarks.machine import Machine

BEGIN = '<!-- python -m tools.bench_table: begin -->'
END = '<!-- python -m tools.bench_table: end -->'
HEAD = '| what | tfxfer | peers | program |\n|---|---|---|---|'
# In the order of the table.
PROGRAMS = (
    'bench_input', 'bench_features', 'bench_extract', 'bench_train', 'bench_logreg',
    'bench_search', 'bench_verdicts', 'bench_report',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, ours and the peers'."""

    what: str
    ours: float
    unit: str
    peers: dict[str, float] = dataclasses.field(default_factory=dict)
    at_least: tuple[str, ...] = ()  # Peers that were stopped: theirs is a lower bound.
    note: str = ''  # After ours.
    # When, where in the code, by what, and whatever else the program knows of it.
    record: dict[str, typing.Any] = dataclasses.field(default_factory=dict)


def rounded(value: float) -> float:
    """Three significant digits, whole from 100 on."""
    value = float(f'{value:.3g}')
    return int(value) if value >= 100 else value


def path_of(folder: str | os.PathLike, program: str) -> pathlib.Path:
    """The file of a program's rows."""
    return pathlib.Path(folder) / f'{program}.json'


def read(path: str | os.PathLike) -> tuple[Machine, list[Row]]:
    """What a file of rows holds.

    Raises:
        errors.InputError: it is no such file.
    """
    held = storage.read_json(path, 'Remove it, or name another folder.')
    try:
        found = [
            Row(**{**row, 'at_least': tuple(row['at_least'])}) for row in held['rows']
        ]
        return machine.from_dict(held['machine']), found
    except (KeyError, TypeError) as error:
        raise errors.InputError(
            f'{str(path)!r} does not hold rows of a benchmark ({error!r}). Files that '
            '--out of tools/bench_*.py wrote were expected.'
        ) from error


def write(
    path: str | os.PathLike, where: Machine, new: Sequence[Row], old: Sequence[Row] = ()
) -> None:
    """Writes rows; those of the old whose `what` is measured anew are replaced."""
    merged = {row.what: row for row in (*old, *new)}
    storage.write_json(
        path,
        {
            'machine': dataclasses.asdict(where),
            'rows': [dataclasses.asdict(row) for row in merged.values()],
        },
    )


def read_folder(folder: str | os.PathLike) -> dict[Machine, dict[str, list[Row]]]:
    """{machine: {program: rows}} of all files below a folder.

    Raises:
        errors.InputError: there is none, or one is not of rows.
    """
    found: dict[Machine, dict[str, list[Row]]] = {}
    for path in sorted(pathlib.Path(folder).rglob('bench_*.json')):
        errors.find('benchmark', dict.fromkeys(PROGRAMS), path.stem)
        where, own = read(path)
        found.setdefault(where, {}).setdefault(path.stem, []).extend(own)
    if not found:
        raise errors.InputError(
            f'{str(folder)!r} has no file bench_*.json: --out={folder} of a program '
            'tools/bench_*.py writes one.'
        )
    return found


def table(found: dict[Machine, dict[str, list[Row]]]) -> str:
    """Markdown: for each machine its name and its rows, those of --quick left out."""
    parts = []
    for where, programs in found.items():
        lines = [
            line_of(row, program)
            for program in PROGRAMS
            for row in programs.get(program, [])
            if not row.record.get('quick')
        ]
        if lines:
            name = escaping.markdown(str(where))
            parts.append(f'On {name}:\n\n{HEAD}\n' + '\n'.join(lines))
    return '\n\n'.join(parts)


def line_of(row: Row, program: str) -> str:
    """A row as a line of the table."""
    ours = quantity(row.ours, row.unit) + (f', {row.note}' if row.note else '')
    cells = [row.what, ours, ', '.join(_peers(row)) or 'none']
    shown = (escaping.markdown(cell) for cell in cells)
    return f'| {" | ".join(shown)} | `tools.{program}` |'


def _peers(row: Row) -> Iterable[str]:
    for name, value in row.peers.items():
        sign = '≥ ' if name in row.at_least else ''
        # A rate's unit is read in our column; one of seconds is short.
        shown = quantity(value, row.unit if row.unit == 's' else '')
        yield f'{name} {sign}{shown}'


def quantity(value: float, unit: str) -> str:
    return f'{value:,} {unit}'.strip()


def put_into(text: str, new: str) -> str:
    """A page with another table between its two markers.

    Raises:
        errors.InputError: it does not have each once, in order.
    """
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin or text.count(BEGIN) > 1 or text.count(END) > 1:
        raise errors.InputError(
            f'The page does not have the two lines between which the table goes, '
            f'{BEGIN} and {END}, once each.'
        )
    return f'{text[:begin]}{BEGIN}\n\n{new}\n\n{text[end:]}'


def taken_from(text: str) -> str:
    """The table between the markers of a page."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()
