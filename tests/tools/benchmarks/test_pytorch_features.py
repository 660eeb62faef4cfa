"""PyTorch's side of bench_features, where PyTorch is installed and where it is not."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from tools.benchmarks import pytorch_features
from tools.benchmarks.pytorch_features import PyTorch

INSTALLED = all(map(importlib.util.find_spec, ('torch', 'timm')))


def test_a_network_that_timm_lacks_is_said_by_the_other_process():
    pipe = pytorch_features.started(PyTorch(), 'nasnet_mobile', 2)
    said = pipe.recv()
    assert 'nasnet_mobile' in said if INSTALLED else 'No module named' in said


@pytest.mark.skipif(not INSTALLED, reason='needs PyTorch and timm: the extra `bench`')
def test_rates_are_measured_whenever_asked_for():
    pipe = pytorch_features.started(PyTorch(), 'mobilenet_v1', 2)
    assert pipe.recv() is None
    for _ in range(2):
        pipe.send(True)
        assert pipe.recv() > 0
    pipe.send(False)
    with pytest.raises(EOFError):
        pipe.recv()


def test_its_process_loads_no_tensorflow():
    code = (
        'import sys; from tools.benchmarks import pytorch_features; '
        'print("tensorflow" in sys.modules)'
    )
    found = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == 'False'


def test_images_have_the_size_of_the_network():
    images = pytorch_features.images_of('inception_v3', 2)
    assert images.shape == (2, 299, 299, 3) and images.dtype == np.uint8
