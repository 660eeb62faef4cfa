"""Columns that several tables have, as {head: text of a row's numbers}.

A column is named once, so that the same thing has the same head and the same form in
every table. The names of the numbers, which are the columns of the .csv files, are the
keys of the rows.
"""

from collections.abc import Mapping

from tfxfer import number_format
from tfxfer.analysis import stats
from tfxfer.report.formats import Column, Row


def text(name: str) -> Column:
    """A text, or '' of None."""
    return lambda row: row[name] or ''


def count(name: str) -> Column:
    """A whole number; '' of None."""
    return lambda row: number_format.count(row[name])


def percent(name: str) -> Column:
    """A score, 0-1, in percent; '' of None."""
    return lambda row: number_format.percent(row[name])


def points(name: str) -> Column:
    """A difference of two scores, 0-1, in signed percentage points; '' of None."""
    return lambda row: '' if row[name] is None else f'{100 * row[name]:+.1f}'


def p_value(name: str) -> Column:
    """A probability; '' of None."""
    return lambda row: '' if row[name] is None else number_format.p_value(row[name])


def several(name: str) -> Column:
    """A whole number where it is more than 1."""
    return lambda row: str(row[name]) if row[name] > 1 else ''


def texts(*names: str) -> dict[str, Column]:
    """Columns of texts whose heads are the names of the numbers."""
    return {name: text(name) for name in names}


def duration(name: str) -> Column:
    """Seconds in the unit that reads best; '' of None."""
    return lambda row: number_format.duration(row[name])


def plus_minus(value: float, error: float | None) -> str:
    """A difference in log odds, signed, and its standard error if it has one."""
    return f'{value:+.3f}' + ('' if error is None else f' +- {error:.3f}')


PER_CLASS = 'images per class'
IMAGE_SIZE = 'image size'
SIZES = {PER_CLASS: count('per_class'), IMAGE_SIZE: count('image_size')}
# Heads that say nothing in most studies, and are left out there.
OPTIONAL = (PER_CLASS, IMAGE_SIZE, 'recipe')

IMAGES = 'train + valid / test images'


def images(counts: Mapping[str, int]) -> dict[str, int | None]:
    """The numbers of IMAGES, of Record.images."""
    return {f'images.{s}': counts.get(s) for s in ('train', 'valid', 'test')}


def images_text(row: Row) -> str:
    """The text of IMAGES."""
    return f'{row["images.train"]} + {row["images.valid"]} / {row["images.test"]}'


def _interval(row: Row) -> str:
    return '' if row['r'] is None else f'{row["low"]:.2f} to {row["high"]:.2f}'


CORRELATION = {
    'r': lambda row: '' if row['r'] is None else f'{row["r"]:.2f}',
    '95 % interval': _interval,
    'p': p_value('p'),
    'Spearman': lambda row: '' if row['r'] is None else f'{row["rho"]:.2f}',
}
CORRELATION_NUMBERS = ('r', 'low', 'high', 'p', 'rho')


def correlation(r: stats.Correlation | None) -> dict[str, float | None]:
    """The numbers of CORRELATION; None where there is no correlation."""
    return {name: r and getattr(r, name) for name in CORRELATION_NUMBERS}
