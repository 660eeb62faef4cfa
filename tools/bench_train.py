"""Images a second of training steps: ours, Keras' fit and PyTorch's loop.

    python -m tools.bench_train
    python -m tools.bench_train --archs=resnet_50:128 --feeds=ready --rounds=5

Ours is loop.fit as a Run calls it (no folder, so neither checkpoints nor TensorBoard);
Keras' is model.fit of the same network with Keras' own batch norm; PyTorch's, where it
and timm are installed (the extra `bench`), a plain loop over timm's network of the name
in train mode, channels last, its ResNets striding where TF-Slim's do. All make steps of
SGD with Nesterov momentum on the cross-entropy, in float32 and without weight decay.
Ours and Keras count hits too; ours takes the gradient's norm, and its rate follows the
cosine.

What they are fed:

    ready    one batch of random pixels (uint8) and labels again and again, for all
             sides: nobody pays for making it. The ratios are between these.
    memory   ours alone: photographs in memory, decoded (--keep=decoded), through
             pipeline.training, that is with random crops resized and flipped.
    files    the same from JPEG files (500 x 375, those of tools.bench_input).

Each side runs in a process of its own, in turn, several times; timed are whole reports
(--every steps and what fit does after them) after the first, in which all is traced.
Printed are medians, one line a network and feed: `input alone` is pipeline.training
without a network. Without a GPU both share the cores, so that with no time lost
1 / (1/ready + 1/input) is left of the two rates: `of the bound` is the share of that.

`of ...` is the share of the GPU's peak rate (--peak_tflops), or without a GPU of the
rate measured in a product of two float32 matrices, with 6 operations for each
multiply-add of the network forward. Steps by XLA (loop.Options.jit_compile) are timed
where there is a GPU or with --jit_compile; on CPUs they take ten times as long.
"""

import contextlib
import importlib.util
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags

from tfxfer import architectures, config, errors
from tfxfer.cli import app
from tools import bench_input

CLASSES = 10
FEEDS = ('ready', 'memory', 'files')
PRODUCT = 2048  # Side of the matrices.

# 10^12 operations a second in float32 (TF32 where there is such), without sparsity, as
# the makers' data sheets say.
PEAKS = {
    'P100': 10.6, 'V100': 15.7, 'T4': 8.1, 'A10': 62.5, 'A10G': 35.0, 'A100': 156.0,
    'L4': 60.0, 'H100': 494.5,
}  # fmt: skip


class Enough(Exception):
    """Ends a training that has been timed."""


class Marks(list):
    """The times at which reports ended."""

    def note(self):
        """Adds now; returns whether that is enough."""
        self.append(time.perf_counter())
        return self[-1] - self[0] > SECONDS.value

    def rate(self):
        """Images a second."""
        reports = len(self) - 1
        return reports * EVERY.value * BATCH.value / (self[-1] - self[0])


def built(arch, size):
    """The network of ours and of Keras' side."""
    from tfxfer import models

    return models.build(
        arch,
        CLASSES,
        options=models.NetworkOptions(image_size=size, dropout=0.0, aux=False),
    )


def ready(size):
    """A batch u8 [b, s, s, 3] of random pixels, and labels i32 [b]."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH.value, size, size, 3), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, BATCH.value, dtype=np.int32)


def made(feed, size):
    """Endless batches as a Run has them."""
    import tensorflow as tf

    from tfxfer import datasets
    from tfxfer.data import image_cache, pipeline, readers

    if feed == 'ready':
        image, label = ready(size)
        return tf.data.Dataset.from_tensors({'image': image, 'label': label}).repeat()
    _, images = readers.read(datasets.find(f'folder:{FOLDER.value}'))
    indices = np.arange(len(images.labels))
    if feed == 'memory':
        images = image_cache.cached(
            images, indices, image_cache.CacheOptions('decoded'), FOLDER.value
        )
    stream = pipeline.TrainingStream(size, BATCH.value)
    return pipeline.training(images, indices, stream)


def ours(arch, size, feed, jit_compile=False):
    import tensorflow as tf

    from tfxfer.training import loop

    marks = Marks()

    def validate(model):
        if marks.note():
            raise Enough

    batches = made(feed, size)
    steps = 50 * EVERY.value  # So that fit reports after so many.
    with contextlib.suppress(Enough):
        loop.fit(
            loop.Training(
                built(arch, size),
                lambda start, share, parts: batches,
                config.Finetune(steps=steps, batch=BATCH.value),
                images=10_000,
                devices=tf.distribute.get_strategy(),
            ),
            options=loop.Options(valid_every=EVERY.value, jit_compile=jit_compile),
            measurements=loop.Measurements(validate=validate),
        )
    return marks.rate()


def xla(arch, size, feed):
    return ours(arch, size, feed, jit_compile=True)


def keras(arch, size, feed):
    import keras

    from tfxfer.models import batch_norm

    marks = Marks()

    def note(batch, logs):
        if batch % EVERY.value == EVERY.value - 1:
            model.stop_training = marks.note()

    network = built(arch, size)
    for layer in network.layers:
        if isinstance(layer, batch_norm.BatchNormalization):
            layer.__class__ = keras.layers.BatchNormalization
    model = keras.Model(network.input, network.output['logits'])
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=['accuracy'],
    )
    model.fit(
        made(feed, size).map(lambda batch: (batch['image'], batch['label'])),
        steps_per_epoch=50 * EVERY.value,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=note)],
        verbose=0,
    )
    return marks.rate()


def pytorch(arch, size, feed):
    import timm
    import torch

    from tools import bench_features

    if arch not in bench_features.TIMM:
        return None
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision('high')  # TF32, as TensorFlow has it.
    network = timm.create_model(bench_features.TIMM[arch], num_classes=CLASSES)
    if arch.startswith('resnet'):
        stride_late(network)
    network = network.train().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), 0.01, momentum=0.9, nesterov=True, fused=True
    )
    images, labels = map(torch.from_numpy, ready(size))
    marks, done = Marks(), False
    while not done:
        for _ in range(EVERY.value):
            pixels = images.to(device).permute(0, 3, 1, 2)  # Channels last as it is.
            logits = network(pixels.float() / 127.5 - 1)
            loss = torch.nn.functional.cross_entropy(logits, labels.long().to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()
        done = marks.note()
    return marks.rate()


def stride_late(network):
    """Makes timm's ResNet stride in the last unit of a block, as TF-Slim's does."""
    from torch import nn

    blocks = [network.layer1, network.layer2, network.layer3, network.layer4]
    for block, after in zip(blocks, blocks[1:], strict=False):
        block[-1].conv2.stride = (2, 2)
        block[-1].downsample = nn.MaxPool2d(1, 2)
        after[0].conv2.stride = after[0].downsample[0].stride = (1, 1)


def alone(arch, size, feed):
    """Images a second of the input without a network."""
    batches = iter(made(feed, size))
    for _ in range(10):  # What prefetching had ready, and the first reading.
        next(batches)
    marks = Marks()
    while not marks.note():
        for _ in range(EVERY.value):
            next(batches)
    return marks.rate()


def product(arch, size, feed):
    """Operations a second in a product of two matrices."""
    return product_rate('float32')


def product_rate(dtype):
    """The same in any precision."""
    import tensorflow as tf

    a, times = tf.cast(tf.random.normal([PRODUCT, PRODUCT]), dtype), []
    multiply = tf.function(lambda: tf.reduce_sum(a @ a))
    for _ in range(20):
        start = time.perf_counter()
        multiply().numpy()
        times.append(time.perf_counter() - start)
    return 2 * PRODUCT**3 / statistics.median(times)


def multiply_adds(arch, size, feed):
    """Of one image forward: a kernel moves over every output pixel once."""
    return sum(
        math.prod(layer.output.shape[1:3] if len(variable.shape) > 2 else ())
        * math.prod(variable.shape)
        for layer in built(arch, size).layers
        for variable in layer.weights
        if variable.name.endswith('kernel')
    )


SIDES = {
    side.__name__: side
    for side in (ours, xla, keras, pytorch, alone, product, multiply_adds)
}


def problem(text):
    """(architecture, pixels) of NAME:PIXELS."""
    name, _, size = text.partition(':')
    if not re.fullmatch('[1-9][0-9]*', size):
        raise errors.InputError(
            f'--archs has {text!r}; NAME:PIXELS, such as resnet_50:128, was expected.'
        )
    errors.find('architecture', architectures.ARCHITECTURES, name)
    return name, int(size)


def apart(side, feed, arch, size, folder):
    """What a side gives in a process of its own, or None."""
    command = [
        *(sys.executable, '-m', 'tools.bench_train', f'--side={side}/{feed}'),
        *(f'--archs={arch}:{size}', f'--batch={BATCH.value}', f'--folder={folder}'),
        *(f'--every={EVERY.value}', f'--seconds={SECONDS.value}'),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{side} of {arch}: {done.stderr[-2000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def rates(arch, size, folder, *, gpu):
    """{(side, feed): median} over the rounds."""
    sides = ['ours', 'keras']
    sides += ['xla'] * bool(gpu or JIT_COMPILE.value)
    sides += ['pytorch'] * all(map(importlib.util.find_spec, ('torch', 'timm')))
    sides += ['product'] * (not gpu)
    pairs = [(side, 'ready') for side in sides]
    for feed in FEEDS_FLAG.value:
        if feed != 'ready':
            pairs += [('ours', feed), ('alone', feed)]
    found = {pair: [] for pair in pairs}
    for _ in range(ROUNDS.value):
        for (side, feed), values in found.items():
            values.append(apart(side, feed, arch, size, folder))
    return {
        pair: statistics.median(values)
        for pair, values in found.items()
        if None not in values
    }


def lines(arch, size, batch, found, *, work, peak, gpu):
    """What is printed of a network: a line a feed.

    work: multiply-adds of an image forward; peak: operations a second; gpu: its name.
    """
    own = found['ours', 'ready']
    parts = [f'ours {own:.1f}']
    for side, name in (('keras', 'Keras'), ('pytorch', 'PyTorch'), ('xla', 'XLA')):
        if rate := found.get((side, 'ready')):
            parts.append(f'{name} {rate:.1f} (ours/{name} {own / rate:.2f})')
    if peak:
        share = 100 * 6 * work * own / peak
        of = "the GPU's peak" if gpu else "a matrix product's"
        parts.append(f'{share:.0f} % of {of} {peak / 1e12:.3g} Tflop/s')
    texts = {'ready': parts}
    for feed in ('memory', 'files'):
        if rate := found.get(('ours', feed)):
            alone = found['alone', feed]
            bound = min(own, alone) if gpu else 1 / (1 / own + 1 / alone)
            texts[feed] = [
                f'ours {rate:.1f}',
                f'{100 * rate / own:.0f} % of ready',
                f'{100 * rate / bound:.0f} % of the bound',
                f'input alone {alone:.0f}',
            ]
    if 'memory' in texts and 'files' in texts:
        share = found['ours', 'files'] / found['ours', 'memory']
        texts['files'].insert(1, f'{100 * share:.0f} % of memory')
    for feed, parts in texts.items():
        yield f'{arch} {size} px x {batch}, {feed}: {", ".join(parts)}'


def card():
    """Name of the first GPU; '' where there is none."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices('GPU'):
        return tf.config.experimental.get_device_details(gpu).get('device_name', 'GPU')
    return ''


def main(argv):
    del argv
    problems = [problem(text) for text in ARCHS.value]
    for feed in FEEDS_FLAG.value:
        errors.find('feed', dict.fromkeys(FEEDS), feed)
    if SIDE.value:
        side, feed = SIDE.value.split('/')
        print(json.dumps(SIDES[side](*problems[0], feed)))
        return
    gpu = card()
    known = [PEAKS[word] for word in re.split(r'\W+', gpu) if word in PEAKS]
    peak = 1e12 * (PEAK.value or (known[0] if known else 0))
    print(
        f'images a second, medians of {ROUNDS.value}, '
        + (gpu or f'{len(os.sched_getaffinity(0))} cores'),
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        if {'memory', 'files'} & set(FEEDS_FLAG.value):
            bench_input.make_files(pathlib.Path(folder), IMAGES.value)
        for arch, size in problems:
            work = apart('multiply_adds', 'ready', arch, size, folder)
            found = rates(arch, size, folder, gpu=gpu)
            printed = lines(
                arch, size, BATCH.value, found,
                work=work, peak=peak or found.get(('product', 'ready')), gpu=gpu,
            )  # fmt: skip
            for line in printed:
                print(line, flush=True)


if __name__ == '__main__':
    ARCHS = flags.DEFINE_list(
        'archs', ['mobilenet_v1:96', 'resnet_50:128'], 'Networks, as NAME:PIXELS.'
    )
    BATCH = flags.DEFINE_integer('batch', 32, 'Images a step.', lower_bound=1)
    FEEDS_FLAG = flags.DEFINE_list(
        'feeds', list(FEEDS), 'Of ready, memory and files; ready is always taken.'
    )
    ROUNDS = flags.DEFINE_integer('rounds', 3, 'Turns of each.', lower_bound=1)
    SECONDS = flags.DEFINE_float(
        'seconds', 5.0, 'Timed of each, a turn, at least.', lower_bound=0
    )
    EVERY = flags.DEFINE_integer(
        'every', 5, 'Steps between reports, a Run has 100: for GPUs.', 1, 100
    )
    IMAGES = flags.DEFINE_integer('images', 256, 'JPEG files to make.', lower_bound=2)
    JIT_COMPILE = flags.DEFINE_bool('jit_compile', False, 'Ours by XLA too.')
    PEAK = flags.DEFINE_float(
        'peak_tflops', None, "The GPU's peak, if it is not known here.", lower_bound=0
    )
    SIDE = flags.DEFINE_string('side', None, 'One SIDE/FEED (internal).')
    FOLDER = flags.DEFINE_string('folder', None, 'Files for --side (internal).')
    app.run(main)
