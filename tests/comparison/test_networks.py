import http.server
import threading

import pytest

from tests.support import offline as without_network
from tfxfer import architectures, config_files, errors
from tfxfer.comparison import networks, question
from tfxfer.study import checks

CONFIG = config_files.load(question.CONFIG).to_dict()


def study(**fields):
    return checks.study_from({**CONFIG, 'datasets': ('digits',), **fields})


@pytest.fixture
def keras(tmp_path, monkeypatch):
    """Puts weights of networks where Keras caches them; none are there at first."""
    monkeypatch.setenv('KERAS_HOME', str(tmp_path / 'keras'))
    monkeypatch.delenv('TFXFER_CHECKPOINTS', raising=False)

    def put(*names):
        folder = tmp_path / 'keras' / 'models'
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / architectures.ARCHITECTURES[name].keras.file).touch()
        return folder

    return put


def test_a_small_machine_has_small_networks_and_a_gpu_all():
    six = study().archs
    assert networks.suited(study(), cores=16, gpus=0).archs == six
    small = networks.suited(study(), cores=2, gpus=0).archs
    assert set(six) - set(small) == {'inception_v3'}  # 5.7 G multiply-adds per image.
    largest = networks.suited(study(), cores=2, gpus=1).archs
    assert set(largest) > set(six) and 'nasnet_large' in largest
    assert 'inception_v4' not in largest  # Keras has no weights of it.


def test_the_path_is_kerass_own(keras):
    """As the part that starts Keras has it, which asks for no TensorFlow here."""
    from tfxfer import models

    folder = keras()
    arch = architectures.ARCHITECTURES['resnet_50']
    assert models.keras_file(arch) == networks.keras_folder() / arch.keras.file
    assert networks.keras_folder() == folder


def test_what_keras_has_is_not_missing(keras):
    keras('resnet_50')
    both = study(archs=('resnet_50', 'mobilenet_v1'))
    assert list(networks.missing(both)) == ['mobilenet_v1']
    convnext = study(archs=('keras:ConvNeXtTiny', 'resnet_50'))
    assert list(networks.missing(convnext)) == ['keras:ConvNeXtTiny']
    assert networks.missing(study(settings=('scratch',))) == {}
    assert networks.missing(study(weights='/my.h5', archs=('resnet_50',))) == {}


def test_named_networks_without_weights_are_refused_offline(keras, offline):
    folder = keras('resnet_50')
    asked = study(archs=('resnet_50', 'mobilenet_v1', 'inception_v3'))
    with pytest.raises(errors.InputError) as raised:
        networks.choose(asked, None, named=True)
    said = str(raised.value)
    assert f'mobilenet_1_0_224_tf.h5 of {networks.KERAS_PAGE} into {folder}' in said
    assert 'inception_v3' in said and 'resnet_50' not in said


def test_offline_the_networks_are_those_whose_weights_are_here(keras, offline):
    keras('resnet_50', 'mobilenet_v2_1.4')
    chosen = networks.choose(study(), None, named=False)
    assert chosen.study.archs == ('resnet_50', 'mobilenet_v2_1.4')
    assert chosen.study.weights == 'keras'
    assert 'mobilenet_1_0_224_tf.h5' in chosen.notes[1]


def test_slim_weights_are_taken_where_there_are_no_others(keras, offline, tmp_path):
    stem = tmp_path / 'slim' / 'resnet_v1_50' / 'resnet_v1_50.ckpt'
    stem.parent.mkdir(parents=True)
    stem.touch()
    with pytest.raises(errors.InputError, match='cannot be downloaded'):
        networks.choose(study(), None, named=False)
    chosen = networks.choose(study(), tmp_path / 'slim', named=False)
    assert chosen.study.archs == ('resnet_50',) and chosen.study.weights == 'slim'
    assert "TF-Slim's weights" in chosen.notes[0]


def test_with_a_network_connection_missing_weights_are_downloaded(keras, monkeypatch):
    monkeypatch.setattr(networks, 'reachable', lambda page: True)
    folder = keras()
    chosen = networks.choose(study(archs=('resnet_50',)), None, named=True)
    assert chosen.notes[1] == f'Keras downloads the weights of resnet_50 into {folder}.'


def test_a_preset_that_is_missing_is_said_with_its_handle(
    keras, offline, tmp_path, monkeypatch
):
    monkeypatch.setenv('KAGGLEHUB_CACHE', str(tmp_path))
    keras('resnet_50')
    name = 'swin_tiny_patch4_window7_224'
    asked = study(archs=('resnet_50', f'hub:{name}'))
    assert asked.weights == 'keras' and asked.weights_of(f'hub:{name}') == 'hub'
    place = tmp_path / f'models/keras/swin-transformer/keras/{name}/1'
    with pytest.raises(errors.InputError) as raised:
        networks.choose(asked, None, named=True)
    said = str(raised.value)
    assert f'kaggle://keras/swin-transformer/keras/{name}/1' in said
    assert f'into {place}' in said and 'resnet_50' not in said
    monkeypatch.setattr(networks, 'reachable', lambda page: True)
    notes = networks.choose(asked, None, named=True).notes
    assert f'kagglehub downloads the weights of hub:{name}' in notes[1]
    place.mkdir(parents=True)
    for file in ('config.json', 'model.weights.h5'):
        (place / file).touch()
    assert networks.missing(asked) == {}
    assert networks.missing(study(archs=('hub:/my/preset',))) == {}


def test_any_answer_is_one_and_silence_is_none():
    class NotFound(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(('127.0.0.1', 0), NotFound) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert networks.reachable(f'http://127.0.0.1:{server.server_port}/')
    assert not networks.reachable(without_network.DEAD)
