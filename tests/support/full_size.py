"""Marks of tests that are carried out for many networks: default, slow, exhaustive."""

from collections.abc import Collection, Iterable

import pytest

# Deeper or wider ones of a family that others are of.
LIKE_OTHERS = {
    'resnet_101', 'resnet_152', 'densenet_169', 'densenet_201', 'mobilenet_v2_1.4',
    'nasnet_large',
}  # fmt: skip


def marked(names: Iterable, *, default: Collection = (), slow: Collection = ()) -> list:
    """Parameters: those in neither collection are exhaustive."""
    return [
        pytest.param(
            name,
            marks=()
            if name in default
            else (pytest.mark.slow if name in slow else pytest.mark.exhaustive),
        )
        for name in names
    ]
