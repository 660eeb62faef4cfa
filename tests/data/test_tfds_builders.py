import collections
import functools
import hashlib
import http.server
import threading

import pytest

from tests.support import archives
from tfxfer import datasets, errors
from tfxfer.data import image_set, prepare, readers, tfds_builders, tfds_prepared

NAME = 'tfds:birdsnap:1.0.0'


@pytest.fixture
def server(tmp_path):
    """Serves tmp_path/served; `asked` counts the addresses."""
    folder, asked = tmp_path / 'served', collections.Counter()
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked[self.path] += 1

    handler = functools.partial(Handler, directory=folder)
    http_server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=http_server.serve_forever)
    thread.start()
    http_server.folder, http_server.asked = folder, asked
    http_server.address = f'http://127.0.0.1:{http_server.server_port}'
    yield http_server
    http_server.shutdown()
    http_server.server_close()
    thread.join()


def row(path, data, host):
    return {
        'url': f'{host}/{path}',
        'md5': hashlib.md5(data).hexdigest(),
        'path': path,
    }


def test_photographs_are_taken_from_the_folder_or_downloaded_once(server, tmp_path):
    photos = {f'Wren/{i}.jpg': archives.encoded(i) for i in range(4)}
    rows = [row(path, data, server.address) for path, data in photos.items()]
    (server.folder / 'Wren').mkdir()
    for path, data in photos.items():
        (server.folder / path).write_bytes(data)
    own, target = tmp_path / 'own', tmp_path / 'target'
    (own / 'Wren').mkdir(parents=True)
    (own / 'Wren/0.jpg').write_bytes(photos['Wren/0.jpg'])
    found, faults = tfds_builders.photographs(rows, [own, target], target)
    assert not faults
    assert found['Wren/0.jpg'] == own / 'Wren/0.jpg'
    for path, data in photos.items():
        assert found[path].read_bytes() == data
    assert sorted(server.asked) == ['/Wren/1.jpg', '/Wren/2.jpg', '/Wren/3.jpg']
    again, _ = tfds_builders.photographs(rows, [own, target], target)
    assert again == found and set(server.asked.values()) == {1}


def test_photographs_that_are_gone_or_other_ones_are_faults(server, tmp_path):
    data = archives.encoded(0)
    (server.folder / 'other.jpg').write_bytes(b'This photo is no longer available')
    (server.folder / 'cut.jpg').write_bytes(data[:-30])
    rows = [row(f'{n}.jpg', data, server.address) for n in ('gone', 'other', 'cut')]
    found, faults = tfds_builders.photographs(rows, [], tmp_path / 'target')
    assert not found
    assert faults['gone.jpg'] == 'HTTP status 404'
    assert faults['other.jpg'] == faults['cut.jpg'] == 'another MD5 sum'
    assert not list((tmp_path / 'target').rglob('*.jpg'))


def test_host_that_does_not_answer_is_asked_a_few_times_only(tmp_path):
    # 5,000 time-outs would take a day; port 9 refuses at once, so count the reasons.
    rows = [row(f'{i}.jpg', b'', 'http://127.0.0.1:9') for i in range(500)]
    _, faults = tfds_builders.photographs(rows, [], tmp_path)
    assert len(faults) == 500
    tried = [fault for fault in faults.values() if 'refused' in fault]
    assert 3 <= len(tried) <= 3 + 16  # Sixteen are asked at the same time.


def test_damaged_photograph_of_the_folder_is_replaced_where_there_is_network(
    server, tmp_path
):
    data, own = archives.encoded(0), tmp_path / 'own'
    (server.folder / 'a.jpg').write_bytes(data)
    own.mkdir()
    (own / 'a.jpg').write_bytes(data[:50])
    rows = [row('a.jpg', data, server.address)]
    found, _ = tfds_builders.photographs(rows, [own], tmp_path / 'target')
    assert found['a.jpg'].read_bytes() == data
    assert (own / 'a.jpg').read_bytes() == data[:50]  # The user's folder is read only.


def prepared(monkeypatch, folder, **options):
    archives.accept(monkeypatch, 'birdsnap', folder)
    return prepare.prepare(NAME, data=folder / 'data', archives=folder, **options)


def test_lost_and_damaged_photographs_are_left_out_and_listed(monkeypatch, tmp_path):
    # 0 to 999 are for training, 1000 to 1499 for testing.
    lost, damaged = set(range(0, 200, 2)), set(range(1000, 1050))
    made = archives.birdsnap(tmp_path, lost, damaged)
    lines = prepared(monkeypatch, tmp_path)
    assert 'test 450' in lines[1] and len(made) == 1350
    report = (tmp_path / 'data' / 'birdsnap-missing.tsv').read_text().splitlines()
    assert report[0] == 'path\turl\tfault' and len(report) == 1 + 150
    assert sum('another MD5 sum' in line for line in report) == 50
    record, images = readers.read(
        datasets.find(NAME), image_set.Options(data=tmp_path / 'data')
    )
    numbers = {int(key.split('/')[1].removesuffix('.jpg')) for key in images.keys}
    assert numbers == set(range(1500)) - lost - damaged
    assert record.class_names[:2] == ("Bird's 0", "Bird's 1")
    # The paper's counts are asserted wherever they are not waived.
    with pytest.raises(errors.InputError, match='should have 37909 images and has'):
        readers.read(
            datasets.DATASETS['birdsnap'], image_set.Options(data=tmp_path / 'data')
        )


def test_too_many_lost_photographs_are_refused_and_still_listed(monkeypatch, tmp_path):
    archives.birdsnap(tmp_path, lost=set(range(600)))
    with pytest.raises(errors.InputError, match=r'600 of 1500 photographs \(40.0%\)'):
        prepared(monkeypatch, tmp_path)
    data = tmp_path / 'data'
    assert len((data / 'birdsnap-missing.tsv').read_text().splitlines()) == 601
    assert not tfds_prepared.is_prepared(datasets.find(NAME), data)
    # What its class has lost altogether no threshold helps.
    with pytest.raises(errors.InputError, match="no training image of Bird's 0, "):
        prepared(monkeypatch, tmp_path, max_missing=0.5)


def test_birdsnaps_summary_says_how_many_the_paper_had(monkeypatch, tmp_path):
    archives.birdsnap(tmp_path)
    archives.accept(monkeypatch, 'birdsnap', tmp_path)
    lines = prepare.prepare('birdsnap', data=tmp_path / 'data', archives=tmp_path)
    assert '37,909, 9,477 and 2,443: with --config.accept_counts' in lines[2]


def test_another_archive_than_the_authors_is_refused(tmp_path):
    archives.birdsnap(tmp_path)
    with pytest.raises(errors.InputError, match='1788158175f6ae794aebf27bcd7a3f5d'):
        prepare.prepare(NAME, data=tmp_path / 'data', archives=tmp_path)
    assert not tfds_prepared.is_prepared(datasets.find(NAME), tmp_path / 'data')


def test_birdsnap_list_and_photographs_come_from_the_network(
    server, monkeypatch, tmp_path
):
    made = archives.birdsnap(server.folder, url=server.address)
    photographs = server.folder / 'birdsnap/download/images'
    for folder in list(photographs.iterdir()):
        folder.rename(server.folder / folder.name)
    archives.accept(monkeypatch, 'birdsnap', server.folder)
    url = f'{server.address}/birdsnap.tgz'
    monkeypatch.setattr(tfds_builders.Birdsnap, 'URL', url)
    lines = prepare.prepare(NAME, data=tmp_path / 'data')
    assert 'test 500' in lines[1] and len(made) == 1500
    assert sum(path.endswith('.jpg') for path in server.asked) == 1500
