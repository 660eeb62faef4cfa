"""Predictions of image files by an exported model, and how they are shown."""

import collections
import json
import os
import pathlib
import tempfile
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tqdm

from tfxfer import errors, path_patterns
from tfxfer.data import class_folder, image_files

BATCH = 16  # Turned photographs are held as PNG, of up to 20 MB each.
PIXELS = 50_000_000  # In a batch, unless it is of one image.
SHOWN = 3  # Classes in a line.
# Of models exported before their cards said it.
USUAL = {'white': image_files.WHITE, 'pixels': None}
PRESENT = 0.5  # Above it a class of a multi-label task is said to be there.


class Model(typing.NamedTuple):
    """serve: image bytes [b] -> {probabilities, classes [b, k]}, as of Served.

    white: the number that is white in 16-bit gray. pixels: how many an image may have;
    None: it has no limit of its own.
    """

    serve: typing.Callable
    multi_label: bool
    white: int = image_files.WHITE
    pixels: int | None = None


class Prediction(typing.NamedTuple):
    """Of one file: class names and probabilities f32 [k], the likeliest first.

    fault says why there is none.
    """

    path: str
    classes: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None
    fault: str | None = None


class Found(typing.NamedTuple):
    """What was named, with folders searched.

    Attributes:
        images: paths, each once.
        empty: folders without any image.
        others: how many files of each suffix in folders are not read.
        faults: why folders in them could not be read.
    """

    images: list[str]
    empty: list[str]
    others: collections.Counter[str]
    faults: list[OSError]


def find(names: Iterable[str]) -> Found:
    """Files as named, folders searched for images.

    Whether a file that is named exists is not looked at.
    """
    paths: dict[str, None] = {}
    found = Found([], [], collections.Counter(), [])
    for name in names:
        images = [name]
        if os.path.isdir(name):
            inside = class_folder.find(name)
            images = inside.images
            found.others.update(inside.others)
            found.faults.extend(inside.faults)
            if not images:
                found.empty.append(name)
        paths |= dict.fromkeys(images)
    found.images.extend(paths)
    return found


def load(folder: str | os.PathLike) -> Model:
    """The Model in a folder that tfxfer.export wrote; needs TensorFlow alone.

    Raises:
        errors.InputError: no such model, or not a whole one.
    """
    folder = pathlib.Path(folder)
    if not (folder / 'saved_model.pb').is_file():
        raise errors.InputError(
            f'{str(folder)!r} holds no model (saved_model.pb). Make one: python -m '
            f'tfxfer.export --run=DIR --output={folder}'
        )
    try:
        card = json.loads((folder / 'model_card.json').read_text(encoding='utf-8'))
        multi_label = card['multi_label']
        reading = {**USUAL, **card.get('reading', {})}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise errors.InputError(
            f'{folder}/model_card.json, which says whether an image has one class or '
            f'several, cannot be read ({error}). Export the Run again.'
        ) from error
    import tensorflow as tf  # Not before it is known that there is a model.

    from tfxfer.models import float32

    float32.allow_tf32(False)
    try:
        with path_patterns.literal(folder) as path:
            model = tf.saved_model.load(str(path))
        serve = model.signatures['serving_default']
        return Model(serve, multi_label, reading['white'], reading['pixels'])
    except (OSError, LookupError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise errors.InputError(
            f'The model in {str(folder)!r} cannot be read ({reason}). Export the Run '
            'again.'
        ) from error


def predictions(model: Model, paths: Sequence[str]) -> Iterator[Prediction]:
    """Yields the Prediction of every path, in order.

    Raises:
        RuntimeError: the model gives what is no probability.
    """
    starts = range(0, len(paths), BATCH)
    hidden = None if len(starts) > 1 else True  # None: where there is no terminal.
    for start in tqdm.tqdm(
        starts, 'Predicting', unit='batch', leave=False, disable=hidden
    ):
        part = paths[start : start + BATCH]
        # Of each batch: there may be no room for the copies of all.
        with tempfile.TemporaryDirectory(prefix='tfxfer-') as copies:
            of_path = _batch(model, part, pathlib.Path(copies))
        yield from (of_path[path] for path in part)


def _batch(
    model: Model, paths: Sequence[str], copies: pathlib.Path
) -> dict[str, Prediction]:
    """{path: Prediction}; copies: an empty folder."""
    here = pathlib.Path()
    stamps = image_files.stamps_of(here, paths)
    sound: dict[str, image_files.Checked] = {}
    of_path: dict[str, Prediction] = {}
    for path, check in image_files.check(here, stamps, None, copies).items():
        if fault := check.fault or _too_large(check, model):
            of_path[path] = Prediction(path, fault=fault)
        else:
            sound[path] = check
    image_files.whiten(here, sound, copies, model.white)
    for group in _groups(sound):
        data = _upright_files(group, sound, copies, model.white)
        of_path |= zip(group, _predicted(model, group, data), strict=True)
    return of_path


def _too_large(check: image_files.Checked, model: Model) -> str | None:
    """Why the model would refuse an image that is read here, or None."""
    if model.pixels is None or check.pixels <= model.pixels:
        return None
    return (
        f'{check.pixels:,} pixels are more than the {model.pixels:,} that the model '
        'takes: make it smaller'
    )


def _groups(checked: Mapping[str, image_files.Checked]) -> Iterator[list[str]]:
    """Paths in order, in groups of few enough pixels to be decoded at once."""
    group: list[str] = []
    pixels = 0
    for path, check in checked.items():
        pixels += check.pixels
        if group and pixels > PIXELS:
            yield group
            group, pixels = [], check.pixels
        group.append(path)
    if group:
        yield group


def _upright_files(
    paths: Sequence[str],
    checked: Mapping[str, image_files.Checked],
    folder: pathlib.Path,
    white: int,
) -> list[typing.Any]:
    """What the model is given of sound files: the bytes of each, or of its copy."""
    data = []
    for path in paths:
        check = checked[path]
        file = folder / check.copy_name(white) if check.copied else pathlib.Path(path)
        data.append(upright(file.read_bytes(), check.orientation))
    return data


def upright(data: typing.Any, orientation: int) -> typing.Any:
    """A file whose pixels lie as EXIF's orientation (1 to 8) says a JPEG's should.

    Models that were exported before they read EXIF do not turn images themselves. An
    upright file is returned as it is.
    """
    if orientation == 1:
        return data
    import tensorflow as tf

    from tfxfer.data import preprocess

    pixels = preprocess.turned(preprocess.Jpeg(data).whole(), orientation)
    return tf.io.encode_png(pixels, compression=1)  # The quickest.


def _predicted(
    model: Model, paths: Sequence[str], data: Sequence[typing.Any]
) -> Iterator[Prediction]:
    import tensorflow as tf

    outputs = model.serve(tf.stack(data))
    probabilities = outputs['probabilities'].numpy()
    if not np.isfinite(probabilities).all():
        raise RuntimeError(f'The model gives no finite probabilities for {paths}.')
    names = [name.decode() for name in outputs['classes'].numpy()[0]]
    for path, row in zip(paths, probabilities, strict=True):
        order = np.argsort(-row, kind='stable')
        yield Prediction(path, tuple(names[c] for c in order), row[order])


def line(prediction: Prediction, *, multi_label: bool, top: int) -> str:
    """For a person: the path and the `top` likeliest classes, in percent.

    All that are present in a multi-label task are shown, and marked.
    """
    probabilities = prediction.probabilities
    assert probabilities is not None  # There was no fault.
    present = (probabilities > PRESENT) & multi_label
    count = max(top, int(np.count_nonzero(present)))
    columns = zip(prediction.classes, probabilities, present, strict=True)
    texts = [
        f'{"*" if mark else ""}{name} {100 * p:.1f} %' for name, p, mark in columns
    ]
    return f'{prediction.path}: {", ".join(texts[:count])}'


def json_line(prediction: Prediction, *, multi_label: bool, top: int | None) -> str:
    """For a program: path, classes and probabilities, the likeliest first.

    Of a multi-label task also `present`, the names of the classes above PRESENT.
    top: how many classes; None: all.
    """
    probabilities = prediction.probabilities
    assert probabilities is not None  # There was no fault.
    fields: dict[str, typing.Any] = {
        'path': prediction.path,
        'classes': prediction.classes[:top],
        'probabilities': probabilities[:top].tolist(),
    }
    if multi_label:
        count = np.count_nonzero(probabilities > PRESENT)
        fields['present'] = prediction.classes[:count]
    return json.dumps(fields)
