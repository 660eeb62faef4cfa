"""A model sees of a file's bytes what training saw of the file, or refuses it."""

import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conftest import ROOT
from tests.support.own_images import (
    CMYK,
    COPIED,
    PALETTE,
    PLAIN,
    RGB,
    RGBA,
    chunk,
    few_bits,
    png,
    rotated,
    written,
)
from tfxfer.data import image_files, preprocess
from tfxfer.export import client_files

REFUSED = {
    'palette.bmp', 'gray.bmp', 'black and white.bmp', 'bytes at the end.bmp',
    'hole.gif', 'animated.webp', 'without an end.png', 'rgb.TIFF', 'cmyk.tif',
    'alpha.tiff', 'orientation 6.tif', 'gray of 16 bits.tif', 'two pages.tif',
}  # fmt: skip


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def seen(data):
    """The whole picture, as a model reads it."""
    return client_files.decoded(data, client_files.Reading())


def trained_on(data, folder, white=image_files.WHITE):
    """The whole picture, as training reads the same bytes from a file."""
    path = folder / 'file'
    path.write_bytes(data)
    checked = image_files.check_file(path, folder)
    assert checked.fault is None
    if checked.copied:
        image_files.whiten(folder, {'file': checked}, folder, white)
        data = (folder / checked.copy_name(white)).read_bytes()
    crop = preprocess.cut(
        tf.constant(data),
        lambda picture: picture.whole(),
        tf.constant(checked.orientation),
    )
    return crop.numpy()


@pytest.mark.parametrize('name', [*PLAIN, *COPIED])
def test_a_model_sees_what_training_saw_or_refuses(name, tmp_path):
    data = PLAIN[name] if name in PLAIN else COPIED[name][0]
    if name in REFUSED:
        with pytest.raises(tf.errors.InvalidArgumentError):
            seen(data)
        return
    np.testing.assert_array_equal(seen(data), trained_on(data, tmp_path))


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
@pytest.mark.parametrize('transparency', [None, 1, bytes([128] * 2)])
def test_palettes_of_any_number_of_bits(bits, transparency, tmp_path):
    more = {} if transparency is None else {'transparency': transparency}
    data = written(RGB.quantize(2**bits), 'PNG', bits=bits, **more)
    np.testing.assert_array_equal(seen(data), trained_on(data, tmp_path))


@pytest.mark.parametrize('kind', ['JPEG', 'MPO', 'PNG', 'WEBP'])
@pytest.mark.parametrize('orientation', range(10))
def test_every_exif_orientation(kind, orientation, tmp_path):
    more = {'lossless': True} if kind == 'WEBP' else {}
    data = written(RGB, kind, **rotated(orientation), **more)
    got = seen(data).numpy()
    np.testing.assert_array_equal(got, trained_on(data, tmp_path))
    turned = orientation in (5, 6, 7, 8)
    assert got.shape == ((60, 40, 3) if turned else (40, 60, 3))


def exif(order, kind=3, value=6, tag=0x112, count=1, before=0):
    """An EXIF block put together by its specification."""
    mark = b'II*\0' if order == '<' else b'MM\0*'
    entry = struct.pack(f'{order}HHI', tag, kind, count)
    entry += struct.pack(
        f'{order}HH' if kind == 3 else f'{order}I', value, *[0][: kind == 3]
    )
    other = struct.pack(f'{order}HHII', 0x10F, 2, 3, 0)
    return (
        mark + struct.pack(f'{order}I', 8) + struct.pack(f'{order}H', 1 + before)
        + other * before + entry + struct.pack(f'{order}I', 0)
    )  # fmt: skip


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize(
    'fields, code',
    [
        ({}, 6), ({'before': 3}, 6), ({'kind': 4, 'value': 8}, 8), ({'value': 9}, 1),
        ({'value': 0}, 1), ({'count': 2}, 1), ({'tag': 0x113}, 1), ({'kind': 5}, 1),
    ],
)  # fmt: skip
def test_orientation_by_the_specification(order, fields, code):
    block = exif(order, **fields)
    for whole in (block, b'Exif\0\0' + block):
        assert image_files.orientation(whole) == code
        assert int(client_files._orientation(tf.constant(whole))) == code


def test_damaged_exif_is_read_alike_in_python_and_in_the_graph():
    rng = np.random.default_rng(0)
    graph = tf.function(
        client_files._orientation, input_signature=[tf.TensorSpec([], tf.string)]
    )
    for i in range(300):
        block = bytearray(exif('<>'[i % 2], before=i % 4))
        for _ in range(1 + i % 3):
            block[rng.integers(len(block))] = rng.integers(256)
        block = bytes(block[: rng.integers(len(block) + 1)] if i % 5 == 0 else block)
        assert int(graph(block)) == image_files.orientation(block), block.hex()


def test_orientation_elsewhere_than_in_exif_turns_nothing(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    data = written(RGB, 'JPEG', xmp=xmp)
    assert trained_on(data, tmp_path).shape == seen(data).shape == (40, 60, 3)


def test_over_white_is_pillows_composition():
    rgba = np.random.default_rng(0).integers(0, 256, (256, 256, 4)).astype(np.uint8)
    rgba[..., 3] = np.arange(256)
    white = Image.new('RGBA', (256, 256), 'white')
    expected = Image.alpha_composite(white, Image.fromarray(rgba)).convert('RGB')
    np.testing.assert_array_equal(client_files.over_white(rgba), expected)


@pytest.mark.parametrize('white', [255, 4095, 65535])
def test_gray_of_16_bits_is_white_where_it_was_in_training(white, tmp_path):
    levels = np.arange(0, 65536, 13, dtype=np.uint16)[:5040].reshape(60, 84)
    data = written(Image.fromarray(levels), 'PNG')
    reading = client_files.Reading(white=white)
    graph = tf.function(lambda data: client_files.decoded(data, reading))
    got = graph(tf.constant(data)).numpy()
    np.testing.assert_array_equal(got, trained_on(data, tmp_path, white))
    exact = np.minimum(levels / white, 1) * 255
    assert np.abs(got[..., 0] - exact).max() <= 0.5 + 1e-9


def test_transparent_gray_of_few_bits_is_transparent(tmp_path):
    data = few_bits(2, 0, extra=chunk(b'tRNS', b'\0\1'))
    got = seen(data).numpy()
    np.testing.assert_array_equal(got, trained_on(data, tmp_path))
    assert not (got == 85).any() and (got == 255).any()


def test_transparent_colour_of_16_bits_is_refused_in_training(tmp_path):
    rows = b'\0' + bytes(range(24))
    (tmp_path / 'file').write_bytes(
        png(4, 1, 16, 2, rows, extra=chunk(b'tRNS', bytes(range(6))))
    )
    checked = image_files.check_file(tmp_path / 'file', tmp_path)
    assert 'transparent colour of 16 bits' in checked.fault


SMALL = {
    'a frame that does not fill it.gif': (
        written(PALETTE, 'GIF')[:6] + struct.pack('<HH', 80, 90)
        + written(PALETTE, 'GIF')[10:], 'does not fill it',
    ),
    'hole.gif': (COPIED['hole.gif'][0], 'save the image as PNG'),
    'animated.webp': (COPIED['animated.webp'][0], 'no animated WebP'),
    'palette.bmp': (COPIED['palette.bmp'][0], 'BMP of 24 bits'),
    'page.tif': (COPIED['rgb.TIFF'][0], 'reads JPEG, PNG, BMP, GIF and WebP'),
    'text': (b'hello', 'reads JPEG, PNG, BMP, GIF and WebP'),
    'empty': (b'', 'reads JPEG, PNG, BMP, GIF and WebP'),
    'without Adobe.jpg': (CMYK.replace(b'Adobe', b'adobe'), 'without an Adobe marker'),
    'large.png': (png(20_000, 20_000, 8, 2, b''), 'more than 100,000,000 pixels'),
    'long.png': (png(100_000, 1, 8, 2, b''), 'a side of more than 65,535'),
    'large.gif': (
        written(PALETTE, 'GIF')[:6] + struct.pack('<HH', 60_000, 60_000)
        + written(PALETTE, 'GIF')[10:], 'more than 100,000,000 pixels',
    ),
    'large.bmp': (
        written(RGB, 'BMP')[:18] + struct.pack('<ii', 60_000, -60_000)
        + written(RGB, 'BMP')[26:], 'more than 100,000,000 pixels',
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', SMALL)
def test_what_is_refused_is_refused_with_a_reason(name):
    data, reason = SMALL[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        seen(data)


@pytest.mark.parametrize('kind', ['lossy', 'lossless', 'alpha'])
def test_the_size_of_a_webp_is_in_its_head(kind):
    options = {'lossless': kind == 'lossless'}
    image = RGBA if kind == 'alpha' else RGB
    data = written(image.resize((317, 45)), 'WEBP', **options)
    small = client_files.Reading(pixels=317 * 45 - 1)
    exact = client_files.Reading(pixels=317 * 45)
    graphs = [
        tf.function(lambda data, r=r: client_files.decoded(data, r))
        for r in (small, exact)
    ]
    with pytest.raises(tf.errors.InvalidArgumentError, match='more than'):
        graphs[0](tf.constant(data))
    assert graphs[1](tf.constant(data)).shape == (45, 317, 3)
    assert image_files._webp_size(data) == (317, 45)


ATTACK = """
import sys
import numpy as np
import tensorflow as tf
sys.path.insert(0, '.')
from tests.export.test_client_files import seen
from tests.support import own_images
name = sys.argv[1]
copied = {kind: data for kind, (data, _) in own_images.COPIED.items()}
whole = {**own_images.PLAIN, **copied}[name]
rng = np.random.default_rng(0)
for i in range(int(sys.argv[2])):
    at = int(rng.integers(0, len(whole)))
    near = int(rng.integers(0, min(64, len(whole))))
    data = {
        0: whole[:at] + bytes([whole[at] ^ 1 << rng.integers(8)]) + whole[at + 1 :],
        1: whole[:at],
        2: whole[:at] + bytes(12) + whole[at + 12 :],
        3: whole + rng.bytes(9),
        4: whole[:near] + rng.bytes(4) + whole[near + 4 :],  # Kinds, sizes, flags.
    }[i % 5]
    try:
        seen(data)
    except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError):
        pass
print('survived')
"""


@pytest.mark.parametrize(
    'name',
    [
        'animated.webp',
        *(
            pytest.param(name, marks=pytest.mark.exhaustive)
            for name in (
                'baseline.jpg', 'progressive.jpeg', 'cmyk.jpg', 'alpha.png',
                'interlaced.png', 'gray of 16 bits.png', 'rgb.bmp', 'palette.bmp',
                'animated.gif', 'hole.gif', 'lossy.webp', 'alpha.webp',
                'orientation 8.webp',
            )
        ),
    ],
)  # fmt: skip
def test_no_damage_ends_the_process(name):
    """TensorFlow's decoder of animated WebP corrupts the heap, for one."""
    done = subprocess.run(
        [sys.executable, '-c', ATTACK, name, '200'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and 'survived' in done.stdout, done.stderr[-2000:]
