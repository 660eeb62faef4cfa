"""Whether networks can be quantised here."""

import pytest

from tfxfer import errors
from tfxfer.models import int8


def int8_or_skip():
    try:
        int8.check()
    except errors.InputError as error:
        pytest.skip(str(error))
