import dataclasses
import io
import itertools

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tfxfer import datasets
from tfxfer.data import image_files, image_set, pipeline, preprocess, readers

AUGMENTATION = {'min_area': 0.5, 'flip': True}


def made(count=10):
    """Image i is everywhere i, its label i % 3."""
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return image_set.Images(
        labels=(np.arange(count) % 3).astype(np.int32),
        splits={},
        pixels=np.broadcast_to(pixels, (count, 8, 8, 3)),
    )


def training(images, indices, batch, start=0, seed=0):
    stream = pipeline.TrainingStream(8, batch, seed, **AUGMENTATION)
    data = pipeline.training(images, np.asarray(indices), stream, start=start)
    return data.as_numpy_iterator()


@pytest.mark.parametrize('batch', [1, 3, 4, 7, 10, 64])
def test_evaluation_gives_each_index_once_whatever_the_batch(batch):
    indices = np.array([9, 1, 2, 5, 3, 8, 0])
    batches = pipeline.evaluation(made(), indices, 8, preprocess.whole, batch)
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


@pytest.mark.parametrize('workers', [2, 3, 6])
def test_workers_share_the_batch_that_one_would_have(workers):
    whole = list(itertools.islice(training(made(), range(10), 6, start=2), 4))
    shares = [
        pipeline.training(
            made(),
            np.arange(10),
            pipeline.TrainingStream(8, 6, 0, **AUGMENTATION),
            start=2,
            shard=pipeline.Shard(worker, workers),
        ).as_numpy_iterator()
        for worker in range(workers)
    ]
    for expected in whole:
        parts = [next(share) for share in shares]
        assert all(len(part['index']) == 6 // workers for part in parts)
        for name in expected:
            together = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(together, expected[name])


def test_a_batch_that_does_not_divide_by_the_workers_is_refused():
    with pytest.raises(ValueError, match='batch of 6 .* 4 workers'):
        pipeline.training(
            made(),
            np.arange(10),
            pipeline.TrainingStream(8, 6, 0, **AUGMENTATION),
            shard=pipeline.Shard(0, workers=4),
        )


def test_images_inside_larger_files_are_those_images(tmp_path):
    photograph = load_sample_images().images[0]
    parts, offsets, lengths, files = [], [], [], []
    for part in range(2):
        blob = b'header'
        for i in range(3):
            file = io.BytesIO()
            crop = photograph[10 * i : 40 + 10 * i, 100 * part : 100 * part + 50]
            Image.fromarray(crop).save(file, 'JPEG' if i else 'PNG')
            offsets.append(len(blob))
            lengths.append(len(file.getvalue()))
            parts.append(part)
            blob += file.getvalue() + b'between'
            (tmp_path / f'{len(files):02}').write_bytes(file.getvalue())
            files.append(str(tmp_path / f'{len(files):02}'))
        (tmp_path / f'packed-{part}').write_bytes(blob)
    labels = np.arange(6, dtype=np.int32)
    packed = image_set.Packed(
        tuple(str(tmp_path / f'packed-{part}') for part in range(2)),
        np.array(parts, np.int32),
        np.array(offsets),
        np.array(lengths),
    )
    one, other = (
        next(
            pipeline.evaluation(
                images, np.array([4, 0, 1, 5]), 16, preprocess.whole, 4
            ).as_numpy_iterator()
        )
        for images in (
            image_set.Images(labels, {}, packed=packed),
            image_set.Images(labels, {}, paths=tuple(files)),
        )
    )
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    assert one['label'].tolist() == [4, 0, 1, 5]


def test_a_packed_file_cut_short_is_an_error(tmp_path):
    (tmp_path / 'packed').write_bytes(b'0123456789')
    packed = image_set.Packed(
        (str(tmp_path / 'packed'),), np.zeros(1, np.int32), np.array([4]), np.array([8])
    )
    with pytest.raises(OSError, match='packed is shorter'):
        packed.read(0)


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
    _, images = readers.read(datasets.find(f'folder:{tmp_path}'))
    batch = next(
        pipeline.evaluation(
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
    _, images = readers.read(datasets.find(f'folder:{tmp_path}'))
    batches = pipeline.evaluation(images, np.arange(10), 8, preprocess.whole, 10)
    assert next(batches.as_numpy_iterator())['image'].shape == (10, 8, 8, 3)


def test_as_many_images_are_made_at_once_as_fit_even_if_they_are_the_largest(
    monkeypatch,
):
    monkeypatch.setattr(pipeline.os, 'sched_getaffinity', lambda _: {0, 1})
    monkeypatch.setattr(image_files, 'decoding_bytes', lambda: 12_000_000)  # 1 MP.
    images = made(6)
    everything = np.arange(6)
    assert pipeline.at_once(images, everything) == 8  # Sizes are not known.

    def of(*megapixels):
        counts = (np.array(megapixels) * 1e6).astype(int)
        return dataclasses.replace(images, pixels_of=counts)

    assert pipeline.at_once(of(0.1, 0.1, 0.1, 0.1, 0.1, 0.1), everything) == 8
    assert pipeline.at_once(of(0.3, 0.1, 0.5, 0.1, 0.1, 0.1), everything) == 4
    assert pipeline.at_once(of(9, 9, 9, 9, 9, 0.1), everything) == 1
    assert pipeline.at_once(of(9, 9, 9, 9, 9, 0.1), np.array([5])) == 8
