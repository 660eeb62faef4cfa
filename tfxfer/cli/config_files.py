"""Where the files of configs/ are: in the working folder, a checkout or the package."""

import importlib.machinery
import importlib.util
import pathlib
import sys

import tfxfer

_PACKAGE = pathlib.Path(tfxfer.__file__).parent
FOLDERS = (_PACKAGE / 'configs', _PACKAGE.parent / 'configs')


def find(path: str) -> str:
    """The path itself where there is such a file, else ours of that name.

    So that --config=configs/logistic.py means the same in any folder.
    """
    name = pathlib.PurePath(path)
    if pathlib.Path(path).exists() or name.parent.as_posix() not in ('.', 'configs'):
        return path
    for folder in FOLDERS:
        for suffix in ('', '.py'):
            if (folder / f'{name.name}{suffix}').is_file():
                return str(folder / f'{name.name}{suffix}')
    return path


def make_importable() -> None:
    """Lets configs import each other, `from configs import study`, in any folder."""
    if importlib.util.find_spec('configs') is not None:
        return
    spec = importlib.machinery.ModuleSpec('configs', None, is_package=True)
    spec.submodule_search_locations = [
        str(folder) for folder in FOLDERS if folder.is_dir()
    ]
    sys.modules['configs'] = importlib.util.module_from_spec(spec)
