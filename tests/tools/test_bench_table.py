"""The table of docs/benchmarks.md is that of the rows beside it."""

import dataclasses
import json
import re

import pytest

from tests.conftest import ROOT
from tfxfer import errors
from tfxfer.cli import app
from tools import bench_table
from tools.benchmarks import machine, rows

RECORDED = ROOT / 'docs/benchmarks'
TWO_CORES = machine.Machine('Some CPU', ('AVX2',), 2)
ROWS = [
    rows.Row('making | batches', 1310, 'images/s', {'PyTorch': 820, 'Keras': 72.5}),
    rows.Row('a path', 2.0, 's', {'scikit-learn': 600}, at_least=('scikit-learn',)),
    rows.Row('a report', 19, 's', note='0.8 GiB'),
    rows.Row('a trial', 1, 's', record={'quick': True}),
]


@pytest.fixture
def folder(tmp_path):
    rows.write(tmp_path / 'bench_logreg.json', TWO_CORES, ROWS[1:2])
    rows.write(tmp_path / 'bench_input.json', TWO_CORES, ROWS[:1])
    other = tmp_path / 'other'
    other.mkdir()
    gpu = dataclasses.replace(TWO_CORES, cores=1, gpu='NVIDIA H200')
    rows.write(other / 'bench_report.json', gpu, ROWS[2:])
    return tmp_path


def test_the_table_of_the_docs_is_that_of_the_rows_beside_it():
    page = (ROOT / 'docs/benchmarks.md').read_text()
    assert rows.taken_from(page) == rows.table(rows.read_folder(RECORDED))


def test_other_pages_state_recorded_figures():
    _, (report,) = rows.read(next(RECORDED.rglob('bench_report.json')))
    text = ' '.join((ROOT / 'docs/studies.md').read_text().split())
    assert f'take {report.ours} s and {report.note} (measured' in text


def test_the_table_goes_into_a_page(folder, tmp_path, capsys):
    page = tmp_path / 'page.md'
    page.write_text(f'before\n{rows.BEGIN}\nold\n{rows.END}\nafter\n')
    for _ in range(2):  # The second time there is nothing to change.
        app.call(bench_table, [folder, f'--page={page}'])
        table = (
            'On 2 cores of Some CPU with AVX2:\n\n'
            '| what | tfxfer | peers | program |\n|---|---|---|---|\n'
            '| making \\| batches | 1,310 images/s | PyTorch 820, Keras 72.5 '
            '| `tools.bench_input` |\n'
            '| a path | 2.0 s | scikit-learn ≥ 600 s | `tools.bench_logreg` |\n\n'
            'On 1 core of Some CPU with AVX2; NVIDIA H200:\n\n'
            '| what | tfxfer | peers | program |\n|---|---|---|---|\n'
            '| a report | 19 s, 0.8 GiB | none | `tools.bench_report` |'
        )
        assert page.read_text() == (
            f'before\n{rows.BEGIN}\n\n{table}\n\n{rows.END}\nafter\n'
        )
        assert capsys.readouterr().out.strip() == table


def test_a_page_without_the_two_lines_is_refused(folder, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(f'{rows.END}\n{rows.BEGIN}\n')
    with pytest.raises(errors.InputError, match='tools.bench_table: begin'):
        app.call(bench_table, [folder, f'--page={page}'])


def test_a_folder_without_rows_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match='no file bench_'):
        app.call(bench_table, [tmp_path])
    with pytest.raises(errors.InputError, match='One folder'):
        app.call(bench_table, [])


@pytest.mark.parametrize(
    'name, text, said',
    [
        ('bench_input', '{"rows": []}', 'machine'),
        ('bench_input', '[]', 'list'),
        ('bench_imput', '{}', "'bench_input'"),
    ],
)
def test_a_file_that_holds_no_rows_is_refused(name, text, said, tmp_path):
    (tmp_path / f'{name}.json').write_text(text)
    with pytest.raises(errors.InputError, match=said):
        rows.read_folder(tmp_path)


def test_a_row_measured_anew_replaces_the_old_one(tmp_path):
    path = tmp_path / 'bench_input.json'
    old = [rows.Row('a', 1, 's'), rows.Row('b', 2, 's')]
    rows.write(path, TWO_CORES, [rows.Row('b', 3, 's')], old)
    assert rows.read(path) == (TWO_CORES, [old[0], rows.Row('b', 3, 's')])


@pytest.mark.parametrize(
    'value, kept',
    [(1310.4, 1310), (99.96, 100), (31.649, 31.6), (2.0, 2.0), (0.04567, 0.0457)],
)
def test_three_digits_are_kept(value, kept):
    assert repr(rows.rounded(value)) == repr(kept)


def test_the_figures_that_rows_replaced_are_still_there():
    """Of the machine with AVX-512, as the table had them when written by hand."""
    folder = RECORDED / 'two_cores_avx512'
    found = {}
    for path in folder.glob('*.json'):
        where, own = rows.read(path)
        assert str(where) == '2 CPU cores with AVX-512'
        found |= {row.what: (row.ours, *row.peers.values()) for row in own}
    assert len(found) == 19
    assert found['mobilenet_v1, images to features, float32'] == (172, 99, 157)
    assert found['training resnet_50, 128 pixels, batch 32'] == (26, 24, 21)
    assert found['6 penalties, 60,000 x 2,048 features, 101 classes'] == (102, 127)


@pytest.mark.parametrize('path', sorted(RECORDED.rglob('*.json')), ids=str)
def test_recorded_files_are_plain_json_with_a_program(path):
    assert path.stem in rows.PROGRAMS
    assert (ROOT / f'tools/{path.stem}.py').exists()
    assert re.search(r'"cores": \d', path.read_text())
    json.loads(path.read_text())
