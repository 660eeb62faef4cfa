"""Fixtures of several test files of export."""

import numpy as np
import pytest

from tests.support.fakes import ARCHITECTURE
from tfxfer import config, datasets, models, results
from tfxfer.data import image_set, readers
from tfxfer.transfer import execute
from tfxfer.transfer.options import ExecutionOptions

SGD = {'steps': 20, 'batch': 8, 'lr': 0.05, 'min_area': 0.5}


@pytest.fixture
def finished(fakes, photographs, tmp_path):
    """Makes a Run of a setting on a folder of photographs: its Record and folder."""
    start = tmp_path / 'start.weights.h5'
    models.save_weights(
        models.build(ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=7)),
        start,
    )

    def make(setting, phase='final', **changes):
        fields = {
            'arch': 'tiny',
            'dataset': changes.get('dataset') or f'folder:{photographs()}',
            'setting': setting,
            'phase': phase,
            'weights': str(start) if setting in ('logistic', 'finetune') else '',
            'hparams': {'l2s': (1.0,)} if setting == 'logistic' else SGD,
        }
        record = execute.execute(
            config.from_dict({**fields, **changes}), ExecutionOptions(tmp_path / 'runs')
        )
        return record, results.folder(tmp_path / 'runs', record.run)

    return make


@pytest.fixture
def several(fakes, finished, monkeypatch):
    """Makes a logistic Run of a task of several classes per image; see finished."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 3)).astype(np.int32)
    pixels = rng.integers(0, 100, (60, 20, 24, 3)) + 150 * labels[:, None, None]
    parts = np.split(np.arange(60), [30, 40])
    images = image_set.Images(
        labels=labels,
        splits=dict(zip(('train', 'valid', 'test'), parts, strict=True)),
        pixels=pixels.astype(np.uint8),
    )
    record = datasets.Dataset(
        'several', 'several', 3, ('red', 'green', 'blue'), None, 'voc_map', True
    )
    monkeypatch.setitem(datasets.DATASETS, 'several', record)
    monkeypatch.setitem(readers.SOURCES, 'several', lambda *_: (record, images))
    return lambda: (*finished('logistic', dataset='several'), images)
