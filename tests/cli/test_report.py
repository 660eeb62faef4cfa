import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.support import made_results as made
from tfxfer import errors
from tfxfer.cli import app, report


def test_the_path_of_the_report_is_printed(tmp_path, capsys):
    made.write_study(tmp_path, made.NETWORKS[:1], ('logistic',))
    app.call(report, [f'--results={tmp_path}'])
    assert capsys.readouterr().out == f'{tmp_path / "report.html"}\n'
    assert (tmp_path / 'report.html').exists()


def test_published_results_alone_need_an_output(tmp_path):
    theirs = tmp_path / 'theirs.csv'
    theirs.write_text('dataset,network,setting,score\ncars,a,logistic,0.5\n')
    with pytest.raises(errors.InputError, match='nope.*--output='):
        app.call(report, [f'--results={tmp_path / "nope"}', f'--published={theirs}'])


def test_a_backend_of_the_users_other_figures_is_not_ours(tmp_path, program):
    made.write_study(tmp_path, made.NETWORKS[:1], ('logistic',))
    backend = {**os.environ, 'MPLBACKEND': 'nothing'}
    done = program('tfxfer.report', f'--results={tmp_path}', env=backend)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('made_folder', [True, False])
def test_a_folder_without_results_is_named(tmp_path, made_folder):
    folder = tmp_path / 'empty'
    if made_folder:
        folder.mkdir()
    with pytest.raises(errors.InputError, match=str(folder)):
        app.call(report, [f'--results={folder}'])


def test_the_program_needs_no_tensorflow(tmp_path):
    """Nor pyplot, which would keep every figure alive and look for a display."""
    made.write_study(tmp_path, made.NETWORKS[:1], ('logistic',))
    out = tmp_path / 'out.html'
    code = (
        'import atexit, runpy, sys\n'
        'def check():\n'
        '    names = {"tensorflow", "keras", "sklearn", "matplotlib.pyplot"}\n'
        '    print(names & set(sys.modules))\n'
        'atexit.register(check)\n'
        # Thumbnails of digits are made of scikit-learn's.
        'sys.argv = ["report", "--nothumbnails", '
        f'"--results={tmp_path}", "--output={out}"]\n'
        'runpy.run_module("tfxfer.report", run_name="__main__")\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(out), 'set()']
    assert out.exists()


@pytest.mark.exhaustive
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(program, small_disk):
    disk, make_room = small_disk
    (disk / 'filler').write_bytes(bytes(700_000))
    example = ROOT / 'tests/example_results'
    arguments = [f'--results={example}', f'--output={disk}/theirs/report.html']
    full = program('tfxfer.report', *arguments)
    assert full.returncode == 1 and 'Traceback' not in full.stderr
    last = full.stderr.splitlines()[-1]
    assert last.startswith(f'error: No space left on device ({disk}/theirs/')
    assert not list(disk.rglob('.*'))
    make_room()
    done = program('tfxfer.report', *arguments)
    assert done.returncode == 0, done.stderr
