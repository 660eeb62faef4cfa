import importlib
import os
import pathlib
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tfxfer import cli, config_files, errors
from tfxfer.cli import app, evaluate, programs, run, sweep

FOLDER = pathlib.Path(cli.__file__).parent


def test_every_program_is_listed_with_a_line_about_it():
    with_flags = {
        path.stem
        for path in FOLDER.glob('*.py')
        if '\ndef define_flags' in path.read_text()
    }
    assert with_flags == set(programs.PROGRAMS)
    lines = programs.overview().splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 108
    for name in programs.PROGRAMS:
        assert len(programs.summary(name)) > 20


@pytest.mark.parametrize('name', programs.PROGRAMS)
def test_every_program_has_help_flags_and_a_door(name):
    program = importlib.import_module(f'tfxfer.cli.{name}')
    assert program.__doc__ and program.main
    if f'tfxfer {name} ' in program.__doc__:
        return  # The door of all.
    shown = [word for word in program.__doc__.split() if word.endswith(f'.{name}')]
    assert shown, 'its help says no command'
    module = importlib.util.find_spec(shown[0])
    assert module and (ROOT in pathlib.Path(module.origin).parents)


def test_the_console_command_dispatches_from_any_folder(tmp_path):
    """With the configs of the package, which import each other."""
    done = subprocess.run(
        [
            sys.executable, '-m', 'tfxfer', 'run', '--config=configs/finetune.py',
            '--config.arch=mobilenet_v9',
        ],
        cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(ROOT)}, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Did you mean 'mobilenet_v2'" in done.stderr.splitlines()[-1]


def test_an_unknown_program_is_named_with_the_nearest(capsys):
    with pytest.raises(SystemExit):
        programs.main(['tfxfer', 'reprot'])
    assert "Did you mean 'report'" in capsys.readouterr().err


def test_predict_is_short_for_predict_images(capsys):
    with pytest.raises(SystemExit) as ended:
        programs.main(['tfxfer', 'predict'])
    assert ended.value.code == 2 and '--model=DIR' in capsys.readouterr().err


def test_the_overview_is_what_no_program_prints(capsys):
    programs.main(['tfxfer'])
    assert capsys.readouterr().out == f'{programs.overview()}\n'


@pytest.mark.parametrize(
    'program, flag',
    [(run, 'threads'), (sweep, 'threads'), (sweep, 'jobs'), (evaluate, 'image_size')],
)
def test_a_number_that_no_machine_has_is_refused_before_the_work(program, flag):
    with pytest.raises(errors.InputError, match=flag):
        app.call(program, [f'--{flag}=1000000000'])


def test_a_config_is_ours_where_there_is_no_such_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours = str(ROOT / 'configs' / 'logistic.py')
    for path in ('configs/logistic.py', 'logistic.py', 'logistic'):
        assert config_files.find(path) == ours
    assert config_files.find('logistic.py:argument') == f'{ours}:argument'
    for path in ('mine/logistic.py', 'configs/logistik.py', '', str(tmp_path)):
        with pytest.raises(errors.InputError, match='No config file .*logistic'):
            config_files.find(path)
    (tmp_path / 'logistic.py').touch()
    assert config_files.find('logistic.py') == 'logistic.py'
