"""Files in MNIST's format, written by hand."""

import gzip
import struct

import numpy as np


def idx_bytes(array):
    """The format by hand: two zeros, type 8, dimensions, their sizes, the bytes."""
    head = bytes([0, 0, 8, array.ndim]) + b''.join(
        struct.pack('>I', side) for side in array.shape
    )
    return head + array.astype(np.uint8).tobytes()


def write(folder, part, images, labels, *, zipped=False):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (('images-idx3', images), ('labels-idx1', np.array(labels))):
        path, data = folder / f'{part}-{kind}-ubyte', idx_bytes(array)
        if zipped:
            path, data = path.with_name(f'{path.name}.gz'), gzip.compress(data)
        path.write_bytes(data)


def pictures(count, seed=0, shape=(4, 5)):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape)).astype(np.uint8)
