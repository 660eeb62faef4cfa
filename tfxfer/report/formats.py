"""A table as .csv .md .tex .html .parquet."""

import dataclasses
import io
import pathlib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd
import tabulate

from tfxfer import errors, escaping, storage
from tfxfer.report import rendering

METRICS = {
    'top1': 'accuracy',
    'mean_per_class': 'mean-per-class accuracy',
    'voc_map': '11-point mean average precision',
}


Row = Mapping[str, typing.Any]  # Its numbers, by column of the .csv.
Column = Callable[[Row], str]  # The text of a row.


class Cell(typing.NamedTuple):
    """A cell as it is shown; bold: it is the best of its task."""

    text: str
    bold: bool


@dataclasses.dataclass(frozen=True)
class Table:
    """One table, which holds its numbers twice: a part of a page.

    Attributes:
        name: of its files.
        title: one line.
        frame: numbers as in the records (scores 0-1), for .csv.
        shown: the same rows as text (scores in percent), for people; of very many
            some.
        bold: (row, column) of `shown` that are the best of their task.
        note: what a reader must know to read it right.
    """

    kind: typing.ClassVar[str] = 'table'
    name: str
    title: str
    frame: pd.DataFrame
    shown: pd.DataFrame
    bold: frozenset[tuple[int, str]] = frozenset()
    note: str = ''

    @property
    def rows(self) -> list[list[Cell]]:
        """The rows of `shown`."""
        return [
            [Cell(text, (i, head) in self.bold) for head, text in row.items()]
            for i, row in enumerate(self.shown.to_dict('records'))
        ]

    def with_numbers(self, rows: Sequence[Row]) -> 'Table':
        """The same table with the numbers of more rows than are shown."""
        return dataclasses.replace(self, frame=_frame(rows))

    def with_bold(self, places: Iterable[tuple[int, str]]) -> 'Table':
        """The same table with the texts at (row, head) in bold."""
        return dataclasses.replace(self, bold=frozenset(places))


def table(
    name: str,
    title: str,
    rows: Sequence[Row],
    columns: Mapping[str, Column],
    *,
    optional: Iterable[str] = (),
    note: str = '',
) -> Table:
    """A Table of rows, dicts of numbers.

    Args:
        columns: {head: text of a row's dict}.
        optional: heads that are left out where no row has a text.
    """
    shown = pd.DataFrame(
        [{head: text(row) for head, text in columns.items()} for row in rows],
        columns=list(columns),
    )
    empty = [head for head in optional if head in shown and not shown[head].any()]
    return Table(
        name=name,
        title=title,
        frame=_frame(rows),
        shown=shown.drop(columns=empty),
        note=note,
    )


def _frame(rows):
    """Whole numbers stay whole beside cells that are empty."""
    frame = pd.DataFrame(rows)
    for name in frame:
        values = [row[name] for row in rows if row[name] is not None]
        if values and all(type(value) is int for value in values):
            frame[name] = pd.array([row[name] for row in rows], dtype='Int64')
    return frame


def csv(table: Table) -> str:
    """The numbers as in the records, unrounded."""
    return csv_text(table.frame)


def csv_text(frame: pd.DataFrame) -> str:
    """The rows as CSV, in which no text is a formula."""
    frame = frame.rename(columns=escaping.spreadsheet)
    for name in frame.select_dtypes(exclude='number'):
        frame[name] = frame[name].map(escaping.spreadsheet)
    return frame.to_csv(index=False, lineterminator='\n')


def md(table: Table) -> str:
    """A GitHub table; columns are aligned, so that it also reads as plain text."""
    note = f'\n{escaping.markdown(table.note)}\n' if table.note else ''
    body = _tabulated(table, 'github', escaping.markdown, '**{}**')
    return f'### {escaping.markdown(table.title)}\n\n{body}\n{note}'


def tex(table: Table) -> str:
    """A LaTeX table that needs no package."""
    return '\n'.join(
        [
            r'\begin{table}',
            rf'\caption{{{_tex_text(table.title)}. {_tex_text(table.note)}}}',
            rf'\label{{tab:{table.name}}}',
            _tabulated(table, 'latex_raw', _tex_text, r'\textbf{{{}}}'),
            r'\end{table}',
            '',
        ]
    )


def _tabulated(table, form, escape, bold):
    """The rows as a table of tabulate's; `bold`: how an escaped text is made bold.

    Escaped here, as tabulate would also escape what makes a text bold.
    """
    texts = [
        [(bold if cell.bold else '{}').format(escape(cell.text)) for cell in row]
        for row in table.rows
    ]
    head = [escape(name) for name in table.shown.columns]
    return tabulate.tabulate(texts, head, tablefmt=form, disable_numparse=True)


def _tex_text(text):
    return escaping.tex(text).replace(' +- ', r' $\pm$ ')


def html(table: Table) -> str:
    """The table as an HTML file of its own."""
    return rendering.render('table.html', table=table)


def parquet(table: Table) -> bytes:
    """The numbers as an Apache Parquet file: columns as in the .csv, with types."""
    out = io.BytesIO()
    table.frame.to_parquet(out, index=False)
    return out.getvalue()


FORMATS: dict[str, Callable[[Table], str | bytes]] = {
    'csv': csv,
    'md': md,
    'tex': tex,
    'html': html,
    'parquet': parquet,
}
DEFAULT = ('csv', 'md', 'tex')  # Written unless others are asked for.


def write(
    tables: Iterable[Table],
    folder: str | pathlib.Path,
    formats: Iterable[str] = DEFAULT,
) -> list[pathlib.Path]:
    """Writes each Table as <name>.<format>, complete or not at all; returns the paths.

    Raises:
        errors.InputError: an unknown format.
    """
    writers = {name: errors.find('format', FORMATS, name) for name in formats}
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for table in tables:
        for suffix, writer in writers.items():
            paths.append(folder / f'{table.name}.{suffix}')
            content = writer(table)
            if isinstance(content, str):
                content = content.encode()
            with storage.replacing(paths[-1]) as temporary:
                temporary.write_bytes(content)
    return paths
