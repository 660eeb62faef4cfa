"""A table as .csv .md .tex .html .parquet."""

import dataclasses
import html as html_lib
import io
import pathlib

import pandas as pd

from tfxfer import errors, storage

METRICS = {
    'top1': 'accuracy',
    'mean_per_class': 'mean-per-class accuracy',
    'voc_map': '11-point mean average precision',
}


@dataclasses.dataclass(frozen=True)
class Table:
    """One table, which holds its numbers twice.

    Attributes:
        name: of its files.
        title: one line.
        frame: numbers as in the records (scores 0-1), for .csv.
        shown: the same rows as text (scores in percent), for people.
        bold: (row, column) of `shown` that are the best of their task.
        note: what a reader must know to read it right.
    """

    name: str
    title: str
    frame: pd.DataFrame
    shown: pd.DataFrame
    bold: frozenset = frozenset()
    note: str = ''


def table(name, title, rows, columns, *, optional=(), bold=(), note=''):
    """A Table of rows, dicts of numbers.

    Args:
        columns: {head: text of a row's dict}.
        optional: heads that are left out where no row has a text.
        bold: (row, head) pairs.
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
        bold=frozenset(bold),
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


def csv(table):
    return table.frame.to_csv(index=False, lineterminator='\n')


def md(table):
    """A GitHub table; columns are aligned, so that it also reads as plain text."""
    head = [_md_text(name) for name in table.shown.columns]
    body = _texts(table, _md_text, '**{}**'.format)
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    rule = ['-' * width for width in widths]
    lines = [
        '| ' + ' | '.join(map(str.ljust, row, widths)) + ' |'
        for row in (head, rule, *body)
    ]
    note = f'\n{_md_text(table.note)}\n' if table.note else ''
    return f'### {_md_text(table.title)}\n\n' + '\n'.join(lines) + f'\n{note}'


def tex(table):
    """A LaTeX table that needs no package."""
    head = [_tex_text(name) for name in table.shown.columns]
    body = _texts(table, _tex_text, r'\textbf{{{}}}'.format)
    return '\n'.join(
        [
            r'\begin{table}',
            rf'\caption{{{_tex_text(table.title)}. {_tex_text(table.note)}}}',
            rf'\label{{tab:{table.name}}}',
            rf'\begin{{tabular}}{{{"l" * len(head)}}}',
            r'\hline',
            ' & '.join(head) + r' \\',
            r'\hline',
            *(' & '.join(row) + r' \\' for row in body),
            r'\hline',
            r'\end{tabular}',
            r'\end{table}',
            '',
        ]
    )


def html(table):
    """An HTML table in a box that scrolls, and its note."""
    head = ''.join(f'<th>{html_lib.escape(name)}</th>' for name in table.shown.columns)
    body = ''.join(
        f'<tr>{"".join(f"<td>{text}</td>" for text in row)}</tr>\n'
        for row in _texts(table, html_lib.escape, '<b>{}</b>'.format)
    )
    note = f'<p class="note">{html_lib.escape(table.note)}</p>\n' if table.note else ''
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f'<tbody>\n{body}</tbody>\n</table></div>\n{note}'
    )


def _texts(table, escape, embolden):
    """Rows of escaped texts, the best in bold."""
    return [
        [
            embolden(escape(text)) if (i, head) in table.bold else escape(text)
            for head, text in row.items()
        ]
        for i, row in enumerate(table.shown.to_dict('records'))
    ]


def _md_text(text):
    for sign in '\\|*`':
        text = text.replace(sign, '\\' + sign)
    return ' '.join(text.replace('<', '&lt;').split())


def _tex_text(text):
    signs = {sign: '\\' + sign for sign in '&%$#_{}'}
    signs |= {'\\': r'\textbackslash{}', '~': r'\textasciitilde{}'}
    signs |= {'^': r'\textasciicircum{}', '<': r'\textless{}', '>': r'\textgreater{}'}
    plain = ''.join(signs.get(sign, sign) for sign in text)
    return plain.replace(' +- ', r' $\pm$ ')


def page(table):
    """The table as an HTML file of its own."""
    title = html_lib.escape(table.title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<title>{title}</title>\n<h1>{title}</h1>\n{html(table)}</html>\n'
    )


def parquet(table):
    """The numbers as an Apache Parquet file: the columns of the .csv, with their types.

    Returns:
        bytes.
    """
    out = io.BytesIO()
    table.frame.to_parquet(out, index=False)
    return out.getvalue()


FORMATS = {'csv': csv, 'md': md, 'tex': tex, 'html': page, 'parquet': parquet}
USUAL = ('csv', 'md', 'tex')  # What is written where nobody asks for others.


def write(tables, folder, formats=USUAL):
    """Writes each Table as <name>.<format>, complete or not at all; returns the paths.

    Raises:
        errors.InputError: an unknown format.
    """
    writers = {name: errors.find('format', FORMATS, name) for name in formats}
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for one in tables:
        for suffix, writer in writers.items():
            paths.append(folder / f'{one.name}.{suffix}')
            content = writer(one)
            if isinstance(content, str):
                content = content.encode()
            with storage.replacing(paths[-1]) as aside:
                aside.write_bytes(content)
    return paths
