"""A Run whose files change while it works."""

import os
import shutil
import signal

import keras
import pytest
from PIL import Image

from tests.support import own_images
from tests.support.fakes import ARCHITECTURE
from tests.support.small_networks import SMALL
from tfxfer import config, errors, models, results
from tfxfer.data import image_cache
from tfxfer.data.cache_options import CacheOptions
from tfxfer.training import hooks
from tfxfer.transfer import execute, features, methods
from tfxfer.transfer.options import ExecutionOptions

HPARAMS = {
    'logistic': {'l2s': (0.01, 1.0)},
    'finetune': {'steps': 6, 'batch': 8, 'lr': 0.05, 'min_area': 0.5},
}


@pytest.fixture
def during(fakes, photographs, tmp_path, monkeypatch):
    """Carries out a Run, before or after whose work something happens."""
    root = photographs()
    models.save_weights(
        models.build(ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=7)),
        tmp_path / 'a.weights.h5',
    )

    def carry_out(setting, happens=None, when='before', arch='tiny'):
        run = config.from_dict(
            {
                'arch': arch, 'dataset': f'folder:{root}', 'setting': setting,
                'weights': str(tmp_path / 'a.weights.h5'), 'hparams': HPARAMS[setting],
            }
        )  # fmt: skip
        original = methods.METHODS[setting]

        def method(task):
            if when == 'before':
                happens(root)
            result = original(task)
            if when == 'after':
                happens(root)
            return result

        with monkeypatch.context() as patch:
            if happens:
                patch.setitem(methods.METHODS, setting, method)
            return execute.execute(run, ExecutionOptions(tmp_path / 'runs'))

    return carry_out


def exchange(root, name='3.png'):
    """Another picture of the same size and time."""
    path = root / 'red' / name
    time = path.stat().st_mtime_ns
    shutil.copy(root / 'blue' / '4.png', path)
    os.utime(path, ns=(time, time))


def exchange_all(root):
    for path in (root / 'red').iterdir():
        exchange(root, path.name)


def remove(root):
    (root / 'red' / '3.png').unlink()


def touch(root):
    os.utime(root / 'red' / '3.png')
    os.link(root / 'red' / '3.png', root / 'red' / '.backup')


@pytest.mark.parametrize(
    'setting, happens, when',
    [
        ('logistic', exchange, 'before'),
        ('finetune', remove, 'before'),
        ('finetune', exchange, 'after'),
    ],
)
def test_images_that_change_during_a_run_leave_nothing_wrong(
    during, tmp_path, setting, happens, when
):
    with pytest.raises(errors.InputError, match=r'red/3\.png changed while'):
        during(setting, happens, when)
    runs = tmp_path / 'runs'
    assert not list(runs.glob('*/record.json')) and not list(runs.glob('*/ckpt'))
    for store in features.stores(runs / 'cache'):
        assert not store.done[23]  # Ten of blue, ten of green, then red's.
    (tmp_path / 'images/red/9.png').unlink()  # Whatever there is now is a Run.
    record = during(setting)
    assert results.read(results.folder(runs, record.run)) == record


def test_a_run_that_is_stopped_keeps_no_state_of_changed_images(
    during, tmp_path, monkeypatch
):
    def told_to_stop(self):
        self.signum = signal.SIGTERM

    with monkeypatch.context() as patch, pytest.raises(errors.InputError):
        patch.setattr(hooks.StopSignal, '__init__', told_to_stop)
        during('finetune', exchange_all)
    assert not list(tmp_path.glob('runs/*/ckpt/*'))
    with monkeypatch.context() as patch, pytest.raises(errors.Stopped):
        patch.setattr(hooks.StopSignal, '__init__', told_to_stop)
        during('finetune')  # The images are now what they are.
    assert list(tmp_path.glob('runs/*/ckpt/1'))


def test_a_file_that_is_touched_alone_has_not_changed(during):
    assert during('finetune', touch).score is not None


def test_a_folder_that_is_removed_during_a_run_is_one_line(during, tmp_path):
    with pytest.raises((OSError, errors.Stopped)) as error:
        during('logistic', lambda _: shutil.rmtree(tmp_path / 'runs'), 'after')
    assert isinstance(error.value, (FileNotFoundError, errors.Stopped))
    assert not list((tmp_path / 'runs').glob('*/record.json'))


def test_an_image_cache_of_changed_images_is_not_kept(photographs, tmp_path):
    root = photographs()
    _, images = own_images.read(root)
    for name in ('3', '4', '5'):  # At least one is in train.
        Image.new('RGB', (20, 24)).save(root / 'red' / f'{name}.png')
    with pytest.raises(errors.InputError, match='changed while'):
        image_cache.cached(
            images, images.splits['train'], CacheOptions('encoded', 'disk'),
            tmp_path / 'kept',
        )  # fmt: skip
    assert not list((tmp_path / 'kept').glob('*/data'))


def test_folded_batch_norm_is_not_trained_but_gives_features(during, tmp_path):
    model = models.build(SMALL, 3, options=models.NetworkOptions(image_size=32))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(layer.beta + 0.1)
    models.save_weights(model, tmp_path / 'a.weights.h5')
    with pytest.raises(errors.InputError, match=r'a\.weights\.h5.*folded.*logistic'):
        during('finetune', arch=SMALL)
    assert during('logistic', arch=SMALL).score > 0
