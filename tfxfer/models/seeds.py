"""The seed, the names and the dtype policy with which Keras' layers are made."""

import collections
import contextlib
import hashlib
import random
from collections.abc import Iterator

import keras
from keras.src.backend.common import global_state

_COUNTS = 'object_name_uids'  # How often Keras has made up a name, by its beginning.


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Makes what Keras draws inside depend on `seed` alone, and nothing outside.

    Keras draws the seed of each initialiser and of each dropout from Python's `random`.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def derived(seed: int, use: str) -> int:
    """A seed for one use of a Run's seed, unrelated to those of its other uses."""
    digest = hashlib.sha256(f'{use} {seed}'.encode()).digest()
    return int.from_bytes(digest[:4], 'big')


@contextlib.contextmanager
def fresh_names() -> Iterator[None]:
    """Makes the names that Keras makes up inside the same each time.

    They count on through the process otherwise, and weights are found by them.
    """
    before = global_state.get_global_attribute(_COUNTS)
    global_state.set_global_attribute(_COUNTS, collections.defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(_COUNTS, before)


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Makes layers that are made inside compute as Keras' policy `name` says."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
