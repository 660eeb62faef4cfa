"""Which networks the slow tests take at full size: one of each family, or all."""

import os
from collections.abc import Collection, Iterable

# TFXFER_ALL_NETWORKS=1 takes all: that is an hour more.
EVERY = bool(os.environ.get('TFXFER_ALL_NETWORKS'))
# Deeper or wider ones of a family that others here are of.
_LIKE_OTHERS = {
    'resnet_101', 'resnet_152', 'densenet_169', 'densenet_201', 'mobilenet_v2_1.4',
    'nasnet_large',
}  # fmt: skip


def chosen(names: Iterable[str], left_out: Collection[str]) -> list[str]:
    """Those of these networks that are tested; left_out: others that need not be."""
    return [
        name
        for name in names
        if EVERY or not (name in _LIKE_OTHERS or name in left_out)
    ]
