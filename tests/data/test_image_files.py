"""Files of any kind, whole and broken: TensorFlow sees of them what Pillow does."""

import hashlib
import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tests.conftest import ROOT
from tests.support.own_images import (
    COPIED,
    GRAY,
    PHOTO,
    PLAIN,
    RGB,
    RGBA,
    TURNED,
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
    return dict(zip(names, images.paths, strict=True)), cache / 'copies-1'


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
        'gray of 16 bits.png', 'cmyk.jpg', 'gray.bmp', 'palette.gif', 'animated.gif',
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
    'bomb': (save_claiming((30_000, 30_000)), 'more than 178,956,970 pixels'),
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
    known['red/0.png'][2] = 'remembered fault'
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
    (cache / 'copies-1' / f'{digest}.png').mkdir(parents=True)  # In the copy's way.
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
