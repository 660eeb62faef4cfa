"""Folders and CSVs of the user's own images, of any kind, whole and broken."""

import hashlib
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from tests.conftest import ROOT
from tfxfer import datasets, errors
from tfxfer.data import image_files, image_set, pipeline, preprocess, readers

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


PLAIN = {
    'baseline.jpg': written(RGB, 'JPEG'),
    'every pixel has colour.jpg': written(RGB, 'JPEG', quality=95, subsampling=0),
    'colour every second column.jpg': written(RGB, 'JPEG', subsampling=1),
    'progressive.jpeg': written(RGB, 'JPEG', progressive=True),
    'restarts.jpg': written(RGB, 'JPEG', restart_marker_rows=1),
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
CMYK = written(RGB.convert('CMYK'), 'JPEG', quality=95)

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
    'cmyk.jpg': (CMYK, pillow(CMYK)),
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
    got = np.asarray(image_files._upright_rgb(image))[0, :, 0]
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
        checked = image_files._read_file(tmp_path / 'image', tmp_path)
        if not checked.fault:
            copy = tmp_path / f'{checked.digest}.png'
            assert copy.exists() == checked.copied
            pixels = tensorflow(copy.read_bytes() if checked.copied else data)
            assert np.abs(pixels - pillow(data)).max() <= 2


def test_folder_without_splits_holds_a_fifth_out_for_test_and_of_the_rest(photographs):
    record, images = read(photographs(count=20))
    assert record.class_names == ('blue', 'green', 'red') and record.classes == 3
    # 20 a class: 4 for test; of the other 16, 3 (3.2) for validation.
    assert record.sizes == (39, 9, 12)
    for path, label in zip(images.paths, images.labels, strict=True):
        assert path.split(os.sep)[-2] == record.class_names[label]


def test_folder_with_split_level_keeps_it(photographs):
    root = photographs('data/train', count=10).parent
    photographs('data/val', count=3)
    photographs('data/test', count=4)
    record, images = read(root)
    assert record.sizes == (30, 9, 12)
    assert all('/test/' in images.paths[i] for i in images.splits['test'])


def test_folder_with_train_and_test_holds_validation_out_of_train(photographs):
    root = photographs('data/train', count=10).parent
    photographs('data/test', count=4)
    record, images = read(root)
    assert record.sizes == (24, 6, 12)
    assert all('/train/' in images.paths[i] for i in images.splits['valid'])


@pytest.mark.parametrize('parts', [('',), ('train', 'test'), ('train', 'val', 'test')])
@pytest.mark.parametrize('kind', ['folder', 'csv'])
def test_splits_never_overlap_and_leave_nothing_out(photographs, parts, kind):
    root = [photographs(f'data/{part}', count=7) for part in parts][0]
    root = root.parent if parts[0] else root
    record, images = read(root)
    if kind == 'csv':
        rows = zip(images.keys, images.labels, strict=True)
        split = {part: f',{part}' if part else '' for part in parts}
        lines = [f'{k},{n}{split.get(k.split("/")[0], "")}' for k, n in rows]
        (root / 'list.csv').write_text('\n'.join(lines))
        record, images = read(root / 'list.csv', kind)
    together = np.concatenate([images.splits[k] for k in ('train', 'valid', 'test')])
    assert sorted(together) == list(range(21 * len(parts)))
    assert min(record.sizes) >= 3


def test_splits_of_a_folder_do_not_depend_on_its_place(photographs, tmp_path):
    root = photographs(count=20)
    _, before = read(root)
    moved = root.rename(tmp_path / 'elsewhere')
    _, after = read(moved)
    assert before.digest == after.digest
    for name in before.splits:
        np.testing.assert_array_equal(before.splits[name], after.splits[name])


def test_digest_changes_with_any_file(photographs):
    root = photographs()
    _, before = read(root)
    Image.new('RGB', (20, 24)).save(root / 'red' / '3.png')
    assert read(root)[1].digest != before.digest


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(errors.InputError, match="No folder .*nowhere'"):
        read(tmp_path / 'nowhere')


def test_empty_class_folder_is_named(photographs):
    root = photographs()
    (root / 'white').mkdir()
    with pytest.raises(errors.InputError, match=r'white has no image\. Read are .jpg'):
        read(root)


def test_class_of_other_formats_is_told_which(photographs):
    root = photographs()
    (root / 'white').mkdir()
    for name in ('1.HEIC', '2.heic', 'notes.txt'):
        (root / 'white' / name).write_text('not read')
    with pytest.raises(errors.InputError, match='no image, only 2 .heic, 1 .txt'):
        read(root)


def test_files_of_other_formats_are_counted(photographs, caplog):
    root = photographs()
    for name in ('green/1.heic', 'red/2.heic', 'red/README'):
        (root / name).write_text('not read')
    record, _ = read(root)
    assert sum(record.sizes) == 30
    assert 'that are not read: 2 .heic, 1 no suffix.' in caplog.text


def test_one_class_is_no_task(photographs):
    with pytest.raises(errors.InputError, match='1 class folders'):
        read(photographs(classes=('red',)))


def test_classes_beside_splits_are_refused(photographs):
    root = photographs('data/train').parent
    photographs('data/extra')
    with pytest.raises(errors.InputError, match='split folders .train. beside .*extra'):
        read(root)


def test_class_that_train_lacks_is_named(photographs):
    root = photographs('data/train', classes=('blue', 'green')).parent
    photographs('data/test')
    with pytest.raises(errors.InputError, match='no training image of red'):
        read(root)


def test_names_may_hold_spaces_and_any_letters_and_hidden_ones_are_ignored(tmp_path):
    names = ('zwei Wörter/Bild 1, klein.PNG', '猫/deep/er/ねこ.JPeG', '猫/100%.png')
    hidden = ('猫/.thumb.png', '猫/.cache/x.png', '.trash/y.png')
    for name in names + hidden:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        RGB.save(tmp_path / name)
    record, images = read(tmp_path)
    assert record.class_names == ('zwei Wörter', '猫')
    assert sorted(images.keys) == sorted(names)
    data = pipeline.evaluation(images, np.arange(3), 8, preprocess.whole, 3)
    assert next(data.as_numpy_iterator())['index'].tolist() == [0, 1, 2]


def test_links_are_followed_and_loops_end(photographs, tmp_path):
    real = photographs('real', count=4)
    root = tmp_path / 'linked'
    (root / 'own').mkdir(parents=True)
    (root / 'red').symlink_to(real / 'red')
    (root / 'own' / 'file.png').symlink_to(real / 'blue' / '0.png')
    (root / 'own' / 'folder').symlink_to(real / 'green')
    (root / 'own' / 'loop').symlink_to(root / 'own')
    _, images = read(root)
    own = [f'own/folder/{i}.png' for i in range(4)]
    red = [f'red/{i}.png' for i in range(4)]
    assert list(images.keys) == ['own/file.png', *own, *red]


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
    known = json.loads(memory.read_text())
    assert len(known) == 30
    known['red/0.png'][2] = 'remembered fault'
    memory.write_text(json.dumps(known))
    with pytest.raises(errors.InputError, match='remembered fault'):
        read(root, cache=cache)
    os.utime(root / 'red' / '0.png', ns=(1, 1))
    read(root, cache=cache)


def test_interrupted_check_remembers_what_it_has_read(photographs, tmp_path):
    root, cache = photographs(), tmp_path / 'cache'
    RGBA.save(root / 'red' / '0.png')
    digest = hashlib.sha256((root / 'red' / '0.png').read_bytes()).hexdigest()
    (cache / 'copies-1' / f'{digest}.png').mkdir(parents=True)  # In the copy's way.
    with pytest.raises(OSError):
        read(root, cache=cache)
    known = json.loads(next(cache.glob('checked-*')).read_text())
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


def test_copies_are_logged_once_and_change_neither_keys_nor_digest(
    photographs, tmp_path, caplog
):
    root = photographs()
    for name in ('red/1.png', 'green/2.png', 'blue/3.png'):
        RGBA.save(root / name)
    caplog.set_level('INFO')
    _, images = read(root, cache=tmp_path / 'cache')
    (line,) = [text for text in caplog.messages if 'copies' in text]
    assert line.startswith('3 of 30 images are read from upright opaque RGB copies')
    assert len(list((tmp_path / 'cache').glob('copies-*/*'))) == 1  # Same bytes.
    _, without_cache = read(root)
    assert images.digest == without_cache.digest
    assert images.keys == without_cache.keys
    assert images.keys[3] == 'blue/3.png' and 'blue' not in images.paths[3]


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


def test_uneven_classes_are_warned_about_past_ten_to_one(photographs, caplog):
    root = photographs(count=60)
    for name in range(6, 60):
        (root / 'green' / f'{name}.png').unlink()
    read(root)
    assert 'Uneven' not in caplog.text  # 10 to 1.
    (root / 'green' / '5.png').unlink()
    read(root)
    assert 'Uneven classes: 60 images of blue, 5 of green.' in caplog.text
    assert '--config.metric=mean_per_class' in caplog.text


def test_same_bytes_in_two_splits_are_warned_about(photographs, caplog):
    root = photographs('data/train', count=6).parent
    photographs('data/valid', count=2, size=(20, 25))
    photographs('data/test', count=2, size=(20, 26))
    read(root)
    assert 'byte for byte' not in caplog.text
    for name in ('train/red/4.png', 'train/red/5.png', 'test/blue/1.png'):
        (root / name).write_bytes((root / 'valid/green/0.png').read_bytes())
    (root / 'test/red/0.png').write_bytes((root / 'train/red/0.png').read_bytes())
    read(root)
    assert (
        '2 image(s) are in several splits byte for byte, which flatters the scores: '
        'for example train/red/0.png (train) and test/red/0.png (test).'
    ) in caplog.text


@pytest.fixture
def listed(photographs):
    """Writes text (or bytes) beside 30 photographs: the path of the CSV."""
    root = photographs()

    def write(text, name='list.csv'):
        data = text if isinstance(text, bytes) else text.encode()
        (root / name).write_bytes(data)
        return root / name

    return write


ROWS = [
    (f'{colour}/{i}.png', colour, ('train', 'val', 'test')[max(0, i - 7)])
    for colour in ('red', 'blue')
    for i in range(10)
]


@pytest.mark.parametrize('header', ['', 'path,label\n', 'FileName,Class\n'])
@pytest.mark.parametrize('separator', [',', ';', '\t', ', '])
@pytest.mark.parametrize('start', [b'', b'\xef\xbb\xbf'])
def test_csv_may_have_a_header_any_separator_and_a_bom(
    listed, header, separator, start
):
    text = header.replace(',', separator)
    text += ''.join(f'{path}{separator}{label}\r\n' for path, label, _ in ROWS)
    record, images = read(listed(start + text.encode()), 'csv')
    assert record.class_names == ('blue', 'red') and record.sizes == (13, 3, 4)
    assert images.keys == tuple(path for path, _, _ in ROWS)
    assert images.labels.tolist() == [1] * 10 + [0] * 10


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1)])
def test_csv_with_splits_keeps_them_in_whatever_column(listed, order):
    rows = [('image', 'class', 'subset'), *ROWS]
    text = '\n'.join(','.join(row[i] for i in order) for row in rows)
    record, images = read(listed(text), 'csv')
    assert record.sizes == (16, 2, 2)
    assert [images.keys[i] for i in images.splits['test']] == [
        'red/9.png', 'blue/9.png',
    ]  # fmt: skip


def test_csv_takes_absolute_paths_and_quoted_names_with_separators(listed):
    path = listed('')
    strange = path.parent / 'a, "b"; c.png'
    RGB.save(strange)
    rows = [(str(path.parent / name), label) for name, label, _ in ROWS]
    text = ''.join(f'"{name}","the {label}, one"\n' for name, label in rows)
    text += '\n"a, ""b""; c.png","the red, one"\n'
    record, images = read(listed(text), 'csv')
    assert record.class_names == ('the blue, one', 'the red, one')
    assert images.keys == (*(name for name, _ in rows), 'a, "b"; c.png')
    assert images.paths[-1] == str(strange)


def test_digest_of_a_csv_covers_labels_and_splits(listed):
    first = '\n'.join(','.join(row) for row in ROWS)
    texts = [
        first,
        first.replace('red/9.png,red', 'red/9.png,blue'),
        first.replace('red/8.png,red,val', 'red/8.png,red,test'),
    ]
    digests = [read(listed(text), 'csv')[1].digest for text in texts]
    assert len(set(digests)) == 3
    assert read(listed(f'path,label,split\n{first}'), 'csv')[1].digest == digests[0]


BAD_CSV = {
    'empty': ('', 'is empty'),
    'blank': ('\n\n , \n', 'is empty'),
    'header only': ('path,label\n', 'has no row below'),
    'one column': ('red/0.png\nred/1.png\n', r'line 1 has 1 column\(s\)\. Needed'),
    'four columns': ('red/0.png,red,train,x\n', r'line 1 has 4 column\(s\)\. Needed'),
    'ragged': (
        'path,label\nred/0.png,red\nblue/0.png,blue,train\n',
        r'line 3 has 3 column\(s\); line 1 has 2',
    ),
    'unknown column': ('path,label,width\nred/0.png,red,7\n', 'line 1 names .*width'),
    'column twice': ('path,label,file\nred/0.png,red,7\n', 'line 1 names .*each once'),
    'other header': ('photo,kind\nred/0.png,red\n', 'line 1: no file .*/photo.*first'),
    'missing file': (
        'path,label\n\nred/0.png,red\nred/x.png,red\nred/y.png,blue\n',
        r'line 4: no file .*red/x.png \(and 1 more\)',
    ),
    'same row twice': (
        'red/0.png,red\nblue/0.png,blue\nred/0.png,red\n',
        'twice, in lines 1 and 3',
    ),
    'two labels': (
        'red/0.png,red\nblue/0.png,blue\n./blue/../red/0.png,blue\n',
        'names ./blue/../red/0.png twice, in lines 1 and 3',
    ),
    'two splits': (
        'red/0.png,red,train\nblue/0.png,blue,train\nred/0.png,red,test\n',
        'twice, in lines 1 and 3',
    ),
    'no label': ('red/0.png,red\nblue/0.png,\n', 'line 2 has no label'),
    'no path': ('red/0.png,red\n,blue\n', 'line 2 has no path'),
    'some splits': (
        'red/0.png,red,train\nblue/0.png,blue,\n',
        'line 2 has no split, but line 1 has one',
    ),
    'unknown split': (
        'red/0.png,red,train\nblue/0.png,blue,dev\n',
        "line 2: no split is named 'dev'. Known: train",
    ),
    'no train': ('red/0.png,red,test\nblue/0.png,blue,val\n', 'but no train images'),
    'one class': ('red/0.png,red\nred/1.png,red\n', "have the label 'red'"),
    'open quote': ('red/0.png,red\n"blue/0.png,blue\n', 'line 2: unexpected end'),
    'latin 1': ('red/0.png,red\nblue/0.png,bläu\n'.encode('latin-1'), 'line 2 is not'),
}


@pytest.mark.parametrize('name', BAD_CSV)
def test_bad_csv_is_refused_by_line(listed, name):
    text, message = BAD_CSV[name]
    with pytest.raises(errors.InputError, match=message):
        read(listed(text), 'csv')


def test_missing_csv_is_named(tmp_path):
    with pytest.raises(errors.InputError, match="No file .*list.csv'. csv:/path needs"):
        read(tmp_path / 'list.csv', 'csv')
