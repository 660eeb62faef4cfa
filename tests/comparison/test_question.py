import pathlib

import pytest

from tfxfer import config, errors, results
from tfxfer.comparison import question


def test_a_folder_a_csv_file_and_a_name_are_datasets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'my' / 'images').mkdir(parents=True)
    (tmp_path / 'list.csv').touch()
    (tmp_path / 'digits').mkdir()
    folder, listed = f'folder:{tmp_path}/my/images', f'csv:{tmp_path}/list.csv'
    for given in ('my/images', 'my/images/', tmp_path / 'my' / 'images', folder):
        assert question.dataset_name(given) == folder
    assert question.dataset_name('list.csv') == listed
    for name in ('digits', 'tfds:mnist:3.0.1', 'csv:elsewhere.csv'):
        assert question.dataset_name(name) == name
    assert question.dataset_name('./digits') == f'folder:{tmp_path}/digits'


@pytest.mark.parametrize(
    'given, said',
    [
        ('digits_5_8', "Did you mean 'digits_5_9'"),
        ('my/images', "There is no folder and no CSV file 'my/images'"),
        ('', 'a folder with one sub-folder per class'),
        ('tfds:mnist', 'names no version'),
    ],
)
def test_what_is_not_there_is_named_with_what_would_work(given, said):
    with pytest.raises(errors.InputError, match=said):
        question.dataset_name(given)


@pytest.mark.parametrize(
    'name, workdir',
    [
        ('folder:/my/images', 'runs/images'),
        ('csv:/my/list.csv', 'runs/list'),
        ('digits_5_9', 'runs/digits_5_9'),
        ('folder:/', 'runs/images'),
    ],
)
def test_results_have_the_name_of_the_images(name, workdir):
    assert question.workdir_of(name) == pathlib.Path(workdir)
    assert question.workdir_of(name, 'mine') == pathlib.Path('mine')


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts a Run of a dataset in a folder of results."""
    monkeypatch.chdir(tmp_path)

    def start(dataset, workdir='runs/images', setting='scratch'):
        run = {'arch': 'mobilenet_v1', 'dataset': dataset, 'setting': setting}
        results.write_run(workdir, config.from_dict(run))

    return start


def test_other_images_of_the_same_name_do_not_share_a_folder(started):
    started('folder:/a/images')
    runs = pathlib.Path('runs')
    for _ in range(2):  # The same images go on where they were.
        assert question.workdir_of('folder:/a/images') == runs / 'images'
    said = 'runs/images has results of folder:/a/images. .*--workdir=runs/b-images '
    with pytest.raises(errors.InputError, match=said):
        question.workdir_of('folder:/b/images')
    started('folder:/other/b/images', 'runs/b-images')
    with pytest.raises(errors.InputError, match='--workdir=runs/b-images-2 '):
        question.workdir_of('csv:/b/images.csv')
    # Where it is asked for, they are added.
    mixed = question.workdir_of('folder:/b/images', 'runs/images')
    assert question.other_datasets(mixed, 'folder:/b/images') == ['folder:/a/images']
    started('folder:/b/images')
    assert question.other_datasets(mixed, 'folder:/b/images') == []
    assert question.workdir_of('folder:/b/images') == runs / 'images'


def test_what_networks_were_pretrained_on_is_no_other_input(started):
    started('imagenet2012', setting='pretrain')
    assert question.other_datasets('runs/images', 'folder:/a/images') == []


def test_fields_are_the_configs_but_for_what_is_asked():
    fields = {'archs': ('a',), 'seeds': (0, 1), 'datasets': ('b',), 'steps': 3}
    asked = question.asked(fields, 'digits', archs=['c'], seeds=None)
    assert asked == {
        'archs': ('c',), 'seeds': (0, 1), 'datasets': ('digits',), 'steps': 3
    }  # fmt: skip
