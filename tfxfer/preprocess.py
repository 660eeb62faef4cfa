"""Image -> image: what training and evaluation do before the network sees it.

Images are RGB, 0-255, float32 [h, w, 3] on the way out; the scaling that a network's
weights expect is inside the network (models.py).
"""

import tensorflow as tf


def resized(image, shorter):
    """Bicubic, antialiased, so that the shorter side is `shorter` pixels."""
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    size = tf.round(shape * (shorter / tf.reduce_min(shape)))
    image = tf.image.resize(
        image, tf.cast(size, tf.int32), method='bicubic', antialias=True
    )
    return tf.clip_by_value(image, 0.0, 255.0)  # Bicubic overshoots at edges.


def centre_crop(image, size):
    """The central size x size pixels."""
    top = (tf.shape(image)[0] - size) // 2
    left = (tf.shape(image)[1] - size) // 2
    crop = image[top : top + size, left : left + size]
    return tf.ensure_shape(crop, [size, size, 3])


def whole(image, size):
    """Evaluation on fixed features: shorter side to `size`, central crop of that."""
    return centre_crop(resized(image, size), size)


def central(image, size):
    """Evaluation of a trained network: the central 87.5 % (224 of 256)."""
    return centre_crop(resized(image, round(size * 256 / 224)), size)


def augmented(image, size, seed, *, min_area=0.08, flip=True):
    """Inception-style training crop (area min_area to 1, aspect 3/4 to 4/3) and flip.

    Bicubic without antialiasing, as in the TensorFlow code of the field. The same seed
    (i32 [2]) gives the same crop.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(min_area, 1.0),
        max_attempts=100,
    )
    crop = tf.slice(image, begin, extent)
    crop = tf.image.resize(crop, [size, size], method='bicubic')
    if flip:
        crop = tf.image.stateless_random_flip_left_right(crop, seed + [1, 0])
    return tf.ensure_shape(tf.clip_by_value(crop, 0.0, 255.0), [size, size, 3])
