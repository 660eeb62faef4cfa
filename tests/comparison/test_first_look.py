import csv

import numpy as np
import pytest
from PIL import Image

from tfxfer import datasets, errors
from tfxfer.comparison import first_look
from tfxfer.data import image_set


def seen(root, kind='folder', **options):
    dataset = datasets.find(f'{kind}:{root}')
    return first_look.look(dataset, image_set.Options(**options))


def table(text):
    """{class: [train, valid, test, all]} of what is printed."""
    rows = [line.split() for line in text.splitlines() if line.startswith('  ')]
    return {name: numbers for name, *numbers in rows}


def test_images_are_counted_by_class_and_split(photographs):
    root = photographs(count=10)
    for i in range(5):
        (root / 'blue' / f'{i}.png').unlink()
    text = first_look.describe(seen(root))
    assert f'folder:{root}: 25 images of 3 classes' in text
    counts = table(text)
    assert counts.pop('class') == ['train', 'valid', 'test', 'all']
    assert {name: row[-1] for name, row in counts.items()} == {
        'blue': '5', 'green': '10', 'red': '10'
    }  # fmt: skip
    parts = np.array([list(map(int, row)) for row in counts.values()])
    assert (parts[:, :3].sum(axis=1) == parts[:, 3]).all()
    train, valid, test, _ = parts.sum(axis=0)
    assert f'({train} train, {valid} valid, {test} test)' in text


def test_a_split_that_is_given_is_shown_as_it_is(tmp_path, photographs):
    root = photographs(count=10)
    with open(tmp_path / 'list.csv', 'w', newline='') as file:
        rows = csv.writer(file)
        for path in root.rglob('*.png'):
            split = {0: 'test', 1: 'test', 2: 'valid'}.get(int(path.stem), 'train')
            rows.writerow([path, path.parent.name, split])
    text = first_look.describe(seen(tmp_path / 'list.csv', 'csv'))
    assert table(text)['green'] == ['7', '1', '2', '10']


def test_sizes_are_width_x_height_as_seen(photographs):
    root = photographs(count=5, size=(20, 24))
    assert 'Sizes in pixels: all 24 x 20.' in first_look.describe(seen(root))
    exif = Image.Exif()
    exif[0x112] = 6  # Turned by a quarter.
    Image.new('RGB', (400, 300)).save(root / 'red' / 'large.jpg', exif=exif)
    Image.new('RGB', (8, 6)).save(root / 'red' / 'small.png')
    text = first_look.describe(seen(root))
    assert '8 x 6 (smallest), 24 x 20 (median), 300 x 400 (largest)' in text
    digits = first_look.look(datasets.find('digits'), image_set.Options())
    assert 'all 8 x 8' in first_look.describe(digits)


def test_every_broken_file_is_named_and_the_rest_is_counted(photographs):
    root = photographs(count=6)
    for name in ('red/0.png', 'blue/3.png'):
        (root / name).write_bytes(b'no image')
    found = seen(root)
    text = first_look.describe(found)
    assert 'Broken files: 2 (blue/3.png, red/0.png).' in text
    assert table(text)['red'][-1] == '5'
    assert isinstance(found.fault, errors.InputError)
    assert '--config.skip_broken' in str(found.fault)
    assert seen(root, skip_broken=True).fault is None


def test_suspected_split_folders_are_refused_with_the_remedy(tmp_path, photographs):
    for name in ('training_set', 'test_set'):
        photographs(name=f'images/{name}', count=3)
    with pytest.raises(errors.InputError, match='Name them train, valid and test'):
        seen(tmp_path / 'images')


def test_of_many_classes_the_largest_and_smallest_are_shown(photographs):
    classes = [f'c{i:02}' for i in range(30)]
    root = photographs(classes=classes, count=5, size=(4, 4))
    for name in classes[:3]:
        (root / name / '0.png').unlink()
    lines = first_look.describe(seen(root)).splitlines()
    assert '  ... 10 more classes' in lines
    rows = table('\n'.join(lines))
    assert len(rows) == 20 + 2  # The head and the line of dots.
    assert rows['c00'][-1] == '4' and rows['c03'][-1] == '5'


def test_several_labels_per_image_count_for_each_class():
    dataset = datasets.Dataset('d', 'x', 2, ('a', 'b'), (2, 1, 0), 'voc_map')
    labels = np.array([[1, 1], [1, 0], [0, 1]])
    splits = {'train': np.array([0, 1]), 'valid': np.array([2]), 'test': np.arange(0)}
    images = image_set.Images(labels=labels, splits=splits)
    counts = table(first_look.describe(first_look.Look(dataset, images, None)))
    assert counts['a'] == ['2', '0', '0', '2'] and counts['b'] == ['1', '1', '0', '2']
