"""The pages of the documentation: their files, their code blocks, their anchors."""

import collections.abc
import pathlib
import re
import typing

ROOT = pathlib.Path(__file__).parents[2]
PAGES = tuple(
    sorted([
        *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')),
        *(ROOT / 'docs').glob('*.md'),
    ])
)  # fmt: skip


class Command(typing.NamedTuple):
    """One command as a page prints it, on one line and without its comment."""

    page: str
    text: str


def name_of(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str) -> collections.abc.Iterator[tuple[str, str]]:
    """(language, content) of the fenced blocks of a page, in order."""
    for match in re.finditer(r'^```(\w*)\n(.*?)^```$', text, re.M | re.S):
        yield match[1], match[2]


def without_code(text: str) -> str:
    """A page without its fenced blocks and code in lines."""
    return re.sub(
        r'`[^`\n]*`', '', re.sub(r'^```.*?^```$', '', text, flags=re.M | re.S)
    )


def commands() -> list[Command]:
    """Every command of the blocks that are marked as bash, in the pages' order."""
    listed = []
    for page in PAGES:
        for language, content in blocks(page.read_text()):
            if language == 'bash':
                for line in content.replace('\\\n', ' ').splitlines():
                    text = ' '.join(re.sub(r'\s#.*', '', line).split())
                    if text and not text.startswith('#'):
                        listed.append(Command(name_of(page), text))
    return listed


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    outside = re.sub(r'^```.*?^```$', '', text, flags=re.M | re.S)
    titles = re.findall(r'^#+ (.+)$', outside, re.M)
    plain = (re.sub(r'[^\w\- ]', '', title.lower()) for title in titles)
    return {title.strip().replace(' ', '-') for title in plain}
