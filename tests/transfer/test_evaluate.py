import dataclasses

import numpy as np
import pytest
from sklearn import metrics as reference

from tests.support import fakes as tiny
from tests.support.pretraining import pretrain
from tests.support.tf1_resizing import bilinear
from tfxfer import errors, models, results
from tfxfer.transfer import evaluate, execute
from tfxfer.transfer.options import ExecutionOptions

DIGITS = {'dataset': 'digits'}


def test_a_run_is_scored_as_its_record_says(fakes, tmp_path):
    record = execute.execute(pretrain(**DIGITS), ExecutionOptions(tmp_path))
    folder = results.folder(tmp_path, record.run)
    found = evaluate.evaluate(str(folder))
    assert found['top1'] == record.score == found['known']
    assert found['top5'] == record.top5 and found['images'] == 899
    seen = results.read_predictions(folder)
    assert record.top5 == reference.top_k_accuracy_score(
        seen['label'], seen['logits'], k=5
    )
    whole = evaluate.evaluate(
        str(folder),
        arch='tiny',
        dataset='digits',
        selection=evaluate.Selection(crop='whole'),
    )
    assert whole['crop'] == 'whole' and abs(whole['top1'] - record.score) < 0.3
    few = evaluate.evaluate(
        str(folder), arch='tiny', selection=evaluate.Selection('valid', limit=50)
    )
    assert (few['images'], few['known']) == (45, None)  # Every fourth of 179.


def test_runs_of_few_classes_have_no_top5(fakes, tmp_path):
    assert execute.execute(pretrain(), ExecutionOptions(tmp_path)).top5 is None


@pytest.mark.parametrize(
    ('scaling', 'crop'), [('inception', 'inception'), ('vgg', 'vgg')]
)
def test_background_is_left_out_and_tf_slims_crop_taken(
    fakes, monkeypatch, tmp_path, scaling, crop
):
    arch = dataclasses.replace(tiny.ARCHITECTURE, scaling=scaling)
    path = tmp_path / 'four.weights.h5'
    model = models.build(arch, 4)  # Background, then the three colours.
    for variable in model.trainable_variables:
        if variable.path == 'logits/bias':
            variable.assign([9.0, 0.0, 0.0, 0.0])
    models.save_weights(model, path)
    monkeypatch.setitem(evaluate.architectures.ARCHITECTURES, 'tiny', arch)
    found = evaluate.evaluate(
        str(path),
        arch='tiny',
        dataset='colours',
        selection=evaluate.Selection(crop=crop),
    )
    assert found['crop'] == crop
    _, images = tiny.colours(tiny.DATASET, None)
    test = images.pixels[images.splits['test']].astype(np.float32)
    cut = [evaluated(image, crop) for image in test]
    logits = model(np.stack(cut), training=False)['logits'][:, 1:]
    right = np.argmax(logits, 1) == images.labels[images.splits['test']]
    assert found['top1'] == pytest.approx(right.mean())
    assert evaluate.crop_of(arch, 'slim', 'own') == crop
    assert evaluate.crop_of(arch, str(path), 'own') == 'central'


def evaluated(image, crop):
    if crop == 'inception':  # The central 87.5 % of 8 pixels: all of them.
        return bilinear(image, 8, 8)
    return bilinear(image, 9, 9)[:8, :8]  # 8 x 256 / 224 = 9.


def test_bad_questions_are_answered(fakes, tmp_path):
    path = tmp_path / 'three.weights.h5'
    models.save_weights(models.build('tiny', 3), path)
    with pytest.raises(errors.InputError, match='Say which network'):
        evaluate.evaluate(str(path), dataset='colours')
    with pytest.raises(errors.InputError, match='tell 3 classes apart; digits has 10'):
        evaluate.evaluate(str(path), arch='tiny', dataset='digits')
    with pytest.raises(errors.InputError, match='several labels'):
        evaluate.evaluate(str(path), arch='tiny', dataset='voc2007')
    with pytest.raises(errors.InputError, match="No crop named 'centre'"):
        evaluate.evaluate(
            str(path),
            arch='tiny',
            dataset='colours',
            selection=evaluate.Selection(crop='centre'),
        )


def columns(names, *, weights='slim', known=(), dataset='folder:x'):
    task = dataclasses.replace(
        tiny.DATASET, classes=len(names), class_names=tuple(names)
    )
    record = known and results.Record(
        run=None, metric='top1', score=None, valid_score=None, images={}, classes=known
    )
    source = evaluate._Source(weights, record or None, None, dataset, task, None)
    return evaluate.columns_of(source).tolist()


def test_whole_numbers_are_class_numbers_in_their_order():
    # Class folders come sorted as text: 0, 1, 10, 11, 2, ...
    for first in (0, 1):
        names = sorted(map(str, range(first, first + 12)))
        assert columns(names) == [int(name) - first for name in names]
    with pytest.raises(errors.InputError, match='are not classes of slim'):
        columns(['0', '1', '3'])


def test_classes_are_matched_by_name():
    assert columns(['a', 'b', 'c'], known=('c', 'a', 'b')) == [1, 2, 0]
    assert columns(['1', '10', '2'], known=('10', '2', '1')) == [2, 0, 1]
    with pytest.raises(errors.InputError, match='d, .* are not classes of runs/x'):
        columns(['a', 'b', 'd'], known=('a', 'b', 'c'), weights='runs/x')


def test_classes_of_public_weights_are_ids_of_wordnet_or_numbers():
    ids = ['n01440764', 'n01443537', 'n01484850']
    assert columns(ids) == [0, 1, 2]
    assert columns(ids[::-1]) == [2, 1, 0]
    with pytest.raises(errors.InputError, match='tench, .* are not classes of keras'):
        columns(['great white', 'goldfish', 'tench'], weights='keras')
    # A file that names no classes has nothing to compare with.
    assert columns(['great white', 'goldfish', 'tench'], weights='a.h5') == [0, 1, 2]
