"""Models as they are exported, of random weights."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.fakes import ARCHITECTURE, tiny
from tfxfer import models, storage
from tfxfer.data import preprocess
from tfxfer.export import saved_model

CLASSES = ('blue', 'green', 'red')


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """{multi_label: folder of a model} of random weights."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.BUILDERS, 'tiny', tiny)
        network = models.build(
            ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=7)
        )
    w = np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32)
    for multi_label in (False, True):
        folder = tmp_path_factory.mktemp('exported')
        module = saved_model.Served(
            network, w, CLASSES, 8, preprocess.whole, multi_label
        )
        tf.saved_model.save(
            module, str(folder), signatures={'serving_default': module.serve}
        )
        storage.write_json(folder / 'model_card.json', {'multi_label': multi_label})
        folders[multi_label] = folder
    return folders
