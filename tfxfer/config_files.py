"""Where the files of configs/ are: in the working folder, a checkout or the package."""

import importlib
import importlib.machinery
import importlib.util
import pathlib
import runpy
import sys
import typing

import tfxfer
from tfxfer import errors

if typing.TYPE_CHECKING:
    import ml_collections

_PACKAGE = pathlib.Path(tfxfer.__file__).parent
FOLDERS = (_PACKAGE / 'configs', _PACKAGE.parent / 'configs')


def find(path: str) -> str:
    """The path itself where there is such a file, else ours of that name.

    So that --config=configs/logistic.py means the same in any folder. After the path
    may stand a colon and an argument, for the file's get_config.

    Raises:
        errors.InputError: there is no such file.
    """
    file, colon, argument = path.partition(':')
    if pathlib.Path(file).is_file():
        return path
    name = pathlib.PurePath(file)
    if name.parent.as_posix() in ('.', 'configs'):
        for folder in FOLDERS:
            for suffix in ('', '.py'):
                if (folder / f'{name.name}{suffix}').is_file():
                    return str(folder / f'{name.name}{suffix}') + colon + argument
    ours = {found.stem for folder in FOLDERS for found in folder.glob('[!_]*.py')}
    raise errors.InputError(
        f'No config file {file!r}. Known in any folder: configs/NAME.py, of '
        f'{", ".join(sorted(ours))}.'
    )


def make_importable() -> None:
    """Lets configs import each other, `from configs import study`, in any folder.

    Also in one that has a `configs` of its own, as many projects do: ours are then
    looked for after those.
    """
    ours = [str(folder) for folder in FOLDERS if folder.is_dir()]
    try:
        configs = importlib.import_module('configs')
    except ModuleNotFoundError:
        spec = importlib.machinery.ModuleSpec('configs', None, is_package=True)
        configs = sys.modules['configs'] = importlib.util.module_from_spec(spec)
    there = list(getattr(configs, '__path__', ()))
    configs.__path__ = [*there, *(path for path in ours if path not in there)]


def load(name: str) -> 'ml_collections.ConfigDict':
    """The config of a file, which `find` finds.

    Raises:
        errors.InputError: there is no such file.
    """
    make_importable()
    return runpy.run_path(find(name))['get_config']()
