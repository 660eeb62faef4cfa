"""What is asked, images and networks and settings, as the fields of a study."""

import os
import pathlib
import re
import typing
from collections.abc import Mapping, Sequence

from tfxfer import datasets, errors

CONFIG = 'images'  # Whose fields a comparison has, but for what is asked.


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


def default_workdir(dataset: str) -> pathlib.Path:
    """runs/NAME, of the folder's, file's or dataset's own name."""
    kind, _, path = dataset.rpartition(':') if ':' in dataset else ('', '', dataset)
    stem = pathlib.PurePath(path)
    name = stem.stem if kind == 'csv' else stem.name
    return pathlib.Path('runs') / (name or 'images')


def asked(
    fields: Mapping[str, typing.Any], dataset: str, **axes: Sequence[typing.Any] | None
) -> dict[str, typing.Any]:
    """The fields of a config, with the dataset and those axes that are given."""
    given = {name: tuple(values) for name, values in axes.items() if values}
    return {**fields, 'datasets': (dataset,), **given}
