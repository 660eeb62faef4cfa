import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.support.pretrained import finish, pretrain
from tfxfer import datasets, errors, models
from tfxfer.cli import app, diagnose, diagnosed_networks
from tfxfer.data import readers
from tfxfer.transfer.diagnosed import Network


def test_networks_are_told_apart_by_what_differs():
    smooth = {'label_smoothing': 0.1}
    runs = [pretrain(), pretrain(hparams=smooth), pretrain(arch='other', seed=4)]
    assert diagnosed_networks.names(runs) == [
        'tiny, label_smoothing 0',
        'tiny, label_smoothing 0.1',
        'other',
    ]
    runs = [pretrain(seed=seed, hparams=smooth) for seed in (0, 1)]
    assert diagnosed_networks.names(runs) == ['tiny, seed 0', 'tiny, seed 1']
    networks = [Network('', None, one) for one in (pretrain(), runs[0], None)]
    found = diagnosed_networks.options_of(networks)
    assert found[1]['label_smoothing'] == 0.1 and found[2] == {}
    assert 'dropout' in found[0] and 'momentum' not in found[0]


def test_tsne_takes_as_many_images_of_each_of_ten_classes(monkeypatch):
    monkeypatch.setattr(diagnose, 'TSNE_IMAGES', 40)
    labels = np.repeat(np.arange(12), 9)
    names = tuple(f'class {i}' for i in range(12))
    dataset = dataclasses.replace(datasets.DATASETS['digits'], class_names=names)
    network = Network('resnet (slim)', None, None)
    x = np.random.default_rng(0).normal(size=(108, 4))
    (drawing,) = diagnose.tsne_figures(network, dataset, x, labels)
    assert drawing.frame['class'].value_counts().to_dict() == dict.fromkeys(
        names[:10], 4
    )
    assert drawing.name == 'tsne_resnet_slim_'
    assert drawing.title.endswith('resnet (slim) on digits')
    assert drawing.caption.startswith('40 images.')


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    """Two pretrain Runs of one network, whose batch norm has seen real digits."""
    folder = tmp_path_factory.mktemp('runs')
    network = models.build(
        'mobilenet_v1_0.25', classes=5, options=models.NetworkOptions(image_size=32)
    )
    models.set_batch_norm_momentum(network, 0.0)
    _, images = readers.read(datasets.find('digits_0_4'))
    pixels = images.pixels[:64].repeat(4, axis=1).repeat(4, axis=2)
    network(pixels.astype(np.float32), training=True)
    for smoothing in (0.1, 0.0):
        fields = {'arch': 'mobilenet_v1_0.25', 'dataset': 'digits_0_4'}
        hparams = {'label_smoothing': smoothing}
        one = pretrain(**fields, image_size=32, hparams=hparams)
        finish(one, folder, network, score=0.75)
    return folder


@pytest.mark.slow
def test_table_cka_and_figures_are_written(workdir, capsys):
    arguments = [f'--workdir={workdir}', '--dataset=digits_5_9', '--limit=100']
    app.call(diagnose, arguments)
    printed = capsys.readouterr().out
    folder = workdir / 'diagnostics' / 'digits_5_9_test'
    ids = sorted(path.parent.name for path in workdir.glob('*/record.json'))
    figures = ['cka', *(f'tsne_{name}' for name in ids)]
    expected = {'diagnostics.csv', 'diagnostics.md'}
    expected |= {f'{name}.{e}' for name in figures for e in ('png', 'pdf', 'csv')}
    assert {path.name for path in folder.iterdir()} == expected
    for name in expected:
        assert str(folder / name) in printed

    table = pd.read_csv(folder / 'diagnostics.csv')
    names = [f'mobilenet_v1_0.25, label_smoothing {v}' for v in ('0', '0.1')]
    assert list(table['network']) == names and sorted(table['run']) == ids
    assert list(table['settings.label_smoothing']) == [0, 0.1]
    assert (table['images'] == 100).all() and (table['features'] == 256).all()
    assert (table['source_score'] == 0.75).all()
    assert (table['source_dataset'] == 'digits_0_4').all()
    same = table.drop(
        columns=['network', 'run', 'weights', 'settings.label_smoothing']
    )  # fmt: skip
    assert (same.iloc[0] == same.iloc[1]).all()  # Of the same weights.
    assert table['class_separation'].between(0.01, 1).all()
    assert table['participation_ratio'].between(1, 256).all()
    shown = (folder / 'diagnostics.md').read_text()
    assert shown in printed and names[1] in shown
    assert 'few for so many features' in shown  # 100 images, 256 features.

    cka = pd.read_csv(folder / 'cka.csv', index_col='network')
    assert list(cka.index) == list(cka.columns) == names
    np.testing.assert_allclose(cka, 1, atol=1e-6)
    for name in figures:
        pixels = np.asarray(Image.open(folder / f'{name}.png').convert('L'))
        assert (pixels < 200).any() and (pixels[:, [0, -1]] == 255).all()
    tsne = pd.read_csv(folder / f'tsne_{ids[0]}.csv')
    assert len(tsne) == 100 and set(tsne['class']) == {5, 6, 7, 8, 9}


DIGITS = {'dataset': 'digits'}


def test_networks_that_are_not_there_are_said(workdir):
    with pytest.raises(errors.InputError, match='No finished Run with weights named'):
        diagnosed_networks.pretrained(workdir, ['mobilenet'], DIGITS)
    with pytest.raises(errors.InputError, match="Did you mean 'resnet_50'"):
        diagnosed_networks.public(['resnet_5'], 'slim', DIGITS)
    with pytest.raises(errors.InputError, match='Its sources of weights: slim'):
        diagnosed_networks.public(['bn_inception'], 'keras', DIGITS)
    (found,) = diagnosed_networks.public(['resnet_50', 'resnet_50'], 'keras', DIGITS)
    assert found.name == 'resnet_50 (keras)' and found.run.weights == 'keras'


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--dataset=digitz'], "Did you mean 'digits'"),
        (['--dataset=digits'], 'no finished pretrain Run that has its weights'),
        ([], '--dataset=digits_5_9'),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(errors.InputError, match=message):
        app.call(diagnose, ['--workdir=tests/example_results', *arguments])


def test_an_error_is_one_line_and_status_2(program):
    done = program('tools.diagnose', '--dataset=digitz')
    assert done.returncode == 2 and done.stderr.count('\n') == 1
