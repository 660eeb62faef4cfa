import numpy as np

from tests.golden import weights
from tfxfer import architectures, hub_presets
from tfxfer.cli import app, list_architectures

MOBILENET = architectures.ARCHITECTURES['mobilenet_v1']


def test_the_list_says_which_weights_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv('KERAS_HOME', str(tmp_path))
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models' / 'densenet201_weights_tf_dim_ordering_tf_kernels.h5').touch()
    stem = MOBILENET.checkpoint
    few = {'a/weights': np.zeros(1, np.float32)}
    weights.write_checkpoint(tmp_path / stem / f'{stem}.ckpt', few)
    rows = {row[0]: row[1:] for row in list_architectures.rows(tmp_path)}
    assert rows['mobilenet_v1'] == (
        '224',
        '1024',
        '3.2 M',
        '568 M',
        "70.9 % (TF-Slim's table)",
        'Apache-2.0',
        'slim, [keras]',
    )
    top1 = "77.3 % (Keras' table)"
    assert rows['densenet_201'][-3:] == (top1, 'BSD-3-Clause', 'keras')
    assert rows['densenet_121'][-2] == 'slim Apache-2.0, keras BSD-3-Clause'
    assert rows['keras:EfficientNetB0'][-2] == 'not stated'
    assert rows['inception_v4'][-1] == '[slim]'
    assert rows['mobilenet_v1_0.5'][-1] == '-'


def test_the_list_has_a_row_for_every_network(capsys):
    app.call(list_architectures)
    networks, presets = capsys.readouterr().out.split('\n\n')
    header, *lines = networks.splitlines()
    known = [*architectures.ARCHITECTURES, *architectures.APPLICATIONS]
    assert [line.split()[0] for line in lines] == known
    assert header.startswith('name') and header.endswith('weights')
    header, *lines = presets.splitlines()
    assert [line.split()[0] for line in lines] == [
        f'hub:{name}' for name in hub_presets.PRESETS
    ]
    assert header.startswith('preset of keras-hub')


def test_the_list_says_which_presets_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv('KAGGLEHUB_CACHE', str(tmp_path))
    preset = hub_presets.PRESETS['deit_tiny_distilled_patch16_224_imagenet']
    place = tmp_path / 'models' / preset.handle
    place.mkdir(parents=True)
    (place / 'config.json').touch()
    (place / 'model.weights.h5').touch()
    rows = {row[0]: row[1:] for row in list_architectures.hub_rows()}
    name = 'hub:deit_tiny_distilled_patch16_224_imagenet'
    assert rows[name] == ('DeiT', '224', '5.5 M', 'hub')
    assert rows['hub:dinov2_small'] == ('DINOV2', '-', '22.6 M', '[hub]')


def test_the_program_starts(program):
    done = program('tools.list_architectures', '--help')
    assert done.returncode == 0 and '--checkpoints' in done.stdout
