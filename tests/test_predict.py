import numpy as np
import pytest

from tests.fakes import ARCHITECTURE, colours
from tfxfer import features, inputs, models, predict, preprocess


@pytest.fixture
def images(fakes):
    return colours(None, None)[1]


def predictions(model, images, indices, batch):
    batches = inputs.evaluation(images, indices, 8, preprocess.whole, batch)
    return predict.predict(model, batches, indices)


@pytest.mark.parametrize('batch', [1, 7, 30, 64])
def test_each_index_is_predicted_once_whatever_the_batch(images, batch):
    model = models.build(ARCHITECTURE, classes=3)
    indices = images.splits['test'][::-1].copy()
    got = predictions(model, images, indices, batch)
    np.testing.assert_array_equal(got['index'], indices)
    np.testing.assert_array_equal(got['label'], images.labels[indices])
    direct = model(images.pixels[indices].astype(np.float32), training=False)
    np.testing.assert_allclose(got['logits'], direct['logits'], atol=1e-5)
    np.testing.assert_allclose(got['features'], direct['features'], atol=1e-5)


def test_batches_that_lack_an_image_are_noticed(images):
    model = models.build(ARCHITECTURE, classes=3)
    batches = inputs.evaluation(images, np.arange(10), 8, preprocess.whole, 4)
    with pytest.raises(RuntimeError, match='11 images were to be predicted once'):
        predict.predict(model, batches, np.arange(11))


def extract(images, cache, model, **changes):
    facts = {'weights': 'w', **changes.pop('facts', {})}
    options = {'indices': np.arange(12), 'size': 8, 'batch': 5, **changes}
    return features.extract(model, images, **options, cache=cache, facts=facts)


def test_cached_features_are_those_of_the_network(images, tmp_path):
    model = models.build(ARCHITECTURE, classes=3)
    fresh, y = extract(images, tmp_path, lambda: model)
    again, _ = extract(images, tmp_path, None)  # No network is needed.
    np.testing.assert_array_equal(fresh, again)
    direct = model(images.pixels[:12].astype(np.float32), training=False)
    np.testing.assert_allclose(fresh, direct['features'], atol=1e-5)
    np.testing.assert_array_equal(y, images.labels[:12])


@pytest.mark.parametrize(
    'change',
    [{'facts': {'weights': 'v'}}, {'indices': np.arange(1, 13)}, {'size': 16}],
)
def test_whatever_changes_the_numbers_changes_the_key(images, tmp_path, change):
    model = models.build(ARCHITECTURE, classes=3)
    extract(images, tmp_path, lambda: model)
    asked = []
    if 'size' in change:
        model = models.build(ARCHITECTURE, classes=3, image_size=change['size'])
    extract(images, tmp_path, lambda: asked.append(1) or model, **change)
    assert asked


def test_features_that_were_interrupted_are_not_complete(images, tmp_path, monkeypatch):
    model = models.build(ARCHITECTURE, classes=3)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(features.results, 'write_json', stop)
        with pytest.raises(KeyboardInterrupt):
            extract(images, tmp_path, lambda: model)
    assert not list((tmp_path / 'features').iterdir())
    x, _ = extract(images, tmp_path, lambda: model)
    assert x.shape == (12, 8)
