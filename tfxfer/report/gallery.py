"""Thumbnails of the most confident mistakes of the best cell of each task."""

import base64
import pathlib
from collections.abc import Sequence

from tfxfer import number_format
from tfxfer.data import thumbnails as pictures
from tfxfer.report import page, thumbnails
from tfxfer.report.section import Study, task_title
from tfxfer.report.sections import mistakes

NOTE = (
    'The highest confidence first (not calibrated). Some may be mistakes of the labels.'
)


def galleries(study: Study, folders: Sequence[pathlib.Path]) -> list[page.Part]:
    """A Gallery for each task that has a mistake, or a word where images are not there.

    folders: see thumbnails.of.
    """
    parts: list[page.Part] = []
    for one in study.once(mistakes.most_confident):
        title = f'{task_title(one.cell)}: {one.cell.name}'
        jpegs, reason = thumbnails.of(one.record, one.wrong, folders)
        if reason:
            parts.append(page.Paragraph(f'{title}: no pictures. {reason}'))
        else:
            parts.append(page.Gallery(title, _pictures(one, jpegs), NOTE))
    if study.few or not parts:
        return parts
    return [page.Fold(f'Each of {len(parts)} datasets', parts)]


def _pictures(one, jpegs):
    sizes = pictures.sizes(jpegs)
    rows = mistakes.rows(one)
    return [
        page.Picture(
            data=base64.b64encode(data).decode(),
            width=size[0],
            height=size[1],
            label=row['class'],
            predicted=row['taken_for'],
            confidence=f'{number_format.percent(row["confidence"])} %',
            name=row['image'],
        )
        for data, size, row in zip(jpegs, sizes, rows, strict=True)
    ]
