"""Image files of every kind, and the reading of a folder or list of them."""

import io
import struct
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from tfxfer import datasets
from tfxfer.data import image_set, readers

SIZE = (40, 60)  # Height and width of the photograph's part.


PHOTO = load_sample_image('china.jpg')[:240:6, :360:6].copy()


RGB = Image.fromarray(PHOTO)


GRAY = RGB.convert('L')


PALETTE = RGB.quantize(32)


ALPHA = np.tile(np.linspace(0, 255, SIZE[1]).astype(np.uint8), (SIZE[0], 1))


RGBA = Image.fromarray(np.dstack([PHOTO, ALPHA]))


TURNED = RGB.rotate(180)


def read(path, kind='folder', **options):
    return readers.read(datasets.find(f'{kind}:{path}'), image_set.Options(**options))


def written(image, form, **options):
    """The bytes of an image file."""
    file = io.BytesIO()
    image.copy().save(file, form, **options)  # Saving leaves traces in the image.
    return file.getvalue()


def chunk(kind, data):
    check = struct.pack('>I', zlib.crc32(kind + data))
    return struct.pack('>I', len(data)) + kind + data + check


def png(width, height, bits, kind, rows, *, interlace=0, extra=b''):
    """The bytes of a PNG, put together by its specification."""
    header = struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, interlace)
    body = chunk(b'IHDR', header) + extra + chunk(b'IDAT', zlib.compress(rows))
    return b'\x89PNG\r\n\x1a\n' + body + chunk(b'IEND', b'')


def interlaced():
    passes = (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
        (0, 1, 2, 2), (1, 0, 2, 1),
    )  # fmt: skip
    parts = [PHOTO[y::down, x::right] for y, x, down, right in passes]
    rows = b''.join(b'\0' + row.tobytes() for part in parts for row in part)
    return png(SIZE[1], SIZE[0], 8, 2, rows, interlace=1)


def few_bits(bits, kind, extra=b''):
    rng = np.random.default_rng(0)
    row = SIZE[1] * bits // 8
    rows = b''.join(b'\0' + rng.bytes(row) for _ in range(SIZE[0]))
    return png(row * 8 // bits, SIZE[0], bits, kind, rows, extra=extra)


def colours16():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 256, PHOTO.shape)
    deep = (PHOTO.astype(int) * 256 + low).astype('>u2')
    return png(SIZE[1], SIZE[0], 16, 2, b''.join(b'\0' + row.tobytes() for row in deep))


def rotated(orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    return {'exif': exif}


def gray16():
    return Image.fromarray(np.asarray(GRAY).astype(np.uint16) * 257)


def tensorflow(data):
    """As TensorFlow decodes, its slow DCT for JPEG (its default is up to 14 off)."""
    if data[:2] == b'\xff\xd8':
        image = tf.io.decode_jpeg(data, channels=3, dct_method='INTEGER_ACCURATE')
    else:
        image = tf.io.decode_image(data, channels=3, expand_animations=False)
    return image.numpy().astype(int)


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert('RGB')).astype(int)


def over_white(rgb, alpha):
    share = np.asarray(alpha)[..., None] / 255
    return np.asarray(rgb) * share + 255 * (1 - share)


CMYK = written(RGB.convert('CMYK'), 'JPEG', quality=95)


PLAIN = {
    'baseline.jpg': written(RGB, 'JPEG'),
    'every pixel has colour.jpg': written(RGB, 'JPEG', quality=95, subsampling=0),
    'colour every second column.jpg': written(RGB, 'JPEG', subsampling=1),
    'progressive.jpeg': written(RGB, 'JPEG', progressive=True),
    'restarts.jpg': written(RGB, 'JPEG', restart_marker_rows=1),
    'cmyk.jpg': CMYK,
    'gray.JPG': written(GRAY, 'JPEG'),
    'stored as RGB.jfif': written(RGB, 'JPEG', keep_rgb=True),
    'upright.jpg': written(RGB, 'JPEG', **rotated(1)),
    'orientation 0.jpg': written(RGB, 'JPEG', **rotated(0)),
    'nonsense as EXIF.jpg': written(RGB, 'JPEG', exif=b'Exif\0\0II*\0nonsense'),
    'two pictures.jpg': written(RGB, 'MPO', save_all=True, append_images=[TURNED]),
    'odd size.jpg': written(RGB.crop((0, 0, 37, 19)), 'JPEG'),
    'one pixel.jpg': written(RGB.crop((0, 0, 1, 1)), 'JPEG'),
    'bytes at the end.jpg': written(RGB, 'JPEG') + b'\xff\xff trailing',
    'rgb.png': written(RGB, 'PNG'),
    'gray.png': written(GRAY, 'PNG'),
    'palette.png': written(PALETTE, 'PNG'),
    'palette of 16.png': written(RGB.quantize(16), 'PNG', bits=4),
    'black and white.png': written(GRAY.convert('1'), 'PNG'),
    'gray of 2 bits.png': few_bits(2, 0),
    'gray of 4 bits.png': few_bits(4, 0),
    'interlaced.png': interlaced(),
    'colours of 16 bits.png': colours16(),
    'rgb.bmp': written(RGB, 'BMP'),
    'odd size.bmp': written(RGB.crop((0, 0, 37, 19)), 'BMP'),
    'lossy.webp': written(RGB, 'WEBP'),
    'lossless.webp': written(RGB, 'WEBP', lossless=True),
}


# What they should look like, by other means than the ones under test. EXIF: which side
# of the picture the first row and column are.
UPRIGHT = {
    2: PHOTO[:, ::-1],
    3: PHOTO[::-1, ::-1],
    4: PHOTO[::-1],
    5: PHOTO.transpose(1, 0, 2),
    6: np.rot90(PHOTO, -1),
    7: PHOTO[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(PHOTO),
}


SEEN = over_white(PHOTO, ALPHA)


SEEN_GRAY = over_white(np.asarray(GRAY)[..., None].repeat(3, 2), ALPHA)


INDEX = np.asarray(PALETTE)


COLOURS = np.array(PALETTE.getpalette()).reshape(-1, 3)[INDEX]


HOLES = over_white(COLOURS, np.where(INDEX == 3, 0, 255))


BITS = np.asarray(GRAY.convert('1'))[..., None].repeat(3, 2) * 255


GRAY3 = np.asarray(GRAY)[..., None].repeat(3, 2)


COPIED = {
    **{
        f'orientation {k}.png': (written(RGB, 'PNG', **rotated(k)), seen)
        for k, seen in UPRIGHT.items()
    },
    'orientation 8.webp': (
        written(RGB, 'WEBP', lossless=True, **rotated(8)),
        UPRIGHT[8],
    ),
    'orientation 6.tif': (written(RGB, 'TIFF', **rotated(6)), UPRIGHT[6]),
    'alpha.png': (written(RGBA, 'PNG'), SEEN),
    'alpha rotated.png': (
        written(RGBA, 'PNG', **rotated(6)),
        np.rot90(SEEN, -1),
    ),
    'alpha.webp': (
        written(RGBA, 'WEBP', lossless=True, exact=True),
        SEEN,
    ),
    'alpha.tiff': (written(RGBA, 'TIFF'), SEEN),
    'gray and alpha.png': (
        written(Image.merge('LA', (GRAY, Image.fromarray(ALPHA))), 'PNG'),
        SEEN_GRAY,
    ),
    'palette with a hole.png': (written(PALETTE, 'PNG', transparency=3), HOLES),
    'palette of some alpha.png': (
        written(PALETTE, 'PNG', transparency=bytes([128] * 8)),
        over_white(COLOURS, np.where(INDEX < 8, 128, 255)),
    ),
    'transparent colour.png': (
        written(RGB, 'PNG', transparency=tuple(PHOTO[5, 5].tolist())),
        over_white(PHOTO, np.where((PHOTO == PHOTO[5, 5]).all(-1), 0, 255)),
    ),
    'transparent gray.png': (
        written(GRAY, 'PNG', transparency=int(GRAY3[5, 5, 0])),
        np.where(GRAY3 == GRAY3[5, 5, 0], 255, GRAY3),
    ),
    'gray of 16 bits.png': (written(gray16(), 'PNG'), GRAY3),
    'gray of 16 bits.tif': (written(gray16(), 'TIFF'), GRAY3),
    'cmyk.tif': (written(RGB.convert('CMYK'), 'TIFF'), PHOTO),
    'rgb.TIFF': (written(RGB, 'TIFF'), PHOTO),
    'two pages.tif': (
        written(RGB, 'TIFF', save_all=True, append_images=[TURNED.copy()]),
        PHOTO,
    ),
    'gray.bmp': (written(GRAY, 'BMP'), GRAY3),
    'palette.bmp': (written(PALETTE, 'BMP'), COLOURS),
    'black and white.bmp': (written(GRAY.convert('1'), 'BMP'), BITS),
    'palette.gif': (written(PALETTE, 'GIF'), COLOURS),
    'animated.gif': (
        written(PALETTE, 'GIF', save_all=True, append_images=[PALETTE.rotate(180)]),
        COLOURS,
    ),
    'hole.gif': (written(PALETTE, 'GIF', transparency=3), HOLES),
    'animated.png': (
        written(RGB, 'PNG', save_all=True, append_images=[TURNED]),
        PHOTO,
    ),
    'animated.webp': (
        written(RGB, 'WEBP', save_all=True, append_images=[TURNED], lossless=True),
        PHOTO,
    ),
    # Damage that Pillow reads past and TensorFlow does not.
    'without an end.png': (written(RGB, 'PNG')[:-12], PHOTO),
    'bytes at the end.bmp': (written(RGB, 'BMP') + b'trailing', PHOTO),
}
