"""The small place that is attacked: real Runs, images and a model, made once."""

import csv
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tfxfer import storage

ROOT = pathlib.Path(__file__).parents[2]
CLASSES = ('green', 'red')
# A study of seconds: one network, a pretrain Run, one of each setting, two trials.
SWEEP = (
    '--config=configs/quickstart.py --config.archs=mobilenet_v1_0.25 '
    '--config.seeds=(0,) --config.image_size=32 --config.settings=logistic,finetune '
    '--config.pretrain.steps=12 --config.pretrain.batch=16 '
    '--config.finetune.steps=2 --config.finetune.batch=8 --config.finetune.lrs=0.01 '
    '--config.finetune.wds=(0.0,1e-5) --threads=1'
).split()


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder with everything an attack needs.

    Attributes:
        root: work/ (results of a study and of a Run on images/), images/ (CLASSES,
            twelve photographs each), model/ (an exported model), race/ (results of a
            race on raced/, CLASSES of 160 each), out/ (empty).
        work: of results; work/ in root unless an attack moved it.
    """

    root: pathlib.Path
    work: pathlib.Path

    @property
    def images(self) -> pathlib.Path:
        return self.root / 'images'

    @property
    def race(self) -> pathlib.Path:
        return self.root / 'race'

    @property
    def raced(self) -> pathlib.Path:
        return self.root / 'raced'

    @property
    def out(self) -> pathlib.Path:
        return self.root / 'out'

    def of(self, setting: str, phase: str = 'final', dataset: str = 'digits') -> str:
        """The id of the first Run of a setting."""
        names = sorted(
            path.parent.name
            for path in self.work.glob(f'*-{setting}-{phase}-*/run.json')
            if f'-{dataset}' in path.parent.name
        )
        return names[0]

    def copy(self, root: pathlib.Path) -> 'Place':
        shutil.copytree(self.root, root, symlinks=True)
        return Place(root, root / 'work')


def start(
    module: str, arguments: Sequence[str | os.PathLike], **options: typing.Any
) -> subprocess.CompletedProcess:
    """`python -m MODULE ARGUMENTS` in the project, its output caught."""
    return subprocess.run(
        [sys.executable, '-m', module, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        **options,
    )


def make(root: pathlib.Path) -> Place:
    """Makes the place, in a few minutes; one that is there is taken as it is.

    Raises:
        RuntimeError: a program failed, which nothing was done to.
    """
    place = Place(root, root / 'work')
    if (root / 'complete').exists():
        return place
    shutil.rmtree(root, ignore_errors=True)
    place.out.mkdir(parents=True)
    photographs(place.images)
    _right(start('tools.sweep', [*SWEEP, f'--workdir={place.work}']))
    _right(start('tfxfer.run', on_images(place)))
    _right(
        start(
            'tfxfer.report',
            [f'--results={place.work}', f'--output={root}/report/r.html'],
        )
    )
    model = [f'--run={place.work / place.of("finetune")}', f'--output={root / "model"}']
    _right(start('tfxfer.export', model))
    images = [f'--model={root / "model"}', place.images / 'red']
    predicted = _right(start('tfxfer.predict_images', images))
    (root / 'report/predicted.txt').write_bytes(predicted.stdout)
    photographs(place.raced, count=160)
    _right(start('tfxfer', race(place)))
    _right(start('tfxfer', ['scores', f'--workdir={place.race}']))
    (root / 'complete').touch()
    return place


def on_images(place: Place, *more: str) -> list[str]:
    """The arguments of tfxfer.run for logistic regression on images/."""
    return [
        '--config=configs/logistic.py',
        '--config.arch=mobilenet_v1_0.25',
        '--config.image_size=32',
        f'--config.dataset=folder:{place.images}',
        f'--config.weights=run:{place.of("pretrain")}',
        '--threads=1',
        f'--workdir={place.work}',
        *more,
    ]


def race(place: Place, *more: str) -> list[str]:
    """The arguments of tfxfer for a race of two networks on raced/."""
    return [
        'compare',
        str(place.raced),
        '--minutes=20',
        '--networks=mobilenet_v1_0.25,mobilenet_v1_0.5',
        '--seeds=0',
        '--jobs=1',
        '--threads=1',
        '--config.image_size=32',
        '--config.weights=pretrain',
        '--config.source=digits_0_4',
        '--config.pretrain.steps=2',
        '--config.pretrain.batch=8',
        f'--workdir={place.race}',
        *more,
    ]


def forget(place: Place) -> None:
    """The Run on images/ must be made again; what is cached stays."""
    shutil.rmtree(place.work / place.of('logistic', dataset='folder'))


def forget_cached(place: Place) -> None:
    """The Run on images/ and all that is cached must be made again."""
    forget(place)
    shutil.rmtree(place.work / 'cache')


def _right(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    if done.returncode:
        raise RuntimeError(f'{done.args}: {done.stderr.decode(errors="replace")}')
    return done


def photographs(
    folder: pathlib.Path, names: Sequence[str] = CLASSES, count: int = 12
) -> None:
    """Makes folder/CLASS/i.png, `count` noisy ones of each class."""
    rng = np.random.default_rng(0)
    for c, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 100, (20, 24, 3))
            pixels[..., 1 - c % 2] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f'{i}.png')


# What is right.


def table_scores(path: pathlib.Path) -> dict[tuple[str, str, str], str]:
    """{(network, dataset, setting): score} of a results.csv."""
    with path.open(newline='') as file:
        return {
            (row['network'], row['dataset'], name): row[name]
            for row in csv.DictReader(file)
            for name in row
            if name and name.endswith('.score') and row[name]
        }


def recorded_scores(work: pathlib.Path) -> dict[str, float]:
    """{Run id: score} of the records that can be read."""
    scores = {}
    for path in work.glob('*/record.json'):
        try:
            scores[path.parent.name] = json.loads(storage.plain_bytes(path))['score']
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue
    return scores
