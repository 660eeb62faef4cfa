"""A tiny network and a made-up task, as ordinary records in the ordinary tables."""

import numpy as np
import pytest
from keras import layers

from tfxfer import architectures, datasets, models
from tfxfer.data import image_set, readers, splits
from tfxfer.models import blocks
from tfxfer.models.batch_norm import BatchNormalization

SIDE = 8


def tiny(images, *, scale=None, width=8):
    """Two layers: [b, h, w, 3] -> features [b, width]."""
    x = layers.Conv2D(width, 3, 2, use_bias=False, name='conv')(images)
    x = BatchNormalization(scale=scale is not False, name='norm')(x)
    x = layers.Activation('relu')(x)
    return blocks.Outputs(layers.GlobalAveragePooling2D()(x))


def colours(dataset, options):
    """90 noisy images, each with more of one of three colours."""
    del options
    rng = np.random.default_rng(0)
    labels = np.arange(90, dtype=np.int32) % 3
    pixels = rng.integers(0, 120, (90, SIDE, SIDE, 3))
    pixels[np.arange(90), :, :, labels] += 60
    test = np.arange(90) >= 60
    kept, held = splits.hold_out(labels[:60])
    return dataset, image_set.Images(
        labels=labels,
        splits={'train': kept, 'valid': held, 'test': np.flatnonzero(test)},
        pixels=pixels.astype(np.uint8),
    )


ARCHITECTURE = architectures.Architecture(
    name='tiny',
    builder='tiny',
    input_size=SIDE,
    features=8,
    parameters=232,
    head='head',
)
DATASET = datasets.Dataset(
    'colours', 'colours', 3, ('red', 'green', 'blue'), (48, 12, 30), 'top1'
)


@pytest.fixture
def opened(monkeypatch):
    """The names of the splits that Tasks open, in order; none yet."""
    from tfxfer.transfer.task import Task

    names, original = [], Task.indices

    def watched(self, split):
        names.append(split)
        return original(self, split)

    monkeypatch.setattr(Task, 'indices', watched)
    return names


@pytest.fixture
def fakes(monkeypatch):
    """Registers both for one test."""
    monkeypatch.setitem(architectures.ARCHITECTURES, 'tiny', ARCHITECTURE)
    monkeypatch.setitem(models.BUILDERS, 'tiny', tiny)
    monkeypatch.setitem(datasets.DATASETS, 'colours', DATASET)
    monkeypatch.setitem(readers.SOURCES, 'colours', colours)
