"""Against TensorFlow, which writes and reads the same files."""

import numpy as np
import tensorflow as tf

from tfxfer.data import tfrecord


def test_examples_are_read_as_tensorflow_reads_them(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / 'records'
    written = []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in (0, 1, 127, 128, 20_000, 3_000_000):
            ints = rng.integers(-(2**62), 2**62, size % 50)
            example = tf.train.Example()
            example.features.feature['image'].bytes_list.value.append(rng.bytes(size))
            example.features.feature['ints'].int64_list.value.extend(ints)
            example.features.feature['floats'].float_list.value.extend([1.5, 2.5])
            written.append(example)
            writer.write(example.SerializeToString())
    whole = path.read_bytes()
    records = list(tfrecord.records(path))
    assert len(records) == len(written)
    for (start, data), example in zip(records, written, strict=True):
        found = tfrecord.features(data)
        assert set(found) == {'image', 'ints', 'floats'}
        values = example.features.feature
        [(at, end)] = tfrecord.spans(data, found['image'])
        assert whole[start + at : start + end] == values['image'].bytes_list.value[0]
        assert tfrecord.ints(data, found['ints']) == values['ints'].int64_list.value
