import json

import pytest

from tests.support import studies
from tfxfer import errors, storage
from tfxfer.study import planning, study_file

STUDY = studies.study(studies.SCRATCH)


def test_a_folder_of_another_schema_version_is_refused(tmp_path):
    study_file.write(tmp_path, STUDY)
    study_file.check_schema(tmp_path)
    read = study_file.read(tmp_path)
    assert list(planning.cells(read)) == list(planning.cells(STUDY))
    fields = json.loads((tmp_path / 'study.json').read_text())
    storage.write_json(tmp_path / 'study.json', fields | {'schema': 99})
    for refuse in (study_file.check_schema, study_file.read):
        with pytest.raises(errors.InputError, match='schema version 99'):
            refuse(tmp_path)


def test_a_record_of_another_schema_version_is_refused(tmp_path):
    run = next(planning.cells(STUDY)).grid.trials[0]
    studies.write(tmp_path, run)
    path = tmp_path / run.id / 'record.json'
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 0'))
    with pytest.raises(errors.InputError, match='schema'):
        study_file.check_schema(tmp_path)


@pytest.mark.parametrize('text', ['', '{"schema": 1,', '[]'])
def test_a_damaged_study_file_is_named_and_does_not_keep_a_sweep_from_starting(
    tmp_path, caplog, text
):
    (tmp_path / 'study.json').write_text(text)
    with pytest.raises(errors.InputError, match='study.json.* Start the sweep again'):
        study_file.read(tmp_path)
    study_file.check_schema(tmp_path)
    assert 'study.json cannot be read' in caplog.text
    study_file.write(tmp_path, STUDY)
    assert list(planning.cells(study_file.read(tmp_path)))


@pytest.mark.parametrize('text', ['{}', '{"schema": 1}', '{"schema": 1, "study": 5}'])
def test_a_study_file_without_study_is_named(tmp_path, text):
    (tmp_path / 'study.json').write_text(text)
    with pytest.raises(errors.InputError, match='study.json.* Start the sweep again'):
        study_file.read(tmp_path)


def test_a_folder_without_sweep_has_no_study(tmp_path):
    with pytest.raises(errors.InputError, match='No sweep has been started'):
        study_file.read(tmp_path)
