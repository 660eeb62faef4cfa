"""What the surroundings of a Run may be."""

import json

import pytest

from tfxfer import errors
from tfxfer.cli import app, run
from tfxfer.transfer import environment


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv('KERAS_HOME', str(tmp_path))
    monkeypatch.delenv('KERAS_BACKEND', raising=False)
    return tmp_path


@pytest.mark.parametrize(
    'settings, said',
    [
        ({'backend': 'jax'}, 'KERAS_BACKEND=tensorflow'),
        ({'image_data_format': 'channels_first'}, 'set it to "channels_last"'),
    ],
)
def test_other_settings_of_keras_are_refused_with_what_to_set(home, settings, said):
    (home / 'keras.json').write_text(json.dumps(settings))
    with pytest.raises(errors.InputError, match=said) as error:
        app.call(run, ['--config=configs/logistic.py', f'--workdir={home}/runs'])
    assert str(home / 'keras.json') in str(error.value)
    assert not (home / 'runs').exists()


def test_another_backend_in_the_environment_is_refused(home, monkeypatch):
    monkeypatch.setenv('KERAS_BACKEND', 'torch')
    with pytest.raises(errors.InputError, match="KERAS_BACKEND sets .* 'torch'"):
        environment.check_keras()


@pytest.mark.parametrize(
    'text',
    ['{"backend": "tensorflow", "image_data_format": "channels_last"}', '[', '7'],
)
def test_settings_that_change_nothing_are_left_alone(home, text, monkeypatch):
    environment.check_keras()
    (home / 'keras.json').write_text(text)
    environment.check_keras()
    (home / 'keras.json').write_text('{"backend": "jax"}')
    monkeypatch.setenv('KERAS_BACKEND', 'tensorflow')  # Which counts.
    environment.check_keras()
