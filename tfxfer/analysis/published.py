"""Published results, read from CSV files, to compare with own results."""

import collections
import csv
import dataclasses
import os
import pathlib
import re
import typing
from collections.abc import Iterable

from tfxfer import architectures, datasets, errors
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
        source_score: ImageNet top-1, 0-1, neither end; that of the public checkpoint
            where the file gives none; None if neither is known.
        label: where it is from: the stem of the file's name.
        notes: how the file was read, a sentence each.
    """

    dataset: str
    network: str
    setting: str
    score: float
    source_score: float | None = None
    label: str = ''
    notes: tuple[str, ...] = dataclasses.field(default=(), compare=False)

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
    name of the file must (such as best_finetuned.csv). Other columns are named in
    `notes`. Each column is in percent or in shares of 1; a number may have a % sign.
    What networks of ARCHITECTURES have no source_score take it from there.

    Raises:
        errors.InputError: a file that cannot be read; a missing column, or two of one
            thing; a dataset, setting or number that is none, with its line and what
            would work; a column of both units; one result given twice.
    """
    path = pathlib.Path(path)
    head, rows = _rows(path)
    columns = _columns(path, head)
    default = None if 'setting' in columns.named else _setting_of_file(path)
    values = []
    for line, row in rows:
        values += _values(path, line, row, columns, default)
    if not values:
        raise errors.InputError(f'{path} holds no score. Give percent or 0-1.')
    units = _units(path, values)
    found = [_published(path, value, units) for value in values]
    _check_once(path, values)
    notes = tuple(_notes(path, columns, units, found))
    return tuple(
        dataclasses.replace(
            one, source_score=one.source_score or _top1(one.network), notes=notes
        )
        for one in found
    )


class _Columns(typing.NamedTuple):
    """named: {key of HEADS: column}; datasets: {column: its dataset} in wide form.

    others: columns that are not read.
    """

    named: dict[str, str]
    datasets: dict[str, str]
    others: list[str]


def _columns(path, head):
    if twice := [c for c, n in collections.Counter(head).items() if n > 1]:
        raise errors.InputError(f'{path}, line 1: two columns are named {twice[0]!r}.')
    named: dict[str, str] = {}
    for column in head:
        for name, heads in HEADS.items():
            if _plain(column) in heads:
                named.setdefault(name, column)
    rest = [column for column in head if column not in named.values()]
    by_dataset = {column: key for column in rest if (key := _dataset(column))}
    if 'dataset' in named:
        by_dataset = {}
    for key, same in cells.grouped(by_dataset, by_dataset.__getitem__).items():
        if len(same) > 1:
            raise errors.InputError(
                f'{path}, line 1: columns {" and ".join(map(repr, same))} are both of '
                f'{key}. Leave one.'
            )
    missing = {'network'} | (set() if by_dataset else {'dataset', 'score'})
    missing -= set(named)
    if missing:
        raise errors.InputError(
            f'{path}, line 1: no column for {" and ".join(sorted(missing))} among '
            f'{", ".join(head)}. Give {EXAMPLE}; or network,setting and one column per '
            f'dataset, named {", ".join(_known())}.'
        )
    return _Columns(named, by_dataset, [c for c in rest if c not in by_dataset])


class _Number(typing.NamedTuple):
    """A number as the file has it: percent or 0-1, which all of its column tell."""

    value: float
    percent: bool  # It has the sign.
    column: str


class _Value(typing.NamedTuple):
    """One result as the file has it."""

    line: int
    dataset: str
    network: str
    setting: str
    score: _Number
    source_score: _Number | None


def _values(path, line, row, columns, default):
    """The _Values of a line; default: the setting where no column gives it."""
    named = {name: row[column].strip() for name, column in columns.named.items()}
    setting = default or _setting(path, line, named['setting'])
    source = _number(path, line, row, columns.named.get('source_score'))
    if not named['network']:
        raise errors.InputError(f'{path}, line {line}: the network has no name.')
    scores = {key: column for column, key in columns.datasets.items()}
    if not columns.datasets:
        key = _dataset(named['dataset']) or _unknown(path, line, named['dataset'])
        scores = {key: columns.named['score']}
    for key, column in scores.items():
        score = _number(path, line, row, column)
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


def _units(path, values):
    """{column: 100 where it is in percent, else 1}.

    Raises:
        errors.InputError: a column holds numbers of both kinds.
    """
    numbers = [
        (value.line, number)
        for value in values
        for number in (value.score, value.source_score)
        if number is not None
    ]
    units = {}
    for column, of_column in cells.grouped(numbers, lambda n: n[1].column).items():
        small = [n for n in of_column if n[1].value <= 1 and not n[1].percent]
        large = [n for n in of_column if n[1].value > 1 or n[1].percent]
        if small and large:
            (line, one), (other_line, other) = small[0], large[0]
            raise errors.InputError(
                f'{path}: column {column!r} has {one.value:g} in line {line} and '
                f'{other.value:g} in line {other_line}: shares of 1, or percent? Give '
                'all of a column in one unit, or each number its % sign.'
            )
        units[column] = 100 if large else 1
    return units


def _published(path, value, units):
    """The Published of a _Value.

    Raises:
        errors.InputError: a score at or beyond 0 or 1.
    """
    shares: list[typing.Any] = []
    for number in (value.score, value.source_score):
        unit = units[number.column] if number else 1
        share = _share(number.value, unit) if number else None
        if share is not None and not 0 < share < 1:
            raise errors.InputError(
                f'{path}, line {value.line}: {number.value:.6g} is not between 0 and '
                f'{unit}, both excluded (column {number.column!r} is in '
                f'{"percent" if unit == 100 else "shares of 1"}): its log odds are '
                'infinite or undefined.'
            )
        shares.append(share)
    score, source_score = shares
    return Published(
        dataset=value.dataset,
        network=value.network,
        setting=value.setting,
        score=score,
        source_score=source_score,
        label=path.stem,
    )


def _check_once(path, values):
    """Refuses a result that is given twice."""
    lines: dict[tuple, int] = {}
    for value in values:
        first = lines.setdefault(value[1:4], value.line)
        if first != value.line:
            raise errors.InputError(
                f'{path}, line {value.line}: {value.network} on {value.dataset}, '
                f'{value.setting}, is in line {first} already. Leave one, or give the '
                'networks two names.'
            )


def _notes(path, columns, units, found):
    """Sentences about what a reader of the numbers must know of the file."""
    for unit, words in ((100, 'percent'), (1, 'shares of 1')):
        names = [column for column in units if units[column] == unit]
        if names and len(set(units.values())) > 1:
            yield f'{path.name}: {_list(names)} taken as {words}.'
    if columns.others:
        known = f' (datasets known: {", ".join(_known())})' if columns.datasets else ''
        yield f'{path.name}: not read: {_list(columns.others)}{known}.'
    lacking = {one.network for one in found if one.source_score is None}
    public = sorted(name for name in lacking if _top1(name) is not None)
    if public:
        yield (
            f'{path.name}: no source accuracy is given for {", ".join(public)}: that '
            'of the public checkpoint of this name is taken (ImageNet top-1, see '
            'tools.list_architectures).'
        )
    if unknown := sorted(lacking - set(public)):
        yield (
            f'{path.name}: no source accuracy is given for {", ".join(unknown)}: not '
            'in correlations. A column source_score (ImageNet top-1) adds them.'
        )


def _list(columns):
    return f'column{"s" if len(columns) > 1 else ""} {", ".join(columns)}'


def _top1(network):
    """ImageNet top-1, 0-1, of a network of the registry that is so called, or None."""
    by_name = {_plain(name): arch for name, arch in architectures.ARCHITECTURES.items()}
    arch = by_name.get(_plain(network))
    return arch.imagenet_top1 if arch else None


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


def _number(path, line, row, column):
    """The _Number of a row in a column, None of an empty text or of no column."""
    given = row[column].strip() if column else ''
    text = given.removesuffix('%').strip()
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
    return _Number(value, given.endswith('%'), column)


def best(published: Iterable[Published]) -> dict[tuple[str, str], Published]:
    """{(dataset, setting): the Published of the highest score}."""
    groups = cells.grouped(published, lambda p: (p.dataset, p.setting))
    return {
        key: max(group, key=lambda p: p.score) for key, group in sorted(groups.items())
    }
