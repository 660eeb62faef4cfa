"""What folders and CSV lists of images have in common."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.support.own_images import (
    RGBA,
    read,
)


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


def test_digest_changes_with_any_file(photographs):
    root = photographs()
    _, before = read(root)
    Image.new('RGB', (20, 24)).save(root / 'red' / '3.png')
    assert read(root)[1].digest != before.digest


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
        '2 image(s) occur in several splits, byte for byte, which makes scores too '
        'high: for example train/red/0.png (train) and test/red/0.png (test); '
        'train/red/4.png (train) and valid/green/0.png (valid) and test/blue/1.png '
        '(test).'
    ) in caplog.text


def test_same_bytes_in_two_classes_are_counted_and_named(photographs, caplog):
    root = photographs(classes=('benign', 'malignant'))
    read(root)
    assert 'contradict' not in caplog.text
    for i in range(8):
        data = (root / f'benign/{i}.png').read_bytes()
        (root / f'malignant/copy{i}.png').write_bytes(data)
    read(root)
    assert (
        '8 image(s) occur in several classes, byte for byte, so that labels contradict '
        'one another: for example benign/0.png (benign) and malignant/copy0.png '
        '(malignant);'
    ) in caplog.text


@pytest.mark.parametrize('exchange', ['folders', 'files', 'bytes'])
def test_images_exchanged_under_the_same_size_and_time_are_seen(
    photographs, tmp_path, exchange
):
    """Names, sizes and modification times stay as they were."""
    root, cache = photographs(classes=('a', 'b')), tmp_path / 'cache'
    for name in ('a/1', 'b/1'):
        (root / f'{name}.png').unlink()
    for path in sorted(root.rglob('*.png')):
        with Image.open(path) as image:
            image.save(path.with_suffix('.bmp'))
        path.unlink()
    times = dict.fromkeys(root.rglob('*.bmp'), 10**18)
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    before = read(root, cache=cache)[1].digest
    a, b = root / 'a', root / 'b'
    if exchange == 'bytes':
        one, other = (a / '0.bmp').read_bytes(), (b / '0.bmp').read_bytes()
        (a / '0.bmp').write_bytes(other)
        (b / '0.bmp').write_bytes(one)
        for path in (a / '0.bmp', b / '0.bmp'):
            os.utime(path, ns=(10**18, 10**18))
    else:
        if exchange == 'files':
            a, b = a / '0.bmp', b / '0.bmp'
        a.rename(tmp_path / 'x')
        b.rename(a)
        (tmp_path / 'x').rename(b)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    after = read(root, cache=cache)[1].digest
    assert after != before and after == read(root)[1].digest
