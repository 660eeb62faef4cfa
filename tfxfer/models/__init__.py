"""The networks: built, given weights, and run. Their names are loaded when asked for.

So that weights can be looked for before TensorFlow is imported.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from tfxfer.models.applications import from_application, keras_file
    from tfxfer.models.factory import (
        BUILDERS,
        GRAPHS,
        TRAINING,
        NetworkOptions,
        build,
        source_classifier,
    )
    from tfxfer.models.network import (
        TransferNetwork,
        is_folded,
        set_batch_norm_momentum,
    )
    from tfxfer.models.scaling import SCALINGS, scaled
    from tfxfer.models.seeds import dtype_policy, seeded
    from tfxfer.models.weights_h5 import load_weights, save_weights

# No module here is called like one of these names: importing it would hide the name.
__all__ = [
    'BUILDERS',
    'GRAPHS',
    'SCALINGS',
    'TRAINING',
    'NetworkOptions',
    'TransferNetwork',
    'build',
    'dtype_policy',
    'from_application',
    'is_folded',
    'keras_file',
    'load_weights',
    'save_weights',
    'scaled',
    'seeded',
    'set_batch_norm_momentum',
    'source_classifier',
]
_MODULES = ('factory', 'applications', 'network', 'scaling', 'seeds', 'weights_h5')


def __getattr__(name: str) -> typing.Any:
    if name in __all__:
        for module in _MODULES:
            names = vars(importlib.import_module(f'tfxfer.models.{module}'))
            if name in names:
                return names[name]
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
