"""What this machine can compute in."""

import pytest

from tfxfer import errors
from tfxfer.models import openvino


def bfloat16_or_skip():
    try:
        openvino.check('bfloat16')
    except errors.InputError as error:
        pytest.skip(str(error))
