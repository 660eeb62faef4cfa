import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from tests.support import made_results as made
from tfxfer import datasets, errors
from tfxfer.data import image_set, readers, thumbnails

RED, BLUE = (200, 30, 30), (30, 30, 200)


def picture(colour, size=(300, 150)):
    return Image.new('RGB', size, colour)


@pytest.fixture
def folder(tmp_path):
    """Six red and six blue pictures in folders of their names."""
    root = tmp_path / 'images'
    for name, colour in (('blue', BLUE), ('red', RED)):
        (root / name).mkdir(parents=True)
        for i in range(6):
            image = picture(colour)
            image.paste((40 * i,) * 3, (0, 0, 8, 8))  # No two files are alike.
            image.save(root / name / f'{i}.jpg')
    return root


def shown(data):
    """(size, mean colour) of a JPEG."""
    image = Image.open(io.BytesIO(data))
    assert image.format == 'JPEG'
    return image.size, np.asarray(image).mean(axis=(0, 1))


def run_of(name):
    """(Run, labels) of a dataset as it is now."""
    _, images = readers.read(datasets.find(name))
    run = made.run('net', 'scratch', dataset=name, dataset_digest=images.digest)
    return run, images.labels


def listed(folder):
    lines = [f'{p.relative_to(folder)},{p.parent.name}' for p in folder.rglob('*.jpg')]
    path = folder / 'list.csv'
    path.write_text('\n'.join(['path,label', *sorted(lines)]) + '\n')
    return f'csv:{path}'


@pytest.mark.parametrize('name', [lambda p: f'folder:{p}', listed])
def test_pictures_of_folders_and_lists_have_their_colours_and_are_small(folder, name):
    run, labels = run_of(name(folder))
    index = np.array([0, 11, 3])
    made_of = thumbnails.of_run(run, index, labels[index], None)
    for data, label in zip(made_of, labels[index], strict=True):
        size, colour = shown(data)
        assert size == (96, 48)
        assert colour == pytest.approx((BLUE, RED)[label], abs=6)
    assert thumbnails.sizes(made_of) == [(96, 48)] * 3


def test_images_that_have_changed_are_refused(folder):
    run, labels = run_of(f'folder:{folder}')
    index = np.arange(3)
    with pytest.raises(errors.InputError, match='not those of the Run'):
        thumbnails.of_run(run, index, 1 - labels[index], None)
    with pytest.raises(errors.InputError, match='not those of the Run'):
        thumbnails.of_run(run, np.array([12]), labels[:1], None)
    picture(RED, (300, 160)).save(folder / 'blue/0.jpg')
    with pytest.raises(errors.InputError, match='not those of the Run'):
        thumbnails.of_run(run, index, labels[index], None)


def test_tiny_images_are_enlarged_by_whole_pixels():
    run, labels = run_of('digits_5_9')
    (data,) = thumbnails.of_run(run, np.array([0]), labels[:1], None)
    _, images = readers.read(datasets.find('digits_5_9'))
    image = np.asarray(Image.open(io.BytesIO(data)).convert('L'), float)
    assert image.shape == (96, 96)
    blocks = image.reshape(8, 12, 8, 12)[:, 3:9, :, 3:9].mean(axis=(1, 3))
    assert blocks == pytest.approx(images.pixels[0, ..., 0].astype(float), abs=25)


def test_a_rotated_photograph_is_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # To be turned by 90 degrees.
    picture(RED).save(tmp_path / 'a.jpg', exif=exif)
    images = image_set.Images(np.zeros(1, int), {}, paths=(str(tmp_path / 'a.jpg'),))
    assert shown(*thumbnails.jpegs(images, np.array([0])))[0] == (48, 96)


def test_images_in_larger_files_are_read_from_there(tmp_path):
    files = []
    for colour in (RED, BLUE):
        out = io.BytesIO()
        picture(colour).save(out, format='PNG')
        files.append(out.getvalue())
    (tmp_path / 'records').write_bytes(b''.join(files))
    lengths = np.array([len(file) for file in files])
    packed = image_set.Packed(
        (str(tmp_path / 'records'),),
        np.zeros(2, int),
        np.array([0, lengths[0]]),
        lengths,
    )
    images = image_set.Images(np.zeros(2, int), {}, packed=packed)
    (data,) = thumbnails.jpegs(images, np.array([1]))
    assert shown(data)[1] == pytest.approx(BLUE, abs=6)
    short = dataclasses.replace(packed, length=lengths + 1)
    cut = dataclasses.replace(images, packed=short)
    with pytest.raises(OSError, match='shorter'):
        thumbnails.jpegs(cut, np.array([1]))


def test_what_is_no_thumbnail_is_refused():
    out = io.BytesIO()
    picture(RED, (97, 10)).save(out, format='JPEG')
    for data in (b'GIF89a', out.getvalue()):
        with pytest.raises(ValueError):
            thumbnails.sizes([data])
