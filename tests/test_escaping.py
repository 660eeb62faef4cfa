"""Users' text stays text in every kind of output."""

import pytest

from tfxfer import escaping


@pytest.mark.parametrize(
    'text, shown',
    [
        ('R&D, 100 % of "it"', 'R&D, 100 % of "it"'),
        ('十元 é', '十元 é'),
        ('a\nb\r\tc', r'a\nb\r\tc'),
        ('\x1b[31mred\x9b0m', r'\x1b[31mred\x9b0m'),
        ('evil\u202egpj.exe', r'evil\u202egpj.exe'),
        ('\ud800', r'\ud800'),
        ('\udce9', r'\xe9'),  # A byte of a file name that is no UTF-8.
    ],
)
def test_a_terminal_gets_one_line_without_commands(text, shown):
    assert escaping.line(text) == shown
    assert escaping.control(text) == (text != shown)


def test_lines_keep_their_ends():
    assert escaping.lines('a\n\tb\x1bc') == 'a\n\tb\\x1bc'


@pytest.mark.parametrize(
    'text, escaped',
    [
        ('R&D', 'R&D'),
        ('mobilenet_v1_0.25', 'mobilenet_v1_0.25'),  # An underscore within a word.
        ('_a_ __b__', r'\_a\_ \_\_b\_\_'),
        ('*a* `b` ~~c~~ $d$', r'\*a\* \`b\` \~\~c\~\~ \$d\$'),
        ('[text](http://x)', r'\[text\](http://x)'),
        ('<b>&lt;', '&lt;b>&amp;lt;'),
        ('a | b \\', r'a \| b \\'),
        ('two\n\nlines', 'two lines'),
        ('\x1b[0m', r'\\x1b\[0m'),
    ],
)
def test_markdown_reads_nothing_in_a_text(text, escaped):
    assert escaping.markdown(text) == escaped


@pytest.mark.parametrize(
    'text, code',
    [
        ('a', '`a`'),
        ('a`b', '``a`b``'),
        ('``', '``` `` ```'),
        ('a\n# b', r'`a\n# b`'),
        (' a ', '`  a  `'),  # Of which Markdown strips one space on each side.
        ('', '`  `'),
    ],
)
def test_code_in_markdown_ends_where_the_text_does(text, code):
    assert escaping.markdown_code(text) == code


def test_tex_reads_nothing_in_a_text():
    assert escaping.tex(r'50 % of {a_b} \ ~ #1 & $2^3 <|>') == (
        r'50 \% of \{a\_b\} \textbackslash{} \textasciitilde{} \#1 \& '
        r'\$2\textasciicircum{}3 \textless{}\textbar{}\textgreater{}'
    )
    # After the \\ of the row before, [1] would be a length and * a part of it.
    assert escaping.tex('[1]*') == '{[}1{]}{*}'
    assert escaping.tex('no\n\nparagraph') == 'no paragraph'


@pytest.mark.parametrize(
    'text', ['=1+1', '+cmd', '-cmd', '@SUM(A1)', '\t=1', '\r=1', '-1+cmd|x', '=']
)
def test_a_spreadsheet_sees_text_where_it_would_see_a_formula(text):
    assert escaping.spreadsheet(text) == f"'{text}"


@pytest.mark.parametrize(
    'value', ['a=1', '-1', '+0.5', '-1e-05', '-3 %', '', 'a-b', -1, 0.5, None]
)
def test_numbers_and_other_texts_of_a_spreadsheet_stay(value):
    assert escaping.spreadsheet(value) == value
