"""Published results, read from CSV files, to compare with own results."""

import csv
import dataclasses
import os
import pathlib
import re
import typing
from collections.abc import Iterable

from tfxfer import datasets, errors
from tfxfer.analysis import cells, stats

# Heads of columns, letters and digits alone, by what they hold.
HEADS = {
    'dataset': ('dataset', 'task'),
    'network': ('network', 'name', 'model', 'bestpublicmodel', 'architecture'),
    'setting': ('setting',),
    'score': ('score', 'acc', 'accuracy'),
    'source_score': ('sourcescore', 'imagenettop1'),
}
# What others call the settings, letters and digits alone.
SETTINGS = {
    'logistic': ('logistic', 'linear', 'logisticregression', 'linearevaluation'),
    'finetune': ('finetune', 'finetuned', 'finetuning'),
    'scratch': ('scratch', 'fromscratch', 'randominitialization'),
}
# What others write before, in and behind the datasets' names, and other names of them.
DECORATIONS = ('oxford', 'stanford', 'fgvc', 'iiit', 'pascal', 'vgg', 'dataset')
ALIASES = {
    'food': 'food101',
    'sun': 'sun397',
    'car': 'cars',
    'cars196': 'cars',
    'voc': 'voc2007',
    'voc07': 'voc2007',
    'pet': 'pets',
    'caltech': 'caltech101',
    'flower': 'flowers',
    'flowers102': 'flowers',
    '102flowers': 'flowers',
    '102flower': 'flowers',
    'describabletextures': 'dtd',
    'textures': 'dtd',
}
EXAMPLE = 'dataset,network,setting,score'


@dataclasses.dataclass(frozen=True)
class Published:
    """A number that somebody published. Has what figures and tests read of a Cell.

    Attributes:
        dataset: key of DATASETS.
        network: as it is called there.
        setting: key of cells.SETTINGS.
        score: 0-1, neither end.
        source_score: ImageNet top-1, 0-1, neither end; None if it is not given.
        label: where it is from: the stem of the file's name.
    """

    dataset: str
    network: str
    setting: str
    score: float
    source_score: float | None = None
    label: str = ''

    # The same for all: nobody says on how many images, or from which Runs.
    per_class: typing.ClassVar[None] = None
    image_size: typing.ClassVar[None] = None
    test_images: typing.ClassVar[None] = None
    records: typing.ClassVar[tuple] = ()
    recipe: typing.ClassVar[str] = ''
    metric: typing.ClassVar[str] = ''

    def recipe_without(self, *names: str) -> str:
        """The recipe, which is not known."""
        return self.recipe

    @property
    def source(self) -> cells.Source | None:
        if self.source_score is None:
            return None
        return cells.Source(
            dataset=cells.IMAGENET, score=self.source_score, images=None
        )

    @property
    def log_odds(self) -> float:
        return float(stats.log_odds(self.score))


def read(path: str | os.PathLike) -> tuple[Published, ...]:
    """Everything a CSV file says: a tuple of Published.

    Long form: columns dataset, network (or name, model), setting, score (or acc) and
    perhaps source_score (or imagenet_top1). Wide form: network, setting, perhaps
    source_score, and one column per dataset. Where no column gives the setting, the
    name of the file must (such as best_finetuned.csv). Other columns are ignored.

    If any number of a file is above 1, all of it is in percent.

    Raises:
        errors.InputError: a file that cannot be read; a missing column; a dataset,
            setting or number that is none, with its line and what would work; one
            result given twice.
    """
    path = pathlib.Path(path)
    head, rows = _rows(path)
    columns = _columns(path, head)
    default = None if 'setting' in columns.named else _setting_of_file(path)
    values = []
    for line, row in rows:
        values += _values(path, line, row, columns, default)
    return _scaled(path, values)


class _Columns(typing.NamedTuple):
    """named: {key of HEADS: column}; datasets: {column: its dataset} in wide form."""

    named: dict[str, str]
    datasets: dict[str, str]


def _columns(path, head):
    named: dict[str, str] = {}
    for column in head:
        for name, heads in HEADS.items():
            if _plain(column) in heads:
                named.setdefault(name, column)
    rest = [column for column in head if column not in named.values()]
    by_dataset = {column: key for column in rest if (key := _dataset(column))}
    if 'dataset' in named:
        by_dataset = {}
    missing = {'network'} | (set() if by_dataset else {'dataset', 'score'})
    missing -= set(named)
    if missing:
        raise errors.InputError(
            f'{path}, line 1: no column for {" and ".join(sorted(missing))} among '
            f'{", ".join(head)}. Give {EXAMPLE}; or network,setting and one column per '
            f'dataset, named {", ".join(_known())}.'
        )
    return _Columns(named, by_dataset)


class _Value(typing.NamedTuple):
    """One result as the file has it: percent or 0-1, which all its numbers tell."""

    line: int
    dataset: str
    network: str
    setting: str
    score: float
    source_score: float | None


def _values(path, line, row, columns, default):
    """The _Values of a line; default: the setting where no column gives it."""
    named = {name: row[column].strip() for name, column in columns.named.items()}
    setting = default or _setting(path, line, named['setting'])
    source = _number(path, line, named.get('source_score', ''))
    if not named['network']:
        raise errors.InputError(f'{path}, line {line}: the network has no name.')
    scores = {key: row[column] for column, key in columns.datasets.items()}
    if not columns.datasets:
        key = _dataset(named['dataset']) or _unknown(path, line, named['dataset'])
        scores = {key: named['score']}
    for key, text in scores.items():
        score = _number(path, line, text)
        if score is None and not columns.datasets:
            raise errors.InputError(
                f'{path}, line {line}: no score. Give percent or 0-1, or leave out '
                'the line.'
            )
        if score is not None:
            yield _Value(line, key, named['network'], setting, score, source)


def _rows(path):
    """(head, [(line number, {column: text}), ...])."""
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            reader = csv.DictReader(file, restval='', skipinitialspace=True)
            rows = [(reader.line_num, row) for row in reader]
            head = [name.strip() for name in reader.fieldnames or ()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise errors.InputError(
            f'Cannot read {path}: {error}. Give a CSV file in UTF-8 with the columns '
            f'{EXAMPLE}.'
        ) from error
    for line, row in rows:
        if None in row:
            raise errors.InputError(
                f'{path}, line {line}: more fields than the {len(head)} columns of '
                'line 1. Quote texts that hold a comma.'
            )
    if not rows:
        raise errors.InputError(
            f'{path} has no line of results. Give a head such as {EXAMPLE} and one '
            'line per result.'
        )
    return head, [(n, {k.strip(): v for k, v in row.items()}) for n, row in rows]


def _scaled(path, values):
    """The _Values as Published, scores 0-1.

    Raises:
        errors.InputError: none, one at or beyond 0 or 1, or one result given twice.
    """
    if not values:
        raise errors.InputError(f'{path} holds no score. Give percent or 0-1.')
    percent = any(
        number is not None and number > 1
        for value in values
        for number in (value.score, value.source_score)
    )
    unit = 100 if percent else 1
    published = []
    lines: dict[tuple, int] = {}
    for value in values:
        first = lines.setdefault(value[1:4], value.line)
        shares = _share(value.score, unit), _share(value.source_score, unit)
        for share in shares:
            if share is not None and not 0 < share < 1:
                raise errors.InputError(
                    f'{path}, line {value.line}: {share * unit:.6g} is not between 0 '
                    f'and {unit}, both excluded (this file is in '
                    f'{"percent" if percent else "shares of 1"}): its log odds are '
                    'infinite or undefined.'
                )
        if first != value.line:
            raise errors.InputError(
                f'{path}, line {value.line}: {value.network} on {value.dataset}, '
                f'{value.setting}, is in line {first} already. Leave one, or give the '
                'networks two names.'
            )
        published.append(
            Published(
                value.dataset,
                value.network,
                value.setting,
                *shares,
                label=path.stem,
            )
        )
    return tuple(published)


def _share(number, unit):
    # 90.8 / 100 is not the number nearest to 0.908.
    return None if number is None else round(number / unit, 12)


def _plain(text):
    return re.sub(r'[^a-z0-9]', '', text.lower())


def _known():
    return [name for name in datasets.DATASETS if name != cells.IMAGENET]


def _dataset(text):
    """Key of DATASETS that is meant, or None."""
    plain = _plain(text)
    names = {_plain(name): name for name in _known()}
    for word in ('', *DECORATIONS):
        plain = plain.replace(word, '') if word else plain
        for name in (plain, ALIASES.get(plain, '')):
            if name in names:
                return names[name]
    return None


def _unknown(path, line, text):
    try:
        errors.find('dataset', dict.fromkeys(_known()), text)
    except errors.InputError as error:
        raise errors.InputError(f'{path}, line {line}: {error}') from error


def _setting(path, line, text):
    for name, others in SETTINGS.items():
        if _plain(text) in others:
            return name
    known = ', '.join(others[0] for others in SETTINGS.values())
    raise errors.InputError(
        f'{path}, line {line}: no setting named {text!r}. Known: {known} (and linear, '
        'which is logistic).'
    )


def _setting_of_file(path):
    words = re.split(r'[^a-z]+', path.stem.lower())
    named = {name for name, others in SETTINGS.items() if set(words) & set(others)}
    if len(named) != 1:
        raise errors.InputError(
            f'{path}, line 1: no column named setting, and the name of the file does '
            f'not say it. Add the column, of {", ".join(SETTINGS)}; or name one of '
            'them in the name of the file.'
        )
    return named.pop()


def _number(path, line, text):
    """The number, None of an empty text."""
    text = text.strip().removesuffix('%').strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise errors.InputError(
            f'{path}, line {line}: {text!r} is no score. Give percent or 0-1.'
        )
    return value


def best(published: Iterable[Published]) -> dict[tuple[str, str], Published]:
    """{(dataset, setting): the Published of the highest score}."""
    groups = cells.grouped(published, lambda p: (p.dataset, p.setting))
    return {
        key: max(group, key=lambda p: p.score) for key, group in sorted(groups.items())
    }
