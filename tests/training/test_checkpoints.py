import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.support.training import (
    HPARAMS,
    batches,
    fit,
    one_device_step,
    small_network,
    tiny_network,
)
from tfxfer import config
from tfxfer.training import checkpoints


def shorten(path):
    path.write_bytes(path.read_bytes()[:-100])


def spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))


@pytest.mark.parametrize('harm', [shorten, spoil, pathlib.Path.unlink])
@pytest.mark.parametrize('part', ['state.index', 'state.data-00000-of-00001'])
def test_a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before(
    fakes, tmp_path, caplog, part, harm
):
    whole = fit(tiny_network(), tmp_path, save_every=5)
    harm(tmp_path / 'ckpt/12' / part)
    resumed = fit(tiny_network(seed=5), tmp_path, save_every=5)
    assert 'checkpoint of step 12 cannot be read' in caplog.text
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    # And with none that can be read from the start, as if there were none.
    for step in ('10', '12'):
        harm(tmp_path / 'ckpt' / step / part)
    again = fit(tiny_network(), tmp_path)
    for a, b in zip(whole, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_last_two_checkpoints_stay(fakes, tmp_path):
    fit(tiny_network(), tmp_path, save_every=5)
    assert sorted(p.name for p in (tmp_path / 'ckpt').iterdir()) == ['10', '12']


def test_a_full_disk_keeps_the_last_good_checkpoint(fakes, small_disk):
    disk, make_room = small_disk

    def fill(*_):
        if not (disk / 'filler').exists():
            room = os.statvfs(disk)
            # The first checkpoint's and the events' room, and no second one's.
            (disk / 'filler').write_bytes(
                b'0' * (room.f_bavail * room.f_bsize - 40_000)
            )
        return batches(*_)

    whole = fit(tiny_network())
    with pytest.raises(OSError, match='No space left.*/ckpt/'):
        fit(tiny_network(), disk, batches=fill, save_every=1)
    steps = [int(p.name) for p in (disk / 'ckpt').iterdir()]
    assert steps and max(steps) < 12
    make_room()
    for a, b in zip(whole, fit(tiny_network(seed=5), disk), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_names_in_a_checkpoint_are_those_of_files_that_exist(tmp_path):
    hparams = config.Finetune(lr=0.1, steps=5, batch=8, ema=0.9)
    train_step = one_device_step(small_network(), hparams, 24)
    checkpoints.Checkpoints(tmp_path, train_step.state()).save(3)
    names = tf.train.load_checkpoint(str(tmp_path / '3/state'))
    kinds = {n.partition('/.ATT')[0] for n in names.get_variable_to_shape_map()}
    # Convolution, gamma, beta, classifier, bias; and the statistics, mean and variance.
    assert kinds - {'_CHECKPOINTABLE_OBJECT_GRAPH'} == {
        *(f'momenta/{i}' for i in range(5)), *(f'averages/{i}' for i in range(7)),
        *(f'model/{i}' for i in range(7)),
        'sums/loss', 'sums/accuracy', 'sums/gradient_norm', 'step', 'scale', 'stable',
    }  # fmt: skip


def test_the_newest_checkpoint_up_to_a_step_is_taken_over(tmp_path):
    state, value = tf.Variable(0.0), 'value/.ATTRIBUTES/VARIABLE_VALUE'
    other = checkpoints.Checkpoints(tmp_path / 'a', tf.train.Checkpoint(value=state))
    for step in (4, 8):
        state.assign(step)
        other.save(step)
    ours = checkpoints.Checkpoints(tmp_path / 'b', tf.train.Checkpoint(value=state))
    ours.adopt(tmp_path / 'a', last=3)
    assert ours.steps() == [] and ours.restore() == 0
    ours.adopt(tmp_path / 'a', last=7)
    assert ours.steps() == [4] and ours.restore() == 4 and float(state) == 4
    assert tf.train.load_checkpoint(str(tmp_path / 'b/4/state')).get_tensor(value) == 4
    ours.adopt(tmp_path / 'nowhere', last=7)
    assert ours.steps() == [4] and other.steps() == [8, 4]


@pytest.mark.parametrize('name', ['runs [1] *?', 'back\\slash'])
def test_a_training_goes_on_in_a_folder_whose_name_is_a_pattern(
    fakes, tmp_path, caplog, name
):
    folder = tmp_path / name / 'run'
    whole = fit(tiny_network(), folder, save_every=5)
    shutil.rmtree(folder / 'ckpt/12')
    state = one_device_step(tiny_network(seed=5), HPARAMS, 24).state()
    assert checkpoints.Checkpoints(folder / 'ckpt', state).restore() == 10
    resumed = fit(tiny_network(seed=5), folder, save_every=5)
    assert 'cannot be read' not in caplog.text
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
