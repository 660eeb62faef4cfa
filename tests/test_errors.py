"""Errors say what would have worked."""

import pytest

from tfxfer import errors


def test_find_names_the_nearest_and_all_known():
    with pytest.raises(errors.InputError) as error:
        errors.find('fruit', {'apple': 1, 'pear': 2}, 'appel')
    assert str(error.value) == (
        "No fruit named 'appel'. Did you mean 'apple'? Known: apple, pear."
    )
