"""Features of the made-up task by the tiny network, extracted by several processes."""

import os

import numpy as np

from tests.support.fakes import ARCHITECTURE, colours, tiny
from tfxfer import models
from tfxfer.transfer import features

METADATA = {'arch': {'name': 'tiny'}, 'weights': 'w', 'dataset': 'colours'}
ALL = np.arange(90)


def network(**options):
    return models.build(
        ARCHITECTURE, classes=3, options=models.NetworkOptions(**options)
    )


def extract(images, cache, model, indices=ALL, size=8, metadata=METADATA, **options):
    extraction = features.Extraction(images, size, cache, metadata, batch=5, **options)
    return features.extract(model, extraction, indices)


def extract_all(cache):
    """As a process of its own, whose table of networks has no fakes yet."""
    models.BUILDERS['tiny'] = tiny
    return extract(colours(None, None)[1], cache, network)


def extract_and_note(folder, start):
    """Waits for `start`; leaves an x in folder/asked if it computed anything."""
    models.BUILDERS['tiny'] = tiny

    def noted():
        with open(folder / 'asked', 'a') as file:
            file.write('x')
        return network()

    start.wait()
    x, _ = extract(colours(None, None)[1], folder, noted)
    np.save(folder / f'{os.getpid()}.npy', x)
