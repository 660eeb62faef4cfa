"""The page of a report: sections of parts, in the order in which they are shown.

templates/parts.html has a macro for each kind of part; a formats.Table is one.
"""

import base64
import dataclasses
import pathlib
import typing
from collections.abc import Iterable, Sequence

from tfxfer.report import figure_files, formats, rendering, style


@dataclasses.dataclass(frozen=True)
class Paragraph:
    kind: typing.ClassVar[str] = 'paragraph'
    text: str


@dataclasses.dataclass(frozen=True)
class Bullets:
    kind: typing.ClassVar[str] = 'list'
    texts: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Figure:
    """An image that is in the page itself.

    Attributes:
        mime: 'image/png' or 'image/svg+xml'.
        data: the file in base64.
        width, height: in CSS pixels, 96 per inch.
    """

    kind: typing.ClassVar[str] = 'figure'
    title: str
    caption: str
    mime: str
    data: str
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Fold:
    """Parts behind one click."""

    kind: typing.ClassVar[str] = 'fold'
    summary: str
    parts: Sequence['Part']
    open: bool = False


Part = Paragraph | Bullets | Figure | Fold | formats.Table


@dataclasses.dataclass(frozen=True)
class Section:
    title: str
    parts: Sequence[Part]


def render(sections: Iterable[Section]) -> str:
    """The HTML of a page that holds everything it shows; sections of nothing are not.

    The same sections give the same bytes.
    """
    return rendering.render('page.html', sections=[s for s in sections if s.parts])


def paragraphs(texts: Iterable[str]) -> list[Paragraph]:
    return [Paragraph(text) for text in texts]


def figure(drawing: style.Drawing, folder: pathlib.Path) -> Figure:
    """A drawing as part of a page; folder: where figure_files.save has put it."""
    if drawing.subject in figure_files.RASTER:  # They are many: each is drawn once.
        mime, content = 'image/png', (folder / f'{drawing.name}.png').read_bytes()
    else:
        mime, content = 'image/svg+xml', figure_files.svg(drawing).encode()
    width, height = 96 * drawing.figure.get_size_inches()
    return Figure(
        title=drawing.title,
        caption=drawing.caption,
        mime=mime,
        data=base64.b64encode(content).decode(),
        width=round(width),
        height=round(height),
    )


def folded_figures(summary: str, figures: Sequence[Figure]) -> list[Fold]:
    """One Fold of the figures, whose summary gives their number; none of none."""
    if not figures:
        return []
    count = f'{len(figures)} figure{"s" if len(figures) > 1 else ""}'
    return [Fold(f'{summary}: {count}', figures)]
