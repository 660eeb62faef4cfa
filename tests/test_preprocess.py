import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from tfxfer import preprocess

PHOTOGRAPHS = load_sample_images().images


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('crop, shorter', [('whole', 224), ('central', 256)])
def test_evaluation_equals_pillow_within_a_grey_level(which, crop, shorter):
    photograph = PHOTOGRAPHS[which]
    ours = getattr(preprocess, crop)(tf.constant(photograph), 224).numpy()
    height, width = photograph.shape[:2]
    scale = shorter / min(height, width)
    size = round(width * scale), round(height * scale)
    resized = np.array(Image.fromarray(photograph).resize(size, Image.BICUBIC), float)
    top, left = (size[1] - 224) // 2, (size[0] - 224) // 2
    reference = resized[top : top + 224, left : left + 224]
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).mean() < 0.5


@pytest.mark.parametrize('height, width', [(8, 8), (300, 40), (41, 300), (64, 65)])
def test_every_shape_of_image_gives_the_size_asked_for(height, width):
    image = tf.zeros([height, width, 3], tf.uint8)
    assert preprocess.whole(image, 64).shape == (64, 64, 3)
    assert preprocess.central(image, 64).shape == (64, 64, 3)
    crop = preprocess.augmented(image, 64, tf.constant([0, 1]))
    assert crop.shape == (64, 64, 3)


def test_values_stay_between_0_and_255():
    checks = tf.constant(np.indices((40, 40)).sum(0) % 2 * 255, tf.uint8)
    image = tf.repeat(checks[..., None], 3, axis=-1)
    for out in (
        preprocess.whole(image, 64),
        preprocess.augmented(image, 64, tf.constant([0, 1])),
    ):
        assert out.numpy().min() >= 0 and out.numpy().max() <= 255


def position_image(side=200):
    """Red is the row, green the column: a crop tells where it is from."""
    rows, columns = np.indices((side, side))
    return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


def crops(count, **options):
    image = tf.constant(position_image())
    for i in range(count):
        yield preprocess.augmented(image, 32, tf.constant([7, i]), **options).numpy()


def test_crops_have_the_areas_and_aspects_of_the_protocol():
    areas, aspects = [], []
    for crop in crops(200, flip=False):
        # 31 steps between the centres of 32 pixels.
        height = (crop[-1, 0, 0] - crop[0, 0, 0]) * 32 / 31
        width = (crop[0, -1, 1] - crop[0, 0, 1]) * 32 / 31
        areas.append(height * width / 200**2)
        aspects.append(width / height)
    assert 0.07 < min(areas) < 0.15 and 0.85 < max(areas) < 1.02
    assert 0.72 < min(aspects) < 0.80 and 1.25 < max(aspects) < 1.37


def test_min_area_bounds_the_crop():
    for crop in crops(50, min_area=0.9, flip=False):
        extents = (crop[-1, -1, :2] - crop[0, 0, :2]) * 32 / 31
        assert extents.prod() > 0.89 * 200**2


def test_half_of_the_crops_are_mirrored_and_none_without_flip():
    mirrored = [crop[0, 0, 1] > crop[0, -1, 1] for crop in crops(200)]
    assert 70 < sum(mirrored) < 130  # 5 standard deviations.
    assert not any(crop[0, 0, 1] > crop[0, -1, 1] for crop in crops(50, flip=False))


def test_seed_determines_the_crop():
    first, again = list(crops(3)), list(crops(3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
