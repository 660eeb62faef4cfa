import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from tests.conftest import ROOT
from tfxfer import config, errors, results, storage

RUN = config.from_dict(
    {'arch': 'a', 'dataset': 'd', 'setting': 'logistic', 'weights': 'slim'}
)
RECORD = results.Record(
    run=RUN,
    metric='top1',
    score=0.75,
    valid_score=0.5,
    images={'train': 6, 'valid': 2, 'test': 4, 'skipped': 0},
    classes=('cat', 'dog'),
    chosen={'l2': 0.1},
    curve=({'l2': 0.1, 'valid_score': 0.5, 'solved': True},),
)
SEEN = {
    'index': np.arange(4),
    'label': np.array([0, 1, 1, 0], np.int32),
    'logits': np.zeros((4, 2), np.float32),
}


def test_a_record_is_read_as_it_was_written(tmp_path):
    results.write(tmp_path, RECORD, SEEN)
    folder = results.folder(tmp_path, RUN)
    record = results.read(folder)
    assert dataclasses.replace(record, predictions=None) == RECORD
    assert results.read_all(tmp_path) == [record]
    seen = results.read_predictions(folder)
    np.testing.assert_array_equal(seen.pop('predicted'), [0, 0, 0, 0])
    assert seen.keys() == SEEN.keys()
    for name, array in seen.items():
        np.testing.assert_array_equal(array, SEEN[name])


@pytest.mark.parametrize('tf32', [True, False])
def test_a_record_whose_tf32_was_a_field_of_its_own_is_read(tmp_path, tf32):
    run = dataclasses.replace(RUN, precision='tf32' if tf32 else 'float32')
    results.write(tmp_path, dataclasses.replace(RECORD, run=run), SEEN)
    path = results.folder(tmp_path, run) / 'record.json'
    fields = json.loads(path.read_text())
    fields['run'] |= {'precision': 'float32', 'tf32': tf32}
    path.write_text(json.dumps(fields))
    assert results.read_named(path.parent).run == run
    fields['run'] |= {'precision': 'bfloat16', 'tf32': True}
    path.write_text(json.dumps(fields))
    with pytest.raises(results.Damaged, match='tf32=true goes with float32 alone'):
        results.read(path.parent)


def test_predicted_classes_of_a_folder_that_has_logits_alone(tmp_path):
    logits = np.array([[0.1, 0.2], [0.4, 0.3]], np.float32)
    np.savez(tmp_path / 'predictions.npz', logits=logits, index=np.arange(2))
    seen = results.read_predictions(tmp_path, ('index', 'predicted'))
    assert seen.keys() == {'index', 'predicted'}
    np.testing.assert_array_equal(seen['predicted'], [1, 0])


def truncated(path):
    path.write_bytes(path.read_bytes()[:-30])


def emptied(path):
    path.write_bytes(b'')


def one_bit_flipped(path):
    """In the logits, which are found by their value in a file without compression."""
    with np.load(path) as arrays:
        np.savez(path, **arrays)
    data = bytearray(path.read_bytes())
    data[data.index(SEEN['logits'].tobytes(), data.index(b'logits'))] ^= 1
    path.write_bytes(data)


def of_another_run(path):
    np.savez_compressed(path, **SEEN, predicted=np.ones(4, np.int32))


@pytest.mark.parametrize('harm', [truncated, emptied, one_bit_flipped, of_another_run])
def test_predictions_that_are_not_those_of_the_record_are_refused(tmp_path, harm):
    results.write(tmp_path, RECORD, SEEN)
    folder = results.folder(tmp_path, RUN)
    harm(folder / 'predictions.npz')
    digest = results.read(folder).predictions
    with pytest.raises(errors.InputError, match='predictions.npz cannot be read'):
        results.read_predictions(folder, digest=digest)


def test_predictions_of_a_record_without_digest_are_read(tmp_path):
    results.write(tmp_path, RECORD, SEEN)
    folder = results.folder(tmp_path, RUN)
    path = folder / 'record.json'
    fields = json.loads(path.read_text())
    assert fields.pop('predictions')
    path.write_text(json.dumps(fields))
    of_another_run(folder / 'predictions.npz')
    digest = results.read(folder).predictions
    assert digest is None
    assert results.read_predictions(folder, digest=digest)['predicted'].all()


def test_the_names_that_other_programs_rely_on(tmp_path):
    results.write(tmp_path, RECORD, SEEN)
    folder = results.folder(tmp_path, RUN)
    record = json.loads((folder / 'record.json').read_text())
    assert (record['score'], record['valid_score']) == (0.75, 0.5)
    run = json.loads((folder / 'run.json').read_text())
    names = ('arch', 'dataset', 'setting', 'phase')
    assert [run[name] for name in names] == ['a', 'd', 'logistic', 'final']


@pytest.mark.parametrize('file', ['record.json', 'run.json'])
def test_runs_of_before_new_heads_are_read_with_the_id_that_they_have(file, tmp_path):
    paths = sorted((ROOT / 'tests/example_results').glob(f'*-finetune-*/{file}'))
    for path in paths:
        assert 'new_head' not in path.read_text()
        read = results.read if file == 'record.json' else results.read_run
        found = read(path.parent if file == 'record.json' else path)
        run = getattr(found, 'run', found)
        assert run.id == path.parent.name and not run.hparams.new_head
    written = json.loads(paths[0].read_text())
    by_hand = written.get('run', written)
    del by_hand['id']
    (tmp_path / 'run.json').write_text(json.dumps(by_hand))
    assert results.read_run(tmp_path / 'run.json').hparams.new_head


def test_a_run_without_record_is_not_done(tmp_path):
    results.write_run(tmp_path, RUN)
    assert results.read(results.folder(tmp_path, RUN)) is None
    assert results.read_all(tmp_path) == []


@pytest.mark.parametrize('stop', [0, 1, 2, 3])
def test_a_record_half_written_is_never_read_as_complete(tmp_path, monkeypatch, stop):
    """The process dies before its (stop + 1)th file is moved into place."""
    moves = []

    def replace(source, target):
        if len(moves) == stop:
            raise KeyboardInterrupt
        moves.append(target)
        original(source, target)

    original = storage.os.replace
    monkeypatch.setattr(storage.os, 'replace', replace)
    if stop < 3:
        with pytest.raises(KeyboardInterrupt):
            results.write(tmp_path, RECORD, SEEN)
        assert results.read(results.folder(tmp_path, RUN)) is None
    else:
        results.write(tmp_path, RECORD, SEEN)
        assert results.read(results.folder(tmp_path, RUN)).score == RECORD.score
    left = [p.name for p in results.folder(tmp_path, RUN).iterdir()]
    assert not [name for name in left if name.startswith('.')]


def test_a_reader_beside_a_writer_sees_the_old_or_the_new_file(tmp_path):
    path, seen = tmp_path / 'x.json', set()
    storage.write_json(path, [0] * 5000)
    done = threading.Event()

    def read():
        while not done.is_set():
            seen.add(len(json.loads(path.read_text())))

    reader = threading.Thread(target=read)
    reader.start()
    for size in range(5000, 5200):
        storage.write_json(path, [0] * size)
    done.set()
    reader.join()
    assert seen and min(seen) >= 5000


def test_not_a_number_is_never_written(tmp_path):
    with pytest.raises(ValueError):
        storage.write_json(tmp_path / 'x.json', {'score': float('nan')})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_complete_or_not_at_all(tmp_path):
    target = tmp_path / 'cache'
    with (
        pytest.raises(KeyboardInterrupt),
        storage.replacing_folder(target) as temporary,
    ):
        (temporary / 'half').write_text('x')
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    for text in ('old', 'new'):
        with storage.replacing_folder(target) as temporary:
            (temporary / 'whole').write_text(text)
    assert (target / 'whole').read_text() == 'new'
    assert list(tmp_path.iterdir()) == [target]


def test_another_schema_version_is_refused(tmp_path):
    results.write(tmp_path, RECORD, SEEN)
    path = results.folder(tmp_path, RUN) / 'record.json'
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(errors.InputError, match='another schema version'):
        results.read_all(tmp_path)


@pytest.mark.parametrize('text', ['', '{', '[]', '"x"', 'null', '[' * 100_000])
def test_a_record_that_is_cut_off_or_no_object_is_left_out_by_name(tmp_path, text):
    results.write(tmp_path, RECORD, SEEN)
    path = results.folder(tmp_path, RUN) / 'record.json'
    path.write_text(text)
    left_out(tmp_path, 'record.json')


def left_out(workdir, *names):
    """Asserts that the one Record of a workdir is left out, in a line of `names`."""
    folder = results.folder(workdir, RUN)
    with pytest.raises(results.Damaged):
        results.read(folder)
    found = results.read_folder(workdir)
    (sentence,) = found.left_out
    assert found.records == [] and '\n' not in sentence
    assert str(folder / 'record.json') in sentence
    assert all(name in sentence for name in names)
    assert results.read_done(folder) is None


WRONG = [
    ('metric', None), ('metric', 3), ('metric', 'top2'), ('metric', ['top1']),
    ('score', '0.75'), ('score', 1.5), ('score', -0.1), ('score', True),
    ('score', float('nan')), ('score', 10**400), ('score', None), ('score', []),
    ('valid_score', 'high'), ('valid_score', 75), ('valid_score', float('inf')),
    ('images', None), ('images', []), ('images', {}),
    ('images', {'train': 6.5, 'valid': 2, 'test': 4}),
    ('images', {'train': -6, 'valid': 2, 'test': 4}),
    ('classes', None), ('classes', 'cat'), ('classes', [0, 1]), ('classes', {}),
    ('splits', 5), ('chosen', None), ('chosen', [0.1]), ('chosen', {'l2': '0.1'}),
    ('curve', None), ('curve', {}), ('curve', [0.5]), ('curve', [{'l2': 0.1}]),
    ('curve', [{'l2': 'a', 'valid_score': 0.5, 'solved': True}]),
    ('curve', [{'l2': 0.1, 'valid_score': 5, 'solved': True}]),
    ('source', 'imagenet'), ('source', {}),
    ('source', {'dataset': 'x', 'score': 71, 'images': None}),
    ('top5', 'x'), ('status', None), ('status', 'finished'), ('fault', 'late'),
    ('seconds', None), ('seconds', {'total': 'long'}), ('seconds', {'total': -1}),
    ('versions', []), ('run', None), ('run', []), ('run', 'a'),
]  # fmt: skip


@pytest.mark.parametrize('field, value', WRONG)
def test_a_field_of_another_type_or_range_is_named(tmp_path, field, value):
    change(tmp_path, lambda record: record.update({field: value}))
    left_out(tmp_path, f"'{field}'")


@pytest.mark.parametrize(
    'field, value',
    [
        ('arch', 5), ('dataset', None), ('setting', []), ('setting', 'logistics'),
        ('hparams', None), ('hparams', []), ('hparams', {'l2s': 'a'}),
        ('hparams', {'l2s': [-1.0]}), ('seed', '0'), ('seed', 0.5), ('phase', 7),
        ('per_class', 'all'), ('weights', None), ('metric', 1),
    ],
)  # fmt: skip
def test_a_field_of_the_run_of_another_type_is_named(tmp_path, field, value):
    change(tmp_path, lambda record: record['run'].update({field: value}))
    left_out(tmp_path, "'run'")


@pytest.mark.parametrize('hparams', [None, [], 5, 'lr'])
def test_a_finetune_run_without_hyperparameters_is_named(tmp_path, hparams):
    example = next((ROOT / 'tests/example_results').glob('*-finetune-*/record.json'))
    folder = tmp_path / example.parent.name
    folder.mkdir()
    record = json.loads(example.read_text())
    record['run']['hparams'] = hparams
    (folder / 'record.json').write_text(json.dumps(record))
    (folder / 'run.json').write_text(json.dumps(record['run']))
    (sentence,) = results.read_folder(tmp_path).left_out
    assert f'{folder}/record.json' in sentence and "'hparams'" in sentence
    with pytest.raises(errors.InputError, match="'hparams'"):
        results.read_run(folder / 'run.json')


@pytest.mark.parametrize('field', ['run', 'metric', 'score', 'images', 'classes'])
def test_a_field_that_is_not_there_is_named(tmp_path, field):
    change(tmp_path, lambda record: record.pop(field))
    left_out(tmp_path, f"no '{field}'")


def test_points_of_which_none_is_chosen_are_named(tmp_path):
    change(tmp_path, lambda record: record.pop('chosen'))
    left_out(tmp_path, "'chosen'")


def change(workdir, how):
    """Writes RECORD, its file changed by `how`."""
    results.write(workdir, RECORD, SEEN)
    path = results.folder(workdir, RUN) / 'record.json'
    record = json.loads(path.read_text())
    how(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    'part', [lambda r: r, lambda r: r['run'], lambda r: r['run']['hparams']]
)
def test_a_field_of_a_later_version_is_not_taken_for_damage(tmp_path, part):
    change(tmp_path, lambda record: part(record).update(weather='fine'))
    with pytest.raises(errors.InputError, match='weather') as refused:
        results.read_folder(tmp_path)
    assert not isinstance(refused.value, results.Damaged)


def test_a_copied_or_renamed_folder_is_left_out_and_said(tmp_path):
    results.write(tmp_path, RECORD, SEEN)
    shutil.copytree(results.folder(tmp_path, RUN), tmp_path / 'a copy')
    found = results.read_folder(tmp_path)
    record = results.read(results.folder(tmp_path, RUN))
    assert found.records == [record]
    (sentence,) = found.left_out
    assert 'a copy' in sentence and RUN.id in sentence
    # Read as it is, it is a Run whose weights may be used.
    assert results.read(tmp_path / 'a copy') == record


@pytest.mark.parametrize('text', ['[]', '5', 'null', '{', '', '{"hparams": 3}'])
def test_a_run_json_that_is_no_run_is_one_line_that_names_it(tmp_path, text):
    (tmp_path / 'run.json').write_text(text)
    with pytest.raises(errors.InputError, match='run.json') as refused:
        results.read_run(tmp_path / 'run.json')
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('text', ['', '{"arch": ', '[]'])
def test_a_damaged_run_file_is_named_with_what_to_do(tmp_path, text):
    (tmp_path / 'run.json').write_text(text)
    with pytest.raises(errors.InputError, match='Cannot read .*run.json'):
        results.read_run(tmp_path / 'run.json')


def test_frame_has_a_row_per_record():
    frame = results.frame([RECORD])
    assert frame.loc[0, ['arch', 'score', 'images.test', 'chosen.l2']].tolist() == [
        'a',
        0.75,
        4,
        0.1,
    ]


def test_a_folder_that_cannot_be_written_is_an_error_at_once(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(errors.InputError, match='a part of it is a file'):
        storage.writable(tmp_path / 'file' / 'runs')
    with pytest.raises(OSError):
        storage.writable('/proc/nothing/can/be/made/here')


def test_splits_are_stored_once_for_all_runs_that_share_them(tmp_path):
    splits = {'train': np.array([0, 3]), 'valid': np.array([1]), 'test': np.array([2])}
    keys = ('a.jpg', 'b.jpg', 'c.jpg', 'é.jpg')
    name = results.write_splits(tmp_path, splits, keys)
    assert results.write_splits(tmp_path, splits, keys) == name
    with np.load(tmp_path / 'splits' / f'{name}.npz') as stored:
        for part, indices in splits.items():
            np.testing.assert_array_equal(stored[part], indices)
        assert stored['names'].tolist() == list(keys)
    other = results.write_splits(tmp_path, {**splits, 'train': np.array([3])}, keys)
    assert other != name and len(list((tmp_path / 'splits').iterdir())) == 2


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize('harm', [truncated, emptied, of_another_run, a_pipe])
def test_splits_that_are_damaged_are_written_again(tmp_path, caplog, harm):
    splits = {'train': np.array([0, 3]), 'valid': np.array([1]), 'test': np.array([2])}
    name = results.write_splits(tmp_path, splits)
    path = tmp_path / 'splits' / f'{name}.npz'
    whole = path.read_bytes()
    results.write_splits(tmp_path, splits)
    assert not caplog.text
    harm(path)
    assert results.write_splits(tmp_path, splits) == name
    assert path.read_bytes() == whole and f'{name}.npz' in caplog.text


LOCKED = """
import sys, time
from tfxfer import storage
with storage.locked(sys.argv[1]):
    print('in', flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_lock_keeps_others_out_until_its_process_ends(tmp_path):
    command = [sys.executable, '-c', LOCKED, str(tmp_path / 'thing'), '30']
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert first.stdout.readline() == b'in\n'
    second = subprocess.Popen(
        [*command[:-1], '0'], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(2)
    first.kill()
    assert second.communicate(timeout=20)[0] == b'in\n'
    first.communicate()
