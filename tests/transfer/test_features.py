import multiprocessing
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.extraction import (
    METADATA,
    extract,
    extract_and_note,
    network,
)
from tests.support.fakes import colours
from tfxfer import errors
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


@pytest.mark.parametrize(
    'change',
    [
        {'metadata': {**METADATA, 'weights': 'v'}},
        {'metadata': {**METADATA, 'dataset': 'v'}},
        {'size': 16},
        {'dtype': 'float16'},
    ],
)
def test_whatever_changes_the_numbers_changes_the_key(images, tmp_path, change):
    extract(images, tmp_path, network)
    asked = []
    model = network(image_size=change.get('size', 8))
    extract(images, tmp_path, lambda: asked.append(1) or model, **change)
    assert asked and len(features.stores(tmp_path)) == 2


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


KILLED = """
import os, pathlib, signal, sys
from tests.support import extraction
from tfxfer.transfer import features
features.CHUNK = 4
put = features.Store.put
def put_and_die(self, *args):
    if self.done.any():
        self.rows[args[0]] = args[1]  # Written, but not yet marked.
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, *args)
features.Store.put = put_and_die
extraction.extract_all(sys.argv[1])
"""


def test_killed_in_the_middle_it_goes_on_at_the_last_complete_chunk(images, tmp_path):
    command = [sys.executable, '-c', KILLED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    (store,) = features.stores(tmp_path)
    assert store.done.sum() == 4 * 5  # 4 batches of 5.
    store.rows[store.done] += 1  # To see that these are not computed again.
    store.rows.flush()
    x, _ = extract(images, tmp_path, network)
    whole, _ = extract(images, tmp_path / 'other', network)
    np.testing.assert_array_equal(x[20:], whole[20:])
    np.testing.assert_array_equal(x[:20], whole[:20] + np.float32(1))


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
