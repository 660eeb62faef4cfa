"""Every command that the documentation prints is run: see support/documented.py."""

import ast
import csv
import importlib
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from PIL import Image

from tests.support import documented, full_size, pages
from tests.support import made_results as made
from tests.support.documented import COVERED, By, Called, Chained, Script, covered
from tfxfer.cli import app

ROOT = pages.ROOT
PROGRAMS = {path.stem for path in (ROOT / 'tfxfer/cli').glob('[!_]*.py')}


def test_every_command_has_an_entry_and_every_entry_a_command():
    printed = {command.text for command in pages.commands()} - {*documented.LEFT_OUT}
    assert not printed - set(COVERED), 'nothing runs these'
    assert not set(COVERED) - printed, 'no page prints these'


def module_of(text):
    """The module that a command starts, as tools.sweep; '' for another program.

    Of the console command, `tfxfer compare`, these are its two words.
    """
    match = re.search(r'python -m (t(?:fxfer|ools)\.\w+)|^(tfxfer \w+)', text)
    return match[1] or match[2] if match else ''


def program_of(module):
    """The program behind python -m MODULE; None: it cannot be called from here."""
    name = re.split('[. ]', module)[-1]
    full = f'tfxfer.cli.{name}' if name in PROGRAMS else module
    program = importlib.import_module(full)
    return program if hasattr(program, 'define_flags') else None


@pytest.mark.parametrize('text', covered(By))
def test_the_test_that_runs_a_command_exists_and_names_the_program(text):
    path, _, name = COVERED[text].test.partition('::')
    tree = ast.parse((ROOT / path).read_text())
    assert name in {getattr(node, 'name', '') for node in tree.body}
    program = re.search(r'tools/(\w+)\.sh|python -m \w+\.(\w+)|^(\w+)', text)
    assert next(filter(None, program.groups())) in (ROOT / path).read_text()


@pytest.mark.parametrize('text', covered(Script))
def test_the_script_that_runs_a_command_is_called_by_ci(text):
    path = COVERED[text].path
    program = text.removeprefix('python -m ').partition(' ')[0]
    assert program in (ROOT / path).read_text()
    assert path in (ROOT / '.ci/run').read_text()


class Parsed:
    """A program that takes its flags and does nothing."""

    def __init__(self, program):
        self.__name__, self.define_flags = program.__name__, program.define_flags

    def main(self, given):
        pass


@pytest.mark.parametrize('text', [text for text in COVERED if module_of(text)])
def test_every_flag_exists_and_takes_its_value(text, monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(text.partition(module_of(text))[2])
    more = shlex.split(getattr(COVERED[text], 'more', ''))
    if program := program_of(module_of(text)):
        app.call(Parsed(program), arguments)
        app.call(Parsed(program), [*arguments, *more])
        return
    source = (ROOT / module_of(text).replace('.', '/')).with_suffix('.py').read_text()
    for flag in re.findall(r'--(?!config)(\w+)', ' '.join([*arguments, *more])):
        assert f"'{flag}'" in source


class Sandbox:
    """A folder in which commands run as printed, with what a user has."""

    def __init__(self, folder, images):
        self.folder = folder
        for name in ('configs', 'tfxfer', 'tools'):
            (folder / name).symlink_to(ROOT / name)
        with open(folder / 'list.csv', 'w', newline='') as file:
            for path in sorted(images.rglob('*.png')):
                csv.writer(file).writerow([path, path.parent.name])
        (folder / 'scans').mkdir()
        for path in (folder / 'photo.jpg', folder / 'scans/scan.jpg'):
            Image.open(next(images.rglob('*.png'))).save(path)
        (folder / 'their_results.csv').write_text(
            'dataset,network,setting,score\n'
            'digits_5_9,theirs,logistic,0.9\n'
            'digits_5_9,others,logistic,0.8\n'
        )
        self.names = {
            '/my/images': images,
            '/my/list.csv': folder / 'list.csv',
            'MY_DATA': 'data',
            'MY_CHECKPOINTS': 'checkpoints',
        }

    def call(self, text, more):
        """Runs a command: here where it can be called, else in a new process."""
        module = module_of(text)
        text = f'{text.partition(module)[2]} {more}'
        for name, value in self.names.items():
            text = text.replace(name, str(value))
        for name, pattern in (
            ('PRETRAIN_ID', 'runs/mine/*-pretrain-final-*'),
            ('RUN_ID', 'runs/mine/*-logistic-final-*'),
            ('KEY', 'runs/mine/cache/features/[!.]*[!k]'),  # Not their locks.
        ):
            if name in text:
                text = text.replace(name, min(self.folder.glob(pattern)).name)
        if program := program_of(module):
            app.call(program, shlex.split(text))
        else:
            command = [sys.executable, '-m', module, *shlex.split(text)]
            subprocess.run(command, cwd=self.folder, check=True)


@pytest.fixture
def sandbox(tmp_path, photographs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Sandbox(tmp_path, photographs())


@pytest.mark.parametrize('text', covered(Called))
def test_a_quick_command_runs_as_printed(text, sandbox, capsys):
    if '--results=runs/study' in text:
        made.write_study(pathlib.Path('runs/study'))
    sandbox.call(text, COVERED[text].more)
    assert COVERED[text].says in capsys.readouterr().out.replace(',', '')


@pytest.mark.parametrize(
    'chain',
    full_size.marked(
        sorted({how.chain for how in covered(Chained).values()}), slow=['images']
    ),
)
def test_long_commands_run_in_a_small_form(chain, sandbox):
    for text, how in covered(Chained).items():
        if how.chain == chain:
            sandbox.call(text, how.more)
    if chain == 'images':
        for name in (
            'my_model/saved_model.pb',
            'my_phone_model/model.tflite',
            'runs/mine/report.html',
            'runs/pretrain',
            'features.npz',
        ):
            assert (sandbox.folder / name).exists()
