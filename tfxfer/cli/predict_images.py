"""Predicts images with an exported model: the classes of each, the likeliest first.

    python -m tfxfer.predict_images --model=my_model photo.jpg scans/

prints one line per image, or one JSON object per image with --json. Folders are
searched, sub-folders too. EXIF rotation, transparency, CMYK, TIFF and the like are
treated as in the evaluation of a Run. A file or folder that cannot be read is named on
stderr; the rest is predicted, and the exit status is 1. Files of folders that are not
read (other formats, such as HEIC) are counted on stderr. Where an image may have
several classes, those above one half are marked with *.
"""

import os
import signal
import sys
import typing

import tqdm
from absl import flags

from tfxfer import errors, escaping
from tfxfer.cli import app
from tfxfer.data import class_folder
from tfxfer.export import predict_images


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('model', None, 'Folder that tfxfer.export wrote.')
    define.boolean('json', False, 'Prints one JSON object per image.')
    define.integer(
        'top',
        None,
        f'How many classes to print. Default: {predict_images.SHOWN}, and all with '
        '--json.',
        least=1,
    )
    define.positional('images')
    return define.given


def main(given: app.Given) -> None:
    if not given.model:
        raise errors.InputError('Say which model: --model=DIR, of tfxfer.export.')
    found = predict_images.find(given.images)
    faults = [f'{folder} holds no image.' for folder in found.empty]
    faults += [f'{e.filename} cannot be read: {e.strerror}.' for e in found.faults]
    others = class_folder.tally(found.others)
    if not found.images:
        place = (
            f' in {", ".join(found.empty)}'
            if found.empty
            else ': name files or folders'
        )
        only = f' (only {others})' if others else ''
        raise errors.InputError(
            f'No image{place}{only}. Files with these suffixes are read: '
            f'{", ".join(class_folder.SUFFIXES)}.'
        )
    model = predict_images.load(given.model)
    for fault in faults:
        _print(f'error: {fault}', sys.stderr)
    if others:
        _print(f'Files of formats that are not read: {others}.', sys.stderr)
    for prediction in predict_images.predictions(model, found.images):
        if prediction.fault:
            faults.append(f'{prediction.path} cannot be read: {prediction.fault}.')
            _print(f'error: {faults[-1]}', sys.stderr)
        else:
            _print(_text(prediction, model.multi_label, given), sys.stdout)
    if faults:
        raise app.Failed(f'{len(faults)} files or folders have no prediction.')


def _text(
    prediction: predict_images.Prediction, multi_label: bool, given: app.Given
) -> str:
    if given.json:
        return predict_images.json_line(
            prediction, multi_label=multi_label, top=given.top
        )
    top = given.top or predict_images.SHOWN
    return predict_images.line(prediction, multi_label=multi_label, top=top)


def _print(text: str, file: typing.TextIO) -> None:
    """A line that a progress bar on the same terminal does not run into."""
    try:
        tqdm.tqdm.write(escaping.line(text), file=file)
        file.flush()
    except BrokenPipeError:  # Who reads has enough: `| head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
        sys.exit(128 + signal.SIGPIPE)  # As a shell says it.
