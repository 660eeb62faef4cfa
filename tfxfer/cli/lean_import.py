"""TensorFlow and Keras without what they import for functions that no program calls.

Both import other packages where these are installed: plots, scikit-learn's interface,
data frames as inputs of `fit`, Google's clusters. That is a third of the time of their
import, which every Run pays for.
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
    """From now on the import of TensorFlow, Keras or tf_keras finds none of LEFT_OUT.

    What is imported already stays as it is, and afterwards all can be imported as ever.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the next finders do, and loads it with a _Loader."""

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
    """Loads a module as another loader does, without LEFT_OUT."""

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
        # Python takes None for a package that is not there.
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
        try:
            self._loader.exec_module(module)
        finally:
            for name in hidden:
                sys.modules.pop(name, None)
