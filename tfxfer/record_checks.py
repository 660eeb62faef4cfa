"""Whether what a record.json holds is what a Record says. No TensorFlow."""

import dataclasses
import os
import typing
from collections.abc import Callable, Iterator, Mapping

from tfxfer import config, errors, fields, metrics

Check: typing.TypeAlias = tuple[str, Callable[[typing.Any], bool]]


class Damaged(errors.InputError):
    """A record.json that no version wrote so: cut off, or with a value that is none.

    What reads a folder of many goes on without it; its Run is carried out anew.
    """

    def __init__(self, path: str | os.PathLike, problem: str) -> None:
        super().__init__(
            f'{path} is not used: {problem}. The Run counts as not done; carrying it '
            'out makes it anew.'
        )


def _share(value: typing.Any) -> bool:
    return fields.fits(float | None, value) and (value is None or 0 <= value <= 1)


def _counts(value: typing.Any) -> bool:
    needed = {'train', 'valid', 'test'} <= value.keys()
    return needed and min(value.values()) >= 0


def _source(value: typing.Any) -> bool:
    return value is None or (
        isinstance(value.get('dataset'), str)
        and {'score', 'images'} <= value.keys()
        and _share(value['score'])
        and fields.fits(int | None, value['images'])
    )


_SHARE = 'a number from 0 to 1, or null', _share
# What the types of a Record do not say.
_CHECKS: dict[str, Check] = {
    'metric': (f'one of {", ".join(metrics.METRICS)}', metrics.METRICS.__contains__),
    'score': _SHARE,
    'valid_score': _SHARE,
    'top5': _SHARE,
    'images': ('counts of train, valid and test', _counts),
    'source': ("null, or an object of 'dataset', 'score' and 'images'", _source),
    'status': ('done or diverged', ('done', 'diverged').__contains__),
    'seconds': ('numbers from 0 on', lambda value: min(value.values(), default=0) >= 0),
}
# What a point of the curve has, of fixed features and of training.
_FIXED = {'l2': float, 'valid_score': float, 'solved': bool}
_TRAINED = {'lr': float, 'wd': float, 'valid_score': float, 'status': str}


def check_types(path: str | os.PathLike, cls: type, values: Mapping) -> None:
    """Checks the fields of a record.json; of `run` only the names of its fields.

    Raises:
        Damaged: a field is missing, or its value is not of its type or range.
        errors.InputError: a field that this version does not know.
    """
    unknown = values.keys() - fields.types_of(cls).keys()
    for problem in () if unknown else _of_types(cls, values):
        raise Damaged(path, problem)
    unknown = unknown or _unknown_of_run(values['run'])
    if unknown:
        raise errors.InputError(
            f'{path} has the field {min(unknown)!r}, which this version of tfxfer does '
            'not know. Read it with the version that wrote it.'
        )


def _unknown_of_run(run: Mapping) -> set[str]:
    """Names of fields that no Run has, nor the hyperparameters of its setting."""
    known = {'id', *config.FORMER_FIELDS, *fields.types_of(config.Run)}
    hparams, setting = run.get('hparams'), run.get('setting')
    if not isinstance(hparams, dict) or not isinstance(setting, str):
        return run.keys() - known
    of_setting: typing.Any = config.HPARAMS.get(setting)
    unknown = hparams.keys() - fields.types_of(of_setting).keys() if of_setting else ()
    return (run.keys() - known) | set(unknown)


def check_run(path: str | os.PathLike, run: config.Run, values: Mapping) -> None:
    """Checks what must go with the Run: scores with its phase, points with its setting.

    Raises:
        Damaged: it does not.
    """
    for problem in _of_run(run, values):
        raise Damaged(path, problem)


def _of_types(cls: type, values: Mapping) -> Iterator[str]:
    """What is wrong with single fields, a phrase each."""
    types = fields.types_of(cls)
    for field in dataclasses.fields(cls):
        name = field.name
        expected = types[name] if name != 'run' else dict[str, typing.Any]
        if name not in values:
            if field.default is field.default_factory:  # Both MISSING.
                yield f'it has no {name!r}'
            continue
        said, right = _CHECKS.get(name, ('', lambda _: True))
        if not (fields.fits(expected, values[name]) and right(values[name])):
            said = said or fields.described(expected)
            yield f'{name!r} must be {said}; it is {_short(values[name])}'


def _of_run(run: config.Run, values: Mapping) -> Iterator[str]:
    needed = 'score' if run.phase == 'final' else 'valid_score'
    if values[needed] is None:
        yield f'{needed!r} must be a number from 0 to 1; it is None'
    point = _FIXED if run.setting == 'logistic' else _TRAINED
    for number, values_of_point in enumerate(values.get('curve', ())):
        for name, expected in point.items():
            value = values_of_point.get(name)
            right = name != 'valid_score' or _share(value)
            if not (fields.fits(expected, value) and right):
                yield (
                    f"{name!r} of point {number} of 'curve' must be "
                    f'{fields.described(expected)}; it is {_short(value)}'
                )
    chosen = values.get('chosen', {})
    if values.get('curve') and not point.keys() & chosen.keys():
        yield f"'chosen' must name hyperparameters of 'curve'; it is {chosen}"


def _short(value: typing.Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
