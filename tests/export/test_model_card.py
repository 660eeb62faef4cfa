"""A card repeats the Record, and claims nothing that was not measured."""

import json

import numpy as np
import pytest
from scipy import stats

from tests.support import made_results
from tfxfer.export import model_card

MODEL = {
    'multi_label': False,
    'image_size': 64,
    'shorter_side': 73,
    'digest': 'abc',
    'reading': {'pixels': 100_000_000, 'white': 65_535},
    'signatures': {
        'serving_default': {
            'inputs': {'image_bytes': ['string', [None]]},
            'outputs': {'probabilities': ['float32', [None, 5]]},
        },
        'images': {
            'inputs': {'images': ['uint8', [None, None, None, 3]]},
            'outputs': {'probabilities': ['float32', [None, 5]]},
        },
    },
    'tflite': None,
}
COMPARED = {
    'images': 64,
    'converted': 0,
    'tolerance': 1e-4,
    'saved_model': 2e-7,
    'tflite': None,
}
ROUNDED = {
    'precision': 'bfloat16',
    'feature_dtype': 'float32',
    'score': 0.75,
    'largest': 0.21,
    'same': 0.93,
}


def made(setting='logistic', model=(), compared=(), rounded=None, run=(), **fields):
    """Contents and text of a card on digits, 80 of 100 test images right."""
    of = made_results.run(
        **{'arch': 'mobilenet_v1_0.25', 'setting': setting, **dict(run)}
    )
    record = made_results.record(of, 0.8, **fields)
    card = model_card.contents(
        record, MODEL | dict(model), COMPARED | dict(compared), rounded=rounded
    )
    return record, card, model_card.text(card, 'my_model')


def test_card_says_what_the_record_says():
    record, card, text = made(versions={'tfxfer': '0.1', 'host': 'my-laptop'})
    assert json.loads(json.dumps(card)) == card
    assert (card['score'], card['run_score'], card['valid_score']) == (0.8, 0.8, 0.9)
    assert card['chosen'] == {'l2': 1.0} and card['classes'] == list('56789')
    interval = stats.binomtest(80, 100).proportion_ci(method='wilson')
    np.testing.assert_allclose(card['interval'], interval)
    low, high = (100 * bound for bound in interval)
    for said in (
        f"Test top1: 80.0 % (Wilson's 95 % interval {low:.1f}-{high:.1f}), 100 images",
        'Validation top1: 90.0 %',
        'Hyperparameters, the best of 3 on validation: l2 1.0',
        f'`{record.run.id}`, seed 0',
        f'`{record.run.weights}`, digest none recorded, trained on digits_0_4 '
        '(its score there 90.0 %)',  # 180 of 200.
        'train 40, valid 10, test 100',
        '`serving_default`: image_bytes string [?] -> probabilities float32 [?, 5]',
        'shorter side resized to 73 pixels (bicubic, antialiased, as Pillow), of that '
        'the central 64 x 64',
        '64 test images against those stored with the Run: SavedModel within 2.0e-07\n',
        '## Classes (5)\n\n0. `5`\n1. `6`\n',
        "tf.saved_model.load('my_model')",
        'EXIF orientation is applied, transparency is laid over white',
        '16-bit gray is white at 65535',
        'The model refuses TIFF',
        'more than 100,000,000 pixels',
    ):
        assert said in text
    assert 'my-laptop' not in text + json.dumps(card)


@pytest.mark.parametrize(
    'arch, weights, licence',
    [
        ('resnet_50', 'slim', 'Apache-2.0'),
        ('resnet_50', 'keras', 'MIT'),
        ('keras:VGG16', 'keras', 'CC-BY-4.0'),
        ('keras:ResNet50V2', 'keras', 'BSD'),
        ('keras:EfficientNetB0', 'keras', 'not stated'),
        ('model:/x.keras', 'model', "the model file's own"),
        ('resnet_50', '/a/checkpoint', 'not stated'),
        ('of another version', 'slim', 'not stated'),
    ],
)
def test_card_says_the_licence_of_the_weights(arch, weights, licence):
    _, card, text = made(run={'arch': arch, 'weights': weights})
    assert card['weights']['licence'] == licence
    assert f'Licence of the weights it started from: {licence}\n' in text


def test_card_does_not_call_given_hyperparameters_chosen():
    _, _, text = made('scratch', valid_score=None)
    assert 'Validation top1: not measured' in text
    assert 'Hyperparameters, as given, not chosen: lr 0.1, wd 0.0' in text
    assert 'started from: `random`, digest none recorded\n' in text
    assert 'Licence of the weights it started from: none\n' in text
    _, card, text = made(run={'hparams': {'l2s': [1.0]}})
    assert 'Hyperparameters, as given, not chosen: l2 1.0' in text
    assert card['tried'] == 1


@pytest.mark.parametrize('metric', ['mean_per_class', 'voc_map'])
def test_an_interval_of_counts_is_for_top1_alone(metric):
    _, card, text = made(metric=metric)
    assert card['interval'] is None
    assert f'Test {metric}: 80.0 %, 100 images' in text


def test_probabilities_of_several_classes_are_said_not_to_add_up():
    for several, said in ((False, 'add up to 1'), (True, 'stands for itself')):
        _, card, text = made(model={'multi_label': several})
        assert said in card['limits'][-1] and said in text


def test_files_that_were_left_out_are_a_limit():
    images = {'train': 40, 'valid': 10, 'test': 100, 'skipped': 3}
    _, card, _ = made(images=images)
    assert card['limits'][-1].startswith('3 files of the dataset could not be read')
    assert 'could not be read' not in made()[2]


def test_archives_that_are_not_their_authors_files_are_a_limit():
    _, card, _ = made(unverified=('cifar-10-binary.tar.gz',))
    assert card['limits'][-1].endswith("authors' files: cifar-10-binary.tar.gz.")
    assert 'authors' not in made()[2]


def test_tflite_is_there_only_if_it_was_made():
    model = {
        'file': 'model.tflite',
        'labels': 'labels.txt',
        'inputs': {'image': ['uint8', [1, 64, 64, 3]]},
        'outputs': {'probabilities': ['float32', [1, 5]]},
    }
    assert 'tflite' not in made()[2].lower()
    _, _, text = made(model={'tflite': model}, compared={'tflite': 3e-6})
    assert '`model.tflite`: image uint8 [1, 64, 64, 3] -> prob' in text
    assert 'SavedModel within 2.0e-07, TFLite within 3.0e-06' in text


def test_the_score_is_that_of_the_model_where_the_run_was_rounded():
    _, card, text = made(rounded=ROUNDED)
    assert (card['score'], card['run_score']) == (0.75, 0.8)
    interval = stats.binomtest(75, 100).proportion_ci(method='wilson')
    np.testing.assert_allclose(card['interval'], interval)
    assert 'Test top1: 75.0 % (Wilson' in text
    assert (
        'Computed in float32; the features of the Run were computed in bfloat16 and '
        'cached in float32, and its classifier was fitted to those: its own test top1 '
        'is 80.0 %. Largest difference of probabilities 2.1e-01; the predicted class '
        'is the same for 93.0 % of the images\n' in text
    )
    assert 'against those of the network in float32: SavedModel within' in text
    assert 'Computed in float32' not in made()[2]


def test_both_files_hold_the_same(tmp_path):
    _, card, text = made()
    model_card.write(card, tmp_path, 'my_model')
    assert json.loads((tmp_path / 'model_card.json').read_text()) == card
    assert (tmp_path / 'MODEL_CARD.md').read_text() == text


def test_names_are_not_read_as_markdown():
    names = ('`', '](http://x)', '# a', '<b>', '``` x')
    odd = 'folder:/data/<img src=x> *a* [b](c) $d$'
    _, card, text = made(run={'dataset': odd}, classes=names)
    lines = text.splitlines()
    assert card['dataset']['name'] == odd
    plain = r'folder:/data/&lt;img src=x> \*a\* \[b\](c) \$d\$'
    assert lines[0].endswith(plain) and plain in lines[2]
    assert text.count(odd) == 1 and f'`{odd}`' in text  # As code.
    assert lines[-5:] == [
        '0. `` ` ``', '1. `](http://x)`', '2. `# a`', '3. `<b>`',
        '4. ```` ``` x ````',
    ]  # fmt: skip
