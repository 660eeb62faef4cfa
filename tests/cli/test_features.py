import numpy as np
import pandas as pd
import pytest

from tests.support.extraction import ALL, extract, network
from tests.support.fakes import colours
from tfxfer import errors
from tfxfer.cli import app
from tfxfer.cli import features as cached_features
from tfxfer.transfer import features


@pytest.fixture
def images(fakes):
    return colours(None, None)[1]


@pytest.fixture
def cached(images, tmp_path):
    """A workdir with features of the first 20 images."""
    x, _ = extract(images, tmp_path / 'cache', network, ALL[:20])
    return tmp_path, x


def test_features_are_listed_with_sizes_and_removed(cached, capsys):
    workdir, _ = cached
    app.call(cached_features, [f'--workdir={workdir}', '--list'])
    printed = capsys.readouterr().out
    (store,) = features.stores(workdir / 'cache')
    row = printed.splitlines()[1].split()
    assert row[:3] == [store.path.name, 'tiny', 'colours'] and '20 of 90' in printed
    with pytest.raises(errors.InputError, match=store.path.name):
        app.call(cached_features, [f'--workdir={workdir}', '--remove=abc'])
    app.call(cached_features, [f'--workdir={workdir}', f'--remove={store.path.name}'])
    assert not features.stores(workdir / 'cache')


def test_the_program_starts_and_refuses_in_one_line(program, tmp_path):
    done = program('tools.features', f'--workdir={tmp_path}')
    assert done.returncode == 2 and 'holds no features' in done.stderr


@pytest.mark.parametrize('suffix', ['npz', 'parquet', 'csv'])
def test_an_export_has_features_labels_names_and_splits(cached, images, suffix):
    workdir, x = cached
    path = workdir / f'out.{suffix}'
    app.call(cached_features, [f'--workdir={workdir}', f'--export={path}'])
    if suffix == 'npz':
        with np.load(path) as arrays:
            got, split = arrays['features'], arrays['split']
            index, label = arrays['index'], arrays['label']
            assert arrays['name'][3] == '3'
    else:
        read = {'csv': pd.read_csv, 'parquet': pd.read_parquet}[suffix]
        table = read(path)
        got = table[[f'f{i}' for i in range(8)]].to_numpy()
        index, label, split = (table[name] for name in ('index', 'label', 'split'))
    np.testing.assert_allclose(got, x, rtol=1e-6)
    np.testing.assert_array_equal(index, ALL[:20])
    np.testing.assert_array_equal(label, images.labels[:20])
    expected = ['valid' if i in images.splits['valid'] else 'train' for i in range(20)]
    assert list(split) == expected
