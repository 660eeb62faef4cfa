"""Which ImageNet network transfers best to my images, how, and how sure is that?

The packages are attributes, imported when they are asked for: `import tfxfer` alone
takes milliseconds, needs no TensorFlow and changes nothing.
"""

import importlib
import types

__version__ = '0.1.0'

_PACKAGES = (
    'analysis',
    'data',
    'export',
    'logreg',
    'models',
    'report',
    'study',
    'training',
    'transfer',
)


def __getattr__(name: str) -> types.ModuleType:
    if name in _PACKAGES:
        return importlib.import_module(f'tfxfer.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
