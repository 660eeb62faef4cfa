"""A CSV file of images: a path, a label and perhaps a split per line. No TensorFlow."""

import csv
import io
import logging
import os
import pathlib
import re
import unicodedata
from collections.abc import Sequence, Set

from tfxfer import datasets, errors
from tfxfer.data import file_list, image_set

COLUMNS = {
    'path': ('path', 'file', 'filename', 'image'),
    'label': ('label', 'class'),
    'split': ('split', 'subset'),
}


def read(
    dataset: datasets.Dataset, options: image_set.Options
) -> tuple[datasets.Dataset, image_set.Images]:
    """(Dataset, Images) of a CSV of path, label and perhaps split.

    A line of column names may come first (those of COLUMNS, in any order). Paths are
    absolute or from the CSV's folder; the separator is a comma, semicolon or tab.

    Raises:
        errors.InputError: a line that cannot be right, with its number; one class;
            or (unless options.skip_broken) a broken file.
    """
    path = pathlib.Path(dataset.path).expanduser()
    if not path.is_file():
        raise errors.InputError(
            f'No file {dataset.path!r}. csv:/path needs a text file with a path, a '
            'label and perhaps a split (train, valid, test) per line.'
        )
    return file_list.gather(dataset, options, path.parent, _files(path))


def _files(path: pathlib.Path) -> list[file_list.File]:
    """The Files that a CSV's rows name."""
    rows = _rows(path)
    order = _columns(path, *rows[0])
    if order and len(rows) == 1:
        raise errors.InputError(f'{path} has no row below its line of names.')
    if order:
        rows = rows[1:]
    order = order or list(COLUMNS)[: len(rows[0][1])]
    files = []
    lines: dict[str, int] = {}  # Of each path.
    for number, row in rows:
        cells = dict(zip(order, row, strict=True))
        for name, cell in cells.items():
            if name != 'split' and not cell:
                raise errors.InputError(f'{path} line {number} has no {name}.')
        cells['path'] = _on_disk(path.parent, cells['path'])
        image = os.path.normpath(path.parent / cells['path'])
        if image in lines:
            raise errors.InputError(
                f'{path} names {cells["path"]} twice, in lines {lines[image]} and '
                f'{number}: an image has one label and is in one split.'
            )
        lines[image] = number
        split = cells.get('split', '').lower()
        if split and split not in file_list.SPLITS:
            raise errors.InputError(
                f'{path} line {number}: no split is named {cells["split"]!r}. Known: '
                f'{", ".join(file_list.SPLITS)}.'
            )
        files.append(
            file_list.File(cells['path'], cells['label'], file_list.SPLITS.get(split))
        )
    _check_rows(path, files, list(lines.values()))
    return files


def _check_rows(
    path: pathlib.Path, files: Sequence[file_list.File], numbers: Sequence[int]
) -> None:
    """Raises InputError where the rows do not make a task; numbers: of their lines."""
    with_split = [file.split is not None for file in files]
    if any(with_split) and not all(with_split):
        raise errors.InputError(
            f'{path} line {numbers[with_split.index(False)]} has no split, but line '
            f'{numbers[with_split.index(True)]} has one: give all rows a split, or '
            'none.'
        )
    missing = [
        (number, path.parent / file.path)
        for number, file in zip(numbers, files, strict=True)
        if not os.path.isfile(path.parent / file.path)
    ]
    if missing:
        (number, image), *others = missing
        more = f' (and {len(others)} more)' if others else ''
        raise errors.InputError(
            f'{path} line {number}: no file {image}{more}. Paths are '
            "absolute or from the CSV's folder; a first line of names must have "
            'path and label.'
        )
    names = {file_list.composed(file.label) for file in files}
    if len(names) < 2:
        raise errors.InputError(
            f'All rows of {path} have the label {names.pop()!r}; at least 2 classes '
            'are needed.'
        )
    _warn_of_combinations(path, names)


def _warn_of_combinations(path: pathlib.Path, names: Set[str]) -> None:
    """Warns of labels such as `scab rust` beside `scab` and `rust`."""
    joined = [
        name
        for name in sorted(names)
        if len((set(re.split(r'\s*[\s|;,/+&]\s*', name)) - {name}) & names) > 1
    ]
    if joined:
        logging.warning(
            '%s: %d labels join others that also stand alone (%s). Each combination '
            'is read as a class of its own: several labels per image cannot be given '
            'in a CSV.', path, len(joined), ', '.join(map(repr, joined[:3])),
        )  # fmt: skip


def _on_disk(folder: pathlib.Path, name: str) -> str:
    """The name as the file system has it, which may compose letters otherwise."""
    if name.isascii():
        return name
    forms = [name, *(unicodedata.normalize(form, name) for form in ('NFC', 'NFD'))]
    return next((form for form in forms if os.path.isfile(folder / form)), name)


def _rows(path: pathlib.Path) -> list[tuple[int, list[str]]]:
    """[(line number, cells)] of the rows that are not blank, all of one length."""
    data = path.read_bytes()
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b'\n') + 1
        raise errors.InputError(
            f'{path} line {line} is not UTF-8. Save the file as "CSV UTF-8".'
        ) from error
    delimiter = max('\t;,', key=lambda delimiter: _suiting(text, delimiter))
    rows = _parsed(path, text, delimiter)
    if not rows:
        raise errors.InputError(
            f'{path} is empty. It needs a path, a label and perhaps a split per line.'
        )
    columns = len(rows[0][1])
    for number, row in rows:
        if len(row) != columns or columns not in (2, 3):
            first = f'; line {rows[0][0]} has {columns}' if len(row) != columns else ''
            raise errors.InputError(
                f'{path} line {number} has {len(row)} column(s){first}. Needed are 2 '
                'or 3 in all: path, label and perhaps split, with a comma, semicolon '
                'or tab between them.'
            )
    return rows


def _suiting(text: str, delimiter: str) -> tuple[int, int]:
    """How many rows have 2 or 3 cells, and how many have several."""
    try:
        cells = [len(row) for row in csv.reader(_lines(text), delimiter=delimiter)]
    except csv.Error:
        return 0, 0
    return sum(n in (2, 3) for n in cells), sum(n > 1 for n in cells)


def _parsed(
    path: pathlib.Path, text: str, delimiter: str
) -> list[tuple[int, list[str]]]:
    """[(number of its first line, cells)] of the rows that are not blank."""
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    rows, line = [], 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise errors.InputError(f'{path} line {line}: {error}.') from error
    return rows


def _lines(text: str) -> io.StringIO:
    return io.StringIO(text, newline='')  # Line ends as they are: csv wants them so.


def _columns(path: pathlib.Path, number: int, row: Sequence[str]) -> list[str] | None:
    """The COLUMNS that a line of names gives, or None where it is a row of data."""
    known = {name: column for column, names in COLUMNS.items() for name in names}
    order = [known.get(cell.lower(), cell) for cell in row]
    if not {'path', 'label'} <= set(order):
        return None
    if len(set(order)) < len(order) or not set(order) <= set(COLUMNS):
        raise errors.InputError(
            f'{path} line {number} names the columns {", ".join(row)}. Known are '
            f'{", ".join("/".join(names) for names in COLUMNS.values())}, each once.'
        )
    return order
