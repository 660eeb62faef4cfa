"""CSV lists of images."""

import os
import unicodedata

import pytest

from tests.support.own_images import (
    RGB,
    read,
)
from tfxfer import errors


@pytest.fixture
def listed(photographs):
    """Writes text (or bytes) beside 30 photographs: the path of the CSV."""
    root = photographs()

    def write(text, name='list.csv'):
        data = text if isinstance(text, bytes) else text.encode()
        (root / name).write_bytes(data)
        return root / name

    return write


ROWS = [
    (f'{colour}/{i}.png', colour, ('train', 'val', 'test')[max(0, i - 7)])
    for colour in ('red', 'blue')
    for i in range(10)
]


@pytest.mark.parametrize('header', ['', 'path,label\n', 'FileName,Class\n'])
@pytest.mark.parametrize('separator', [',', ';', '\t', ', '])
@pytest.mark.parametrize('start', [b'', b'\xef\xbb\xbf'])
def test_csv_may_have_a_header_any_separator_and_a_bom(
    listed, header, separator, start
):
    text = header.replace(',', separator)
    text += ''.join(f'{path}{separator}{label}\r\n' for path, label, _ in ROWS)
    record, images = read(listed(start + text.encode()), 'csv')
    assert record.class_names == ('blue', 'red') and record.sizes == (13, 3, 4)
    assert images.keys == tuple(path for path, _, _ in ROWS)
    assert images.labels.tolist() == [1] * 10 + [0] * 10


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1)])
def test_csv_with_splits_keeps_them_in_whatever_column(listed, order):
    rows = [('image', 'class', 'subset'), *ROWS]
    text = '\n'.join(','.join(row[i] for i in order) for row in rows)
    record, images = read(listed(text), 'csv')
    assert record.sizes == (16, 2, 2)
    assert [images.keys[i] for i in images.splits['test']] == [
        'red/9.png', 'blue/9.png',
    ]  # fmt: skip


def test_csv_takes_absolute_paths_and_quoted_names_with_separators(listed):
    path = listed('')
    strange = path.parent / 'a, "b"; c.png'
    RGB.save(strange)
    rows = [(str(path.parent / name), label) for name, label, _ in ROWS]
    text = ''.join(f'"{name}","the {label}, one"\n' for name, label in rows)
    text += '\n"a, ""b""; c.png","the red, one"\n'
    record, images = read(listed(text), 'csv')
    assert record.class_names == ('the blue, one', 'the red, one')
    assert images.keys == (*(name for name, _ in rows), 'a, "b"; c.png')
    assert images.paths[-1] == str(strange)


def test_digest_of_a_csv_covers_labels_and_splits(listed):
    first = '\n'.join(','.join(row) for row in ROWS)
    texts = [
        first,
        first.replace('red/9.png,red', 'red/9.png,blue'),
        first.replace('red/8.png,red,val', 'red/8.png,red,test'),
    ]
    digests = [read(listed(text), 'csv')[1].digest for text in texts]
    assert len(set(digests)) == 3
    assert read(listed(f'path,label,split\n{first}'), 'csv')[1].digest == digests[0]


BAD_CSV = {
    'empty': ('', 'is empty'),
    'blank': ('\n\n , \n', 'is empty'),
    'header only': ('path,label\n', 'has no row below'),
    'one column': ('red/0.png\nred/1.png\n', r'line 1 has 1 column\(s\)\. Needed'),
    'four columns': ('red/0.png,red,train,x\n', r'line 1 has 4 column\(s\)\. Needed'),
    'ragged': (
        'path,label\nred/0.png,red\nblue/0.png,blue,train\n',
        r'line 3 has 3 column\(s\); line 1 has 2',
    ),
    'unknown column': ('path,label,width\nred/0.png,red,7\n', 'line 1 names .*width'),
    'column twice': ('path,label,file\nred/0.png,red,7\n', 'line 1 names .*each once'),
    'other header': ('photo,kind\nred/0.png,red\n', 'line 1: no file .*/photo.*first'),
    'missing file': (
        'path,label\n\nred/0.png,red\nred/x.png,red\nred/y.png,blue\n',
        r'line 4: no file .*red/x.png \(and 1 more\)',
    ),
    'same row twice': (
        'red/0.png,red\nblue/0.png,blue\nred/0.png,red\n',
        'twice, in lines 1 and 3',
    ),
    'two labels': (
        'red/0.png,red\nblue/0.png,blue\n./blue/../red/0.png,blue\n',
        'names ./blue/../red/0.png twice, in lines 1 and 3',
    ),
    'two splits': (
        'red/0.png,red,train\nblue/0.png,blue,train\nred/0.png,red,test\n',
        'twice, in lines 1 and 3',
    ),
    'no label': ('red/0.png,red\nblue/0.png,\n', 'line 2 has no label'),
    'no path': ('red/0.png,red\n,blue\n', 'line 2 has no path'),
    'some splits': (
        'red/0.png,red,train\nblue/0.png,blue,\n',
        'line 2 has no split, but line 1 has one',
    ),
    'unknown split': (
        'red/0.png,red,train\nblue/0.png,blue,dev\n',
        "line 2: no split is named 'dev'. Known: train",
    ),
    'no train': ('red/0.png,red,test\nblue/0.png,blue,val\n', 'but no train images'),
    'one class': ('red/0.png,red\nred/1.png,red\n', "have the label 'red'"),
    'open quote': ('red/0.png,red\n"blue/0.png,blue\n', 'line 2: unexpected end'),
    'latin 1': ('red/0.png,red\nblue/0.png,bläu\n'.encode('latin-1'), 'line 2 is not'),
}


@pytest.mark.parametrize('name', BAD_CSV)
def test_bad_csv_is_refused_by_line(listed, name):
    text, message = BAD_CSV[name]
    with pytest.raises(errors.InputError, match=message):
        read(listed(text), 'csv')


def test_missing_csv_is_named(tmp_path):
    with pytest.raises(errors.InputError, match="No file .*list.csv'. csv:/path needs"):
        read(tmp_path / 'list.csv', 'csv')


def test_labels_that_join_others_are_warned_about(listed, caplog):
    """Several labels per image, in whatever way they are written in one column."""
    labels = ['scab', 'rust', 'healthy', 'scab rust', 'scab|rust', 'scab;rust|x']
    rows = [f'red/{i}.png,{label}' for i, label in enumerate(labels)]
    record, _ = read(listed('\n'.join(rows)), 'csv')
    assert record.classes == 6
    assert '3 labels join others that also stand alone' in caplog.text
    caplog.clear()
    names = ['golden retriever', 'flat-coated retriever', 'retriever', 'golden eagle']
    rows = [f'red/{i}.png,{name}' for i, name in enumerate(names)]
    read(listed('\n'.join(rows)), 'csv')
    assert 'stand alone' not in caplog.text


def test_names_composed_otherwise_are_the_same(listed):
    path = listed('')
    composed, apart = (unicodedata.normalize(form, 'é') for form in ('NFC', 'NFD'))
    RGB.save(path.parent / f'{apart}.png')
    rows = [f'{name},{label}' for name, label, _ in ROWS]
    rows += [f'{composed}.png,caf{composed}', f'red/../blue/0.png,caf{apart}']
    text = '\n'.join(row for row in rows if not row.startswith('blue/0.png'))
    record, images = read(listed(text), 'csv')
    assert record.class_names == ('blue', f'caf{composed}', 'red')
    assert images.labels[-2:].tolist() == [1, 1]
    assert all(os.path.exists(path) for path in images.paths)


def test_a_pipe_in_a_csv_is_no_file(listed):
    path = listed('red/0.png,red\npipe.png,blue\n')
    os.mkfifo(path.parent / 'pipe.png')
    with pytest.raises(errors.InputError, match='line 2: no file .*pipe.png'):
        read(path, 'csv')
