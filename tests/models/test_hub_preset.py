"""What the files of a preset say, and where they come from."""

import http.server
import json
import pathlib
import shutil
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest

from tests.support import hub_presets as tiny
from tfxfer import architectures, config, errors, hub_presets
from tfxfer.models import hub_preset, model_file

keras_hub = pytest.importorskip('keras_hub')
NAME = 'vit_base_patch16_224_imagenet'


@pytest.fixture(scope='module')
def original(tmp_path_factory):
    return tiny.saved('vit', tmp_path_factory.mktemp('original') / 'vit')


@pytest.fixture
def preset(original, tmp_path):
    """A copy to be changed: its folder."""
    return pathlib.Path(shutil.copytree(original, tmp_path / 'mine'))


def changed(preset, file, **values):
    """Changes what a config of a preset says."""
    path = preset / file
    fields = json.loads(path.read_text())
    fields['config'].update(values)
    path.write_text(json.dumps(fields))
    return f'hub:{preset}'


def refused(name, *said):
    with pytest.raises(errors.InputError) as raised:
        model_file.find(str(name))
    text = str(raised.value)
    assert '\n' not in text
    for each in said:
        assert each in text


def test_the_names_are_those_of_keras_hub():
    from keras_hub.src.utils import preset_utils

    theirs = preset_utils.BUILTIN_PRESETS_FOR_BACKBONE
    for name, preset in hub_presets.PRESETS.items():
        (backbone,) = [kind for kind, names in theirs.items() if name in names]
        assert backbone.__name__ == preset.backbone in hub_preset.FAMILIES
        listed = theirs[backbone][name]
        assert listed['kaggle_handle'] == f'kaggle://{preset.handle}'
        assert listed['metadata']['params'] == preset.parameters
    others = {name for names in theirs.values() for name in names}
    for name in others - set(hub_presets.PRESETS):
        assert hub_presets.other(name), name
    families = {preset.backbone for preset in hub_presets.PRESETS.values()}
    assert families == set(hub_preset.FAMILIES)
    assert {each.backbone for each in tiny.TINY.values()} == families


def test_names_and_their_options():
    arch = architectures.find(f'hub:{NAME}:layer=vit_encoder:top1=0.8')
    assert arch.file.path == NAME and arch.file.layer == 'vit_encoder'
    assert arch.imagenet_top1 == 0.8 and arch.weights == ('hub',)
    assert architectures.short(arch.name) == f'hub:{NAME}'
    assert architectures.short('hub:/a/b:size=32') == 'b'
    for name, said in (
        ('hub:vit_base_patch16_224', f"Did you mean 'hub:{NAME}'"),
        (NAME, f"Did you mean 'hub:{NAME}'"),
        ('hub:swin_tiny_patch4_window7', 'Did you mean'),
        ('hub:bert_base_en', 'is a language model'),
        ('hub:retinanet_resnet50_fpn_coco', 'is an object detector'),
        ('hub:segformer_b0_ade20k_512', 'is a model for segmentation'),
        ('hub:efficientnet_es_ra_imagenet', 'the weights of EfficientNet B1'),
        (f'hub:{NAME}:scalin=torch', "Did you mean 'scaling'"),
        ('hub:/a\nb', 'control character'),
        ('hub:', 'hub:NAME with one of'),
    ):
        with pytest.raises(errors.InputError, match=said.replace('(', r'\(')):
            architectures.find(name)


def test_looking_for_a_name_needs_no_tensorflow():
    code = (
        'import sys; from tfxfer import architectures; from tfxfer.models import '
        f'hub_preset; architectures.find("hub:{NAME}"); hub_preset.missing("{NAME}"); '
        'print({"tensorflow", "keras", "keras_hub"} & set(sys.modules))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout == 'set()\n', done.stderr


def test_a_folder_is_known_by_its_content_and_a_name_by_both(preset, original):
    arch = model_file.find(f'hub:{preset}')
    assert arch.input_size == tiny.SIDE
    again = model_file.find(f'hub:{original}')
    assert again.file.digest == arch.file.digest and again.identity == arch.identity
    count = keras_hub.models.Backbone.from_preset(str(preset)).count_params()
    assert arch.parameters == count

    def run(arch):
        fields = {'arch': arch, 'dataset': 'digits', 'setting': 'scratch'}
        return config.from_dict({**fields, 'arch_digest': arch_digest}).id

    arch_digest = 'a'
    assert run('hub:/a/b') == run('hub:/c/d') == run('hub:/a/b:top1=0.5')
    assert run('hub:/a/b') != run('hub:/a/b:layer=x')
    assert run(f'hub:{NAME}').startswith(f'hub_{NAME}-digits')
    assert run(f'hub:{NAME}') != run('hub:/a/b')
    path = preset / 'model.weights.h5'
    with h5py.File(path, 'r+') as file:
        file['layers/vi_t_encoder/layer_norm/vars/0'][:] += 1
    assert model_file.find(f'hub:{preset}').file.digest != arch.file.digest


@pytest.mark.parametrize(
    'values',
    [
        {'scale': 1 / 127.5, 'offset': -1.0},
        {'scale': [0.1, 0.2, 0.3], 'offset': None},
        {'scale': None, 'offset': [1.0, 2.0, 3.0]},
        {'scale': None, 'offset': None},
        # As presets of 2024 have it.
        {'scale': 1 / 255, 'mean': [0.4, 0.5, 0.6], 'variance': [0.05, 0.06, 0.07]},
    ],
)
def test_pixels_are_scaled_as_keras_hub_scales_them(preset, values):
    from tfxfer import models

    values = {'offset': None, **values}
    found = model_file.find(changed(preset, 'image_converter.json', **values))
    images = np.linspace(0, 255, 12, dtype=np.float32).reshape(1, 2, 2, 3)
    theirs = keras_hub.layers.ImageConverter.from_preset(str(preset))
    theirs.image_size = None
    expected = np.asarray(theirs(images))
    ours = np.asarray(models.scaled(images, found.scaling))
    assert np.abs(ours - expected).max() <= 1e-6 * np.abs(expected).max()


def test_without_an_image_converter_the_scaling_must_be_said(preset):
    refused(f'hub:{preset}:scaling=torch', 'Leave out scaling=torch')
    (preset / 'image_converter.json').unlink()
    refused(f'hub:{preset}', f'hub:{preset}:scaling=torch', 'inception')
    assert model_file.find(f'hub:{preset}:scaling=torch').scaling == 'torch'


def test_the_converter_inside_of_a_preprocessor_is_found(preset):
    path = preset / 'image_converter.json'
    converter = json.loads(path.read_text())
    path.unlink()
    own = {'class_name': 'P', 'module': 'keras_hub.p', 'registered_name': 'keras_hub>P'}
    fields = {**own, 'config': {'image_converter': converter}}
    (preset / 'preprocessor.json').write_text(json.dumps(fields))
    assert model_file.find(f'hub:{preset}').scaling.std[0] == pytest.approx(58.4)


def test_the_size_of_a_network_of_any_size_is_the_converters(tmp_path):
    path = tiny.saved('vgg', tmp_path / 'vgg')
    assert model_file.find(f'hub:{path}').input_size == tiny.SIDE
    assert model_file.find(f'hub:{path}:size=48').input_size == 48
    name = changed(pathlib.Path(path), 'image_converter.json', image_size=None)
    refused(name, f'{name}:size=224')
    name = changed(pathlib.Path(path), 'image_converter.json', image_size=[32, 64])
    refused(name, 'no squares')
    name = changed(pathlib.Path(path), 'config.json', image_shape=[32, 32, 1])
    refused(name, '1 channels')


def test_what_is_no_image_network_is_refused(preset, tmp_path):
    path = preset / 'config.json'
    fields = json.loads(path.read_text())
    for other in ('BertBackbone', 'RetinaNetBackbone'):
        own = {'class_name': other, 'registered_name': f'keras_hub>{other}'}
        path.write_text(json.dumps({**fields, **own}))
        refused(f'hub:{preset}', f'holds a {other}', 'ViT, DeiT')
    path.write_text(json.dumps({**fields, 'registered_name': 'mine>ViTBackbone'}))
    refused(f'hub:{preset}', 'needs code of yours')
    path.write_text(json.dumps({**fields, 'module': 'os', 'registered_name': None}))
    refused(f'hub:{preset}', 'needs code of yours')
    path.write_text(json.dumps(fields))
    changed(preset, 'config.json', data_format='channels_first')
    refused(f'hub:{preset}', 'channels_last')


def test_code_and_quantised_numbers_are_refused(preset):
    lambda_ = {'class_name': 'Lambda', 'module': 'keras.layers', 'config': {}}
    refused(changed(preset, 'config.json', activation=lambda_), 'has code in it')
    inner = {
        'class_name': 'BertBackbone', 'module': 'keras_hub.models', 'config': {},
        'registered_name': 'keras_hub>BertBackbone',
    }  # fmt: skip
    refused(changed(preset, 'config.json', activation=inner), 'has a BertBackbone in')
    policy = {
        'class_name': 'QuantizedDTypePolicy', 'module': 'keras.dtype_policies',
        'config': {'mode': 'int8', 'source_name': 'float32'},
    }  # fmt: skip
    refused(changed(preset, 'config.json', activation=None, dtype=policy), 'quantised')


def test_damaged_and_missing_files_are_refused(preset, tmp_path):
    refused(f'hub:{tmp_path}/none', 'There is no folder')
    refused(f'hub:{tmp_path}', 'holds no config.json')
    weights = preset / 'model.weights.h5'
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refused(f'hub:{preset}', 'truncated or damaged')
    weights.unlink()
    refused(f'hub:{preset}', 'holds no model.weights.h5')
    weights.write_bytes(whole)
    changed(preset, 'image_converter.json', scale=[0.0, 1.0, 1.0])
    refused(f'hub:{preset}', 'image_converter.json scales pixels by')
    for text in ('{', '[]', '{"class_name": "ViTBackbone"}', '[' * 100_000):
        (preset / 'config.json').write_text(text)
        refused(f'hub:{preset}', 'truncated or damaged')


def test_weights_in_several_files_are_read(preset, original, tmp_path):
    before = model_file.find(f'hub:{original}')
    model = keras_hub.models.Backbone.from_preset(str(preset))
    (preset / 'model.weights.h5').unlink()
    index = preset / 'model.weights.json'
    model.save_weights(str(index), max_shard_size=2e-5)
    assert len(list(preset.glob('model*.weights.h5'))) > 1
    found = model_file.find(f'hub:{preset}')
    assert found.parameters == before.parameters
    fields = json.loads(index.read_text())
    first = next(iter(fields['weight_map']))
    fields['weight_map'][first] = '../elsewhere.h5'
    index.write_text(json.dumps(fields))
    refused(f'hub:{preset}', 'other folders')


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('KAGGLEHUB_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def test_files_that_were_put_into_the_cache_are_taken(original, cache):
    place = cache / f'models/keras/vit/keras/{NAME}/4'
    assert hub_preset.cache_folder(NAME) == place
    assert str(place) in hub_preset.missing(NAME)
    shutil.copytree(original, place)
    assert hub_preset.missing(NAME) == ''
    arch = model_file.find(f'hub:{NAME}')
    assert arch.file.digest == model_file.find(f'hub:{original}').file.digest


def test_offline_the_error_says_what_to_put_where(cache, monkeypatch):
    for name in ('http_proxy', 'https_proxy'):
        monkeypatch.setenv(name, 'http://127.0.0.1:9')
    monkeypatch.setenv('no_proxy', '')
    handle = f'keras/vit/keras/{NAME}/4'
    refused(
        f'hub:{NAME}',
        f'kaggle://{handle}',
        f'into {cache}/models/{handle}',
        'no way to',
    )


@pytest.fixture
def kaggle(monkeypatch, original):
    """A server on this machine that has the files of a preset as Kaggle has them."""
    import kagglehub  # noqa: F401  It asks for the environment later.

    answers = {}

    class Kaggle(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers['Content-Length']))
            path = pathlib.Path(original, json.loads(body).get('path', 'none'))
            if 'status' in answers or not path.is_file():
                self.send_error(answers.get('status', 404))
                return
            content = path.read_bytes()
            self.send_response(200)
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    try:  # Where kagglehub's own tests have theirs.
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 7777), Kaggle)
    except OSError:
        pytest.skip('port 7777 is taken')
    monkeypatch.setenv('KAGGLE_API_ENVIRONMENT', 'TEST')
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield answers
        server.shutdown()


def test_files_are_downloaded_once(cache, kaggle, original):
    arch = model_file.find(f'hub:{NAME}')
    assert arch.file.digest == model_file.find(f'hub:{original}').file.digest
    kaggle['status'] = 500
    assert model_file.find(f'hub:{NAME}') == arch


def test_terms_that_must_be_accepted_are_said(cache, kaggle):
    kaggle['status'] = 403
    page = f'https://www.kaggle.com/models/keras/vit/keras/{NAME}'
    refused(f'hub:{NAME}', 'accepted the terms at', page)
    kaggle['status'] = 404
    refused(f'hub:{NAME}', '404 Client Error', f'{cache}/models')


def test_without_keras_hub_the_error_names_the_extra(monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        'find_spec',
        lambda name, *rest: None if name == 'keras_hub' else real(name, *rest),
    )
    refused(f'hub:{NAME}', 'pip install tfxfer[hub]')
