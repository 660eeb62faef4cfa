"""Which cells are not measured yet."""

import dataclasses
from collections.abc import Iterable

from tfxfer.analysis import cells
from tfxfer.report import columns, formats
from tfxfer.report.section import Section, Study

NAME = 'missing'


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


SECTION = Section(tables=_tables, notes=_notes, names=(NAME,))
