import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.support import made_results as made
from tfxfer import datasets, report, results
from tfxfer.data import readers

NAMES = ('<b>"roses"</b>', 'tulips & co')


@pytest.fixture
def folder(tmp_path):
    """Images of two classes, 40 each, in folders of their names."""
    root = tmp_path / 'images'
    for c, name in enumerate(NAMES):
        (root / name.replace('/', '∕')).mkdir(parents=True)
        for i in range(40):
            pixels = np.full((8, 12, 3), 100 * c + i, np.uint8)
            path = root / name.replace('/', '∕') / f'{i:02d}.png'
            Image.fromarray(pixels).save(path)
    return root


def write(workdir, images_folder):
    """A Run of the folder that has all of 60 images wrong, 0 most confidently."""
    dataset = f'folder:{images_folder}'
    found, images = readers.read(datasets.find(dataset))
    run = made.run('net', 'scratch', dataset=dataset, dataset_digest=images.digest)
    label = images.labels[:60]
    logits = np.zeros((60, 2), np.float32)
    logits[np.arange(60), 1 - label] = 9 - np.arange(60) / 10
    record = made.record(
        run, 0.0, n=60, classes=found.class_names,
        splits=results.write_splits(workdir, images.splits, images.keys),
    )  # fmt: skip
    return results.write(
        workdir, record, {'index': np.arange(60), 'label': label, 'logits': logits}
    )


@pytest.fixture
def study(tmp_path, folder):
    workdir = tmp_path / 'runs'
    workdir.mkdir()
    write(workdir, folder)
    return workdir


def pictures(page):
    return re.findall('src="data:image/jpeg;base64,([^"]+)"', page)


def stored(workdir):
    (path,) = (workdir / 'thumbnails').iterdir()
    return path


def test_at_most_twenty_four_are_kept_and_drawn_again_without_the_images(study, folder):
    page = report.write(study).read_text()
    assert len(pictures(page)) == 24 and len(set(pictures(page))) > 5
    table = pd.read_csv(study / 'tables/mistakes.csv')
    assert table['index'].tolist() == list(range(24))
    assert table['confidence'].is_monotonic_decreasing
    assert stored(study).stat().st_size < 100_000
    shutil.rmtree(folder)
    assert report.write(study).read_text() == page
    # Elsewhere they are taken from the folder of the Runs, which is left as it is.
    other = report.write(study, study.parent / 'other' / 'report.html')
    assert other.read_text() == page and not (other.parent / 'thumbnails').exists()


def test_labels_and_names_are_text_never_markup(study):
    page = report.write(study).read_text()
    assert '<b>"roses"' not in page
    assert '&lt;b&gt;&#34;roses&#34;' in page and 'tulips &amp; co' in page


def test_without_images_or_thumbnails_a_word_says_so(study, folder):
    shutil.rmtree(folder)
    page = report.write(study).read_text()
    assert 'no pictures. No folder' in page and not pictures(page)
    assert not (study / 'thumbnails').exists()


def test_the_flag_leaves_them_out(study):
    page = report.write(study, thumbnails=False).read_text()
    assert not pictures(page) and 'no pictures' not in page
    assert not (study / 'thumbnails').exists()


@pytest.mark.parametrize('damage', ['cut', 'digest', 'empty'])
def test_a_damaged_file_is_made_anew(study, damage, caplog):
    page = report.write(study).read_text()
    path = stored(study)
    sound = path.read_bytes()
    if damage == 'digest':
        with np.load(path) as arrays:
            changed = dict(arrays)
        changed['bytes'][50] += 1
        np.savez(path, **changed)
    else:
        path.write_bytes(sound[:200] if damage == 'cut' else b'')
    assert report.write(study).read_text() == page
    assert path.read_bytes() == sound
    assert 'made anew' in caplog.text


def test_those_of_a_run_that_was_carried_out_again_are_made_anew(study, folder):
    report.write(study)
    (record,) = results.read_all(study)
    seen = results.read_predictions(results.folder(study, record.run))
    seen['logits'][np.arange(60), 1 - seen['label']] = 3 + np.arange(60) / 10
    seen.pop('predicted')
    results.write(study, record, seen)
    report.write(study)
    with np.load(stored(study)) as arrays:
        assert arrays['index'].tolist() == list(range(59, 35, -1))
    assert np.diff(pd.read_csv(study / 'tables/mistakes.csv')['index']).max() < 0
