"""Which cells are not measured yet."""

import dataclasses
from collections.abc import Iterable

from tfxfer.analysis import cells
from tfxfer.report import columns, formats
from tfxfer.report.section import Section, Study

NAME = 'missing'
NAMED = 10  # Networks in a sentence, of those that lack something.


def table(missing: Iterable[cells.Missing]) -> formats.Table:
    """Cells without a final Run."""
    return formats.table(
        NAME,
        'Not measured yet',
        [dataclasses.asdict(cell) for cell in missing],
        {
            **columns.texts('network', 'dataset', 'setting'),
            **columns.SIZES,
            'trials done': columns.count('trials'),
        },
        optional=columns.OPTIONAL,
        note='Every network is expected on every dataset, in every setting that '
        'occurs.',
    )


def _tables(study: Study) -> Iterable[formats.Table]:
    yield table(study.missing)


def _notes(study: Study) -> Iterable[str]:
    if study.missing:
        yield (
            f'{len(study.missing)} cells are not measured yet; the tables show the '
            'others.'
        )

    if unknown := sorted({_name(c) for c in study.cells if _without_source(c)}):
        more = f' and {len(unknown) - NAMED} more' if len(unknown) > NAMED else ''
        names = '; '.join(unknown[:NAMED])
        yield (
            f'No single source accuracy is known of {names}{more}: they are in no '
            'figure and no correlation with source accuracy.'
        )


def _name(cell):
    return f'{cell.network}, {cell.setting}'


def _without_source(cell):
    """Of an own checkpoint, say, or scratch where there are several weights."""
    known = cell.source and cell.source['score'] is not None
    return cell.score is not None and not known


SECTION = Section(tables=_tables, notes=_notes, names=(NAME,))
