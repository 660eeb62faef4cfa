"""Images per second from JPEG files to features, against decoding and network alone.

    python -m tools.bench_extract --archs=mobilenet_v1,resnet_50

Files are those of tools.bench_input (500 x 375 pixels). Decoding and network share the
CPU's cores, so that with no time lost their rates d and n give
1 / (1/d + 1/n) together; printed are medians of several rounds, in turn, and how much
of the slower one's rate, and of that bound, is reached.
"""

import itertools
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import flags

from tfxfer import architectures, datasets, errors, models
from tfxfer.cli import app
from tfxfer.data import pipeline, preprocess, readers
from tfxfer.models import openvino, predict
from tools import bench_input

BATCH = 32
PRECISIONS = ('float32', 'bfloat16')  # Those that take no images to quantise by.


def rates(arch, images, precision, rounds):
    """Medians of images per second: {'decoding', 'network', 'together'}."""
    network = models.build(arch, 2)
    count = len(images.labels)

    def batches():
        return pipeline.evaluation(
            images, np.arange(count), arch.input_size, preprocess.whole, BATCH
        )

    batch = next(batches().as_numpy_iterator())['image']
    seconds = {'decoding': [], 'network': [], 'together': []}
    spec = tf.TensorSpec(batch.shape, batch.dtype)
    with openvino.compiled(network, spec, ['features'], precision=precision) as begin:
        begin(batch)()
        for _ in range(rounds):
            start = time.perf_counter()
            for _ in batches():
                pass
            seconds['decoding'].append(time.perf_counter() - start)
            start = time.perf_counter()
            for finish in [begin(batch) for _ in range(count // BATCH)]:
                finish()
            seconds['network'].append(time.perf_counter() - start)
            # The engine's own preparation, a few seconds per network, is left out.
            inference = predict.Inference(('features',), precision, title='Features')
            parts = predict.stream(network, batches(), inference)
            next(parts)
            start = time.perf_counter()
            done = sum(len(part['index']) for part in itertools.islice(parts, 10**9))
            took = time.perf_counter() - start
            seconds['together'].append(took * count / done)
    return {name: count / statistics.median(each) for name, each in seconds.items()}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.strings('archs', ['mobilenet_v1', 'resnet_50'], 'Networks.')
    define.integer('images', 512, 'JPEG files.', least=2 * BATCH)
    define.integer('rounds', 3, 'Turns of each.', least=1)
    define.choice('precision', 'float32', PRECISIONS, 'Of the network.')
    return define.given


def main(given: app.Given) -> None:
    for name in given.archs:
        errors.find('architecture', architectures.ARCHITECTURES, name)
    with tempfile.TemporaryDirectory() as folder:
        bench_input.make_files(pathlib.Path(folder), given.images // BATCH * BATCH)
        _, images = readers.read(datasets.find(f'folder:{folder}'))
        for name in given.archs:
            arch = architectures.ARCHITECTURES[name]
            found = rates(arch, images, given.precision, given.rounds)
            slower = min(found['decoding'], found['network'])
            bound = 1 / (1 / found['decoding'] + 1 / found['network'])
            print(
                f'{name} {given.precision}: '
                + ', '.join(f'{key} {rate:.0f}/s' for key, rate in found.items())
                + f'; {100 * found["together"] / slower:.0f} % of the slower, '
                f'{100 * found["together"] / bound:.0f} % of the bound',
                flush=True,
            )


if __name__ == '__main__':
    app.run(sys.modules[__name__])
