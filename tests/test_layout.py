"""The arrows of the README's picture, and other facts about the source itself."""

import ast
import dataclasses
import importlib
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tfxfer import config

# A module imports only from lines above its own.
LINES = (
    {'config', 'metrics', 'splits', 'vino', 'nets'},
    {
        'architectures',
        'datasets',
        'files',
        'leases',
        'diagnostics',
        'results',
        'stats',
        'logreg',
        'preprocess',
        'app',
        'imagesets',
        'cluster',
        'sgd',
        'board',
        'engine',
    },
    {
        'imagefiles',
        'idx',
        'builders',
        'sweep',
        'executors',
        'checkpoints',
        'train',
        'cells',
        'formats',
        'plots',
    },
    {
        'driver',
        'folders',
        'prepared',
        'inputs',
        'models',
        'comparisons',
        'choices',
        'published',
    },
    {
        'sources',
        'predict',
        'imagecache',
        'predict_images',
        'experiments',
        'details',
        'card',
        'tflite',
    },
    {'features', 'probe', 'tables', 'experiment_figures'},
    {'answers', 'figures'},
    {'settings', 'report', 'rates'},
    {'run'},
    {'export'},
)
WITHOUT_TENSORFLOW = (
    'config architectures datasets files imagefiles folders prepared imagesets metrics '
    'splits stats results sources sweep executors leases driver cells comparisons '
    'formats tables figures answers report app logreg card plots choices experiments '
    'published experiment_figures details idx diagnostics'
).split()
MODULES = sorted((ROOT / 'tfxfer').glob('*.py'))


def test_the_picture_names_every_module():
    known = set().union(*LINES)
    found = {path.stem for path in MODULES} - {'__init__'} | {'nets'}
    assert found == known


@pytest.mark.parametrize('path', MODULES, ids=lambda path: path.stem)
def test_imports_point_up(path):
    if path.stem == '__init__':
        return
    line = next(i for i, names in enumerate(LINES) if path.stem in names)
    above = set().union(*LINES[:line])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith(
            'tfxfer'
        ):
            parts = node.module.split('.')
            names = [parts[1]] if len(parts) > 1 else [a.name for a in node.names]
            assert set(names) <= above, f'{path.stem} imports {names}'


def test_tools_are_never_imported_by_the_package():
    for path in (ROOT / 'tfxfer').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            modules = [
                getattr(node, 'module', None) or '',
                *(a.name for a in node.names),
            ]
            assert not any(m.split('.')[0] in ('tools', 'tests') for m in modules), path


def test_modules_of_facts_and_reporting_need_no_tensorflow():
    code = (
        'import importlib, sys\n'
        f'for name in {WITHOUT_TENSORFLOW!r}:\n'
        '    importlib.import_module("tfxfer." + name)\n'
        'bad = {"tensorflow", "keras", "tf_keras"} & set(sys.modules)\n'
        'assert not bad, bad\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('path', MODULES, ids=lambda path: path.stem)
def test_flags_are_read_only_under_a_main(path):
    """Importing a module defines no flag."""
    import tensorflow_datasets  # noqa: F401  It defines a flag of its own.
    from absl import flags

    before = set(flags.FLAGS)
    importlib.import_module(
        f'tfxfer.{path.stem}' if path.stem != '__init__' else 'tfxfer'
    )
    assert set(flags.FLAGS) == before
    assert path.stem == 'app' or 'flags.FLAGS' not in path.read_text()


@pytest.mark.parametrize('path', sorted((ROOT / 'configs').glob('*.py')), ids=str)
def test_every_config_says_command_and_loads(path):
    module = importlib.import_module(f'configs.{path.stem}')
    assert 'python -m' in module.__doc__ or 'bash tools/' in module.__doc__
    found = module.get_config()
    fields = found.to_dict()
    assert found.get_type('image_size') is int  # Which a flag can be, where it is None.
    if 'archs' in fields:
        from tfxfer import sweep

        study = sweep.study_from(fields)
        assert sweep.plan(tuple(sweep.cells(study)), {}).ready
        assert set(fields) == names(sweep.Study) - {'digests', 'images'}
        for setting, cls in config.HPARAMS.items():
            grid = setting in config.GRIDS
            swapped = {'lr', 'wd', *sweep.OF_GRID} if grid else set()
            assert set(fields[setting]) == names(cls) ^ swapped
    else:
        assert config.from_dict(fields).id
        filled = {'trials', 'search', 'resume', 'dataset_digest', 'weights_digest'}
        assert set(fields) == names(config.Run) - filled
        assert set(fields['hparams']) == names(config.HPARAMS[fields['setting']])


def names(cls):
    return {field.name for field in dataclasses.fields(cls)}
