"""Attacks by what users give: flags, texts, images, lists of published results."""

import functools
import json
import os
import pathlib
import struct
import typing
import zlib
from collections.abc import Callable, Iterator, Mapping

from PIL import Image

from tools.attack_suite.attack import Attack
from tools.attack_suite.commands import (
    ON_IMAGES,
    PREDICT,
    REPORT,
    STATUS,
    Command,
    same_score,
)
from tools.attack_suite.place import Place, forget, on_images


def attacks() -> Iterator[Attack]:
    yield from _flags()
    yield from _texts()
    yield from _names_of_folders()
    yield from _images()
    yield from _published()


# Flags.

_RUN = ['--config=configs/finetune.py', '--config.arch=mobilenet_v1_0.25']
_WRONG_FLAGS: tuple[tuple[str, list[str]], ...] = (
    *(
        ('tfxfer.run', [*_RUN, flag])
        for flag in (
            *('--config.hparams.steps=0', '--config.hparams.steps=-1'),
            *('--config.hparams.lr=nan', '--config.hparams.lr=inf'),
            *('--config.hparams.lr=0', '--config.hparams.lr=fast'),
            *('--config.hparams.batch=0', '--config.hparams.momentum=1'),
            *('--config.hparams.dropout=1', '--config.hparams.ema=-0.5'),
            *('--config.hparams.min_area=0', '--config.hparams.microbatch=7'),
            *('--config.hparams.nothing=1', '--config.nothing=1'),
            *('--config.seed=half', '--config.seed=-1', '--config.seed=1e400'),
            *('--config.seed=99999999999999999999', '--config.per_class=0'),
            *('--config.image_size=0', '--config.image_size=-32'),
            *('--config.image_size=1000000000', '--config.image_size=7'),
            *('--config.metric=top2', '--config.precision=float8'),
            *('--config.phase=test', '--config.setting=zero_shot'),
            *('--config.dataset=', '--config.dataset=digit'),
            *('--config.dataset=folder:', '--config.dataset=folder:/dev/null'),
            *('--config.dataset=folder:/dev', '--config.dataset=folder:nowhere'),
            *('--config.dataset=csv:/dev/null', '--config.dataset=csv:nowhere.csv'),
            *('--config.dataset=tfds:mnist', '--config.dataset=tfds:../..:1.0.0'),
            *('--config.dataset=idx:/proc', '--config.arch=resnet_51'),
            *('--config.arch=../../etc/passwd', '--config.weights='),
            *('--config.weights=run:', '--config.weights=run:../../x'),
            *('--config.weights=/dev/null', '--config.weights=/proc/self/mem'),
            *('--threads=0', '--threads=-3', '--threads=many', '--threads=1000000000'),
            *('--save_every=0', '--save_minutes=-1', '--profile=5', '--profile=9,3'),
            *('--keep=raw', '--keep_gib=-1', '--workdir=/dev/null/x', '--nothing'),
            *('--run=nowhere.json', '--run=/dev/null', '--run=/', 'what'),
            *('--config=nowhere.py', '--config=/dev/null', '--config=configs'),
            *('--config=setup.cfg', '--config.hparams=7'),
        )
    ),
    ('tfxfer.run', []),
    ('tfxfer.run', ['--config=configs/logistic.py', '--config.hparams.l2s=(1e-320,)']),
    ('tfxfer.run', ['--config=configs/logistic.py', '--config.hparams.l2s=()']),
    ('tfxfer.run', ['--config=configs/logistic.py', '--config.hparams.l2s=(-1.0,)']),
    ('tfxfer.run', ['--config=configs/logistic.py', '--config.hparams.l2s=("a",)']),
    *(
        ('tools.sweep', ['--config=configs/quickstart.py', flag])
        for flag in (
            *('--config.archs=', '--config.archs=nothing', '--config.datasets=what'),
            *('--config.settings=zero', '--config.seeds=(0,0)', '--config.seeds=()'),
            *('--config.per_class=(1,)', '--config.per_class=(-5,)'),
            *('--config.lengths=(0,)', '--config.search=random', '--config.eta=1'),
            *('--config.finetune.lrs=()', '--config.finetune.lrs=(-0.1,)'),
            *('--config.finetune.epochs=-1', '--config.pretrain.steps=0'),
            *('--shard=3', '--shard=9/3', '--shard=-1/3', '--shard=1/0', '--jobs=0'),
            *('--threads=0', '--executor=cloud', '--gpus=-1', '--workdir=/dev/null/x'),
            *('--ray_address=nowhere:1:2', '--config.weights=slim'),
        )
    ),
    ('tools.sweep', []),
    ('tools.sweep', ['--status', '--workdir=nowhere']),
    ('tools.sweep', ['--status', '--workdir=/dev/null']),
    ('tfxfer.report', ['--results=nowhere']),
    ('tfxfer.report', ['--results=/dev/null']),
    ('tfxfer.report', ['--results=tests/example_results', '--output=/dev/null/x.html']),
    ('tfxfer.report', ['--results=tests/example_results', '--output=tests']),
    ('tfxfer.report', ['--published=nowhere.csv', '--output=/nonexistent/r.html']),
    ('tools.export_tables', ['--results=tests/example_results', '--formats=docx']),
    ('tools.export_tables', ['--results=tests/example_results', '--tables=none']),
    ('tools.features', ['--workdir=nowhere', '--list']),
    ('tools.features', ['--workdir=tests/example_results', '--remove=../..']),
    ('tfxfer.export', []),
    ('tfxfer.export', ['--run=nowhere', '--output=x']),
    ('tfxfer.export', ['--run=/dev/null', '--output=x']),
    ('tfxfer.predict_images', ['--model=nowhere', 'x.png']),
    ('tfxfer.predict_images', ['--model=/dev/null', 'x.png']),
    ('tfxfer.predict_images', ['--model=tests']),
    ('tools.convert_checkpoint', ['--checkpoint=/dev/null']),
    ('tools.prepare_dataset', ['nothing']),
    ('tools.evaluate', ['--arch=nothing']),
)


def _flags() -> Iterator[Attack]:
    for i, (module, flags) in enumerate(_WRONG_FLAGS):
        where = [] if any('--workdir' in f for f in flags) else ['--workdir={}/new']
        if module not in ('tfxfer.run', 'tools.sweep'):
            where = []
        own = ' '.join(flag for flag in flags if flag not in _RUN)
        yield Attack(
            'an absurd flag', f'{module} {own or "without any"}',
            Command(module, functools.partial(_arguments, flags, where)),
            refused=True, quick=module != 'tfxfer.run' and i % 5 == 0,
        )  # fmt: skip


def _arguments(flags: list[str], where: list[str], place: Place) -> list[str]:
    return [*flags, *(flag.format(place.out) for flag in where)]


# Texts.

_TEXTS: Mapping[str, str] = {
    'formula': '=cmd|"/C calc"!A0',
    'plus': '+1+1',
    'at': '@SUM(1)',
    'mathematics': '$x^{2$',
    'half mathematics': '$',
    'TeX': r'\input{/etc/passwd}\undefined',
    'braces': '}{ %s {0} {place}',
    'Markdown': '**b** [x](javascript:alert(1)) `c` | d |',
    'HTML': '<script>alert(1)</script>&<img src=x onerror=alert(1)>',
    'escape sequence': 'a\x1b[31mred\x1b]0;title\x07',
    'newlines': 'a\nerror: b\r\nc',
    'right to left': 'abc\u202egpj.exe',
    'no font': '\U0001f9ec\U0001fae8\u4e2d\ufffe',
    'surrogate': 'a\udcff',
    'long': 'x' * 5_000,
    'blank': ' ',
    'zero width': '\u200b\u200b',
    'nul': 'a\x00b',
    'percent': '%d%n%s%(x)s',
    'comma and quote': 'a,"b";c\t\'d',
}


def _texts() -> Iterator[Attack]:
    for i, (name, text) in enumerate(_TEXTS.items()):
        for where, act in {
            'a class': _hostile_class,
            'a dataset': _hostile_dataset,
        }.items():
            yield Attack(
                'a hostile text', f'{name}, as {where}',
                Command('tfxfer.report', REPORT.arguments, _clean_text),
                functools.partial(act, text), quick=where == 'a class' and i % 4 == 0,
            )  # fmt: skip


def _rewritten(place: Place, change: Callable[[dict], None]) -> None:
    path = place.work / place.of('logistic') / 'record.json'
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    run = {**record['run'], 'id': path.parent.name}
    (path.parent / 'run.json').write_text(json.dumps(run))


def _hostile_class(text: str, place: Place) -> None:
    def change(record: dict) -> None:
        record['classes'][0] = text

    _rewritten(place, change)


def _hostile_dataset(text: str, place: Place) -> None:
    """The Run on images/ is of a folder of that name; its id does not know."""
    path = place.work / place.of('logistic', dataset='folder') / 'record.json'
    for name in ('record.json', 'run.json'):
        fields = json.loads(path.with_name(name).read_text())
        (fields if name == 'run.json' else fields['run'])['dataset'] = f'folder:/{text}'
        path.with_name(name).write_text(json.dumps(fields))


def _clean_text(place: Place, clean: Place, outcome: typing.Any) -> str:
    """No table or page holds what a reader would carry out."""
    for path in place.out.rglob('*'):
        if path.suffix in ('.html', '.md', '.csv', '.tex'):
            text = path.read_text(encoding='utf-8', errors='surrogateescape')
            if path.suffix in ('.html', '.md') and '<script>alert' in text:
                return f'a script in {path.name}'
            if path.suffix == '.csv' and _formula(text):
                return f'a formula in {path.name}'
            if path.suffix == '.tex' and r'\input{' in text:
                return f'a TeX command in {path.name}'
            if '\x1b' in text:
                return f'an escape sequence in {path.name}'
    return ''


def _formula(text: str) -> bool:
    return any(
        cell.startswith(('=', '@', '+1+1'))
        for line in text.splitlines()
        for cell in line.replace('"', '').split(',')
    )


def _names_of_folders() -> Iterator[Attack]:
    """Results and images in folders of difficult names."""
    names = {
        'blanks': 'my results  (1)',
        'patterns': 'a[0-9]*?{b}',
        'dollar': '$HOME ~ $(id)',
        'percent': '%s%n{0}',
        'umlauts in two code points': 'Gro\u0308\u00dfe',
        'newline': 'a\nb',
        'leading dash': '--workdir',
        'not UTF-8': os.fsdecode(b'a\xff'),
        '240 characters': 'x' * 240,
        'quotes': 'a\'b"c`d`',
        'backslash': 'a\\b',
        'a URL': 'gs:',
    }
    for name, folder in names.items():
        for command in (REPORT, STATUS):
            yield Attack(
                'a difficult path', f'results in: {name}, {command.module}', command,
                functools.partial(_moved, folder),
                quick=name in ('patterns', 'newline') and command is REPORT,
            )  # fmt: skip
        if name in ('percent', 'dollar', '240 characters', 'quotes', 'a URL'):
            continue  # Each takes TensorFlow's start.
        yield Attack(
            'a difficult path', f'images in: {name}',
            Command(
                'tfxfer.run', functools.partial(_on_folder, folder), same_score
            ),
            functools.partial(_images_moved, folder),
        )  # fmt: skip


def _moved(name: str, place: Place) -> pathlib.Path:
    return place.work.rename(place.root / name)


def _images_moved(name: str, place: Place) -> None:
    place.images.rename(place.root / name)
    forget(place)


def _on_folder(name: str, place: Place) -> list[str]:
    return on_images(place, f'--config.dataset=folder:{place.root / name}')


# Images.


def _png(width: int, height: int, rows: bytes = b'') -> bytes:
    """A PNG of any stated size, holding few bytes or none of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack('>I', len(data))
            + kind
            + data
            + struct.pack('>I', zlib.crc32(kind + data))
        )

    head = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        [chunk(b'IHDR', head), chunk(b'IDAT', zlib.compress(rows)), chunk(b'IEND', b'')]
    )


def _bytes(data: bytes, suffix: str = '.png') -> Callable[[pathlib.Path], typing.Any]:
    return lambda folder: (folder / f'bad{suffix}').write_bytes(data)


def _jpeg(place_folder: pathlib.Path) -> bytes:
    path = place_folder / 'made.jpg'
    Image.open(place_folder / '0.png').save(path)
    data = path.read_bytes()
    path.unlink()
    return data


_IMAGES: Mapping[str, Callable[[pathlib.Path], typing.Any]] = {
    'an empty file': _bytes(b''),
    'a text': _bytes(b'not an image\n'),
    'a head alone': _bytes(b'\x89PNG\r\n\x1a\n'),
    '100,000,000 x 1 pixels, small file': _bytes(
        _png(100_000_000, 1, bytes(100_000_001))
    ),
    '60,000 x 60,000 pixels stated': _bytes(_png(60_000, 60_000)),
    '2,147,483,647 x 1 pixels stated': _bytes(_png(2**31 - 1, 1)),
    '0 x 0 pixels': _bytes(_png(0, 0)),
    'a JPEG cut in half': lambda folder: (folder / 'bad.jpg').write_bytes(
        _jpeg(folder)[:300]
    ),
    'a JPEG named .png': lambda folder: (folder / 'bad.png').write_bytes(_jpeg(folder)),
    'a PNG named .jpg': lambda folder: (folder / 'bad.jpg').write_bytes(
        (folder / '0.png').read_bytes()
    ),
    'a PNG cut in half': lambda folder: (folder / 'bad.png').write_bytes(
        (folder / '0.png').read_bytes()[:700]
    ),
    'a flipped bit': lambda folder: (folder / 'bad.png').write_bytes(
        (folder / '0.png').read_bytes()[:500]
        + b'\xff'
        + (folder / '0.png').read_bytes()[501:]
    ),
    'a FIFO': lambda folder: os.mkfifo(folder / 'bad.png'),
    'a link to /dev/zero': lambda folder: (folder / 'bad.png').symlink_to('/dev/zero'),
    'a link to /dev/stdin': lambda folder: (folder / 'bad.png').symlink_to(
        '/dev/stdin'
    ),
    'a link to itself': lambda folder: (folder / 'bad.png').symlink_to('bad.png'),
    'a link to nothing': lambda folder: (folder / 'bad.png').symlink_to('nowhere'),
    'a folder': lambda folder: (folder / 'bad.png').mkdir(),
    'a link to the folder above': lambda folder: (folder / 'up').symlink_to('..'),
    '1,200 folders in each other': lambda folder: _deep(folder),
    'a palette with a wrong index': lambda folder: _palette(folder),
}


def _deep(folder: pathlib.Path) -> None:
    start = os.open('.', os.O_RDONLY)
    try:
        os.chdir(folder)
        for _ in range(1_200):
            os.mkdir('d')
            os.chdir('d')
    finally:
        os.fchdir(start)
        os.close(start)


def _palette(folder: pathlib.Path) -> None:
    image = Image.new('P', (20, 24), 255)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(folder / 'bad.png')


def _images() -> Iterator[Attack]:
    skipping = Command(
        'tfxfer.run', lambda place: on_images(place, '--config.skip_broken=True')
    )
    for i, (name, make) in enumerate(_IMAGES.items()):
        act = functools.partial(_with_image, make)
        yield Attack('a hostile image', name, ON_IMAGES, act, quick=i in (3, 12))
        if i % 2:
            yield Attack('a hostile image', f'{name}, skip_broken', skipping, act)
        if i % 3 == 0:
            yield Attack('a hostile image', f'{name}, to predict', PREDICT, act)


def _with_image(make: Callable[[pathlib.Path], typing.Any], place: Place) -> None:
    forget(place)
    make(place.images / 'red')


# Published results.

_LISTS: Mapping[str, bytes] = {
    'empty': b'',
    'a head alone': b'dataset,network,setting,score\n',
    'no columns': b'a,b\n1,2\n',
    'not UTF-8': b'dataset,network,setting,score\n\xff\xfe,x,finetune,0.5\n',
    'UTF-16': 'dataset,network,setting,score\nd,x,finetune,0.5\n'.encode('utf-16'),
    'a score of nan': b'dataset,network,setting,score\nd,x,finetune,nan\n',
    'a score of 1e400': b'dataset,network,setting,score\nd,x,finetune,1e400\n',
    'a score of -1': b'dataset,network,setting,score\nd,x,finetune,-1\n',
    'a text for a score': b'dataset,network,setting,score\nd,x,finetune,good\n',
    'an unknown setting': b'dataset,network,setting,score\nd,x,zero,0.5\n',
    'too many cells': b'dataset,network,setting,score\nd,x,finetune,0.5,1,2\n',
    'an open quote': b'dataset,network,setting,score\n"d,x,finetune,0.5\n',
    'NUL': b'dataset,network,setting,score\nd\0,x,finetune,0.5\n',
    'a cell of 200,000 characters': b'dataset,network,setting,score\n'
    + b'x' * 200_000
    + b',x,finetune,0.5\n',
    '10,000 columns': b'dataset,network,setting,score' + b',a' * 10_000 + b'\n',
}


def _published() -> Iterator[Attack]:
    for i, (name, data) in enumerate(_LISTS.items()):
        yield Attack(
            'a list of published results', name,
            Command(
                'tfxfer.report',
                lambda place: [
                    f'--published={place.out}/theirs.csv',
                    f'--output={place.out}/report/report.html',
                ],
            ),
            lambda place, data=data: (place.out / 'theirs.csv').write_bytes(data),
            quick=i % 4 == 0,
        )  # fmt: skip
