"""Which ImageNet network transfers best to my images, how, and how sure is that?

    import tfxfer
    result = tfxfer.compare('my/images')
    result = tfxfer.load('runs/images')

docs/api.md describes both. The packages are attributes, too. All are imported when they
are asked for: `import tfxfer` alone takes milliseconds, needs no TensorFlow and changes
nothing.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from tfxfer.comparison.api import compare, load
    from tfxfer.comparison.result import Result

__version__ = '0.1.0'
# No module here is called like one of these names: importing it would hide the name.
__all__ = ['Result', 'compare', 'load']

_PACKAGES = (
    'analysis',
    'comparison',
    'data',
    'export',
    'logreg',
    'models',
    'report',
    'study',
    'training',
    'transfer',
)


def __getattr__(name: str) -> typing.Any:
    if name in _PACKAGES:
        return importlib.import_module(f'tfxfer.{name}')
    if name in __all__:
        return getattr(importlib.import_module('tfxfer.comparison.api'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, *_PACKAGES])
