"""Faster imports of TensorFlow and Keras: without the optional packages they load.

Where Matplotlib, pandas, scikit-learn, IPython or Google's API client are installed,
TensorFlow and Keras import them too, for functions that no program here calls. That
takes more than a third of their import, which every Run waits for.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence

LEFT_OUT = (
    'IPython',
    'googleapiclient',
    'matplotlib',
    'oauth2client',
    'pandas',
    'sklearn',
)
_LEAN = ('keras', 'tensorflow', 'tf_keras')  # The last is imported by orbit.


def enable() -> None:
    """Hides LEFT_OUT from the imports of TensorFlow, Keras and tf_keras to come.

    All other code can import these packages as ever, before and afterwards.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds _LEAN as the other finders do, to be loaded by a _Loader."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _LEAN:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec and spec.loader:
                spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Loads a module as another loader does, while LEFT_OUT is hidden."""

    def __init__(self, loader: importlib.abc.Loader):
        self._loader = loader

    def create_module(
        self, spec: importlib.machinery.ModuleSpec
    ) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__:
            module.__spec__.loader = self._loader
        hidden = [name for name in LEFT_OUT if name not in sys.modules]
        # Importing a name whose entry is None fails as if it were not installed.
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
        try:
            self._loader.exec_module(module)
        finally:
            for name in hidden:
                sys.modules.pop(name, None)
