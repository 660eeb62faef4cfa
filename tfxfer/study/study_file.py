"""WORKDIR/study.json: the study that a folder of results is for."""

import contextlib
import dataclasses
import pathlib

from tfxfer import errors, results, storage
from tfxfer.study import checks
from tfxfer.study.study import Study

NAME = 'study.json'


def write(workdir: str | pathlib.Path, study: Study) -> None:
    """Writes study.json, from which --status reads what is planned."""
    fields = {'schema': results.SCHEMA, 'study': dataclasses.asdict(study)}
    storage.write_json(pathlib.Path(workdir) / NAME, fields)


def read(workdir: str | pathlib.Path) -> Study:
    """The Study that was last started in a folder.

    Raises:
        errors.InputError: none was, or with another schema version.
    """
    path = pathlib.Path(workdir) / NAME
    try:
        fields = storage.read_json(path, 'Start the sweep again: it is made anew.')
    except FileNotFoundError:
        raise errors.InputError(
            f'No sweep has been started in {str(workdir)!r}: it has no {NAME}. Give '
            'the --workdir of one.'
        ) from None
    check_schema(workdir)
    if not isinstance(fields.get('study'), dict):
        raise errors.InputError(
            f'{path} holds no study. Start the sweep again: it is made anew.'
        )
    return checks.study_from(fields['study'])


def check_schema(workdir: str | pathlib.Path) -> None:
    """Refuses a folder of another schema version, before anything is started.

    Raises:
        errors.InputError: as said.
    """
    workdir = pathlib.Path(workdir)
    fields = storage.read_if_sound(workdir / NAME) or {'schema': results.SCHEMA}
    if (version := fields.get('schema')) != results.SCHEMA:
        raise errors.InputError(
            f'{workdir} is of schema version {version}, this program writes '
            f'{results.SCHEMA}. Use another --workdir.'
        )
    for path in workdir.glob('*/record.json'):
        with contextlib.suppress(results.Damaged):
            results.read(path.parent)
            return
