import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from tests.support.pretraining import pretrain
from tfxfer import config, datasets, errors, models, results
from tfxfer.data import readers
from tfxfer.training.options import Options
from tfxfer.transfer import execute, probe, resolve
from tfxfer.transfer.options import ExecutionOptions


def shown(folder, tag):
    kind, _, name = tag.partition('/')
    path = str(folder / 'tb' / kind)
    events = event_accumulator.EventAccumulator(path)
    events.Reload()
    found = events.Tensors(name)
    return {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in found}


def test_curves_are_what_the_logistic_setting_measures_and_change_nothing(
    fakes, tmp_path
):
    options = Options(save_every=4, probe_every=5)
    targets = ('digits_5_9@6', 'colours')
    watched = execute.execute(
        pretrain(), ExecutionOptions(tmp_path / 'a', training=options, probes=targets)
    )
    plain = execute.execute(pretrain(), ExecutionOptions(tmp_path / 'b'))
    folders = [results.folder(tmp_path / name, plain.run) for name in 'ab']
    seen = [results.read_predictions(folder)['logits'] for folder in folders]
    np.testing.assert_array_equal(*seen)
    assert watched.score == plain.score

    curve = shown(folders[0], 'transfer/digits_5_9@6')
    assert list(curve) == [5, 10, 12]
    # The last point is of the weights that the Run keeps.
    logistic = config.from_dict({
        'arch': 'tiny', 'dataset': 'digits_5_9', 'setting': 'logistic',
        'weights': f'run:{plain.run.id}', 'per_class': 6,
        'hparams': {'l2s': probe.L2S},
    })  # fmt: skip
    expected = execute.execute(logistic, ExecutionOptions(tmp_path / 'a')).valid_score
    assert curve[12] == pytest.approx(expected, abs=1e-6)
    assert len(set(curve.values()) | set(shown(folders[0], 'transfer/colours'))) > 1


def test_test_images_are_not_touched(fakes):
    dataset, images = readers.read(datasets.find('colours'))
    pixels = images.pixels.copy()
    pixels[images.splits['test']] = 255
    model = models.build('tiny', 3)
    blank = dataclasses.replace(images, pixels=pixels)
    scores = [
        probe.Probe([resolve.ProbeTarget('colours', dataset, found)], 8)(model)
        for found in (images, blank)
    ]
    assert scores[0] == scores[1] and 0 < scores[0]['colours'] <= 1


def test_what_cannot_be_probed_is_said_first(fakes, tmp_path):
    with pytest.raises(errors.InputError, match="No dataset named 'digit_5_9'"):
        execute.execute(pretrain(), ExecutionOptions(tmp_path, probes=('digit_5_9',)))
    with pytest.raises(errors.InputError, match='per_class must be at least 2'):
        execute.execute(pretrain(), ExecutionOptions(tmp_path, probes=('digits@1',)))
    logistic = {'arch': 'mobilenet_v1', 'dataset': 'colours', 'setting': 'logistic'}
    made = config.from_dict({**logistic, 'weights': 'keras'})
    with pytest.raises(errors.InputError, match='setting logistic trains none'):
        resolve.resolve(made, ExecutionOptions(tmp_path, probes=('digits',)))
