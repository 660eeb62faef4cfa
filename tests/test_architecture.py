"""The rules between packages, and other properties of the source."""

import ast
import dataclasses
import importlib
import itertools
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tfxfer import config

PACKAGE = ROOT / 'tfxfer'
BELOW_TRANSFER = {'data', 'models', 'logreg', 'training'}
ABOVE_TRANSFER = {'analysis', 'study', 'race', 'transfer', 'report', 'export'}
# What else than itself and the vocabulary (the files at the root) a package imports.
MAY_IMPORT = {
    'vocabulary': set(),
    'data': set(),
    'models': set(),
    'logreg': set(),
    'training': set(),
    'analysis': set(),
    'study': set(),
    'transfer': BELOW_TRANSFER | {'analysis.feature_diagnostics'},
    'report': {'analysis', 'data.thumbnails'},
    'export': BELOW_TRANSFER | {'transfer', 'analysis.stats'},
    'race': {'analysis', 'study'},
    'comparison': {*BELOW_TRANSFER, *ABOVE_TRANSFER},
    'cli': {*BELOW_TRANSFER, *ABOVE_TRANSFER, 'comparison'},
}
# Those that are there to start a program.
DOORS = ('run', 'predict_images', '__main__', 'report.__main__', 'export.__main__')
# Where TensorFlow may stand at the top of a file.
WITH_TENSORFLOW = {'models', 'training', 'transfer', 'export'}
FILES_WITH_TENSORFLOW = {'data.preprocess', 'data.pipeline', 'data.image_cache'}
HEAVY = ('tensorflow', 'keras', 'orbit', 'tensorflow_datasets')


def modules():
    """{dotted name below tfxfer: path} of every module that is not a door."""
    paths = sorted(PACKAGE.rglob('*.py'))
    names = ['.'.join(p.relative_to(PACKAGE).with_suffix('').parts) for p in paths]
    return {n: p for n, p in zip(names, paths, strict=True) if n not in DOORS}


def package(name):
    return name.partition('.')[0] if '.' in name else 'vocabulary'


def imported(path, *, top=False):
    """Dotted names that a file imports; top: when it is imported itself."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.mark.parametrize('name', modules())
def test_a_package_imports_only_what_is_below_it(name):
    allowed = MAY_IMPORT[package(name)] | {package(name)}
    if name == '__init__':  # For type checkers alone: the names of the public API.
        allowed |= {'comparison'}
    packages = set(MAY_IMPORT) - {'vocabulary'}
    for full in imported(modules()[name]):
        first, *rest = full.split('.')
        assert first not in ('tools', 'tests', 'configs'), full
        if first == 'tfxfer' and rest and rest[0] in packages:
            assert {rest[0], '.'.join(rest[:2])} & allowed, f'{name} imports {full}'


@pytest.mark.parametrize('name', modules())
def test_tensorflow_stands_at_the_top_of_few_files(name):
    if package(name) in WITH_TENSORFLOW or name in FILES_WITH_TENSORFLOW:
        return
    heavy = list(imported(modules()[name], top=True))
    if name != 'data.tfds_builders':  # Which TensorFlow Datasets alone imports.
        assert not [full for full in heavy if full.split('.')[0] in HEAVY]


def test_vocabulary_study_and_report_need_no_tensorflow():
    names = [
        f'tfxfer.{name}'.removesuffix('.__init__')
        for name in modules()
        if package(name) not in WITH_TENSORFLOW and name not in FILES_WITH_TENSORFLOW
        if name != 'data.tfds_builders'
    ]
    code = (
        'import importlib, os, sys\n'
        'before = dict(os.environ)\n'
        f'for name in {names!r}:\n'
        '    importlib.import_module(name)\n'
        'bad = {"tensorflow", "keras", "tf_keras"} & set(sys.modules)\n'
        'assert not bad, bad\n'
        'assert dict(os.environ) == before\n'
    )
    quiet = 'TF_CPP_MIN_LOG_LEVEL'  # Which these tests set for themselves.
    environment = {k: v for k, v in os.environ.items() if k != quiet}
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


def test_the_api_and_the_report_are_imported_in_milliseconds():
    """Of a core's time, which other programs do not lengthen; 2 to 10 ms are usual."""
    code = (
        'import sys, time\n'
        'start, before = time.process_time(), set(sys.modules)\n'
        'import tfxfer, tfxfer.report\n'
        'print(time.process_time() - start)\n'
        'new = {name.partition(".")[0] for name in set(sys.modules) - before}\n'
        'print(*sorted(new - set(sys.stdlib_module_names)))\n'
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, '-c', code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        took, loaded = done.stdout.splitlines()
        assert loaded == 'tfxfer'
        seconds.append(float(took))
    assert min(seconds) < 0.05


@pytest.mark.parametrize('name', modules())
def test_the_trainer_alone_imports_tf_models(name):
    """tf-models-official, of which orbit is a part, brings 40 other packages."""
    used = {full.partition('.')[0] for full in imported(modules()[name])}
    assert not used & {'orbit', 'official'} or package(name) == 'training'


@pytest.mark.parametrize('name', modules())
def test_importing_a_module_defines_no_flag(name):
    import tensorflow_datasets  # noqa: F401  It defines a flag of its own.
    from absl import flags

    before = set(flags.FLAGS)
    importlib.import_module(f'tfxfer.{name}'.removesuffix('.__init__'))
    assert set(flags.FLAGS) == before
    if package(name) != 'cli':
        assert 'flags.FLAGS' not in modules()[name].read_text()


def functions(name):
    """(function's node, its parameters but self and cls, whether it is public)."""

    def visit(node, in_class, public):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from visit(child, True, public and child.name[0] != '_')
            elif isinstance(child, ast.FunctionDef):
                given = [*child.args.posonlyargs, *child.args.args]
                if in_class and given and given[0].arg in ('self', 'cls'):
                    given = given[1:]
                named = child.name.startswith('__') or child.name[0] != '_'
                yield child, [*given, *child.args.kwonlyargs], public and named
                yield from visit(child, False, False)
            else:
                yield from visit(child, in_class, public)

    return visit(ast.parse(modules()[name].read_text()), False, True)


@pytest.mark.parametrize('name', modules())
def test_text_files_are_utf_8_in_every_locale(name):
    """Whoever opens one says so; without it, it would be what the locale is."""
    for node in ast.walk(ast.parse(modules()[name].read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
        mode = next((word.value for word in node.keywords if word.arg == 'mode'), None)
        if called == 'open':
            if not isinstance(node.func, ast.Name):
                continue  # Of a module, such as os or tarfile.
            mode = mode or (node.args[1] if len(node.args) > 1 else None)
            if isinstance(mode, ast.Constant) and 'b' in mode.value:
                continue
        elif called not in ('read_text', 'write_text'):
            continue
        elif len(node.args) > (called == 'write_text'):
            continue
        given = [word.arg for word in node.keywords]
        assert 'encoding' in given, f'line {node.lineno}'


@pytest.mark.parametrize('name', modules())
def test_an_assert_does_nothing_that_python_O_would_miss(name):
    """It tells mypy what is known; only isinstance is called in it."""
    for node in ast.walk(ast.parse(modules()[name].read_text())):
        if isinstance(node, ast.Assert):
            for part in ast.walk(node.test):
                assert not isinstance(part, (ast.NamedExpr, ast.Await, ast.Yield))
                if isinstance(part, ast.Call):
                    assert getattr(part.func, 'id', '') == 'isinstance', node.lineno


@pytest.mark.parametrize('name', modules())
def test_no_function_takes_more_than_six_parameters(name):
    long = [node.name for node, given, _ in functions(name) if len(given) > 6]
    # What a notebook calls, where each is named.
    assert long == (['compare'] if name == 'comparison.api' else [])


@pytest.mark.parametrize('name', modules())
def test_public_signatures_are_typed(name):
    for node, given, public in functions(name):
        variable = [each for each in (node.args.vararg, node.args.kwarg) if each]
        if public:
            untyped = [a.arg for a in (*given, *variable) if a.annotation is None]
            assert not untyped, node.name
            assert node.returns is not None or node.name == '__init__', node.name


@pytest.mark.parametrize('path', sorted((ROOT / 'configs').glob('*.py')), ids=str)
def test_every_config_says_command_and_loads(path):
    module = importlib.import_module(f'configs.{path.stem}')
    assert 'python -m' in module.__doc__ or 'bash tools/' in module.__doc__
    found = module.get_config()
    fields = found.to_dict()
    assert found.get_type('image_size') is int  # Which a flag can be, where it is None.
    if 'archs' in fields:
        from tfxfer.study import checks, planning
        from tfxfer.study.study import FOUND, OF_GRID, Study

        study = checks.study_from(fields)
        assert planning.plan(itertools.islice(planning.cells(study), 100), {}).ready
        assert set(fields) == names(Study) - set(FOUND)
        for setting, cls in config.HPARAMS.items():
            grid = setting in config.GRIDS
            swapped = {'lr', 'wd', *OF_GRID} if grid else set()
            assert set(fields[setting]) == names(cls) ^ swapped
    else:
        assert config.from_dict(fields).id
        filled = {'trials', 'search', 'resume', 'length'}
        filled |= {'arch_digest', 'dataset_digest', 'weights_digest'}
        assert set(fields) == names(config.Run) - filled
        assert set(fields['hparams']) == names(config.HPARAMS[fields['setting']])


def names(cls):
    return {field.name for field in dataclasses.fields(cls)}
