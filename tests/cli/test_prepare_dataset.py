import pytest

from tests.support import archives
from tests.support.offline import DEAD
from tfxfer import errors
from tfxfer.cli import app, prepare_dataset
from tfxfer.data import prepare


def test_every_missing_file_is_named_with_its_address(program, tmp_path):
    (tmp_path / 'car_devkit.tgz').write_bytes(b'x' * 330_960)
    environment = {'http_proxy': DEAD, 'https_proxy': DEAD, 'PATH': '/usr/bin:/bin'}
    done = program(
        'tools.prepare_dataset',
        '--dataset=cars',
        f'--archives={tmp_path}',
        f'--data={tmp_path}/data',
        env=environment,
        timeout=60,
    )
    assert done.returncode == 2
    for file in ('cars_train.tgz', 'cars_test.tgz', 'cars_test_annos_withlabels.mat'):
        assert f'{file} (' in done.stderr
        assert f'http://ai.stanford.edu/~jkrause/car196/{file}' in done.stderr
    assert 'car_devkit.tgz' not in done.stderr  # That one is there.
    assert 'took all files down' in done.stderr
    assert f'into {tmp_path} ' in done.stderr
    assert 'Traceback' not in done.stderr
    assert not (tmp_path / 'data').exists()


def test_what_several_datasets_lack_is_named_together(offline, tmp_path):
    with pytest.raises(errors.InputError) as error:
        app.call(prepare_dataset, ['--dataset=dtd,birdsnap', f'--data={tmp_path}/data'])
    said = str(error.value)
    assert 'dtd-r1.0.1.tar.gz (625,239,812 bytes) from https://www.robots' in said
    assert 'birdsnap.tgz (size not known) from http://thomasberg.org' in said


def test_check_lists_a_truncated_jpeg(monkeypatch, tmp_path, capsys):
    def image(number):
        data = archives.encoded(number, side=128)
        return data[: len(data) // 2] if number == 201 else data

    archives.aircraft(tmp_path, images=image)
    archives.accept(monkeypatch, 'aircraft', tmp_path)
    name, data = 'tfds:fgvc_aircraft:1.0.0', tmp_path / 'data'
    prepare.prepare(name, data=data, archives=tmp_path)
    with pytest.raises(app.Failed, match='1 images cannot be read'):
        app.call(prepare_dataset, [f'--dataset={name}', f'--data={data}', '--check'])
    printed = capsys.readouterr().out
    assert 'already prepared' in printed
    assert 'valid 0000201.jpg: image file is truncated' in printed
