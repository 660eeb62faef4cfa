import subprocess
import sys
import types

import pytest

from tfxfer.cli import lean_import

FIRST = """
import json, sys
from tfxfer.cli import lean_import
lean_import.enable()
import {first}
left_out = [name for name in lean_import.LEFT_OUT if name in sys.modules]
import keras, pandas, sklearn, tensorflow
from matplotlib import pyplot
model = keras.Sequential([keras.layers.Dense(1)])
assert model(tensorflow.ones((2, 3))).shape == (2, 1)
lean_import.enable()
assert sum(isinstance(f, lean_import._Finder) for f in sys.meta_path) == 1
print(json.dumps(left_out), tensorflow.__spec__.loader is tensorflow.__loader__)
"""


@pytest.mark.parametrize('first', ['keras', 'orbit'])
def test_what_no_program_calls_is_not_imported_and_can_be_afterwards(first):
    done = subprocess.run(
        [sys.executable, '-c', FIRST.format(first=first)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == '[] True\n'


class Loader:
    """Notes what it can import, and fails as a broken installation does."""

    def __init__(self):
        self.found = []

    def exec_module(self, module):
        for name in lean_import.LEFT_OUT:
            try:
                __import__(name)
                self.found.append(name)
            except ImportError:
                pass
        raise OSError('libtensorflow.so: too short')


def test_a_broken_tensorflow_leaves_other_packages_as_they_were(monkeypatch):
    monkeypatch.setattr(lean_import, 'LEFT_OUT', ('json', 'wave'))
    monkeypatch.delitem(sys.modules, 'wave', raising=False)  # json stays imported.
    before, loader = dict(sys.modules), Loader()
    with pytest.raises(OSError, match='too short'):
        lean_import._Loader(loader).exec_module(types.ModuleType('tensorflow'))
    assert loader.found == ['json']
    assert sys.modules == before
