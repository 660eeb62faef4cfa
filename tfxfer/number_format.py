"""Numbers as people read them, the same in tables, logs and model cards."""

import typing


def percent(score: float | None) -> str:
    """A score, 0-1, in percent; '' of None."""
    return '' if score is None else f'{100 * score:.1f}'


def interval(low: float | None, high: float | None) -> str:
    """Two scores, 0-1, in percent; '' of None."""
    return '' if low is None else f'{percent(low)}-{percent(high)}'


def p_value(p: float) -> str:
    """Two significant digits; one of those below 0.0001."""
    return f'{p:.2g}' if p >= 1e-4 else f'{p:.0e}'


def count(value: int | None) -> str:
    """A whole number; '' of None."""
    return '' if value is None else str(value)


def magnitude(value: int) -> str:
    """A large count with at most three digits: 800, 12k, 4.2M."""
    for size, unit in ((10**9, 'G'), (10**6, 'M'), (10**3, 'k')):
        if value >= size:
            return f'{value / size:.3g}{unit}'
    return str(value)


def duration(seconds: float | None) -> str:
    """Seconds in the unit that reads best; '' of None."""
    if seconds is None:
        return ''
    for size, unit in ((86400, 'd'), (3600, 'h'), (60, 'min')):
        if seconds >= 1.5 * size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.1f} s' if seconds < 9.95 else f'{seconds:.0f} s'


def brief(value: typing.Any) -> str:
    """A hyperparameter as short text: 0.0316, 1e-06, 45 values 1e-06..1e+05."""
    if isinstance(value, (tuple, list)):
        if len(value) == 1:
            return brief(value[0])
        return f'{len(value)} values {brief(min(value))}..{brief(max(value))}'
    if isinstance(value, float):
        return f'{value:.3g}'
    return str(value)
