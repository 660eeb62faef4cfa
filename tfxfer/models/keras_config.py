"""What Keras' configs describe, judged before any of it is built. No TensorFlow."""

import hashlib
import json
import typing
from collections.abc import Iterator, Mapping

from tfxfer import errors

Config = dict[str, typing.Any]

# What holds code, in the file or beside it.
_CODE = (
    'Lambda', '__lambda__', 'TFSMLayer', 'JaxLayer', 'FlaxLayer', 'TorchModuleWrapper',
)  # fmt: skip
# In the name of the class of a layer's number format; Keras' plain one is DTypePolicy.
_PLAIN_FORMATS = ('DTypePolicy',)


def described(value: typing.Any) -> Iterator[Config]:
    """Every object that a config describes, itself included."""
    if isinstance(value, dict):
        if 'class_name' in value:
            yield value
        for item in value.values():
            yield from described(item)
    elif isinstance(value, list):
        for item in value:
            yield from described(item)


def check_kind(path: str, kind: Config, *, trust: bool) -> None:
    """Refuses what is code, of another library than Keras, or no plain numbers.

    Raises:
        errors.InputError: as said; it names the object.
    """
    name, module = str(kind['class_name']), str(kind.get('module') or 'keras')
    registered = str(kind.get('registered_name') or '')
    shown = kind.get('config')
    if isinstance(shown, dict):
        shown = shown.get('name')
    where = f'{name} {shown!r}' if isinstance(shown, str) else name
    if name in _CODE and not trust:
        raise errors.InputError(
            f'{path} has code in it ({where}), which is not run. If you trust who '
            'made the file: --trust. Better: build the model with layers of Keras.'
        )
    if 'DTypePolicy' in name and name not in _PLAIN_FORMATS:
        raise errors.InputError(
            f'{path} is quantised ({where}), or its layers have number formats of '
            'their own. Save the model before it is quantised.'
        )
    unknown = module.partition('.')[0] not in ('keras', 'builtins') or '>' in registered
    if name == 'function' and module == 'builtins':
        unknown = '>' in registered or registered not in ('', 'function', shown)
    if unknown:
        raise errors.InputError(
            f'{path} needs code of yours ({where}), which it does not hold. Build the '
            'model with layers of Keras.'
        )


def digest(model: Config, arrays: Mapping[str, typing.Any]) -> str:
    """SHA-256 of a model, but for how it was compiled, and its weights."""
    named = {key: model.get(key) for key in ('class_name', 'config')}
    total = hashlib.sha256(json.dumps(_unnumbered(named), sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name][()]
        total.update(f'{name} {array.dtype} {array.shape}\n'.encode() + array.tobytes())
    return total.hexdigest()


def _unnumbered(value: typing.Any) -> typing.Any:
    """A config without what is another number each time that it is saved."""
    if isinstance(value, list):
        return [_unnumbered(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {k: _unnumbered(v) for k, v in value.items() if k != 'shared_object_id'}
