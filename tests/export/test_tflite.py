"""model.tflite alone: what it takes and gives, against the same sums in NumPy."""

import numpy as np
import pytest
from ai_edge_litert import interpreter
from scipy import special

from tests.support.fakes import ARCHITECTURE
from tfxfer import errors, models
from tfxfer.data import preprocess
from tfxfer.export import saved_model, tflite

CLASSES = ('blue', 'green', 'red')


@pytest.fixture
def written(fakes, tmp_path):
    """Writes the model of a random network; returns its logits of three images."""
    network = models.build(
        ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=7)
    )
    w = np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32)
    images = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)

    def write(*, own_classifier, multi_label):
        module = saved_model.Served(
            network,
            None if own_classifier else w,
            CLASSES,
            8,
            preprocess.whole,
            multi_label,
        )
        tflite.write(tmp_path, module, CLASSES)
        given = network(images.astype(np.float32), training=False)
        if own_classifier:
            return images, given['logits'].numpy()
        return images, given['features'].numpy() @ w[:-1] + w[-1]

    return write


@pytest.mark.parametrize('own_classifier', [True, False])
@pytest.mark.parametrize('multi_label', [True, False])
def test_probabilities_are_those_of_the_network(
    written, tmp_path, own_classifier, multi_label
):
    images, logits = written(own_classifier=own_classifier, multi_label=multi_label)
    got = np.concatenate(list(tflite.probabilities(tmp_path, images[:, None])))
    assert got.dtype == np.float32
    expected = special.expit(logits) if multi_label else special.softmax(logits, 1)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_file_takes_and_gives_what_its_metadata_says(written, tmp_path):
    written(own_classifier=False, multi_label=False)
    metadata = tflite.metadata(8, CLASSES)
    reader = interpreter.Interpreter(model_path=str(tmp_path / metadata['file']))
    predict = reader.get_signature_runner('serving_default')
    for details, specs in (
        (predict.get_input_details(), metadata['inputs']),
        (predict.get_output_details(), metadata['outputs']),
    ):
        assert {
            name: [np.dtype(each['dtype']).name, each['shape'].tolist()]
            for name, each in details.items()
        } == specs
    assert (tmp_path / metadata['labels']).read_text() == 'blue\ngreen\nred\n'


@pytest.mark.parametrize('name', ['a\nb', 'a\r', ''])
def test_class_that_is_not_one_line_has_no_place_in_labels(name):
    tflite.check_classes(('cat', 'hot dog'))
    with pytest.raises(errors.InputError, match='one class per line.*cannot name'):
        tflite.check_classes(('cat', name))
