"""The networks: built, given weights, and run. Their names are loaded when asked for.

So that weights can be looked for before TensorFlow is imported.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from tfxfer.models.factory import (
        BUILDERS,
        GRAPHS,
        SCALINGS,
        TRAINING,
        build,
        dtype_policy,
        from_application,
        keras_file,
        load_weights,
        save_weights,
        scaled,
        seeded,
        set_batch_norm_momentum,
    )

__all__ = [
    'BUILDERS',
    'GRAPHS',
    'SCALINGS',
    'TRAINING',
    'build',
    'dtype_policy',
    'from_application',
    'keras_file',
    'load_weights',
    'save_weights',
    'scaled',
    'seeded',
    'set_batch_norm_momentum',
]


def __getattr__(name: str) -> typing.Any:
    if name in __all__:
        return getattr(importlib.import_module('tfxfer.models.factory'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
