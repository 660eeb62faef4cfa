import pathlib

import pytest

from tfxfer import errors
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
    assert question.default_workdir(name) == pathlib.Path(workdir)


def test_fields_are_the_configs_but_for_what_is_asked():
    fields = {'archs': ('a',), 'seeds': (0, 1), 'datasets': ('b',), 'steps': 3}
    asked = question.asked(fields, 'digits', archs=['c'], seeds=None)
    assert asked == {
        'archs': ('c',), 'seeds': (0, 1), 'datasets': ('digits',), 'steps': 3
    }  # fmt: skip
