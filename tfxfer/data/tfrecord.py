"""TFRecord files of tf.train.Example messages, and where in them values lie.

A file has for each record u64 length, u32 checksum of it, the bytes, u32 checksum of
these. The protocol buffer is read by hand: its library gives no offsets, by which the
images are read ever after, and TensorFlow takes seconds to start.
"""

import os
import struct
from collections.abc import Iterator

Span = tuple[int, int]  # First byte, and the byte after the last.


def records(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of every record of a file.

    Raises:
        ValueError: the file ends within a record.
    """
    with open(path, 'rb') as file:
        while head := file.read(12):
            (length,) = struct.unpack('<Q', head[:8])
            start = file.tell()
            data = file.read(length)
            if len(data) < length or len(file.read(4)) < 4:
                raise ValueError('the file ends within it')
            yield start, data


def features(data: bytes) -> dict[str, Span]:
    """{name of a feature: (start, end) of its list of values} of a tf.train.Example."""
    spans = {}
    for _, start, end in _fields(data, 0, len(data)):  # features
        for _, first, last in _fields(data, start, end):  # map entries
            entry = {n: (a, b) for n, a, b in _fields(data, first, last)}
            name = data[slice(*entry[1])].decode()
            for _, a, b in _fields(data, *entry[2]):  # bytes, float or int64 list
                spans[name] = a, b
    return spans


def spans(data: bytes, span: Span) -> list[Span]:
    """(start, end) of each value of a list of bytes."""
    return [(start, end) for _, start, end in _fields(data, *span)]


def ints(data: bytes, span: Span) -> list[int]:
    """The values of a list of integers."""
    values = []
    for _, position, end in _fields(data, *span):
        while position < end:
            value, position = _varint(data, position)
            values.append(value - (1 << 64) if value >> 63 else value)
    return values


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each field of the message between start and end."""
    while start < end:
        tag, start = _varint(data, start)
        if tag & 7 == 2:  # Length and bytes.
            length, start = _varint(data, start)
            stop = start + length
        elif tag & 7 == 0:  # One number.
            _, stop = _varint(data, start)
        else:
            raise ValueError(f'a field of type {tag & 7}')
        if stop > end:
            raise ValueError('a field ends outside')
        yield tag >> 3, start, stop
        start = stop


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """A number of 7 bits per byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
        shift += 7
