import functools
import hashlib
import io
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.conftest import ROOT
from tests.support.tf1_resizing import bilinear
from tfxfer.data import preprocess

PHOTOGRAPHS = load_sample_images().images


def jpeg(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'JPEG', **options)
    return file.getvalue()


def by_pillow(image, shorter, size):
    """Shorter side resized, then the central crop."""
    height, width = image.height, image.width
    scale = shorter / min(height, width)
    sides = round(width * scale), round(height * scale)
    resized = np.array(image.resize(sides, Image.BICUBIC), int)
    top, left = (sides[1] - size) // 2, (sides[0] - size) // 2
    return resized[top : top + size, left : left + size]


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('size', [96, 224, 299])
@pytest.mark.parametrize('crop, share', [('whole', 1), ('central', 256 / 224)])
def test_evaluation_gives_the_pixels_that_pillow_gives(which, size, crop, share):
    photograph = PHOTOGRAPHS[which]
    picture = preprocess.Decoded(tf.constant(photograph))
    ours = getattr(preprocess, crop)(picture, size).numpy().astype(int)
    expected = by_pillow(Image.fromarray(photograph), round(size * share), size)
    difference = np.abs(ours - expected)
    assert ours.shape == expected.shape
    # Float32 and Pillow's fixed point round a half differently now and then.
    assert difference.max() <= 2 and difference.mean() < 0.01


@pytest.mark.parametrize('height, width', [(8, 8), (300, 40), (41, 300), (64, 65)])
@pytest.mark.parametrize('crop, share', [('whole', 1), ('central', 256 / 224)])
def test_small_and_long_images_too(height, width, crop, share):
    image = PHOTOGRAPHS[0][:height, :width]
    picture = preprocess.Decoded(tf.constant(image))
    ours = getattr(preprocess, crop)(picture, 64).numpy().astype(int)
    expected = by_pillow(Image.fromarray(image), round(64 * share), 64)
    assert np.abs(ours - expected).max() <= 1


@pytest.mark.parametrize('crop, share', [('whole', 1), ('central', 256 / 224)])
@pytest.mark.parametrize('subsampling', [0, 2])
def test_a_jpeg_decoded_in_part_gives_the_pixels_of_pillow(crop, share, subsampling):
    data = jpeg(PHOTOGRAPHS[0], quality=90, subsampling=subsampling)
    cut = functools.partial(getattr(preprocess, crop), size=224)
    ours = preprocess.cut(tf.constant(data), cut).numpy().astype(int)
    expected = by_pillow(Image.open(io.BytesIO(data)), round(224 * share), 224)
    difference = np.abs(ours - expected)
    assert difference.max() <= 2 and difference.mean() < 0.01


@pytest.mark.parametrize('progressive', [False, True])
@pytest.mark.parametrize('subsampling', ['4:4:4', '4:2:2', '4:2:0'])
def test_a_window_of_a_jpeg_is_that_part_of_the_whole(subsampling, progressive):
    photograph = PHOTOGRAPHS[1][:301, :407]
    data = jpeg(
        photograph, quality=90, subsampling=subsampling, progressive=progressive
    )
    picture = preprocess.Jpeg(tf.constant(data))
    whole = np.array(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(picture.whole(), whole)
    rng = np.random.default_rng(0)
    for _ in range(60):
        top, left = rng.integers(0, [300, 406])
        height, width = rng.integers(1, [301 - top + 1, 407 - left + 1])
        np.testing.assert_array_equal(
            picture.window(tf.stack([top, left]), tf.stack([height, width])),
            whole[top : top + height, left : left + width],
        )


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'GIF'])
def test_other_formats_are_decoded_whole(kind):
    file = io.BytesIO()
    Image.fromarray(PHOTOGRAPHS[0]).save(file, kind)
    cut = functools.partial(preprocess.whole, size=64)
    ours = preprocess.cut(tf.constant(file.getvalue()), cut).numpy().astype(int)
    expected = by_pillow(Image.open(file).convert('RGB'), 64, 64)
    assert np.abs(ours - expected).max() <= 1


@pytest.mark.parametrize('shape', [(300, 500), (427, 640)])
def test_a_large_image_is_resized_block_by_block_to_the_same_pixels(shape, monkeypatch):
    picture = preprocess.Decoded(tf.constant(PHOTOGRAPHS[0][: shape[0], : shape[1]]))
    at_once = preprocess.whole(picture, 96).numpy()
    monkeypatch.setattr(preprocess, '_GATHERED', 0)
    np.testing.assert_array_equal(preprocess.whole(picture, 96), at_once)


@pytest.mark.slow
def test_a_large_image_takes_memory_as_its_pixels_do():
    """13,000 x 13,000 took 3.8 GB; 9,000 x 9,000 would have taken 1.8 GB."""
    code = (
        'import resource, tensorflow as tf\n'
        'from tfxfer.data import preprocess\n'
        'def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n'
        'whole = tf.function(lambda x: preprocess.whole(preprocess.Decoded(x), 224))\n'
        'whole(tf.zeros([300, 300, 3], tf.uint8)); before = peak()\n'
        'whole(tf.zeros([9000, 9000, 3], tf.uint8)); print(peak() - before)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
    )
    assert int(done.stdout) < 13 * 9000**2, done.stderr[-2000:]


def test_no_ringing_wraps_around():
    checks = tf.constant(np.indices((40, 40)).sum(0) // 9 % 2 * 255, tf.uint8)
    image = tf.repeat(checks[..., None], 3, axis=-1)
    crop = preprocess.whole(preprocess.Decoded(image), 64).numpy()
    expected = by_pillow(Image.fromarray(image.numpy()), 64, 64)
    assert np.abs(crop.astype(int) - expected).max() <= 1


# SHA-256 of the pixels that each version gives of one image. It was chosen so that in
# Pillow's definition no sum is within 0.002 of a half: they are the same everywhere.
PIXELS = {1: {'whole': '6d987b9ad837ae40', 'central': '23ffa0b8fef1ad9a'}}


@pytest.mark.parametrize('crop, shorter', [('whole', 8), ('central', 9)])
def test_other_pixels_of_an_evaluation_need_another_version(crop, shorter):
    rng = np.random.RandomState(1452)  # Whose numbers never change.
    image = rng.randint(0, 256, (20, 27, 3)).astype(np.uint8)
    ours = getattr(preprocess, crop)(preprocess.Decoded(tf.constant(image)), 8).numpy()
    assert (ours == by_pillow(Image.fromarray(image), shorter, 8)).all()
    pixels = hashlib.sha256(ours.tobytes()).hexdigest()[:16]
    assert pixels == PIXELS[preprocess.VERSION][crop], (
        'Evaluations see other pixels: raise preprocess.VERSION, so that cached '
        'features are computed anew, and note the new pixels here.'
    )


def position_image(side=200):
    """Red is the row, green the column: a crop tells where it is from."""
    rows, columns = np.indices((side, side))
    return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


def crops(count, **options):
    picture = preprocess.Decoded(tf.constant(position_image()))
    for i in range(count):
        seed = tf.constant([7, i])
        yield preprocess.augmented(picture, 32, seed, **options).numpy().astype(float)


def test_crops_have_the_areas_and_aspects_of_the_protocol():
    areas, aspects = [], []
    for crop in crops(200, flip=False):
        # 31 steps between the centres of 32 pixels.
        height = (crop[-1, 0, 0] - crop[0, 0, 0]) * 32 / 31
        width = (crop[0, -1, 1] - crop[0, 0, 1]) * 32 / 31
        areas.append(height * width / 200**2)
        aspects.append(width / height)
    assert 0.07 < min(areas) < 0.15 and 0.85 < max(areas) < 1.02
    assert 0.72 < min(aspects) < 0.82 and 1.23 < max(aspects) < 1.39


@pytest.mark.parametrize('min_area', [0.02, 0.08])
def test_no_crop_has_less_than_a_tenth_of_the_image(min_area):
    """As in TF-Slim, Cloud TPU's ResNet and SimCLR: min_object_covered=0.1."""
    side = 200
    whole = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])

    @tf.function
    def extent(seed):
        return tf.image.stateless_sample_distorted_bounding_box(
            [side, side, 3], whole, seed, min_object_covered=0.1,
            aspect_ratio_range=(3 / 4, 4 / 3), area_range=(min_area, 1.0),
            max_attempts=100,
        )[1]  # fmt: skip

    class Window(preprocess.Decoded):
        """Notes the extent of what is cut."""

        def window(self, begin, extent):
            areas.append(int(extent[0]) * int(extent[1]) / side**2)
            return super().window(begin, extent)

    areas = []
    picture = Window(tf.constant(position_image(side)))
    for i in range(400):
        seed = tf.constant([7, i])
        preprocess.augmented(picture, 4, seed, min_area=min_area)
        height, width, _ = extent(seed).numpy()
        assert areas[-1] == height * width / side**2
    assert 0.0995 < min(areas) < 0.12  # Of whole pixels.
    assert max(areas) > 0.9


def test_min_area_bounds_the_crop():
    for crop in crops(50, min_area=0.9, flip=False):
        extents = (crop[-1, -1, :2] - crop[0, 0, :2]) * 32 / 31
        assert extents.prod() > 0.88 * 200**2


def test_a_training_crop_that_is_enlarged_is_pillows_bicubic_of_that_box():
    photograph = PHOTOGRAPHS[0]
    for i in range(5):
        picture = preprocess.Decoded(tf.constant(photograph))
        seed = tf.constant([3, i])
        ours = preprocess.augmented(picture, 480, seed, flip=False).numpy()
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            photograph.shape,
            [[[0.0, 0.0, 1.0, 1.0]]],
            seed,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0),
            max_attempts=100,
        )
        (top, left, _), (height, width, _) = begin.numpy(), extent.numpy()
        image = Image.fromarray(photograph[top : top + height, left : left + width])
        expected = np.array(image.resize((480, 480), Image.BICUBIC), int)
        assert np.abs(ours.astype(int) - expected).mean() < 1


def test_half_of_the_crops_are_mirrored_and_none_without_flip():
    mirrored = [crop[0, 0, 1] > crop[0, -1, 1] for crop in crops(200)]
    assert 70 < sum(mirrored) < 130  # 5 standard deviations.
    assert not any(crop[0, 0, 1] > crop[0, -1, 1] for crop in crops(50, flip=False))


def test_seed_determines_the_crop():
    first, again = list(crops(3)), list(crops(3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize('shape', [(427, 640), (300, 300), (500, 333), (100, 90)])
def test_tf_slims_evaluation_by_its_definition(shape):
    image = PHOTOGRAPHS[1][: shape[0], : shape[1]]
    if shape[0] > 427:
        image = PHOTOGRAPHS[1][:, :284].repeat(2, 0)[:500].repeat(2, 1)[:, :333]
    height, width = image.shape[:2]
    # Central 87.5 % of each side, from the whole pixel at or before it, to a square.
    top, left = int((height - height * 0.875) / 2), int((width - width * 0.875) / 2)
    part = image[top : height - top, left : width - left].astype(float)
    found = preprocess.inception(preprocess.Decoded(tf.constant(image)), 224)
    np.testing.assert_allclose(found, bilinear(part, 224, 224), atol=2e-2)

    scale = 256 / min(height, width)
    full = bilinear(image.astype(float), round(height * scale), round(width * scale))
    top, left = ((side - 224) // 2 for side in full.shape[:2])
    found = preprocess.vgg(preprocess.Decoded(tf.constant(image)), 224)
    expected = full[top : top + 224, left : left + 224]
    np.testing.assert_allclose(found, expected, atol=2e-2)
