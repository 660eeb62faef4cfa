"""Images per second from JPEG files to features, against decoding and network alone.

    python -m tools.bench_extract --archs=mobilenet_v1,resnet_50

Files are those of tools.bench_input (500 x 375 pixels). Decoding and network share the
CPU's cores, so that with no time lost their rates d and n give
1 / (1/d + 1/n) together; printed are medians of several rounds, in turn, and how much
of the slower one's rate, and of that bound, is reached.
"""

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
from tfxfer.data import image_set, pipeline, preprocess, readers
from tfxfer.models import openvino, predict
from tools import bench_input
from tools.benchmarks import session
from tools.benchmarks.rows import Row

BATCH = 32
LIBRARIES = 'tfxfer', 'tensorflow', 'keras', 'openvino', 'numpy'
QUICK = {'archs': ['mobilenet_v1_0.25'], 'images': 128, 'rounds': 1}
PRECISIONS = ('float32', 'bfloat16')  # Those that take no images to quantise by.


def rates(
    arch: architectures.Architecture,
    images: image_set.Images,
    options: session.Options,
    bench: session.Session,
) -> dict[str, float]:
    """Medians of images per second: {'decoding', 'network', 'together'}.

    Says each as it is measured. Interrupted, they are of those until then, or {}.
    """
    network = models.build(arch, 2)
    count = len(images.labels)

    def batches():
        return pipeline.evaluation(
            images, np.arange(count), arch.input_size, preprocess.whole, BATCH
        )

    def decoding():
        start = time.perf_counter()
        for _ in batches():
            pass
        return count / (time.perf_counter() - start)

    def alone():
        start = time.perf_counter()
        for finish in [begin(batch) for _ in range(count // BATCH)]:
            finish()
        return count / (time.perf_counter() - start)

    def together():
        # The engine's own preparation, a few seconds per network, is left out.
        inference = predict.Inference(
            ('features',), options.precision, title='Features'
        )
        parts = predict.stream(network, batches(), inference)
        next(parts)
        start = time.perf_counter()
        done = sum(len(part['index']) for part in parts)
        return done / (time.perf_counter() - start)

    batch = next(batches().as_numpy_iterator())['image']
    sides = {'decoding': decoding, 'network': alone, 'together': together}
    found: dict[str, list[float]] = {name: [] for name in sides}
    spec = tf.TensorSpec(batch.shape, batch.dtype)
    with (
        bench.cut_short(),
        openvino.compiled(
            network, spec, ['features'], precision=options.precision
        ) as begin,
    ):
        begin(batch)()
        decoding()  # What a first pass starts is not counted.
        for i in range(options.rounds):
            for name, side in sides.items():
                found[name].append(side())
                bench.say(
                    f'  round {i + 1}: {arch.name} {name} {found[name][-1]:.0f}/s'
                )
    if not all(found.values()):
        return {}
    return {name: statistics.median(each) for name, each in found.items()}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.strings('archs', ['mobilenet_v1', 'resnet_50'], 'Networks.')
    define.integer('images', 512, 'JPEG files.', least=2 * BATCH)
    define.integer('rounds', 3, 'Turns of each.', least=1)
    define.choice('precision', 'float32', PRECISIONS, 'Of the network.')
    session.define(define)
    return define.given


def main(given: app.Given) -> None:
    options = session.settle(given, QUICK)
    for name in options.archs:
        errors.find('architecture', architectures.ARCHITECTURES, name)
    with (
        session.begin(options, 'bench_extract', LIBRARIES) as bench,
        tempfile.TemporaryDirectory() as folder,
    ):
        bench_input.make_files(pathlib.Path(folder), options.images // BATCH * BATCH)
        _, images = readers.read(datasets.find(f'folder:{folder}'))
        for name in options.archs:
            arch = architectures.ARCHITECTURES[name]
            if found := rates(arch, images, options, bench):
                bench.say(line(name, options.precision, found))
            if bench.interrupted:
                break
            bench.record(row(name, options.precision, found))


def line(name: str, precision: str, found: dict[str, float]) -> str:
    """What is printed of a network."""
    slower = min(found['decoding'], found['network'])
    bound = 1 / (1 / found['decoding'] + 1 / found['network'])
    return (
        f'{name} {precision}: '
        + ', '.join(f'{key} {rate:.0f}/s' for key, rate in found.items())
        + f'; {100 * found["together"] / slower:.0f} % of the slower, '
        f'{100 * found["together"] / bound:.0f} % of the bound'
    )


def row(name: str, precision: str, found: dict[str, float]) -> Row:
    """The same for the table of all benchmarks."""
    return Row(
        f'{name}, JPEG files to features, {precision}',
        found['together'],
        'images/s',
        {'decoding alone': found['decoding'], 'network alone': found['network']},
    )


if __name__ == '__main__':
    app.run(sys.modules[__name__])
