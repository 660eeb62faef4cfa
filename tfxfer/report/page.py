"""The page of a report: sections of parts, in the order in which they are shown.

templates/parts.html has a macro for each kind of part; a formats.Table is one.
"""

import base64
import dataclasses
import pathlib
import re
import typing
from collections.abc import Iterable, Sequence

from tfxfer.report import figure_files, formats, rendering, style

SMALL = 450  # CSS pixels: a figure that is a phone's width is at least 0.7 of it.


@dataclasses.dataclass(frozen=True)
class Paragraph:
    kind: typing.ClassVar[str] = 'paragraph'
    text: str


@dataclasses.dataclass(frozen=True)
class Bullets:
    kind: typing.ClassVar[str] = 'list'
    texts: Sequence[str]


class Fact(typing.NamedTuple):
    """What is said of something, in a few words."""

    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts, one under the other."""

    kind: typing.ClassVar[str] = 'facts'
    facts: Sequence[Fact]


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

    @property
    def small(self) -> bool:
        """Whether it is read well when it is made as narrow as a phone."""
        return self.width <= SMALL


class Picture(typing.NamedTuple):
    """A small JPEG in base64, of an image that was taken for another class.

    width, height: in pixels. name: of the image; '' if it has none.
    """

    data: str
    width: int
    height: int
    label: str
    predicted: str
    confidence: str
    name: str = ''


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    kind: typing.ClassVar[str] = 'gallery'
    title: str
    pictures: Sequence[Picture]
    note: str


@dataclasses.dataclass(frozen=True)
class Fold:
    """Parts behind one click."""

    kind: typing.ClassVar[str] = 'fold'
    summary: str
    parts: Sequence['Part']
    open: bool = False


Part = Paragraph | Bullets | Facts | Figure | Gallery | Fold | formats.Table


@dataclasses.dataclass(frozen=True)
class Section:
    """Parts under a heading; card: set apart from the others, above the contents."""

    title: str
    parts: Sequence[Part]
    card: bool = False

    @property
    def anchor(self) -> str:
        """What links within the page name it by."""
        return re.sub(r'[^a-z0-9]+', '-', self.title.lower()).strip('-')


def render(sections: Iterable[Section]) -> str:
    """The HTML of a page that holds everything it shows; sections of nothing are not.

    Cards come first, then the contents, then the rest. The same sections give the same
    bytes.
    """
    shown = [section for section in sections if section.parts]
    return rendering.render(
        'page.html',
        cards=[section for section in shown if section.card],
        sections=[section for section in shown if not section.card],
    )


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


def folded_tables(tables: Iterable[formats.Table]) -> list[Fold]:
    """Each table behind its title."""
    return [Fold(table.title, [table]) for table in tables]
