import dataclasses
import errno
import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.extraction import (
    ALL,
    METADATA,
    extract,
    extract_and_note,
    network,
)
from tests.support.fakes import ARCHITECTURE, colours, tiny
from tests.support.quantisation import int8_or_skip
from tfxfer import errors, models, storage
from tfxfer.models import openvino, predict
from tfxfer.transfer import features


@pytest.fixture
def images(fakes):
    return colours(None, None)[1]


def test_features_are_those_of_the_network_and_kept(images, tmp_path):
    model = network()
    fresh, y = extract(images, tmp_path, lambda: model)
    again, _ = extract(images, tmp_path, None)  # No network is needed.
    np.testing.assert_array_equal(fresh, again)
    direct = model(images.pixels.astype(np.float32), training=False)
    np.testing.assert_allclose(fresh, direct['features'], atol=1e-5)
    np.testing.assert_array_equal(y, images.labels)


def test_a_subset_is_served_from_what_is_there_and_the_rest_added(images, tmp_path):
    model = network()
    subset = np.array([80, 3, 4, 5, 6, 7, 50])
    few, y = extract(images, tmp_path, lambda: model, subset)
    np.testing.assert_array_equal(y, images.labels[subset])
    (store,) = features.stores(tmp_path)
    assert store.done.nonzero()[0].tolist() == sorted(subset)
    extract(images, tmp_path, None, subset[2:5])
    every, _ = extract(images, tmp_path, lambda: model)
    # What was computed with other neighbours in the batch is the same to the last bit.
    np.testing.assert_array_equal(every[subset], few)
    at_once, _ = extract(images, tmp_path / 'other', lambda: model)
    np.testing.assert_array_equal(every, at_once)


def test_what_cached_features_took_is_known_by_image(images, tmp_path):
    extraction = features.Extraction(images, 8, tmp_path, METADATA, batch=5)
    some = np.arange(40)
    assert features.cached_seconds(extraction, some) == 0
    begun = time.monotonic()
    extract(images, tmp_path, network, some)
    took = time.monotonic() - begun
    (store,) = features.stores(tmp_path)
    whole = features.cached_seconds(extraction, some)
    assert 0.2 * took < whole <= took
    assert store.cost(some[:10]) == pytest.approx(whole / 4)
    # Images that are not there cost nothing yet; no file says what, no cost is known.
    assert features.cached_seconds(extraction, np.arange(80)) == pytest.approx(whole)
    (store.path / 'cost.json').write_text('{"seconds": "x"}')
    assert features.cached_seconds(extraction, some) == 0


@pytest.mark.parametrize(
    'change',
    [
        {'metadata': {**METADATA, 'weights': 'v'}},
        {'metadata': {**METADATA, 'dataset': 'v'}},
        {'size': 16},
        {'dtype': 'float16'},
        {'precision': 'tf32'},
    ],
)
def test_whatever_changes_the_numbers_changes_the_key(images, tmp_path, change):
    extract(images, tmp_path, network)
    asked = []
    model = network(image_size=change.get('size', 8))
    extract(images, tmp_path, lambda: asked.append(1) or model, **change)
    assert asked and len(features.stores(tmp_path)) == 2


@pytest.mark.parametrize('module', ['preprocess', 'image_files'])
def test_another_version_of_the_preprocessing_changes_the_key(
    images, tmp_path, monkeypatch, module
):
    def key():
        extraction = features.Extraction(images, 8, tmp_path, METADATA)
        return storage.key_of(extraction.identity())

    before = key()
    monkeypatch.setattr(getattr(features, module), 'VERSION', 99)
    assert key() != before


def test_half_precision_takes_half_the_room_and_rounds(images, tmp_path):
    model = network()
    exact, _ = extract(images, tmp_path, lambda: model)
    short, _ = extract(images, tmp_path, lambda: model, dtype='float16')
    assert short.dtype == np.float32
    np.testing.assert_array_equal(short, exact.astype(np.float16))
    files = {np.load(p).itemsize for p in tmp_path.glob('features/*/features.npy')}
    assert files == {2, 4}


def test_features_that_are_not_finite_name_their_images(images, tmp_path):
    model = network()
    kernel = model.get_layer('conv').kernel
    kernel.assign(np.full(kernel.shape, -3e38))  # Dark pixels are below 0.
    with pytest.raises(errors.InputError, match='of 40 images .*: number 0, number 1'):
        extract(images, tmp_path, lambda: model)
    assert not features.folder(tmp_path).exists() or not features.stores(tmp_path)


@pytest.fixture
def asked(monkeypatch):
    """Indices of the images that were given to the network."""
    indices = []
    evaluation = features.pipeline.evaluation

    def noted(images, missing, *args):
        indices.extend(missing.tolist())
        return evaluation(images, missing, *args)

    monkeypatch.setattr(features.pipeline, 'evaluation', noted)
    return indices


KILLED = """
import os, pathlib, signal, sys
from tests.support import extraction
from tfxfer.transfer import features
features.CHUNK = 4
mark = features.Store._mark
def mark_once_and_die(self, *args):
    if self.done.any():  # The second chunk is written, but not yet marked.
        os.kill(os.getpid(), signal.SIGKILL)
    mark(self, *args)
features.Store._mark = mark_once_and_die
extraction.extract_all(sys.argv[1])
"""


def test_killed_in_the_middle_it_goes_on_at_the_last_complete_chunk(
    images, tmp_path, asked
):
    command = [sys.executable, '-c', KILLED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    (store,) = features.stores(tmp_path)
    assert store.done.sum() == 4 * 5  # 4 batches of 5.
    x, _ = extract(images, tmp_path, network)
    assert asked == list(range(20, 90))
    whole, _ = extract(images, tmp_path / 'other', network)
    np.testing.assert_array_equal(x, whole)


def harmed(path, harm):
    """Changes the bytes of a file: harm(bytearray)."""
    data = bytearray(path.read_bytes())
    harm(data)
    path.write_bytes(data)


def truncate(data):  # The last 10 of 90 rows of 32 bytes.
    del data[-320:]


def zero(data):
    data[-320:] = bytes(320)


def flip(data):
    data[-320] ^= 1  # The lowest bit of one number.


def swap(data):
    data[-64:] = data[-32:] + data[-64:-32]


@pytest.mark.parametrize(
    'harm, rows',
    [
        (truncate, range(80, 90)),
        (zero, range(80, 90)),
        (flip, [80]),
        (swap, [88, 89]),
    ],
)
def test_damaged_rows_are_noticed_and_computed_anew(
    images, tmp_path, caplog, asked, harm, rows
):
    fresh, _ = extract(images, tmp_path, network)
    (path,) = tmp_path.glob('features/*/features.npy')
    whole = path.read_bytes()
    harmed(path, harm)
    asked.clear()
    again, _ = extract(images, tmp_path, network)
    np.testing.assert_array_equal(again, fresh)
    assert asked == list(rows) and path.read_bytes() == whole
    assert f'{len(rows)} images' in caplog.text and 'damaged' in caplog.text


def test_rows_that_nobody_takes_are_not_looked_at(images, tmp_path, asked):
    extract(images, tmp_path, network)
    (path,) = tmp_path.glob('features/*/features.npy')
    harmed(path, truncate)
    asked.clear()
    extract(images, tmp_path, None, ALL[:80])
    assert asked == []


@pytest.mark.parametrize(
    'name, harm',
    [
        ('features.npy', 'header'),
        ('checksums.npy', 'empty'),
        ('checksums.npy', 'gone'),
        ('features.npy', 'pipe'),
        ('facts.json', 'header'),
        ('facts.json', 'empty'),
    ],
)
def test_a_store_that_cannot_be_read_is_made_anew(
    images, tmp_path, caplog, asked, name, harm
):
    fresh, _ = extract(images, tmp_path, network)
    (folder,) = (path for path in (tmp_path / 'features').iterdir() if path.is_dir())
    if harm in ('gone', 'pipe'):
        (folder / name).unlink()
        if harm == 'pipe':
            os.mkfifo(folder / name)
    else:
        data = (folder / name).read_bytes()
        start = data.replace(b'90', b'80')  # Images, in each of the three.
        (folder / name).write_bytes(b'' if harm == 'empty' else start)
    assert features.stores(tmp_path) == [] and name in caplog.text
    asked.clear()
    again, _ = extract(images, tmp_path, network)
    np.testing.assert_array_equal(again, fresh)
    assert asked == list(range(90)) and 'computed anew' in caplog.text


def test_names_of_images_that_were_cut_short_are_written_again(images, tmp_path, asked):
    extract(images, tmp_path, network)
    (path,) = tmp_path.glob('features/*/images.npz')
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    asked.clear()
    extract(images, tmp_path, network)
    assert asked == []
    (store,) = features.stores(tmp_path)
    np.testing.assert_array_equal(store.images()['labels'], images.labels)


def test_a_full_disk_is_named_before_most_is_computed(
    images, small_disk, monkeypatch, asked
):
    disk, make_room = small_disk
    monkeypatch.setattr(features, 'CHUNK', 1)
    (disk / 'filler').write_bytes(bytes(900_000))
    wide = dataclasses.replace(ARCHITECTURE, features=2000)  # 720 kB of 90 images.
    monkeypatch.setitem(models.BUILDERS, 'tiny', functools.partial(tiny, width=2000))

    def model():
        return models.build(wide, classes=3)

    with pytest.raises(OSError, match='90 images take 0.7 MB') as caught:
        extract(images, disk, model)
    assert (caught.value.errno, caught.value.filename) == (
        errno.ENOSPC, str(disk / 'features'),
    )  # fmt: skip
    # Others may fill it later: no signal then, and what was written stays.
    monkeypatch.setattr(features.storage, 'check_room', lambda *_: None)
    with pytest.raises(OSError) as caught:
        extract(images, disk, model)
    assert caught.value.errno == errno.ENOSPC
    assert 'features.npy' in caught.value.filename
    make_room()
    asked.clear()
    x, _ = extract(images, disk, model)
    assert x.shape == (90, 2000) and 0 < len(asked) < 90


@pytest.mark.slow
def test_two_processes_do_not_compute_the_same_features(tmp_path):
    context = multiprocessing.get_context('spawn')
    start = context.Barrier(2)
    processes = [
        context.Process(target=extract_and_note, args=(tmp_path, start))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / 'asked').read_text() == 'x'
    one, other = (np.load(path) for path in tmp_path.glob('*.npy'))
    np.testing.assert_array_equal(one, other)


def test_what_computed_the_features_is_known_from_the_cache(images, tmp_path):
    extraction = features.Extraction(images, 8, tmp_path, METADATA, batch=5)
    assert features.backends(extraction) == ()
    extract(images, tmp_path, network, ALL[:40])
    here = 'openvino' if openvino.available() else 'tensorflow'
    assert features.backends(extraction) == (here,)
    with pytest.MonkeyPatch.context() as as_on_gpu:
        as_on_gpu.setattr(openvino, 'available', lambda: False)
        extract(images, tmp_path, network)
    assert set(features.backends(extraction)) == {here, 'tensorflow'}


@pytest.mark.parametrize('precision', ['float32', 'bfloat16', 'float16'])
def test_on_a_gpu_features_are_those_of_layers_in_that_precision(
    images, tmp_path, monkeypatch, precision
):
    monkeypatch.setattr(openvino, 'available', lambda: False)
    model = network(policy=predict.policy(precision))
    found, _ = extract(images, tmp_path, lambda: model, precision=precision)
    plain = network()
    plain.set_weights(model.get_weights())
    direct = plain(images.pixels.astype(np.float32), training=False)['features']
    tolerance = {'float32': 1e-5, 'bfloat16': 0.01, 'float16': 0.002}[precision]
    difference = np.abs(found - direct).max() / np.abs(direct).max()
    assert difference <= tolerance
    assert precision == 'float32' or difference > 1e-5


def test_rounded_features_of_a_gpu_are_cached_apart(monkeypatch):
    def keys():
        return [features._device(name) for name in ('float32', 'bfloat16')]

    monkeypatch.setattr(openvino, 'available', lambda: True)
    assert keys() == [{}, {}]  # Those that earlier versions have.
    monkeypatch.setattr(openvino, 'available', lambda: False)
    assert keys() == [{}, {'device': 'GPU'}]


def test_images_to_quantise_by_are_of_train_and_of_the_seed(images, monkeypatch):
    train = images.splits['train']
    np.testing.assert_array_equal(features.calibration(images, 0), np.sort(train))
    monkeypatch.setattr(features, 'CALIBRATION', 10)
    chosen = features.calibration(images, 0)
    assert len(set(chosen)) == 10 and set(chosen) <= set(train)
    np.testing.assert_array_equal(features.calibration(images, 0), chosen)
    assert set(features.calibration(images, 1)) != set(chosen)


def test_features_of_int8_are_of_the_images_it_was_quantised_by(images, tmp_path):
    int8_or_skip()
    model = network()
    exact, _ = extract(images, tmp_path, lambda: model)
    chosen = features.calibration(images, 0)
    found, _ = extract(
        images, tmp_path, lambda: model, precision='int8', calibration=chosen
    )
    again, _ = extract(
        images, tmp_path / 'new', network, precision='int8', calibration=chosen
    )
    np.testing.assert_array_equal(again, found)
    difference = np.abs(found - exact).max() / np.abs(exact).max()
    assert 1e-4 < difference < 0.1
    extract(images, tmp_path, network, precision='int8', calibration=chosen[:20])
    assert len(features.stores(tmp_path)) == 3
