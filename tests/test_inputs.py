import itertools

import numpy as np
import pytest
from PIL import Image

from tfxfer import datasets, inputs, preprocess, sources

AUGMENTATION = {'min_area': 0.5, 'flip': True}


def made(count=10):
    """Image i is everywhere i, its label i % 3."""
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return sources.Images(
        labels=(np.arange(count) % 3).astype(np.int32),
        splits={},
        pixels=np.broadcast_to(pixels, (count, 8, 8, 3)),
    )


def training(images, indices, batch, start=0, seed=0):
    data = inputs.training(
        images, np.asarray(indices), 8, batch, seed=seed, start=start, **AUGMENTATION
    )
    return data.as_numpy_iterator()


@pytest.mark.parametrize('batch', [1, 3, 4, 7, 10, 64])
def test_evaluation_gives_each_index_once_whatever_the_batch(batch):
    indices = np.array([9, 1, 2, 5, 3, 8, 0])
    batches = inputs.evaluation(made(), indices, 8, preprocess.whole, batch)
    got = list(batches.as_numpy_iterator())
    assert all(b['image'].shape == (batch, 8, 8, 3) for b in got)
    index = np.concatenate([b['index'] for b in got])
    assert index[index >= 0].tolist() == indices.tolist()
    for b in got:
        real = b['index'] >= 0
        np.testing.assert_array_equal(b['image'][real, 4, 4, 0], b['index'][real])
        np.testing.assert_array_equal(b['label'][real], b['index'][real] % 3)


def test_training_sees_every_image_once_an_epoch_in_another_order():
    indices = [2, 3, 5, 7, 8, 9]
    batches = training(made(), indices, 4)
    seen = np.concatenate([b['index'] for b in itertools.islice(batches, 6)])
    epochs = seen.reshape(4, 6)
    for epoch in epochs:
        assert sorted(epoch) == indices
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_training_goes_on_at_any_step():
    whole = list(itertools.islice(training(made(), range(10), 3), 12))
    part = list(itertools.islice(training(made(), range(10), 3, start=7), 5))
    for expected, got in zip(whole[7:], part, strict=True):
        for name in expected:
            np.testing.assert_array_equal(expected[name], got[name])


def test_seed_changes_order_and_crops():
    first, other = (next(training(made(), range(10), 10, seed=s)) for s in (0, 1))
    assert first['index'].tolist() != other['index'].tolist()


def test_labels_belong_to_their_images():
    for batch in itertools.islice(training(made(), range(10), 5), 4):
        np.testing.assert_array_equal(batch['label'], batch['index'] % 3)
        np.testing.assert_allclose(
            batch['image'][:, 4, 4, 1], batch['index'], atol=1e-3
        )


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'gif'])
def test_files_of_every_format_are_decoded(tmp_path, suffix):
    for c in 'ab':
        (tmp_path / c).mkdir()
        for i in range(4):
            Image.new('RGB', (30, 20), (200, 100, 50)).save(
                tmp_path / c / f'{i}.{suffix}'
            )
    _, images = sources.read(datasets.find(f'folder:{tmp_path}'))
    batch = next(
        inputs.evaluation(
            images, np.arange(8), 16, preprocess.whole, 8
        ).as_numpy_iterator()
    )
    assert batch['image'].shape == (8, 16, 16, 3)
    np.testing.assert_allclose(batch['image'][:, 8, 8], [[200, 100, 50]] * 8, atol=3)


def test_gray_palette_and_transparent_images_become_rgb(tmp_path):
    for c in 'ab':
        (tmp_path / c).mkdir()
        for mode in ('L', 'P', 'RGBA', 'LA', '1'):
            Image.new(mode, (20, 20), 1).save(tmp_path / c / f'{mode}.png')
    _, images = sources.read(datasets.find(f'folder:{tmp_path}'))
    batches = inputs.evaluation(images, np.arange(10), 8, preprocess.whole, 10)
    assert next(batches.as_numpy_iterator())['image'].shape == (10, 8, 8, 3)
