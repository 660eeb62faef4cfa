"""Image -> image: what training and evaluation do before the network sees it.

Images are RGB u8 [h, w, 3], as Pillow gives them; the scaling that a network's weights
expect is inside the network (models.scaled).
"""

import typing
from collections.abc import Callable

import tensorflow as tf

# Raised when an evaluation sees other pixels of an image than before, so that features
# cached by then are computed anew. A test holds the pixels of each version.
VERSION = 1
LEAST_COVERED = 0.1  # Of the image, by a training crop.
_DCT = 'INTEGER_ACCURATE'  # As Pillow: the same pixels.
_BLOCK = 8  # Output pixels whose source pixels are gathered together.
_GATHERED = 2**26  # Numbers gathered at once, so that a large image takes no more.


class Decoded(typing.NamedTuple):
    """An image in memory, u8 [h, w, 3]."""

    image: tf.Tensor

    def size(self) -> tf.Tensor:
        """i32 [2]: height, width."""
        return tf.shape(self.image)[:2]

    def whole(self) -> tf.Tensor:
        """u8 [h, w, 3]."""
        return self.image

    def window(self, begin: tf.Tensor, extent: tf.Tensor) -> tf.Tensor:
        """The pixels u8 [*extent, 3] from `begin` (row, column) on."""
        return tf.slice(
            self.image, tf.concat([begin, [0]], 0), tf.concat([extent, [3]], 0)
        )


class Jpeg(typing.NamedTuple):
    """The bytes of a JPEG file; decodes no more of it than is asked for."""

    data: tf.Tensor

    def size(self) -> tf.Tensor:
        return tf.io.extract_jpeg_shape(self.data)[:2]

    def whole(self) -> tf.Tensor:
        return tf.io.decode_jpeg(self.data, channels=3, dct_method=_DCT)

    def window(self, begin: tf.Tensor, extent: tf.Tensor) -> tf.Tensor:
        # Colour is stored at half the resolution, so that a column depends on its
        # neighbours: two more on each side, where there are, make it what it is in
        # the whole image.
        left = tf.maximum(begin[1] - 2, 0)
        right = tf.minimum(begin[1] + extent[1] + 2, self.size()[1])
        window = tf.stack([begin[0], left, extent[0], right - left])
        part = tf.image.decode_and_crop_jpeg(
            self.data, window, channels=3, dct_method=_DCT
        )
        first = begin[1] - left
        return part[:, first : first + extent[1]]


Picture = Decoded | Jpeg
Crop = Callable[[Picture], tf.Tensor]


def cut(data: tf.Tensor, crop: Crop, orientation: tf.Tensor | None = None) -> tf.Tensor:
    """crop(picture) of an encoded image: JPEG, PNG, BMP, GIF (first frame) or WebP.

    Args:
        data: bytes of a file.
        crop: picture -> image.
        orientation: EXIF's, 1 to 8, of a JPEG; None: it is upright.
    """

    def decoded():
        image = tf.io.decode_image(data, channels=3, expand_animations=False)
        return crop(Decoded(tf.ensure_shape(image, [None, None, 3])))

    def jpeg():
        if orientation is None:
            return crop(Jpeg(data))
        return tf.cond(
            orientation == 1,
            lambda: crop(Jpeg(data)),
            lambda: crop(Decoded(turned(Jpeg(data).whole(), orientation))),
        )

    return tf.cond(tf.io.is_jpeg(data), jpeg, decoded)


def turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """u8 [h, w, 3] as it should be seen, by EXIF's orientation 1 to 8."""
    code = tf.cast(orientation, tf.int32) - 1
    # Row 0 of the file is on the left or right from 5 on.
    image = tf.cond(code >= 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    upside_down = (code == 2) | (code == 3) | (code == 6) | (code == 7)
    mirrored = (code == 1) | (code == 2) | (code == 5) | (code == 6)
    image = tf.cond(upside_down, lambda: image[::-1], lambda: image)
    return tf.cond(mirrored, lambda: image[:, ::-1], lambda: image)


def whole(picture: Picture, size: int) -> tf.Tensor:
    """Evaluation on fixed features: shorter side to `size`, central crop of that."""
    return _centre(picture, size, size)


def central(picture: Picture, size: int) -> tf.Tensor:
    """Evaluation of a trained network: the central 87.5 % (224 of 256)."""
    return _centre(picture, round(size * 256 / 224), size)


def inception(picture: Picture, size: int) -> tf.Tensor:
    """TF-Slim's evaluation of all but ResNet and DenseNet, f32 [size, size, 3].

    The central 87.5 % of each side, stretched to a square, bilinear as TensorFlow 1
    resized: pixel i of the result is taken at i x side / size, not antialiased.
    """
    image = tf.image.central_crop(picture.whole(), 0.875)
    return _bilinear(image, [size, size])


def vgg(picture: Picture, size: int) -> tf.Tensor:
    """TF-Slim's evaluation of ResNet v1, and of the DenseNets: f32 [size, size, 3].

    Shorter side to round(size x 256 / 224), the other in proportion, bilinear as in
    `inception`; then the central crop.
    """
    image = picture.whole()
    sides = tf.cast(picture.size(), tf.float32)
    scale = round(size * 256 / 224) / tf.reduce_min(sides)
    full = tf.cast(tf.round(sides * scale), tf.int32)
    image = _bilinear(image, full)
    corner = (full - size) // 2
    image = image[corner[0] : corner[0] + size, corner[1] : corner[1] + size]
    return tf.ensure_shape(image, [size, size, 3])


def _bilinear(image, sides):
    image = tf.cast(image, tf.float32)[None]
    return tf.compat.v1.image.resize_bilinear(image, sides, align_corners=False)[0]


# What an evaluation sees of an image, by name. The first two give u8 images.
CROPS = {'central': central, 'whole': whole, 'inception': inception, 'vgg': vgg}


def _centre(picture, shorter, size):
    sides = tf.cast(picture.size(), tf.float32)
    full = tf.cast(tf.round(sides * (shorter / tf.reduce_min(sides))), tf.int32)
    return resized(picture, full, (full - size) // 2, size)


def augmented(
    picture: Picture,
    size: int,
    seed: tf.Tensor,
    *,
    min_area: float = 0.08,
    flip: bool = True,
) -> tf.Tensor:
    """Inception-style training crop (area min_area to 1, aspect 3/4 to 4/3) and flip.

    Area and aspect are drawn, and drawn again where the crop holds less than
    LEAST_COVERED of the image. So the crops of the usual min_area = 0.08 have 10 to
    100 % of the area, as those of the code that the protocol's authors published
    (google-research/simclr, data_util.py) and of TF-Slim and Cloud TPU's ResNet before
    it: all give this bound to the same TensorFlow function, with the whole image as the
    object. Smaller min_area than that changes how areas are drawn, not the smallest.

    Bicubic without antialiasing, as in the TensorFlow code of the field; and in half
    the time. The same seed (i32 [2]) gives the same crop.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([picture.size(), [3]], 0),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed,
        min_object_covered=LEAST_COVERED,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(min_area, 1.0),
        max_attempts=100,
    )
    crop = picture.window(begin[:2], extent[:2])
    crop = _whole_levels(tf.image.resize(crop, [size, size], method='bicubic'))
    if flip:
        crop = tf.image.stateless_random_flip_left_right(crop, seed + [1, 0])
    return tf.ensure_shape(tf.cast(crop, tf.uint8), [size, size, 3])


def resized(
    picture: Picture, full: tf.Tensor, corner: tf.Tensor, size: int
) -> tf.Tensor:
    """size x size pixels, from `corner` on, of the picture resized to `full`.

    Bicubic and antialiased, columns first, rounded to whole grey levels after each
    direction: Pillow's Image.resize(..., BICUBIC). Only what these pixels depend on is
    decoded. An output pixel depends on few source pixels, neighbours on nearly the
    same, so that a block of them is one small matrix product; TensorFlow's own
    antialiased resize takes more than twice as long.

    Args:
        picture: Decoded or Jpeg.
        full: i32 [2], height and width of the whole picture after resizing.
        corner: i32 [2], row and column.
        size: pixels.
    """
    source = picture.size()
    (row_weights, rows), (column_weights, columns) = (
        _bands(source[axis], full[axis], corner[axis], size) for axis in (0, 1)
    )
    begin = tf.stack([rows[0, 0], columns[0, 0]])
    extent = tf.stack([rows[-1, -1], columns[-1, -1]]) + 1 - begin
    window = tf.transpose(picture.window(begin, extent), [1, 0, 2])
    once = _combined(column_weights, columns - begin[1], window, size)
    twice = _combined(row_weights, rows - begin[0], tf.transpose(once, [1, 0, 2]), size)
    return tf.ensure_shape(tf.cast(twice, tf.uint8), [size, size, 3])


def _bands(length, resized_length, start, count):
    """Which source pixels each block of output pixels is made of, and how.

    Returns:
        (weights f32 [blocks, _BLOCK, k], positions i32 [blocks, k]); a position beyond
        an edge is moved to it, with weight 0.
    """
    scale = tf.cast(length, tf.float32) / tf.cast(resized_length, tf.float32)
    stretch = tf.maximum(scale, 1.0)  # Antialiasing: the kernel grows with the pixels.
    blocks = -(-count // _BLOCK)
    out = tf.reshape(tf.range(blocks * _BLOCK), [blocks, _BLOCK])
    # What fills up the last block is computed at the last pixel, and cut off.
    out = start + tf.minimum(out, count - 1)
    centres = (tf.cast(out, tf.float32) + 0.5) * scale
    first = tf.cast(tf.floor(centres[:, 0] - 2 * stretch), tf.int32)
    reach = tf.cast(tf.math.ceil((_BLOCK - 1) * scale + 4 * stretch), tf.int32) + 1
    positions = first[:, None] + tf.range(reach)
    distance = tf.cast(positions, tf.float32)[:, None] + 0.5 - centres[:, :, None]
    inside = (positions >= 0) & (positions < length)
    weights = tf.where(inside[:, None], _cubic(tf.abs(distance) / stretch), 0.0)
    weights /= tf.reduce_sum(weights, -1, keepdims=True)
    return weights, tf.clip_by_value(positions, 0, length - 1)


def _cubic(x):
    """The kernel of Keys (1981) with a = -1/2, at x >= 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return tf.where(x < 1, near, tf.where(x < 2, far, 0.0))


def _combined(weights, positions, image, size):
    """Rows of [n, m, 3] combined to f32 [size, m, 3]."""
    blocks = weights.shape[0]
    reach, width = tf.shape(positions)[1], tf.shape(image)[1]

    def products(weights, positions):
        parts = tf.cast(tf.gather(image, positions), tf.float32)
        return tf.matmul(weights, tf.reshape(parts, [-1, reach, width * 3]))

    def one_by_one():
        return tf.map_fn(
            lambda block: products(block[0][None], block[1][None])[0],
            (weights, positions),
            fn_output_signature=tf.float32,
            parallel_iterations=1,
        )

    gathered = blocks * 3 * tf.cast(reach, tf.int64) * tf.cast(width, tf.int64)
    sums = tf.cond(
        gathered > _GATHERED, one_by_one, lambda: products(weights, positions)
    )
    return _whole_levels(tf.reshape(sums, [blocks * _BLOCK, width, 3])[:size])


def _whole_levels(image):
    """Rounded to 0, 1, ... 255, a half up; bicubic overshoots at edges."""
    return tf.floor(tf.clip_by_value(image + 0.5, 0.0, 255.0))
