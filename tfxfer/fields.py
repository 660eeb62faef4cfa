"""Dataclasses from what people and files say: every name and type is checked."""

import dataclasses
import functools
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping

from tfxfer import errors

if typing.TYPE_CHECKING:
    import ml_collections

Record = typing.TypeVar('Record', bound=typing.Hashable)


def build(kind: str, cls: type[Record], values: Mapping[str, typing.Any]) -> Record:
    """An instance of a dataclass from a dict, every name and type checked.

    Raises:
        errors.InputError: an unknown or missing field, or a value of another type.
    """
    of_fields = types_of(typing.cast(typing.Any, cls))
    for name in values:
        errors.find(kind, of_fields, name)
    missing = [
        f.name
        for f in dataclasses.fields(typing.cast(typing.Any, cls))
        if f.default is f.default_factory and f.name not in values  # Both MISSING.
    ]
    if missing:
        raise errors.InputError(f'Missing {kind}: {", ".join(missing)}.')
    return cls(**{k: _cast(kind, k, of_fields[k], v) for k, v in values.items()})


@functools.cache
def types_of(cls: type) -> dict[str, typing.Any]:
    """{name: annotated type} of the fields of a dataclass."""
    return typing.get_type_hints(cls)


@functools.cache
def _kinds(expected: typing.Any) -> tuple[tuple[type, ...], typing.Any]:
    """(types that a value may have, type of a tuple's items or None)."""
    choices = typing.get_args(expected)
    plain = tuple(t for t in choices or (expected,) if isinstance(t, type))
    return plain, choices[0] if typing.get_origin(expected) is tuple else None


def _cast(kind: str, name: str, expected: typing.Any, value: typing.Any) -> typing.Any:
    """The value as the field's type: 1 for 1.0, a list for a tuple, nothing more."""
    plain, item = _kinds(expected)
    if type(value) in plain and item is None and type(value) is not float:
        return value  # As it is nearly always: a study has half a million of them.
    if item is not None:
        return tuple(_cast(kind, name, item, v) for v in _items(item, value))
    if value is None and type(None) in plain:
        return None
    if float in plain and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if _finite(value) else math.inf
    right = any(isinstance(value, t) for t in plain)
    if not right or (isinstance(value, bool) and bool not in plain):
        names = ' or '.join(t.__name__ for t in plain)
        raise errors.InputError(f'{kind} {name!r} takes {names}; got {value!r}.')
    if isinstance(value, float) and not math.isfinite(value):
        raise errors.InputError(f'{kind} {name!r} must be finite; got {value!r}.')
    return value


def _finite(value: float) -> bool:
    """Whether it is neither infinite nor undefined, nor an int beyond all floats."""
    return abs(value) <= sys.float_info.max


def _items(item: typing.Any, value: typing.Any) -> typing.Any:
    """The items of a tuple field, which may be given alone."""
    if isinstance(value, str) or not hasattr(value, '__iter__'):
        value = (value,)
    if item is str:  # A flag gives all names as one: --config.archs=a,b.
        return [part for text in value for part in _names(str(text)) if part]
    return value


def _names(text: str) -> list[str]:
    """Names between commas; the path of a dataset may have some of its own."""
    return [text] if re.match('(folder|csv|idx):', text) else text.split(',')


def fits(expected: typing.Any, value: typing.Any) -> bool:
    """Whether a value that JSON holds is of an annotated type; numbers are finite."""
    return _fits(expected)(value)


@functools.cache  # A study has a million values.
def _fits(expected: typing.Any) -> Callable[[typing.Any], bool]:
    """`fits` of one type."""
    origin, parts = typing.get_origin(expected), typing.get_args(expected)
    if expected is typing.Any:
        return lambda value: True
    if origin in (typing.Union, types.UnionType):
        choices = tuple(map(_fits, parts))
        return lambda value: any(right(value) for right in choices)
    if origin is tuple:
        item = _fits(parts[0])
        return lambda value: isinstance(value, list) and all(map(item, value))
    if origin is dict:
        of_value = _fits(parts[1])
        return lambda value: (
            isinstance(value, dict) and all(map(of_value, value.values()))
        )
    if expected is float:
        return lambda value: type(value) in (int, float) and _finite(value)
    return lambda value: type(value) is expected


def described(expected: typing.Any) -> str:
    """An annotated type in JSON's words."""
    origin, parts = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return ' or '.join(map(described, parts))
    if origin is tuple:
        return f'list ({described(parts[0])} each)'
    if origin is dict:
        more = '' if parts[1] is typing.Any else f' ({described(parts[1])} each)'
        return f'object{more}'
    return _JSON_NAMES[expected]


_JSON_NAMES: dict[typing.Any, str] = {
    type(None): 'null',
    bool: 'true or false',
    float: 'finite number',
    int: 'whole number',
    str: 'text',
}


def config_dict(
    cls: type, *, leave_out: Collection[str] = (), **values: typing.Any
) -> 'ml_collections.ConfigDict':
    """The fields of a dataclass as a ConfigDict, so that flags can change each of them.

    Args:
        cls: a dataclass.
        leave_out: fields that are not a user's to set, besides those without a default
            that `values` lack.
        **values: what differs from the defaults, or is more.
    """
    import ml_collections  # Only programs that take a config need it.

    of_fields, config = types_of(cls), ml_collections.ConfigDict()
    for field in dataclasses.fields(cls):
        value = values.pop(field.name, field.default)
        if field.name in leave_out or value is dataclasses.MISSING:
            continue
        if value is None:
            (kind,) = set(typing.get_args(of_fields[field.name])) - {type(None)}
            value = ml_collections.config_dict.placeholder(kind)
        config[field.name] = value
    for name, value in values.items():
        config[name] = value
    return config
