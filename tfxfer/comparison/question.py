"""What is asked, images and networks and settings, as the fields of a study."""

import contextlib
import itertools
import os
import pathlib
import re
import typing
from collections.abc import Mapping, Sequence

from tfxfer import datasets, errors, results

CONFIG = 'images'  # Whose fields a comparison has, but for what is asked.
RUNS = pathlib.Path('runs')


def dataset_name(images: str | os.PathLike) -> str:
    """The name of a dataset that is given as a folder, a CSV file or a name.

    A name of DATASETS is that dataset; a folder of the same name is given as ./NAME.

    Raises:
        errors.InputError: there is no such folder or file, and no dataset of the name.
    """
    text = os.fspath(images)
    if text in datasets.DATASETS or re.match('(folder|csv|idx|tfds):', text):
        return datasets.find(text).name
    path = os.path.abspath(os.path.expanduser(text)) if text else ''
    if os.path.isdir(path):
        return datasets.find(f'folder:{path}').name
    if os.path.isfile(path):
        return datasets.find(f'csv:{path}').name
    if text and os.path.dirname(text):
        raise errors.InputError(
            f'There is no folder and no CSV file {text!r}. Give a folder with one '
            'sub-folder per class, a CSV file of path,label, or the name of a dataset.'
        )
    kinds = ('a folder with one sub-folder per class', 'a CSV file')
    known: dict[str, typing.Any] = {**datasets.DATASETS, **dict.fromkeys(kinds)}
    return errors.find('folder, CSV file or dataset', known, text)


def workdir_of(dataset: str, given: str | os.PathLike | None = None) -> pathlib.Path:
    """The folder for results: the given one, or runs/NAME, the images' own name.

    Raises:
        errors.InputError: none is given, and runs/NAME has results of other images.
    """
    if given:
        return pathlib.Path(given)
    kind, _, path = dataset.rpartition(':') if ':' in dataset else ('', '', dataset)
    stem = pathlib.PurePath(path)
    name = (stem.stem if kind == 'csv' else stem.name) or 'images'
    folder = RUNS / name
    if others := other_datasets(folder, dataset):
        distinct = f'{stem.parent.name}-{name}' if stem.parent.name else name
        numbered = (f'{distinct}-{i}' for i in itertools.count(2))
        names = itertools.chain([distinct], numbered)
        free = next(name for name in names if not (RUNS / name).exists())
        raise errors.InputError(
            f'{folder} has results of {", ".join(others)}. Name another folder for '
            f'those of {dataset}, such as --workdir={RUNS / free} (in Python '
            f"workdir='{RUNS / free}'); with {folder} itself they are added to it."
        )
    return folder


def other_datasets(folder: str | os.PathLike, dataset: str) -> list[str]:
    """The datasets to which Runs in a folder transfer; [] if this one is among them."""
    found = set()
    for path in pathlib.Path(folder).glob('*/run.json'):
        with contextlib.suppress(errors.InputError):  # Damaged: made anew.
            run = results.read_run(path)
            found |= {run.dataset} if run.setting != 'pretrain' else set()
    return [] if dataset in found else sorted(found)


def asked(
    fields: Mapping[str, typing.Any], dataset: str, **axes: Sequence[typing.Any] | None
) -> dict[str, typing.Any]:
    """The fields of a config, with the dataset and those axes that are given."""
    given = {name: tuple(values) for name, values in axes.items() if values}
    return {**fields, 'datasets': (dataset,), **given}
