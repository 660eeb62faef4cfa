"""What a Run leaves behind: one folder, complete or not there. No TensorFlow."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import pathlib
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from tfxfer import config, errors, record_checks, storage

if typing.TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
Damaged = record_checks.Damaged
PREDICTIONS = 'predictions.npz'
_REMEDY = 'Remove the folder and run it again.'


@dataclasses.dataclass(frozen=True)
class Record:
    """The result of one Run.

    Attributes:
        run: the Run.
        metric: key of METRICS.
        score: on the test split, 0-1; None for a trial, which never sees it.
        valid_score: of the chosen hyperparameters on the validation split, 0-1; None
            for a final Run that no trial preceded.
        images: how many were used: {'train', 'valid', 'test', 'skipped'}.
        classes: class names, in the order of the labels.
        splits: NAME of WORKDIR/splits/NAME.npz, which holds the indices of the images
            in train, valid and test.
        chosen: the hyperparameters that validation picked, e.g. {'l2': 0.1}.
        curve: one dict per grid point: its hyperparameters, `valid_score`, `solved`.
        source: what the weights were trained for: {'dataset', 'score', 'images'}
            (score 0-1 on its test split; images: how many that is of, None if not
            known); None for random weights, and where it is not known.
        top5: of a pretrain Run on a task of one label and more than five classes, 0-1.
        status: 'done', or 'diverged' (loss or gradient not finite; scores are 0).
        fault: of a Run that diverged: {'step', 'lr'}, where and from what peak rate.
        seconds: wall-clock: of processes that were stopped ('earlier'), of the last by
            part, and of all ('total'); 'cached_features', which is not in it: what the
            features took that were in the cache already.
        versions: of this code and of the libraries, the device, threads.
        model: digest of the values in model.weights.h5; None where no network was
            trained, and in records of earlier versions.
        predictions: digest of predictions.npz; None in records of earlier versions.
        unverified: names of archives that the images come from and that are not their
            authors' files; see tools.prepare_dataset.
    """

    run: config.Run
    metric: str
    score: float | None
    valid_score: float | None
    images: dict[str, int]
    classes: tuple[str, ...]
    splits: str | None = None
    chosen: dict[str, float] = dataclasses.field(default_factory=dict)
    curve: tuple[dict[str, typing.Any], ...] = ()
    source: dict[str, typing.Any] | None = None
    top5: float | None = None
    status: str = 'done'
    fault: dict[str, typing.Any] | None = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    versions: dict[str, typing.Any] = dataclasses.field(default_factory=dict)
    model: str | None = None
    predictions: str | None = None
    unverified: tuple[str, ...] = ()


def folder(workdir: str | os.PathLike, run: config.Run) -> pathlib.Path:
    """Where all is that the Run writes."""
    return pathlib.Path(workdir) / run.id


def write_run(workdir: str | os.PathLike, run: config.Run) -> None:
    """Writes run.json, so that a program can start the Run from its folder alone."""
    path = folder(workdir, run)
    path.mkdir(parents=True, exist_ok=True)
    storage.write_json(path / 'run.json', {**config.to_dict(run), 'id': run.id})


def read_run(path: str | os.PathLike) -> config.Run:
    """The Run of a run.json.

    Raises:
        errors.InputError: not a run.json, or of fields that this version lacks.
    """
    try:
        return _run_of(_object(path))
    except (OSError, ValueError, RecursionError) as error:
        raise errors.InputError(f'Cannot read the Run in {path}: {error}') from error


def _object(path: str | os.PathLike) -> dict[str, typing.Any]:
    """What a .json file holds.

    Raises:
        FileNotFoundError: there is none.
        ValueError, RecursionError: it is no JSON, or no object.
    """
    value = json.loads(storage.plain_bytes(path))
    if not isinstance(value, dict):
        raise ValueError(f'it holds no object, but {str(value)[:60]!r}')
    return value


def _run_of(fields: dict[str, typing.Any]) -> config.Run:
    """The Run of a file's fields."""
    written = fields.pop('id', None)  # Absent where a user wrote the file.
    hparams = fields.get('hparams')
    if written and fields.get('setting') == 'finetune' and isinstance(hparams, dict):
        hparams.setdefault('new_head', False)  # Files from before there was the choice.
    return config.from_dict(fields)


def write_splits(
    workdir: str | os.PathLike,
    splits: Mapping[str, np.ndarray],
    keys: Sequence[str] | None = None,
) -> str:
    """Writes splits/NAME.npz, once for all Runs of the same splits; returns NAME.

    splits: {'train', 'valid', 'test': i64 indices}; keys: the images' names, if any.
    """
    arrays: dict[str, typing.Any]
    arrays = {name: np.asarray(splits[name], np.int64) for name in sorted(splits)}
    if keys is not None:
        arrays['names'] = np.array(keys, str)
    name = _name_of_splits(arrays)
    path = pathlib.Path(workdir) / 'splits' / f'{name}.npz'
    if not _holds_splits(path, name):
        path.parent.mkdir(exist_ok=True)
        with storage.replacing(path) as temporary:
            np.savez_compressed(temporary, **arrays)
    return name


def _name_of_splits(arrays: Mapping[str, np.ndarray]) -> str:
    """The name of a file of splits: a digest of all that it holds, in this order."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f'{name} {array.dtype} {array.shape} '.encode() + array.tobytes())
    return digest.hexdigest()[:16]


def _holds_splits(path: pathlib.Path, name: str) -> bool:
    """Whether a file is there and holds what its name says."""
    arrays = storage.arrays_if_sound(path)
    if arrays is None:
        return False
    if _name_of_splits(arrays) == name:
        return True
    logging.warning('%s holds other splits. It is made anew.', path)
    return False


def write(
    workdir: str | os.PathLike,
    record: Record,
    predictions: Mapping[str, np.ndarray],
) -> Record:
    """Writes predictions.npz, then record.json: a Run is done when that exists.

    Returns the Record as it is written, with the digest of the predictions.

    predictions: arrays, one row per image of the scored split: `index` i64 [n] (in the
    dataset), `label` i32 [n] | [n, k], `logits` f32 [n, k]. Written beside them is
    `predicted` i32 [n], the class of the highest logit, where an image has one label.
    """
    path = folder(workdir, record.run)
    write_run(workdir, record.run)
    arrays: dict[str, typing.Any] = dict(predictions)
    if arrays and arrays['label'].ndim == 1:
        arrays['predicted'] = arrays['logits'].argmax(1).astype(np.int32)
    with storage.replacing(path / PREDICTIONS) as temporary:
        np.savez_compressed(temporary, **arrays)
        digest = storage.digest_of_archive(temporary)
    record = dataclasses.replace(record, predictions=digest)
    fields = {
        field.name: getattr(record, field.name) for field in dataclasses.fields(record)
    }
    fields['run'] = {**config.to_dict(record.run), 'id': record.run.id}
    storage.write_json(path / 'record.json', {'schema': SCHEMA, **fields})
    return record


def read(path: str | os.PathLike) -> Record | None:
    """The Record in a Run's folder, or None where the Run is not done.

    Raises:
        Damaged: what is there is no record, or a field of it has a wrong value.
        errors.InputError: a record of another version.
    """
    path = pathlib.Path(path) / 'record.json'
    try:
        fields = _object(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise errors.InputError(f'Cannot read {path}: {error}') from error
    except (ValueError, RecursionError) as error:
        raise Damaged(path, str(error)) from error
    if (schema := fields.pop('schema', None)) != SCHEMA:
        if not isinstance(schema, int):
            raise Damaged(path, f"'schema' must be {SCHEMA}; it is {schema!r}")
        raise errors.InputError(
            f'{path} has another schema version than {SCHEMA}. Read it with the '
            'version of tfxfer that wrote it, or use another workdir.'
        )
    record_checks.check_types(path, Record, fields)
    try:
        run = _run_of(fields.pop('run'))
    except errors.InputError as error:
        raise Damaged(path, f"'run': {str(error).removesuffix('.')}") from error
    record_checks.check_run(path, run, fields)
    fields['classes'] = _same(tuple(fields['classes']))
    for name in ('curve', 'unverified'):
        fields[name] = tuple(fields.get(name, ()))
    return Record(run=run, **fields)


def read_named(path: str | os.PathLike) -> Record | None:
    """As `read`, of a folder in a workdir, whose name must be the Run's id.

    Raises:
        Damaged: also where it is another Run's, as in a copy of a folder.
        errors.InputError: see read.
    """
    path, record = pathlib.Path(path), read(path)
    if record is not None and record.run.id != path.name:
        raise Damaged(
            path / 'record.json',
            f'it is of {record.run.id}, which is not the name of its folder (a copy, '
            'or renamed, or changed)',
        )
    return record


def read_done(path: str | os.PathLike) -> Record | None:
    """As `read_named`, but None of a damaged record too, which is said.

    Raises:
        errors.InputError: a record of another version.
    """
    try:
        return read_named(path)
    except Damaged as error:
        logging.warning('%s', error)
        return None


@functools.lru_cache(maxsize=1024)
def _same(names: tuple[str, ...]) -> tuple[str, ...]:
    """One tuple for equal ones: thousands of Runs have the same classes."""
    return names


def read_predictions(
    path: str | os.PathLike,
    names: Collection[str] | None = None,
    *,
    digest: str | None = None,
) -> dict[str, np.ndarray]:
    """The arrays that `write` took, of a Run's folder.

    Args:
        path: the folder.
        names: of these alone.
        digest: Record.predictions.

    Raises:
        FileNotFoundError: there are none.
        errors.InputError: they are damaged, or not those of the Record.
    """
    path = pathlib.Path(path) / PREDICTIONS
    read = storage.read_arrays(path, _REMEDY, names, digest=digest)
    if 'predicted' in (names or ()) and 'predicted' not in read:
        # An older file, from before it was written.
        logits = storage.read_arrays(path, _REMEDY, ('logits',), digest=digest)
        read['predicted'] = logits['logits'].argmax(1).astype(np.int32)
    return read


def set_aside(path: str | os.PathLike) -> None:
    """Renames a record.json that is not used, so that its Run can be carried out."""
    path = pathlib.Path(path) / 'record.json'
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, path.with_name('record.damaged.json'))


class Folder(typing.NamedTuple):
    """The Records of a workdir by Run id, and sentences about those left out."""

    records: list[Record]
    left_out: list[str]


def read_folder(workdir: str | os.PathLike) -> Folder:
    """All Records of a workdir, without those that are damaged or a copy.

    Raises:
        errors.InputError: no such folder, or a record of another version.
    """
    workdir = pathlib.Path(workdir)
    if not workdir.is_dir():
        raise errors.InputError(f'No results folder {str(workdir)!r}.')
    found = Folder([], [])
    for path in sorted(workdir.glob('*/record.json')):
        try:
            record = read_named(path.parent)
        except Damaged as error:
            found.left_out.append(str(error))
            continue
        if record is not None:  # Not removed since the folder was listed.
            found.records.append(record)
    return found


def read_all(workdir: str | os.PathLike) -> list[Record]:
    """The Records of `read_folder`; what is left out is logged.

    Raises:
        errors.InputError: see read_folder.
    """
    found = read_folder(workdir)
    for sentence in found.left_out:
        logging.warning('%s', sentence)
    return found.records


def frame(records: Iterable[Record]) -> 'pd.DataFrame':
    """Records as a data frame, one row each, hyperparameters as hparams.* columns."""
    import pandas as pd  # Half a second that a Run does not need.

    rows = []
    for record in records:
        run = config.to_dict(record.run)
        hparams = run.pop('hparams')
        source = record.source or {}
        rows.append(
            {
                'id': record.run.id,
                **{k: v for k, v in run.items() if k != 'trials'},
                **{f'hparams.{k}': v for k, v in hparams.items() if k != 'l2s'},
                'metric': record.metric,
                'score': record.score,
                'valid_score': record.valid_score,
                **{f'images.{k}': v for k, v in record.images.items()},
                **{f'chosen.{k}': v for k, v in record.chosen.items()},
                'source.dataset': source.get('dataset'),
                'source.score': source.get('score'),
                'source.images': source.get('images'),
                'status': record.status,
                'seconds': record.seconds.get('total'),
            }
        )
    return pd.DataFrame(rows)
