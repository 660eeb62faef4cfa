"""Files as clients send them -> the pixels that training saw, inside a graph.

Training reads files by data.image_files, which turns photographs as EXIF says, lays
transparent images over white and scales 16-bit gray. An exported model has TensorFlow
alone: what that decodes to other pixels is mended here, and what cannot be mended is
refused. TensorFlow's decoders ignore EXIF, drop alpha and palettes of BMP, and may end
the process at an animated WebP.
"""

import functools
import typing

import tensorflow as tf

from tfxfer.data import image_files, preprocess

_PNG, _GIF, _BMP, _RIFF = b'\x89PNG\r\n\x1a\n', b'GIF8', b'BM', b'RIFF'
_EXIF = b'Exif\0\0'
_HEAD = 64  # Bytes, which hold what is read of a file's beginning.


class Reading(typing.NamedTuple):
    """How files were read for training.

    pixels: as image_files.most_pixels. white: the number that is white in 16-bit gray.
    """

    pixels: int = image_files.MEGAPIXELS * 10**6
    white: int = image_files.WHITE


def decoded(data: tf.Tensor, reading: Reading) -> tf.Tensor:
    """The pixels u8 [h, w, 3] of a file's bytes, as training saw them; in graphs only.

    Args:
        data: the bytes, a scalar string.
        reading: as in training.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs: a file that training
            would not have seen so, or not at all; says what would be.
    """
    head = _part(data, 0, _HEAD)
    kinds = [
        (tf.io.is_jpeg(data), _jpeg),
        (_begins(head, _PNG), _png),
        (_begins(head, _BMP), _bmp),
        (_begins(head, _GIF), _gif),
        (_begins(head, _RIFF) & _begins(head[8:], b'WEBP'), _webp),
    ]
    known = tf.stack([is_kind for is_kind, _ in kinds])
    data = _require(
        data,
        tf.reduce_any(known),
        'The model reads JPEG, PNG, BMP, GIF and WebP: save the image as PNG.',
    )
    image, exif = tf.switch_case(
        tf.argmax(tf.cast(known, tf.int32), output_type=tf.int32),
        [functools.partial(decode, data, head, reading) for _, decode in kinds],
    )
    image = tf.ensure_shape(image, [None, None, 3])
    return preprocess.turned(image, _orientation(exif))


def _jpeg(data, head, reading):
    del head
    shape = tf.io.extract_jpeg_shape(data)
    data = _within(data, shape[0], shape[1], reading)
    exif, adobe = _jpeg_segments(data)
    data = _require(
        data,
        (shape[2] != 4) | adobe,
        'A CMYK JPEG without an Adobe marker does not say what its numbers mean: save '
        'it as RGB.',
    )
    return preprocess.Jpeg(data).whole(), exif


def _png(data, head, reading):
    data = _within(data, _big(head, 20, 4), _big(head, 16, 4), reading)

    exif, colour = _chunks(data, 8, (b'eXIf', b'tRNS'), little=False)

    def gray16():
        gray = tf.io.decode_png(data, channels=1, dtype=tf.uint16)
        return tf.repeat(_whitened(gray, reading.white), 3, axis=-1)

    def usual():
        return tf.io.decode_png(data, channels=3)

    def transparent():
        return over_white(tf.io.decode_png(data, channels=4))

    kind = head[25]
    alpha = (kind == 4) | (kind == 6) | (tf.strings.length(colour) > 0)
    image = tf.cond(
        (head[24] == 16) & (kind == 0),
        gray16,
        # Not of all: opaque palettes of less than 8 bits it decodes wrongly to 4.
        lambda: tf.cond(alpha, transparent, usual),
    )
    return image, exif


def _bmp(data, head, reading):
    height, width = tf.abs(_signed(head, 22)), _signed(head, 18)
    data = _within(data, height, width, reading)
    data = _require(
        data,
        (_little(head, 28, 2) == 24) & (_little(head, 30, 4) == 0),
        'The model reads uncompressed BMP of 24 bits: save the image as PNG.',
    )
    return tf.io.decode_bmp(data, channels=3), ''


def _gif(data, head, reading):
    width, height = _little(head, 6, 2), _little(head, 8, 2)
    data = _within(data, height, width, reading)
    data = _require(
        data,
        _gif_is_plain(data, head, width, height),
        'The first frame of the GIF is transparent or does not fill it: save the image '
        'as PNG.',
    )
    return tf.io.decode_image(data, channels=3, expand_animations=False), ''


def _webp(data, head, reading):
    extended = _begins(head[12:], b'VP8X')
    flags = tf.where(extended, head[20], 0)
    animated = (flags // 2) % 2 == 1
    data = _require(data, ~animated, 'The model reads no animated WebP.')
    lossless = _little(head, 21, 4)
    width, height = tf.cond(
        extended,
        lambda: (_little(head, 24, 3) + 1, _little(head, 27, 3) + 1),
        lambda: tf.cond(
            _begins(head[12:], b'VP8L'),
            lambda: (lossless % 2**14 + 1, lossless // 2**14 % 2**14 + 1),
            lambda: (_little(head, 26, 2) % 2**14, _little(head, 28, 2) % 2**14),
        ),
    )
    data = _within(data, height, width, reading)
    image = tf.io.decode_webp(data, channels=0)[0]  # 3 or 4: no other number is taken.
    image = tf.cond(tf.shape(image)[2] == 4, lambda: over_white(image), lambda: image)
    (exif,) = _chunks(data, 12, (b'EXIF',), little=True)
    return image, exif


def over_white(image: tf.Tensor) -> tf.Tensor:
    """u8 [h, w, 4] -> u8 [h, w, 3], to the level as Pillow's alpha_composite."""
    colour, alpha = (tf.cast(x, tf.int32) for x in (image[..., :3], image[..., 3:]))
    mixed = (colour * alpha + 255 * (255 - alpha)) * 128 + 128 * 128
    return tf.cast((((mixed // 256) + mixed) // 256) // 128, tf.uint8)


def _whitened(gray, white):
    """u16 -> u8 as image_files.whitened."""
    levels = (tf.cast(gray, tf.int32) * 510 + white) // (2 * white)
    return tf.cast(tf.minimum(levels, 255), tf.uint8)


def _within(data, height, width, reading):
    height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
    most = reading.pixels
    return _require(
        data,
        (height * width <= most) & (tf.maximum(height, width) <= image_files.LONGEST),
        f'The image has more than {most:,} pixels, or a side of more than '
        f'{image_files.LONGEST:,}: make it smaller.',
    )


def _require(data, right, message):
    """The data, once it is known that they are right."""
    with tf.control_dependencies([tf.debugging.Assert(right, [message])]):
        return tf.identity(data)


def _bytes(data):
    """i64 [n]."""
    return tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int64)


def _part(data, at, size):
    """Bytes i64 [size] from `at` on; 0 beyond the end."""
    length = tf.strings.length(data)
    start = tf.minimum(tf.cast(at, tf.int32), length)
    found = _bytes(tf.strings.substr(data, start, size))
    return tf.pad(found, [[0, size - tf.shape(found)[0]]])


def _begins(head, text):
    return tf.reduce_all(head[: len(text)] == tf.constant(list(text), tf.int64))


def _little(head, at, size):
    return sum(head[at + i] * 256**i for i in range(size))


def _big(head, at, size):
    return sum(head[at + i] * 256 ** (size - 1 - i) for i in range(size))


def _signed(head, at):
    value = _little(head, at, 4)
    return tf.where(value >= 2**31, value - 2**32, value)


def _jpeg_segments(data):
    """(the first EXIF block, '' without; whether there is an Adobe marker)."""
    length = tf.cast(tf.strings.length(data), tf.int64)

    def going(at, start, size, adobe):
        del start, size, adobe
        return (at >= 0) & (at + 4 <= length)

    def step(at, start, size, adobe):
        part = _part(data, at, 10)
        marker, segment = part[1], part[2] * 256 + part[3]
        last = (part[0] != 255) | (marker == 0xDA) | (marker == 0xD9)
        exif = (marker == 0xE1) & _begins(part[4:], _EXIF) & (size == 0) & ~last
        start = tf.where(exif, at + 10, start)
        size = tf.where(exif, segment - 8, size)
        adobe |= (marker == 0xEE) & _begins(part[4:], b'Adobe') & ~last
        on = tf.where(marker == 255, tf.constant(1, tf.int64), 2 + segment)
        return tf.where(last, tf.constant(-1, tf.int64), at + on), start, size, adobe

    zero = tf.constant(0, tf.int64)
    _, start, size, adobe = tf.while_loop(
        going, step, (zero + 2, zero, zero, tf.constant(False))
    )
    return _slice(data, start, size), adobe


def _chunks(data, first, names, *, little):
    """What chunks of a PNG or RIFF file hold, by names; '' of one that is not there."""
    length = tf.cast(tf.strings.length(data), tf.int64)
    number = _little if little else _big

    def going(at, starts, sizes):
        del starts, sizes
        return at + 8 <= length

    def step(at, starts, sizes):
        part = _part(data, at, 8)
        held = number(part, 4 if little else 0, 4)
        here = tf.stack([_begins(part[0 if little else 4 :], name) for name in names])
        here &= sizes == 0
        on = held + held % 2 if little else held + 4  # Padding, or a checksum.
        return (
            at + 8 + on,
            tf.where(here, at + 8, starts),
            tf.where(here, held, sizes),
        )

    zeros = tf.zeros([len(names)], tf.int64)
    _, starts, sizes = tf.while_loop(
        going, step, (tf.constant(first, tf.int64), zeros, zeros)
    )
    return [_slice(data, starts[i], sizes[i]) for i in range(len(names))]


def _slice(data, at, size):
    length = tf.strings.length(data)
    at, size = (tf.cast(tf.minimum(x, 2**31 - 1), tf.int32) for x in (at, size))
    return tf.strings.substr(data, tf.minimum(at, length), tf.maximum(size, 0))


def _orientation(exif):
    """As image_files.orientation: 1 to 8 of an EXIF block; 1 where it says nothing."""
    inside = tf.strings.substr(exif, 0, tf.minimum(6, tf.strings.length(exif))) == _EXIF
    exif = _slice(exif, tf.where(inside, 6, 0), tf.strings.length(exif))
    head = _part(exif, 0, 8)
    little = _begins(head, b'II*\0')
    known = little | _begins(head, b'MM\0*')

    def number(values, at, size):
        return tf.where(little, _little(values, at, size), _big(values, at, size))

    first = number(head, 4, 4)
    length = tf.cast(tf.strings.length(exif), tf.int64)
    first = tf.minimum(first, length)
    count = number(_part(exif, first, 2), 0, 2)
    count = tf.clip_by_value((length - first - 2) // 12, 0, count)
    entries = tf.reshape(_bytes(_slice(exif, first + 2, 12 * count)), [-1, 12])
    columns = tf.unstack(entries, axis=1)
    right = (number(columns, 0, 2) == image_files.ORIENTATION) & (
        number(columns, 4, 4) == 1
    )
    kind = number(columns, 2, 2)
    value = tf.where(kind == 3, number(columns, 8, 2), number(columns, 8, 4))
    right &= ((kind == 3) | (kind == 4)) & (value >= 1) & (value <= 8) & known
    value = tf.concat([tf.boolean_mask(value, right), [1]], 0)
    return value[0]


def _gif_is_plain(data, head, width, height):
    """Whether the first frame fills the image and has no transparent colour."""
    packed = head[10]
    table = tf.where(packed >= 128, 3 * 2 ** (packed % 8 + 1), 0)

    def going(at, inside, seen, plain):
        del inside, plain
        return ~seen & (at < tf.cast(tf.strings.length(data), tf.int64))

    def step(at, inside, seen, plain):
        part = _part(data, at, 10)
        # Inside an extension: blocks, each after its size, until one of size 0.
        extension = ~inside & (part[0] == 0x21)
        control = extension & (part[1] == 0xF9)
        plain &= ~(control & (part[3] % 2 == 1))
        frame = ~inside & (part[0] == 0x2C)
        fills = (
            (_little(part, 1, 4) == 0)
            & (_little(part, 5, 2) == width)
            & (_little(part, 7, 2) == height)
        )
        plain &= ~frame | fills
        on = tf.where(extension, tf.constant(2, tf.int64), 1 + part[0])
        more = tf.where(inside, part[0] > 0, extension)
        return at + on, more, seen | (~inside & ~extension), plain

    false = tf.constant(False)
    *_, seen, plain = tf.while_loop(
        going, step, (13 + table, false, false, tf.constant(True))
    )
    return seen & plain
