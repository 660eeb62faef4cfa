"""What a program says to its user and how it then ends, and look-ups by name."""

import difflib
import typing
from collections.abc import Mapping

Value = typing.TypeVar('Value')


class Stopped(Exception):
    """Work was told to stop, and is saved; the same command goes on from there.

    Programs print it as one line and exit with status 75 (EX_TEMPFAIL).
    """


class Busy(Exception):
    """Another process does this work already. Programs exit with status 75, too."""


class InputError(ValueError):
    """What was asked for cannot be done; the message says what can.

    Programs print it as one line and exit with status 2.
    """


def find(kind: str, table: Mapping[typing.Any, Value], name: object) -> Value:
    """Returns table[name], or says what would have worked.

    Raises:
        InputError: `name` is not in `table`; names the nearest and all known ones.
    """
    if name in table:
        return table[name]
    close = difflib.get_close_matches(str(name), [str(key) for key in table], n=1)
    hint = f' Did you mean {close[0]!r}?' if close else ''
    raise InputError(
        f'No {kind} named {name!r}.{hint} Known: {", ".join(map(str, table))}.'
    )
