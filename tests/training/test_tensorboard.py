"""What TensorBoard is given, read back from the event files."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support import events
from tests.support.fakes import ARCHITECTURE
from tfxfer import config, results
from tfxfer.training import tensorboard
from tfxfer.transfer import execute
from tfxfer.transfer.options import ExecutionOptions

SGD = {'steps': 30, 'batch': 8, 'lr': 0.05, 'min_area': 0.5}


def test_grid_by_hand():
    images = np.arange(1, 6, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    grid = tensorboard.grid(images, columns=2)
    assert grid.shape == (3, 2, 3)
    assert grid[..., 0].tolist() == [[1, 2], [3, 4], [5, 0]]


def test_grid_keeps_each_image_whole():
    images = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 3))
    grid = tensorboard.grid(images, columns=2)
    np.testing.assert_array_equal(grid[:4, 5:], images[1])
    np.testing.assert_array_equal(grid[4:, :5], images[2])


def shown(folder, tag):
    """(step, picture [h, w, 3]) of an image summary."""
    (event,) = events.accumulated(folder).Tensors(tag)
    width, height, data = tf.make_ndarray(event.tensor_proto)
    picture = np.asarray(Image.open(io.BytesIO(data)))
    assert picture.shape[:2] == (int(height), int(width))
    return event.step, picture


@pytest.fixture
def trained(fakes, photographs, tmp_path):
    def make(**changes):
        fields = {
            'arch': 'tiny',
            'dataset': f'folder:{photographs()}',
            'setting': 'scratch',
            'hparams': SGD,
        }
        record = execute.execute(
            config.from_dict({**fields, **changes}), ExecutionOptions(tmp_path / 'runs')
        )
        return record, results.folder(tmp_path / 'runs', record.run)

    return make


@pytest.mark.parametrize('phase, part', [('trial', 'valid'), ('final', 'test')])
def test_a_run_shows_its_score_pictures_and_hyperparameters(trained, phase, part):
    from tensorboard.plugins.hparams import plugin_data_pb2

    record, folder = trained(phase=phase, hparams={**SGD, 'lr': 1e-6})
    (score,) = events.accumulated(folder / 'tb' / part).Tensors('accuracy')
    expected = record.score if phase == 'final' else record.valid_score
    assert score.step == 30
    assert tf.make_ndarray(score.tensor_proto) == pytest.approx(expected)
    step, picture = shown(folder / 'tb', 'first_training_images')
    side = ARCHITECTURE.input_size
    # The eight of the first batch in two rows, noise on one of three colours.
    assert step == 0 and picture.shape == (2 * side, 4 * side, 3)
    assert picture.reshape(2, side, 4, side, 3).mean((1, 3)).max(axis=-1).min() > 120
    step, picture = shown(folder / 'tb', 'most_confident_mistakes')
    assert step == 30 and picture.std() > 10

    notes = events.accumulated(folder / 'tb').SummaryMetadata(
        '_hparams_/session_start_info'
    )
    data = plugin_data_pb2.HParamsPluginData.FromString(notes.plugin_data.content)
    values = data.session_start_info.hparams
    assert data.session_start_info.group_name == record.run.id
    assert values['arch'].string_value == 'tiny'
    assert values['lr'].number_value == 1e-6
    assert values['steps'].number_value == 30


def test_a_run_without_mistakes_shows_none(trained):
    record, folder = trained(hparams={**SGD, 'steps': 200, 'lr': 0.3})
    assert record.score == 1.0
    assert (
        'most_confident_mistakes'
        not in events.accumulated(folder / 'tb').Tags()['tensors']
    )
