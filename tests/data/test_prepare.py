"""Every dataset is built from archives in its authors' format, as a user builds it."""

import collections
import dataclasses
import errno
import fcntl
import functools
import hashlib
import http.server
import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.support import archives
from tests.support.fakes import ARCHITECTURE
from tfxfer import config, datasets, errors, metrics, models, results
from tfxfer.data import (
    decoding_check,
    image_set,
    prepare,
    readers,
    tfds_builders,
    tfds_prepared,
)
from tfxfer.export import saved_model
from tfxfer.transfer import execute
from tfxfer.transfer.options import ExecutionOptions


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """name -> (what was written, data folder, lines of the summary), built once."""

    @functools.cache
    def build(name):
        root = tmp_path_factory.mktemp(name)
        made = archives.WRITERS[name](root)
        record = dataclasses.replace(datasets.DATASETS[name], sizes=None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(datasets.DATASETS, name, record)
            archives.accept(patch, name, root)
            data = root / 'data'
            lines = prepare.prepare(name, data=data, archives=root)
        return made, data, lines

    return build


def read(name, data):
    record = dataclasses.replace(datasets.DATASETS[name], sizes=None)
    return readers.read(record, image_set.Options(data=data))


def stored(images, i):
    packed = images.packed
    with open(packed.files[packed.part[i]], 'rb') as file:
        file.seek(packed.offset[i])
        return file.read(packed.length[i])


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert('RGB'))


def name_of(record, label):
    if np.ndim(label) == 0:
        return record.class_names[label]
    return tuple((record.class_names[c], int(label[c])) for c in np.flatnonzero(label))


def test_writers_cover_every_prepared_dataset():
    known = {name for name, r in datasets.DATASETS.items() if r.source == 'tfds'}
    assert set(archives.WRITERS) == known and len(known) == 13


@pytest.mark.parametrize('name', archives.WRITERS)
def test_images_labels_and_splits_are_those_of_the_archives(name, built):
    made, data, _ = built(name)
    record, images = read(name, data)
    own_valid = 'valid' in dict(record.parts)
    expected, found = collections.Counter(), collections.Counter()
    for split, label, content in made:
        if isinstance(label, dict):
            label = tuple(sorted(label.items()))
        expected[split, label, content] += 1
    for part, indices in images.splits.items():
        split = 'train' if part == 'valid' and not own_valid else part
        if record.train_per_class:
            split = 'train'  # Drawn from all; see below.
        for i in indices:
            content = stored(images, i)
            if name in ('cifar10', 'cifar100'):
                content = pixels(content).tobytes()
            if name == 'sun397':  # Written as JPEG again: compared as pixels.
                number = int(re.search(r'(\d+)\.jpg$', images.keys[i])[1])
                difference = np.abs(pixels(content) - pixels(made[number][2]) * 1.0)
                assert difference.mean() < 10
                content = made[number][2]
            found[split, name_of(record, images.labels[i]), content] += 1
    assert found == expected
    together = np.concatenate(list(images.splits.values()))
    assert len(np.unique(together)) == len(together) == len(images.labels)
    assert len(set(images.keys)) == len(images.keys)


@pytest.mark.parametrize('name', archives.WRITERS)
def test_a_fifth_of_train_is_for_validation_where_there_is_no_official_one(name, built):
    _, data, _ = built(name)
    record, _ = read(name, data)
    train, valid, _ = datasets.DATASETS[name].sizes
    if 'valid' not in dict(record.parts):
        assert valid == (train + valid) // 5
        # Here each class has so few that it gives at least one.
        assert record.sizes[1] >= (record.sizes[0] + record.sizes[1]) // 5


def test_records_have_the_counts_of_the_protocol(shared):
    rows = {}
    for line in (shared / 'protocol.md').read_text().splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if cells[0] in archives.WRITERS:
            rows[cells[0]] = cells
    assert len(rows) == 12
    for name, (_, classes, counts, metric, validation) in rows.items():
        record = datasets.DATASETS[name]
        train, valid, test = record.sizes
        numbers = [int(n.replace(',', '')) for n in re.findall(r'[\d,]{3,}', counts)]
        assert [train + valid, test] == numbers[:2], name
        assert record.classes == int(re.match(r'\d+', classes)[0])
        assert (
            record.metric
            == {
                'top-1': 'top1',
                'mean per class': 'mean_per_class',
                '11-point mAP': 'voc_map',
            }[metric.split(',')[0]]
        )
        official = re.search(r'([\d,]+) train \+ ([\d,]+) val', validation)
        assert bool(official) == ('valid' in dict(record.parts))
        if official:
            printed = [int(n.replace(',', '')) for n in official.groups()]
            assert [train, valid] == printed


@pytest.mark.parametrize('name', archives.WRITERS)
def test_builders_of_the_pinned_versions_have_the_records_classes(name, tmp_path):
    record = datasets.DATASETS[name]
    builder = prepare.builder_of(record, tmp_path, None)
    assert f'{builder.info.full_name}' == record.tfds.replace(':', '/')
    if name == 'voc2007':
        feature = builder.info.features['objects'].feature['label']
    else:
        feature = builder.info.features['label']
    assert feature.num_classes == record.classes


def test_caltech_train_is_thirty_a_class_whatever_the_builder_drew(built):
    _, data, _ = built('caltech101')
    record, images = read('caltech101', data)
    both = np.concatenate([images.splits['train'], images.splits['valid']])
    np.testing.assert_array_equal(np.bincount(images.labels[both]), 30)
    # 31 + c % 3 images of class c were written.
    test = np.bincount(images.labels[images.splits['test']])
    np.testing.assert_array_equal(test, [1 + c % 3 for c in range(102)])
    assert 'background_google' in record.class_names
    # A builder that drew the other way round: train and test change places.
    other = data / 'other'
    place = other / 'caltech101/3.0.2'
    shutil.copytree(tfds_prepared.location(record, data), place)
    info = json.loads((place / 'dataset_info.json').read_text())
    swap = {'train': 'test', 'test': 'train'}
    for split in info['splits']:
        split['name'] = swap[split['name']]
    info['splits'].reverse()
    (place / 'dataset_info.json').write_text(json.dumps(info))
    for old, new in (('train', 'was'), ('test', 'train'), ('was', 'test')):
        for file in place.glob(f'caltech101-{old}.*'):
            file.rename(place / file.name.replace(f'-{old}.', f'-{new}.'))
    _, again = read('caltech101', other)
    assert again.digest == images.digest and again.keys == images.keys
    for part, indices in images.splits.items():
        np.testing.assert_array_equal(again.splits[part], indices)


def test_voc_labels_are_those_of_the_devkits_own_files(built):
    _, data, _ = built('voc2007')
    record, images = read('voc2007', data)
    names = {key: i for i, key in enumerate(images.keys)}
    theirs = np.full_like(images.labels, 99)
    for file in ('VOCtrainval_06-Nov-2007.tar', 'VOCtest_06-Nov-2007.tar'):
        with tarfile.open(data.parent / file) as archive:
            for member in archive:
                found = re.search(r'Main/(\w+)_(train|val|test)\.txt$', member.name)
                if found:
                    c = record.class_names.index(found[1])
                    for line in archive.extractfile(member).read().splitlines():
                        image, flag = line.decode().split()
                        # There 0 is difficult and -1 absent.
                        ours = {'1': 1, '0': -1, '-1': 0}[flag]
                        theirs[names[f'{image}.jpg'], c] = ours
    np.testing.assert_array_equal(images.labels, theirs)
    assert (theirs == -1).sum() > 10


def test_voc_score_is_the_devkits(built):
    """VOCevalcls of the devkit: gt is 1, -1 (absent) or 0 (difficult)."""
    _, data, _ = built('voc2007')
    _, images = read('voc2007', data)
    labels = images.labels[images.splits['test']]
    scores = np.random.default_rng(0).normal(size=labels.shape) + labels
    precisions = []
    for c in range(labels.shape[1]):
        order = np.argsort(-scores[:, c])
        gt = np.array([{1: 1, 0: -1, -1: 0}[y] for y in labels[order, c]])
        true, false = np.cumsum(gt > 0), np.cumsum(gt < 0)
        recall, precision = true / (gt > 0).sum(), true / (true + false + 1e-300)
        ap = 0
        for t in np.arange(11) / 10:
            reached = precision[recall >= t - 1e-12]
            ap += (reached.max() if len(reached) else 0) / 11
        precisions.append(ap)
    assert metrics.voc_map(labels, scores) == pytest.approx(np.mean(precisions))


def test_voc_score_by_hand():
    # By score: hit, difficult, miss, hit. Without the difficult one the precision is
    # 1 up to recall 0.5 (6 of the 11 points), then 2/3.
    labels = np.array([[1], [-1], [0], [1]])
    scores = np.array([[4.0], [3.0], [2.0], [1.0]])
    expected = (6 * 1 + 5 * 2 / 3) / 11
    assert metrics.voc_map(labels, scores) == pytest.approx(expected)


def test_summary_says_what_was_built(built):
    _, data, lines = built('aircraft')
    assert str(data / 'fgvc_aircraft' / '1.0.0') in lines[0]
    for text in (
        'train 200',
        'valid 100',
        'test 100',
        'classes: 100',
        'mean_per_class',
    ):
        assert text in lines[1]
    assert not (data / 'downloads' / 'extracted').exists() or not list(
        (data / 'downloads' / 'extracted').iterdir()
    )


def test_what_is_prepared_is_not_built_again(built, monkeypatch):
    _, data, _ = built('aircraft')
    record = dataclasses.replace(datasets.DATASETS['aircraft'], sizes=None)
    monkeypatch.setitem(datasets.DATASETS, 'aircraft', record)
    lines = prepare.prepare('aircraft', data=data, archives='/nowhere')
    assert 'already prepared' in lines[0]


def test_counts_other_than_the_papers_are_an_error_with_both_numbers(built):
    _, data, _ = built('aircraft')
    wrong = 'train should have 3334 images and has 200; valid should have 3333'
    with pytest.raises(errors.InputError, match=wrong):
        prepare.prepare('aircraft', data=data)
    record = datasets.DATASETS['aircraft']
    with pytest.raises(errors.InputError, match=wrong):
        readers.read(record, image_set.Options(data=data))
    options = image_set.Options(data=data, accept_counts=True)
    assert readers.read(record, options)[0].sizes == (200, 100, 100)


def test_files_for_registered_users_are_not_looked_for_elsewhere(tmp_path):
    with pytest.raises(errors.InputError) as error:
        prepare.prepare('imagenet2012', data=tmp_path, archives=tmp_path)
    assert 'ILSVRC2012_img_train.tar (147,897,477,120 bytes)' in str(error.value)
    assert 'image-net.org/download-images' in str(error.value)


def test_only_the_files_of_the_year_are_asked_for(offline, tmp_path):
    with pytest.raises(errors.InputError, match='2 files are missing') as error:
        prepare.prepare('voc2007', data=tmp_path)
    assert '2012' not in str(error.value)


def test_archive_of_another_size_is_an_error_with_both(tmp_path):
    (tmp_path / 'food-101.tar.gz').write_bytes(b'truncated')
    with pytest.raises(errors.InputError) as error:
        prepare.prepare('food101', data=tmp_path, archives=tmp_path)
    for text in ('food101', 'food-101.tar.gz has 9 bytes', '4,996,278,331'):
        assert text in str(error.value)


def test_archive_of_the_right_size_but_another_content_is_refused(
    monkeypatch, tmp_path
):
    archives.aircraft(tmp_path)
    archives.accept(monkeypatch, 'aircraft', tmp_path)
    path = tmp_path / 'fgvc-aircraft-2013b.tar.gz'
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    with pytest.raises(
        errors.InputError, match='aircraft .*wrong checksum.*--unverified'
    ):
        prepare.prepare('aircraft', data=tmp_path / 'data', archives=tmp_path)
    assert not tfds_prepared.is_prepared(datasets.find('aircraft'), tmp_path / 'data')


@pytest.fixture
def packed_anew(monkeypatch, tmp_path):
    """Where FGVC Aircraft's archive has the right content, but is packed otherwise."""
    archives.aircraft(tmp_path)
    archives.accept(monkeypatch, 'aircraft', tmp_path)
    path = tmp_path / 'fgvc-aircraft-2013b.tar.gz'
    with tarfile.open(path) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive}
    files['fgvc-aircraft-2013b/note.txt'] = b'packed anew'
    archives.tar(path, files)
    return path


def test_a_copy_is_taken_where_asked_for_and_named(packed_anew, tmp_path):
    name, data = 'tfds:fgvc_aircraft:1.0.0', tmp_path / 'data'
    with pytest.raises(errors.InputError, match='another file.*--unverified'):
        prepare.prepare(name, data=data, archives=tmp_path)
    lines = prepare.prepare(name, data=data, archives=tmp_path, verify=False)
    assert f"not the authors' files: {packed_anew.name}" in lines[-1]
    _, images = readers.read(datasets.find(name), image_set.Options(data=data))
    assert images.unverified == (packed_anew.name,)
    info = (data / 'fgvc_aircraft/1.0.0/dataset_info.json').read_text()
    assert hashlib.sha256(packed_anew.read_bytes()).hexdigest() in info
    # The next one is verified again.
    with pytest.raises(errors.InputError, match='another file.*--unverified'):
        prepare.prepare(name, data=tmp_path / 'other', archives=tmp_path)


def test_the_authors_own_archive_is_not_named(monkeypatch, tmp_path):
    archives.aircraft(tmp_path)
    archives.accept(monkeypatch, 'aircraft', tmp_path)
    name, data = 'tfds:fgvc_aircraft:1.0.0', tmp_path / 'data'
    lines = prepare.prepare(name, data=data, archives=tmp_path, verify=False)
    assert 'not the authors' not in '\n'.join(lines)
    _, images = readers.read(datasets.find(name), image_set.Options(data=data))
    assert images.unverified == ()


def test_only_given_archives_are_taken_unverified(tmp_path):
    with pytest.raises(errors.InputError, match='that --archives names'):
        prepare.prepare('dtd', data=tmp_path, verify=False)
    with pytest.raises(errors.InputError, match='each of its photographs'):
        prepare.prepare('birdsnap', data=tmp_path, archives=tmp_path, verify=False)


def cut(path):
    path.write_bytes(path.read_bytes()[:-2000])


def empty(path):
    archives.tar(path, {})


def foreign(path):
    archives.tar(path, {'dtd/labels/train1.txt': b'a/a_1.jpg\n'})


def nothing(path):
    path.write_bytes(b'')


def one_image_less(path):
    with tarfile.open(path) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive}
    del files['fgvc-aircraft-2013b/data/images/0000007.jpg']
    archives.tar(path, files)


@pytest.mark.parametrize(
    ('spoil', 'named'),
    [
        (cut, ''),
        (empty, 'fgvc-aircraft-2013b.tar.gz'),
        (foreign, 'variants.txt'),
        (nothing, ''),
        (one_image_less, '0000007.jpg'),
    ],
)
def test_wrong_archive_leaves_what_was_there(spoil, named, monkeypatch, tmp_path):
    archives.aircraft(tmp_path)
    spoil(tmp_path / 'fgvc-aircraft-2013b.tar.gz')
    archives.accept(monkeypatch, 'aircraft', tmp_path)
    data = tmp_path / 'data'
    old = data / 'fgvc_aircraft' / '0.9.0' / 'dataset_info.json'
    old.parent.mkdir(parents=True)
    old.write_text('old')
    with pytest.raises(errors.InputError) as error:
        prepare.prepare('aircraft', data=data, archives=tmp_path)
    assert 'aircraft could not be built' in str(error.value)
    assert named in str(error.value) and len(str(error.value)) < 1000
    assert [path.name for path in (data / 'fgvc_aircraft').iterdir()] == ['0.9.0']
    assert old.read_text() == 'old'


def test_caltech_class_with_one_image_is_named(monkeypatch, tmp_path):
    archives.caltech101(tmp_path, number_of=lambda c: 1 if c == 4 else 31)
    archives.accept(monkeypatch, 'caltech101', tmp_path)
    with pytest.raises(errors.InputError, match=r'caltech101 .*\(1\) points in class'):
        prepare.prepare('caltech101', data=tmp_path / 'd', archives=tmp_path)


def test_check_lists_a_truncated_jpeg(monkeypatch, tmp_path):
    def image(number):
        data = archives.encoded(number, side=128)
        return data[: len(data) // 2] if number == 201 else data

    archives.aircraft(tmp_path, images=image)
    archives.accept(monkeypatch, 'aircraft', tmp_path)
    name, data = 'tfds:fgvc_aircraft:1.0.0', tmp_path / 'data'
    prepare.prepare(name, data=data, archives=tmp_path)
    # Images 200 to 299 are the validation split.
    [(part, key, fault)] = decoding_check.broken_images(name, data=data)
    assert (part, key) == ('valid', '0000201.jpg') and 'truncated' in fault


def test_check_of_sound_images_finds_nothing(built):
    assert decoding_check.broken_images('dtd', data=built('dtd')[1]) == []


DRIVER = """
import pathlib, runpy, sys, time
import pytest
from tests.support import archives
from tfxfer.data import tfds_builders

patch = pytest.MonkeyPatch()
archives.accept(patch, 'aircraft', pathlib.Path(sys.argv.pop(1)))
examples = tfds_builders.FgvcAircraft._generate_examples

def slow(self, data, file):
    for i, example in enumerate(examples(self, data, file)):
        if i == 50:
            print('in the middle', flush=True)
            time.sleep(60)
        yield example

tfds_builders.FgvcAircraft._generate_examples = slow
runpy.run_module('tools.prepare_dataset', run_name='__main__')
"""


@pytest.mark.parametrize(
    'stop', [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_stopped_in_the_middle_it_leaves_nothing_and_can_be_run_again(
    stop, monkeypatch, tmp_path
):
    archives.aircraft(tmp_path)
    data, name = tmp_path / 'data', 'tfds:fgvc_aircraft:1.0.0'
    arguments = [f'--dataset={name}', f'--archives={tmp_path}', f'--data={data}']
    process = subprocess.Popen(
        [sys.executable, '-c', DRIVER, tmp_path, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        for line in process.stdout:
            if 'in the middle' in line:
                break
        half = data / 'downloads/fgvc_aircraft/some.host/file.tgz.tmp.0123'
        half.mkdir(parents=True)  # As TFDS leaves it where a download is cut off.
        process.send_signal(stop)
    assert process.returncode == (-9 if stop == signal.SIGKILL else 130)
    record = datasets.find(name)
    assert not tfds_prepared.is_prepared(record, data)
    left = list((data / 'fgvc_aircraft').glob('*'))
    assert len(left) == (stop == signal.SIGKILL)
    archives.accept(monkeypatch, 'aircraft', tmp_path)
    lines = prepare.prepare(name, data=data, archives=tmp_path)
    assert 'train 200, valid 100, test 100' in lines[1]
    assert [p.name for p in (data / 'fgvc_aircraft').iterdir()] == ['1.0.0']
    assert not half.exists()


def test_two_processes_do_not_build_the_same(monkeypatch, tmp_path):
    archives.dtd(tmp_path)
    archives.accept(monkeypatch, 'dtd', tmp_path)
    data = tmp_path / 'data'
    data.mkdir()
    with open(data / '.dtd.lock', 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(errors.InputError, match='Another process is preparing dtd'):
            prepare.prepare('dtd', data=data, archives=tmp_path)


@pytest.fixture
def served(tmp_path):
    """An HTTP server of tmp_path/served: (its address, what was asked for)."""
    asked, folder = [], tmp_path / 'served'
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}', asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_archives_are_downloaded_once_where_there_is_a_host(
    served, monkeypatch, tmp_path
):
    host, asked = served
    archives.aircraft(tmp_path / 'served')
    archives.accept(monkeypatch, 'aircraft', tmp_path / 'served')
    (info,) = tfds_builders.FgvcAircraft.url_infos.values()
    url = f'{host}/{info.filename}'
    monkeypatch.setattr(tfds_builders.FgvcAircraft, 'URL', url)
    monkeypatch.setattr(tfds_builders.FgvcAircraft, 'url_infos', {url: info})
    name, data = 'tfds:fgvc_aircraft:1.0.0', tmp_path / 'data'
    first = prepare.prepare(name, data=data)
    assert 'train 200' in first[1] and asked
    # Its folder lost, the dataset is made again from the download.
    shutil.rmtree(data / 'fgvc_aircraft')
    count = len(asked)
    prepare.prepare(name, data=data)
    assert len(asked) == count


def test_unknown_names_and_versions_are_named(tmp_path):
    for name, match in (
        ('tfds:no_such_dataset:1.0.0', 'no_such_dataset'),
        ('tfds:dtd:9.9.9', '9.9.9'),
        ('tfds:fgvc_aircraft:2.0.0', 'version here is 1.0.0'),
        ('tfds:voc:5.0.0', 'such as tfds:voc/2007:5.0.0'),
        ('digits', 'needs no preparation'),
    ):
        with pytest.raises(errors.InputError, match=match):
            prepare.prepare(name, data=tmp_path)


def test_missing_folder_of_archives_is_named(tmp_path):
    with pytest.raises(errors.InputError, match="no folder '.*nowhere'"):
        prepare.prepare(
            'dtd', data=tmp_path, archives=pathlib.Path(tmp_path / 'nowhere')
        )


@pytest.mark.parametrize(
    'name, setting', [('voc2007', 'logistic'), ('dtd', 'finetune')]
)
def test_a_prepared_dataset_is_a_task_like_others(
    name, setting, built, fakes, tmp_path, monkeypatch
):
    _, data, _ = built(name)
    record = dataclasses.replace(datasets.DATASETS[name], sizes=None)
    monkeypatch.setitem(datasets.DATASETS, name, record)
    weights = tmp_path / 'start.weights.h5'
    models.save_weights(models.build(ARCHITECTURE, classes=3), weights)
    asked = config.from_dict(
        {
            'arch': 'tiny',
            'dataset': name,
            'setting': setting,
            'weights': str(weights),
            'hparams': {'l2s': (1.0,)}
            if setting == 'logistic'
            else {'steps': 3, 'batch': 4},
        }
    )
    result = execute.execute(asked, ExecutionOptions(tmp_path, data=data))
    _, images = read(name, data)
    folder = results.folder(tmp_path, result.run)
    seen = results.read_predictions(folder)
    np.testing.assert_array_equal(seen['index'], images.splits['test'])
    np.testing.assert_array_equal(seen['label'], images.labels[images.splits['test']])
    scored = metrics.METRICS[record.metric](seen['label'], seen['logits'])
    assert result.score == scored and result.metric == record.metric
    assert saved_model.export(folder, tmp_path / 'served', data=data) < 1e-4


@pytest.mark.exhaustive
def test_killed_at_random_moments_it_leaves_no_dataset_half_built(program, tmp_path):
    done = program('tests.support.kills', 'prepare', tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_a_full_disk_is_said_and_nothing_is_left(monkeypatch, tmp_path, small_disk):
    disk, make_room = small_disk
    (disk / 'filler').write_bytes(bytes(500_000))
    archives.aircraft(tmp_path)
    archives.accept(monkeypatch, 'aircraft', tmp_path)
    name = 'tfds:fgvc_aircraft:1.0.0'
    with pytest.raises(OSError) as caught:
        prepare.prepare(name, data=disk, archives=tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert str(disk) in caught.value.filename
    assert not tfds_prepared.is_prepared(datasets.find(name), disk)
    make_room()
    prepare.prepare(name, data=disk, archives=tmp_path)
    assert tfds_prepared.is_prepared(datasets.find(name), disk)
