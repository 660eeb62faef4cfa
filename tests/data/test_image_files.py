"""Files of any kind, whole and broken: TensorFlow sees of them what Pillow does."""

import concurrent.futures
import hashlib
import io
import os
import pathlib
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps, PngImagePlugin

from tests.conftest import ROOT
from tests.support.own_images import (
    COPIED,
    GRAY,
    PALETTE,
    PHOTO,
    PLAIN,
    RGB,
    RGBA,
    TURNED,
    chunk,
    pillow,
    png,
    read,
    rotated,
    tensorflow,
    written,
)
from tfxfer import errors, storage
from tfxfer.data import image_files, pipeline, preprocess


@pytest.fixture(scope='module')
def kinds(tmp_path_factory):
    """({name: path to read}, folder of copies) of all kinds of files."""
    root = tmp_path_factory.mktemp('kinds')
    (root / 'one').mkdir()
    (root / 'two').mkdir()
    for name, data in {**PLAIN, **{k: v[0] for k, v in COPIED.items()}}.items():
        (root / 'one' / name).write_bytes(data)
    RGB.save(root / 'two' / 'other.png')
    cache = tmp_path_factory.mktemp('cache')
    _, images = read(root, cache=cache)
    names = [key.rpartition('/')[2] for key in images.keys]
    return dict(
        zip(names, images.paths, strict=True)
    ), cache / f'copies-{image_files.VERSION}'


@pytest.mark.parametrize('name', PLAIN)
def test_tensorflow_decodes_plain_files_as_pillow_does(kinds, name):
    path = pathlib.Path(kinds[0][name])
    assert path.name == name  # The file itself.
    difference = np.abs(tensorflow(path.read_bytes()) - pillow(PLAIN[name]))
    assert difference.max() <= (2 if PLAIN[name][:2] == b'\xff\xd8' else 0)


@pytest.mark.parametrize('kind', ['JPEG', 'MPO'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_rotated_jpeg_is_read_itself_and_turned(tmp_path, kind, orientation):
    more = {'save_all': True, 'append_images': [TURNED]} if kind == 'MPO' else {}
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
        data = written(RGB, kind, **rotated(orientation), **more)
        (tmp_path / name / 'a.jpg').write_bytes(data)
    _, images = read(tmp_path)
    assert images.paths[0] == str(tmp_path / 'one' / 'a.jpg')
    cut = pipeline.cropper(images)
    with Image.open(images.paths[0]) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    got = cut(tf.constant(0), lambda picture: picture.whole()).numpy()
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize('name', COPIED)
def test_other_files_are_read_as_one_sees_them(kinds, name):
    path = pathlib.Path(kinds[0][name])
    assert path.parent == kinds[1] and path.suffix == '.png'
    seen = tensorflow(path.read_bytes())
    expected = COPIED[name][1]
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).max() <= 1  # Rounding of transparency.


def test_every_kind_of_copy_is_needed():
    """TensorFlow gives other pixels, another shape or an error for the file itself."""
    same = []
    for name, (data, expected) in COPIED.items():
        try:
            pixels = tensorflow(data)
        except tf.errors.InvalidArgumentError:
            continue
        if pixels.shape == expected.shape and np.abs(pixels - expected).max() <= 1:
            same.append(name)
    # Animations, TensorFlow's rounding down of 16 bits, and formats few use are left to
    # one decoder rather than two.
    assert set(same) == {
        'gray of 16 bits.png', 'gray.bmp', 'palette.gif', 'animated.gif',
        'animated.png',
    }  # fmt: skip


def test_cmyk_keeps_the_colours(kinds):
    pixels = tensorflow(pathlib.Path(kinds[0]['cmyk.jpg']).read_bytes())
    assert np.abs(pixels - PHOTO).mean() < 4


def test_sixteen_bits_are_scaled_not_clipped():
    levels = np.array([[0, 128, 129, 256, 4096, 32768, 65406, 65407, 65535]], np.uint16)
    image = Image.open(io.BytesIO(written(Image.fromarray(levels), 'PNG')))
    got = np.asarray(image_files.upright_rgb(image))[0, :, 0]
    np.testing.assert_array_equal(got, np.round(levels[0] / 257))


def test_rotated_and_upright_photographs_make_the_same_batch(tmp_path):
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
    RGB.save(tmp_path / 'one' / 'upright.png')
    Image.fromarray(np.rot90(PHOTO)).save(tmp_path / 'two' / 'phone.png', **rotated(6))
    _, images = read(tmp_path)
    data = pipeline.evaluation(images, np.arange(2), 32, preprocess.whole, 2)
    first, second = next(data.as_numpy_iterator())['image']
    np.testing.assert_array_equal(first, second)


DAMAGE = {
    'baseline': written(RGB, 'JPEG'),
    'progressive': written(RGB, 'JPEG', progressive=True),
    'restarts': written(RGB, 'JPEG', restart_marker_rows=1),
    'png': written(RGB, 'PNG'),
    'bmp': written(RGB, 'BMP'),
    'lossy': written(RGB, 'WEBP'),
    'lossless': written(RGB, 'WEBP', lossless=True),
}


@pytest.mark.parametrize('name', DAMAGE)
def test_what_passes_the_check_tensorflow_reads_whatever_the_damage(name, tmp_path):
    rng = np.random.default_rng(0)
    whole = DAMAGE[name]
    for i in range(120):
        at = int(rng.integers(2, len(whole)))
        data = {
            0: whole[:at] + bytes([whole[at] ^ 1 << rng.integers(8)]) + whole[at + 1 :],
            1: whole[:at] + b'\xff\xfe' + whole[at:],
            2: whole[:at] + bytes(12) + whole[at + 12 :],
            3: whole[: -1 - i // 4],
            4: whole + rng.bytes(9),
        }[i % 5]
        (tmp_path / 'image').write_bytes(data)
        checked = image_files.check_file(tmp_path / 'image', tmp_path)
        if not checked.fault:
            copy = tmp_path / f'{checked.digest}.png'
            assert copy.exists() == checked.copied
            pixels = tensorflow(copy.read_bytes() if checked.copied else data)
            assert np.abs(pixels - pillow(data)).max() <= 2


def save_claiming(size):
    return lambda path: path.write_bytes(png(*size, 8, 2, b''))


BREAK = {
    'truncated': (lambda p: p.write_bytes(p.read_bytes()[:300]), 'truncated|broken'),
    'empty': (lambda p: p.write_bytes(b''), 'the file is empty'),
    'text': (lambda p: p.write_text('not an image'), 'not an image'),
    'ppm': (lambda p: RGB.save(p, format='PPM'), 'PPM is not one of JPEG, MPO, PNG'),
    'no pixels': (save_claiming((0, 5)), 'one without pixels'),
    'bomb': (save_claiming((30_000, 30_000)), 'more than 100,000,000 pixels'),
    'long': (save_claiming((100_000, 1)), 'a side of more than 65,535'),
    '32 bits': (lambda p: GRAY.convert('F').save(p, format='TIFF'), '32-bit gray'),
    'link to nothing': (
        lambda p: (p.unlink(), p.symlink_to('nowhere')),
        'No such file',
    ),
    'folder': (lambda p: (p.unlink(), p.mkdir()), None),
}


@pytest.mark.parametrize('kind', BREAK)
def test_broken_file_is_named_or_skipped_on_demand(photographs, kind):
    root = photographs()
    damage, reason = BREAK[kind]
    damage(root / 'green' / '4.png')
    if reason:
        with pytest.raises(
            errors.InputError, match=f'green/4.png cannot be read: .*({reason})'
        ):
            read(root)
    record, images = read(root, skip_broken=True)
    assert images.skipped == (('green/4.png',) if reason else ())
    assert sum(record.sizes) == 29
    assert not [path for path in images.paths if path.endswith('green/4.png')]


def test_name_that_is_not_utf_8_is_a_broken_file(photographs):
    root = photographs()
    os.rename(root / 'red' / '0.png', os.fsencode(root / 'red') + b'/\xe9t\xe9.png')
    with pytest.raises(errors.InputError, match='its name is not UTF-8'):
        read(root)
    record, _ = read(root, skip_broken=True)
    assert sum(record.sizes) == 29


def test_checked_files_are_not_read_again_until_they_change(photographs, tmp_path):
    root, cache = photographs(), tmp_path / 'cache'
    read(root, cache=cache)
    memory = next(cache.glob('checked-*'))
    known = storage.read_cache(memory)
    assert len(known) == 30
    known['red/0.png'][2:] = ['remembered fault']
    storage.write_cache(memory, known)
    with pytest.raises(errors.InputError, match='remembered fault'):
        read(root, cache=cache)
    os.utime(root / 'red' / '0.png', ns=(1, 1))
    read(root, cache=cache)


@pytest.mark.parametrize('harm', ['empty', 'digit'])
def test_a_damaged_memory_of_checks_is_made_anew(photographs, tmp_path, caplog, harm):
    root, cache = photographs(), tmp_path / 'cache'
    before, images = read(root, cache=cache)
    memory = next(cache.glob('checked-*'))
    whole = memory.read_text()
    digest = hashlib.sha256((root / 'red' / '0.png').read_bytes()).hexdigest()
    other = whole.replace(digest, digest[::-1])  # Of the image, valid as JSON.
    memory.write_text('' if harm == 'empty' else other)
    assert read(root, cache=cache)[1].digest == images.digest
    assert memory.read_text() == whole and 'made anew' in caplog.text


def test_a_copy_that_was_cut_short_is_made_again(photographs, tmp_path):
    root, cache = photographs(), tmp_path / 'cache'
    RGBA.save(root / 'red' / '0.png')
    read(root, cache=cache)
    (copy,) = cache.glob('copies-*/*')
    whole = copy.read_bytes()
    for data in (b'', whole[:-5]):
        copy.write_bytes(data)
        read(root, cache=cache)
        assert copy.read_bytes() == whole


def test_interrupted_check_remembers_what_it_has_read(photographs, tmp_path):
    root, cache = photographs(), tmp_path / 'cache'
    RGBA.save(root / 'red' / '0.png')
    digest = hashlib.sha256((root / 'red' / '0.png').read_bytes()).hexdigest()
    (cache / f'copies-{image_files.VERSION}' / f'{digest}.png').mkdir(
        parents=True
    )  # In the copy's way.
    with pytest.raises(OSError):
        read(root, cache=cache)
    known = storage.read_cache(next(cache.glob('checked-*')))
    assert len(known) == 20 and 'red/0.png' not in known


def test_copy_that_is_gone_is_made_again_and_only_it(photographs, tmp_path):
    root, cache = photographs(), tmp_path / 'cache'
    for i in (2, 5):
        image = Image.merge('LA', (GRAY, Image.new('L', GRAY.size, i)))
        image.save(root / 'red' / f'{i}.png')
    _, before = read(root, cache=cache)
    first, second = sorted(cache.glob('copies-*/*'))
    content, stamp = first.read_bytes(), second.stat().st_mtime_ns
    first.unlink()
    _, after = read(root, cache=cache)
    assert first.read_bytes() == content and second.stat().st_mtime_ns == stamp
    assert before.paths == after.paths and str(first) in after.paths


def test_copies_without_a_cache_go_when_the_process_ends(photographs):
    root = photographs()
    RGBA.save(root / 'red' / '1.png')
    code = (
        'import os; from tfxfer import datasets\n'
        'from tfxfer.data import readers\n'
        f'_, images = readers.read(datasets.find("folder:{root}"))\n'
        '(path,) = [p for p in images.paths if p.endswith(".png") and "red" not in p '
        'and "blue" not in p and "green" not in p]\n'
        'assert os.path.exists(path); print(path)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    copy = pathlib.Path(done.stdout.strip())
    assert copy.suffix == '.png' and not copy.parent.exists()


def test_a_png_is_read_whatever_its_profile_and_comments_hold(tmp_path):
    """Pillow refuses texts of more than a megabyte, wherever they are."""
    text = PngImagePlugin.PngInfo()
    text.add_text('Comment', 'x' * 2_000_000, zip=True)
    late = written(RGB, 'PNG')
    late = late[:-12] + chunk(b'zTXt', b'C\0\0' + zlib.compress(bytes(2_000_000)))
    for name, data in {
        'profile': written(RGB, 'PNG', icc_profile=bytes(3_000_000)),
        'comment': written(RGB, 'PNG', pnginfo=text),
        'late': late + written(RGB, 'PNG')[-12:],
    }.items():
        (tmp_path / name).write_bytes(data)
        checked = image_files.check_file(tmp_path / name, tmp_path)
        assert checked.fault is None
        path = tmp_path / (checked.copy_name() if checked.copied else name)
        np.testing.assert_array_equal(tensorflow(path.read_bytes()), PHOTO)


def folder_of(root, image, kind='tif'):
    """Two classes of three images, the second class twice as bright."""
    for c, name in enumerate(('dark', 'light')):
        (root / name).mkdir(parents=True)
        for i in range(3):
            levels = image // (2 - c)
            levels[0, i] = 0
            Image.fromarray(levels).save(root / name / f'{i}.{kind}')
    return root


def pixels_of(images):
    whole = pipeline.cropper(images)
    return np.stack(
        [
            whole(tf.constant(i), lambda picture: picture.whole()).numpy()
            for i in range(len(images.labels))
        ]
    ).astype(int)


@pytest.mark.parametrize('kind', ['tif', 'png'])
@pytest.mark.parametrize('bits', [8, 10, 12, 14])
def test_the_range_that_gray_of_16_bits_uses_is_white(tmp_path, caplog, bits, kind):
    rng = np.random.default_rng(0)
    share = rng.random((20, 30))
    share[-1, -1] = 1
    root = folder_of(tmp_path / 'few', (share * (2**bits - 1)).astype(np.uint16), kind)
    usual = folder_of(tmp_path / 'bytes', (share * 255).astype(np.uint8), 'png')
    _, images = read(root)
    assert images.white == 2**bits - 1
    assert f'{2**bits - 1} is taken for white (--config.white' in caplog.text
    assert np.abs(pixels_of(images) - pixels_of(read(usual)[1])).max() <= 1
    _, asked = read(root, white=65535)
    assert pixels_of(asked).max() == round((2**bits - 1) / 257)
    assert asked.digest != images.digest  # Features of one are not the other's.
    assert read(root, white=2**bits - 1)[1].digest == images.digest


def test_gray_of_16_bits_that_uses_them_is_as_it_was(tmp_path, caplog):
    levels = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    _, images = read(folder_of(tmp_path / 'deep', levels))
    assert images.white == 65535 and 'taken for white' not in caplog.text
    np.testing.assert_array_equal(
        pixels_of(images)[3:, 1:, :, 0], np.round(levels[1:] / 257)[None].repeat(3, 0)
    )


def test_colours_of_16_bits_that_are_nearly_black_are_warned_of(tmp_path, caplog):
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
        rows = (np.arange(20 * 90) * 2).astype('>u2').reshape(20, 90)
        data = png(30, 20, 16, 2, b''.join(b'\0' + row.tobytes() for row in rows))
        (tmp_path / name / '0.png').write_bytes(data)
    read(tmp_path)
    assert 'nearly black: if they hold 12-bit numbers' in caplog.text


@pytest.mark.parametrize('kind', ['png', 'webp'])
def test_the_limit_of_pixels_is_one_that_can_be_raised(
    photographs, tmp_path, monkeypatch, kind
):
    root, cache = photographs(), tmp_path / 'cache'
    Image.new('RGB', (60, 50)).save(root / 'red' / f'large.{kind}')
    monkeypatch.setenv('TFXFER_MEGAPIXELS', '0.0025')
    with pytest.raises(
        errors.InputError,
        match='60 x 50 are more than 2,500 pixels: .*TFXFER_MEGAPIXELS',
    ):
        read(root, cache=cache)
    _, images = read(root, cache=cache, skip_broken=True)
    assert images.skipped == (f'red/large.{kind}',)
    monkeypatch.setenv('TFXFER_MEGAPIXELS', '0.003')
    _, images = read(root, cache=cache)  # Not what was remembered.
    assert images.pixels_of.max() == 3000 and len(images.pixels_of) == 31
    monkeypatch.setenv('TFXFER_MEGAPIXELS', '0.0025')
    with pytest.raises(errors.InputError, match='more than 2,500'):
        read(root, cache=cache)
    monkeypatch.setenv('TFXFER_MEGAPIXELS', 'many')
    with pytest.raises(errors.InputError, match='TFXFER_MEGAPIXELS=many must be'):
        read(root, cache=cache)


@pytest.mark.parametrize('kind', ['PNG', 'WEBP', 'GIF', 'BMP', 'TIFF'])
def test_nothing_is_decoded_of_what_is_too_large(tmp_path, kind):
    """A file of 40 KB may claim, and hold, gigabytes."""
    claims = {
        'PNG': png(100_000_000, 1, 8, 2, b''),
        'WEBP': written(RGB, 'WEBP', **rotated(8)),
        'GIF': written(PALETTE, 'GIF')[:6] + b'\xff' * 4 + written(PALETTE, 'GIF')[10:],
        'BMP': written(RGB, 'BMP')[:18]
        + (2**20).to_bytes(4, 'little') * 2
        + written(RGB, 'BMP')[26:],
        'TIFF': written(RGB, 'TIFF'),
    }
    data = claims[kind]
    if kind == 'WEBP':  # 24 bits less one, for each side, after the flags.
        at = data.index(b'VP8X') + 12
        data = data[:at] + b'\xff' * 6 + data[at + 6 :]
    if kind == 'TIFF':  # Width and height are the first two entries.
        first = struct.unpack_from('<I', data, 4)[0] + 2
        for entry in (first, first + 12):
            data = (
                data[: entry + 2]
                + struct.pack('<HII', 4, 1, 2**20)
                + data[entry + 12 :]
            )
    (tmp_path / 'file').write_bytes(data)
    tracemalloc.start()
    try:
        checked = image_files.check_file(tmp_path / 'file', tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 'more than 100,000,000 pixels' in checked.fault or '65,535' in checked.fault
    assert peak < 5e6


def test_threads_decode_no_more_at_once_than_fits(monkeypatch):
    monkeypatch.setattr(image_files, 'decoding_bytes', lambda: 100)
    memory, used, most = image_files._Memory(), [0], [0]
    lock = threading.Lock()

    def work(size):
        with memory.reserved(size):
            with lock:
                used[0] += min(size, 100)
                most[0] = max(most[0], used[0])
            time.sleep(0.002)
            with lock:
                used[0] -= min(size, 100)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [30, 60, 1000, 10, 50, 70] * 8))
    assert used == [0] and 60 <= most[0] <= 100 and memory.free == 100
