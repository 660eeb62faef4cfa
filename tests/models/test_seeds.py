"""Seeds: the same start, and nobody else's random numbers."""

import random

import keras
import numpy as np

from tests.support.small_networks import SMALL, values
from tfxfer import models


def test_the_seed_alone_decides_the_start():
    first = values(models.build(SMALL, 3, options=models.NetworkOptions(seed=4)))
    random.seed(99)
    keras.utils.set_random_seed(99)
    again = values(models.build(SMALL, 3, options=models.NetworkOptions(seed=4)))
    other = values(models.build(SMALL, 3, options=models.NetworkOptions(seed=5)))
    assert first.keys() == again.keys()
    for path, value in first.items():
        np.testing.assert_array_equal(value, again[path])
    assert np.any(first['logits/kernel'] != other['logits/kernel'])


def test_building_leaves_the_random_numbers_of_others_alone():
    random.seed(3)
    expected = random.random()
    random.seed(3)
    models.build(SMALL, 3, options=models.NetworkOptions(seed=4))
    assert random.random() == expected
