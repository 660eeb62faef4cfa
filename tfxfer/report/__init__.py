"""Tables, figures and one self-contained page of a results folder. No TensorFlow."""

import typing

if typing.TYPE_CHECKING:
    from tfxfer.report.build import summary, write

__all__ = ['summary', 'write']


def __getattr__(name: str) -> typing.Any:
    """Matplotlib is imported when a page is made, not where a table is printed."""
    if name not in __all__:
        raise AttributeError(f'{__name__} has no {name}: only {", ".join(__all__)}.')
    from tfxfer.report import build

    return getattr(build, name)
