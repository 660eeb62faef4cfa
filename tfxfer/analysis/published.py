"""Published results, read from CSV files, to lay beside one's own."""

import csv
import dataclasses
import pathlib
import re

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
    """A number that somebody published. Has what comparisons asks of a Cell.

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
    per_class = image_size = test_images = None
    records = ()
    recipe = metric = ''

    @property
    def source(self):
        if self.source_score is None:
            return None
        return {'dataset': cells.IMAGENET, 'score': self.source_score, 'images': None}

    @property
    def log_odds(self):
        return float(stats.log_odds(self.score))


def read(path):
    """Everything a CSV file says: a tuple of Published.

    Long form: columns dataset, network (or name, model), setting, score (or acc) and
    perhaps source_score (or imagenet_top1). Wide form: network, setting, perhaps
    source_score, and a column a dataset. Where no column gives the setting, the name of
    the file must (such as best_finetuned.csv). Other columns are ignored.

    If any number of a file is above 1, all of it is in percent.

    Raises:
        errors.InputError: a file that cannot be read; a missing column; a dataset,
            setting or number that is none, with its line and what would work; one
            result given twice.
    """
    path = pathlib.Path(path)
    head, rows = _rows(path)
    columns = {}
    for column in head:
        for name, heads in HEADS.items():
            if _plain(column) in heads and name not in columns.values():
                columns[column] = name
    held = set(columns.values())
    wide = {c: key for c in head if c not in columns and (key := _dataset(c))}
    if 'dataset' in held:
        wide = {}
    missing = {'network'} | (set() if wide else {'dataset', 'score'})
    missing -= held
    if missing:
        raise errors.InputError(
            f'{path}, line 1: no column for {" and ".join(sorted(missing))} among '
            f'{", ".join(head)}. Give {EXAMPLE}; or network,setting and a column a '
            f'dataset, named {", ".join(_known())}.'
        )
    default = None if 'setting' in held else _setting_of_file(path)
    raw = []
    for line, row in rows:
        named = {name: row[column].strip() for column, name in columns.items()}
        setting = default or _setting(path, line, named['setting'])
        source = _number(path, line, named.get('source_score', ''))
        if not named['network']:
            raise errors.InputError(f'{path}, line {line}: the network has no name.')
        scores = {key: row[column] for column, key in wide.items()}
        if not wide:
            key = _dataset(named['dataset']) or _unknown(path, line, named['dataset'])
            scores = {key: named['score']}
        for key, text in scores.items():
            score = _number(path, line, text)
            if score is None and not wide:
                raise errors.InputError(
                    f'{path}, line {line}: no score. Give percent or 0-1, or leave out '
                    'the line.'
                )
            if score is not None:
                raw.append((line, key, named['network'], setting, score, source))
    return _scaled(path, raw)


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
            f'{path} has no line of results. Give a head such as {EXAMPLE} and a line '
            'a result.'
        )
    return head, [(n, {k.strip(): v for k, v in row.items()}) for n, row in rows]


def _scaled(path, raw):
    if not raw:
        raise errors.InputError(f'{path} holds no score. Give percent or 0-1.')
    percent = any(value is not None and value > 1 for row in raw for value in row[4:])
    found, seen = [], {}
    for line, dataset, network, setting, *values in raw:
        score, source = (
            # 90.8 / 100 is not the number nearest to 0.908.
            None if value is None else round(value / (100 if percent else 1), 12)
            for value in values
        )
        for value in (score, source):
            if value is not None and not 0 < value < 1:
                given = value * (100 if percent else 1)
                raise errors.InputError(
                    f'{path}, line {line}: {given:.6g} is not '
                    f'between 0 and {100 if percent else 1}, both left out (this file '
                    f'is in {"percent" if percent else "shares of 1"}): its log odds '
                    'are infinite or none.'
                )
        first = seen.setdefault((dataset, network, setting), line)
        if first != line:
            raise errors.InputError(
                f'{path}, line {line}: {network} on {dataset}, {setting}, stands in '
                f'line {first} already. Leave one, or give the networks two names.'
            )
        found.append(Published(dataset, network, setting, score, source, path.stem))
    return tuple(found)


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
    found = {name for name, others in SETTINGS.items() if set(words) & set(others)}
    if len(found) != 1:
        raise errors.InputError(
            f'{path}, line 1: no column named setting, and the name of the file does '
            f'not say it. Add the column, of {", ".join(SETTINGS)}; or name one of '
            'them in the name of the file.'
        )
    return found.pop()


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


def best(found):
    """{(dataset, setting): the Published of the highest score}."""
    groups = cells.grouped(found, lambda p: (p.dataset, p.setting))
    return {
        key: max(group, key=lambda p: p.score) for key, group in sorted(groups.items())
    }
