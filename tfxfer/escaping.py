"""Text of the user's (names of classes, files, datasets) in each kind of output.

Such a text is shown as it is, and never read as markup, a formula or a command. There
is one function per kind of output. HTML is escaped by the templates of reports, and
Matplotlib is told not to look for mathematics.
"""

import re
import typing

# Signs by which text is shown in another order than it is stored.
_BIDI = '\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069'
# Besides: control characters (of C0, C1), ends of lines, halves of surrogate pairs.
_CONTROL = re.compile(rf'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_BIDI}]')
_MARKDOWN = re.compile(r'[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])')
_NUMBER = re.compile(r'[+-]?[\d.,]+(e[+-]?\d+)?\s*%?', re.IGNORECASE)
_TEX = {
    **{sign: '\\' + sign for sign in '&%$#_{}'},
    '\\': r'\textbackslash{}',
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    '|': r'\textbar{}',
    # At the start of a row they would belong to the end of the row before.
    '[': '{[}',
    ']': '{]}',
    '*': '{*}',
}


def control(text: str) -> bool:
    """Whether a text holds characters that a terminal or a table would obey."""
    return _CONTROL.search(text) is not None


def line(text: str) -> str:
    r"""One line for a terminal: an escape is shown as \x1b, a new line as \n."""
    return _CONTROL.sub(lambda match: _shown(match[0]), text)


def lines(text: str) -> str:
    """Like `line`, for text of several lines and with tabs."""
    return _CONTROL.sub(
        lambda match: match[0] if match[0] in '\n\t' else _shown(match[0]), text
    )


def _shown(sign: str) -> str:
    if '\udc80' <= sign <= '\udcff':  # A byte of a file name that is no UTF-8.
        return f'\\x{ord(sign) - 0xDC00:02x}'
    return sign.encode('unicode_escape').decode()


def markdown(text: str) -> str:
    """Text within a paragraph, heading, list or cell of GitHub's Markdown."""
    text = _MARKDOWN.sub(r'\\\g<0>', line(' '.join(text.split())))
    text = re.sub(r'&(?=#?\w+;)', '&amp;', text)  # Alone it is no entity.
    return text.replace('<', '&lt;')


def markdown_code(text: str) -> str:
    """Code within a line of Markdown, whatever backticks the text has."""
    text = line(text)
    fence = '`' * (1 + max(map(len, re.findall('`+', text)), default=0))
    space = ' ' if text[:1] in ('`', ' ', '') or text[-1:] in ('`', ' ') else ''
    return f'{fence}{space}{text}{space}{fence}'


def tex(text: str) -> str:
    """Text of a LaTeX document or table that needs no package."""
    return ''.join(_TEX.get(sign, sign) for sign in line(' '.join(text.split())))


def spreadsheet(value: typing.Any) -> typing.Any:
    """A value of a CSV file, no formula to the programs that open such files.

    Text that begins with =, +, -, @, a tab or a carriage return gets an apostrophe
    before it, by which spreadsheets know text. Numbers stay.
    """
    if not isinstance(value, str) or not value.startswith(tuple('=+-@\t\r')):
        return value
    return value if _NUMBER.fullmatch(value) else f"'{value}"
