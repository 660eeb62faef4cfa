import io
import re

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfxfer import errors, number_format
from tfxfer.report import formats


def example(name='mine', text='a_b'):
    rows = [
        {'name': text, 'score': 0.5, 'n': 3},
        {'name': 'c', 'score': 1 / 3, 'n': None},
    ]
    columns = {
        'name': lambda row: row['name'],
        'score %': lambda row: number_format.percent(row['score']),
        'of': lambda row: number_format.count(row['n']),
    }
    table = formats.table(name, '50 % & more', rows, columns, note='A note.')
    return table.with_bold({(0, 'score %')})


def test_csv_keeps_every_digit_and_whole_numbers_whole():
    text = formats.csv(example())
    assert text == 'name,score,n\na_b,0.5,3\nc,0.3333333333333333,\n'
    assert pd.read_csv(io.StringIO(text)).score[1] == 1 / 3


def test_md_is_aligned_with_the_best_in_bold():
    title, _, head, rule, *rows, _, note = formats.md(example()).splitlines()
    assert (title, note) == ('### 50 % & more', 'A note.')
    assert set(rule) == set('|-')
    assert [re.split(r' *\| *', line)[1:-1] for line in (head, *rows)] == [
        ['name', 'score %', 'of'],
        ['a_b', '**50.0**', '3'],
        ['c', '33.3', ''],
    ]
    # The signs between columns stand below one another.
    places = {
        tuple(m.start() for m in re.finditer(r'\|', line)) for line in (head, *rows)
    }
    assert len(places) == 1


def test_texts_that_look_like_numbers_are_not_changed():
    rows = formats.md(example(text='1e-05')), formats.tex(example(text='0010'))
    assert '| 1e-05 ' in rows[0] and ' 0010 ' in rows[1]


def test_tex_escapes_what_latex_would_read():
    text = formats.tex(example(text='50 % of {a_b} \\ ~ #1 & $2'))
    row = next(line for line in text.splitlines() if 'textbf' in line)
    assert ' '.join(row.split()) == (
        r'50 \% of \{a\_b\} \textbackslash{} \textasciitilde{} \#1 \& \$2 & '
        r'\textbf{50.0} & 3 \\'
    )
    assert r'\caption{50 \% \& more. A note.}' in text
    assert text.count('{') - text.count(r'\{') == text.count('}') - text.count(r'\}')


def test_tex_writes_plus_minus_as_a_sign():
    assert r'94.0 $\pm$ 1.0' in formats.tex(example(text='94.0 +- 1.0'))


def test_md_keeps_a_cell_within_its_column():
    row = formats.md(example(text='a|b\n<i>*c*')).splitlines()[4]
    assert row.startswith(r'| a\|b &lt;i>\*c\* |')


def test_html_escapes_what_a_browser_would_read():
    text = formats.html(example(text='<script>alert(1)</script>'))
    assert '<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>' in text
    assert '<script' not in text
    assert '<td><b>50.0</b></td>' in text


def test_columns_without_a_text_are_dropped_where_optional():
    rows = [{'a': 1, 'b': None}]
    columns = {
        'a': lambda row: number_format.count(row['a']),
        'b': lambda row: number_format.count(row['b']),
    }
    made = formats.table('x', 'x', rows, columns, optional=('a', 'b', 'c'))
    assert list(made.shown) == ['a']
    assert list(made.frame) == ['a', 'b']  # The .csv has the same columns always.


def test_write_makes_a_file_a_table_and_format(tmp_path):
    tables = [example('one'), example('two')]
    paths = formats.write(tables, tmp_path / 'new', ['csv', 'tex'])
    names = ['one.csv', 'one.tex', 'two.csv', 'two.tex']
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == names
    assert paths[0].read_text() == formats.csv(tables[0])


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(errors.InputError, match="'tec'.*Did you mean 'tex'"):
        formats.write([example()], tmp_path / 'new', ['csv', 'tec'])
    assert not (tmp_path / 'new').exists()


def test_parquet_keeps_numbers_and_what_is_not_known(tmp_path):
    (path,) = formats.write([example()], tmp_path, ['parquet'])
    read = pq.read_table(path)
    assert read.schema.names == ['name', 'score', 'n']
    assert read.column('score').to_pylist() == [0.5, 1 / 3]
    assert read.column('n').to_pylist() == [3, None]
    assert read.schema.field('n').type == pa.int64()


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    (path,) = formats.write([example()], tmp_path, ['parquet'])
    old = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError('No space left on device')

    monkeypatch.setattr(pd.DataFrame, 'to_parquet', fail)
    with pytest.raises(OSError, match='No space'):
        formats.write([example(text='new')], tmp_path, ['parquet'])
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_html_file_is_a_page_of_its_own(tmp_path):
    (path,) = formats.write([example(text='Größe')], tmp_path, ['html'])
    text = path.read_text(encoding='utf-8')
    assert text.startswith('<!DOCTYPE html>') and 'charset="utf-8"' in text
    assert '<td>Größe</td>' in text and '<h1>50 % &amp; more</h1>' in text


def test_what_nobody_asked_for_is_not_written(tmp_path):
    paths = formats.write([example()], tmp_path)
    assert [path.suffix for path in paths] == ['.csv', '.md', '.tex']


def test_csv_has_no_formula():
    text = formats.csv(example(text="=cmd|' /C calc'!A0"))
    assert text.splitlines()[1] == "'=cmd|' /C calc'!A0,0.5,3"
    rows = [{'@x': '-1', 'difference': -0.5}, {'@x': '+x', 'difference': None}]
    table = formats.table('x', 'x', rows, {'x': lambda row: row['@x']})
    assert formats.csv(table) == "'@x,difference\n-1,-0.5\n'+x,\n"


def test_a_row_of_tex_may_begin_with_any_sign():
    lines = formats.tex(example(text='[a]*')).splitlines()
    assert [line for line in lines if line.lstrip().startswith('{[}a{]}{*} ')]
