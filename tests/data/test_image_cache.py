import itertools
import logging

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tfxfer import config, datasets, errors
from tfxfer.data import image_cache, image_set, pipeline, preprocess, readers
from tfxfer.data.cache_options import CacheOptions


@pytest.fixture
def images(tmp_path):
    """24 JPEG files, crops of photographs, in two classes."""
    for c, photograph in enumerate(load_sample_images().images):
        folder = tmp_path / 'images' / f'class{c}'
        folder.mkdir(parents=True)
        for i in range(12):
            crop = Image.fromarray(photograph[10 * i : 10 * i + 90, i : i + 80 + 5 * i])
            crop.save(folder / f'{i}.jpg', quality=90)
    _, found = readers.read(datasets.find(f'folder:{tmp_path / "images"}'))
    return found


def batches(images, count=4):
    indices = images.splits['train']
    stream = pipeline.TrainingStream(32, 8, seed=0, min_area=0.2, flip=True)
    found = pipeline.training(images, indices, stream).as_numpy_iterator()
    yield from itertools.islice(found, count)
    last = pipeline.evaluation(images, indices, 32, preprocess.whole, 8)
    yield from last.as_numpy_iterator()


def assert_same(expected, cached):
    for batch, got in zip(expected, batches(cached), strict=True):
        for name in batch:
            np.testing.assert_array_equal(batch[name], got[name])


# The other one is slow: it shares all code but the decoding.
FORMS = ['encoded', pytest.param('decoded', marks=pytest.mark.slow)]


@pytest.mark.parametrize('place', config.CACHE_PLACES)
@pytest.mark.parametrize('form', FORMS)
def test_cached_images_give_the_same_batches(images, tmp_path, form, place):
    expected = list(batches(images))
    options = CacheOptions(form, place)
    cached = image_cache.cached(
        images, images.splits['train'], options, tmp_path / 'cache'
    )
    for path in images.paths:
        open(path, 'w').close()  # They are not read any more.
    for batch, got in zip(expected, batches(cached), strict=True):
        for name in batch:
            np.testing.assert_array_equal(batch[name], got[name])


@pytest.mark.parametrize('place', config.CACHE_PLACES)
@pytest.mark.parametrize('form', FORMS)
def test_the_bound_holds_and_the_rest_is_read_from_its_files(
    images, tmp_path, caplog, form, place
):
    caplog.set_level(logging.INFO)
    options = CacheOptions(form, place, gib=100_000 / 2**30)
    if form == 'encoded':
        options = CacheOptions(form, place, gib=20_000 / 2**30)
    indices = images.splits['train']
    cached = image_cache.cached(images, indices, options, tmp_path / 'cache')
    count = np.count_nonzero(cached.cached.shapes[:, 0])
    assert 1 < count < len(indices)
    assert f'Cached {count} of {len(indices)} images, {form}, in {place}' in caplog.text
    if place == 'disk':
        (data,) = (tmp_path / 'cache').glob('*/data')
        assert 0 < data.stat().st_size <= options.gib * 2**30
    assert_same(batches(images), cached)


def test_what_is_on_disk_is_used_again(images, tmp_path):
    options = CacheOptions('decoded', 'disk')
    indices = images.splits['train']
    image_cache.cached(images, indices, options, tmp_path / 'cache')
    (data,) = (tmp_path / 'cache').glob('*/data')
    before = data.stat().st_mtime_ns
    again = image_cache.cached(images, indices, options, tmp_path / 'cache')
    assert data.stat().st_mtime_ns == before
    assert_same(batches(images), again)
    image_cache.cached(images, indices[1:], options, tmp_path / 'cache')
    assert len(list((tmp_path / 'cache').glob('*/data'))) == 2


@pytest.mark.parametrize('harm', ['flip', 'cut', 'index'])
def test_damaged_images_are_read_from_their_own_files(images, tmp_path, caplog, harm):
    options = CacheOptions('decoded', 'disk')
    indices = images.splits['train']
    image_cache.cached(images, indices, options, tmp_path / 'cache')
    (path,) = (tmp_path / 'cache').glob('*/data')
    data = bytearray(path.read_bytes())
    if harm == 'flip':
        data[5] ^= 1  # Of the first image.
        path.write_bytes(data)
    elif harm == 'cut':
        path.write_bytes(data[:-1])
    else:
        (path.parent / 'index.npz').write_bytes(b'')
    again = image_cache.cached(images, indices, options, tmp_path / 'cache')
    here = np.count_nonzero(again.cached.shapes[indices, 0])
    assert here == len(indices) - (harm != 'index')
    shown = 'index.npz cannot be read' if harm == 'index' else '1 images in'
    assert shown in caplog.text
    assert_same(batches(images), again)


def test_images_in_memory_are_left_as_they_are():
    images = image_set.Images(
        np.zeros(4, np.int32), {}, pixels=np.zeros([4, 8, 8, 3], np.uint8)
    )
    assert (
        image_cache.cached(images, np.arange(4), CacheOptions('decoded'), '') is images
    )


def test_a_form_that_is_not_there_is_refused():
    with pytest.raises(errors.InputError, match='form of images.*encoded'):
        CacheOptions('encode')
    with pytest.raises(errors.InputError, match='positive'):
        CacheOptions('encoded', gib=0)
