"""Images per second of training steps: ours, Keras' fit and PyTorch's loop.

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
Printed are medians, one line per network and feed: `input alone` is pipeline.training
without a network. Without a GPU both share the cores, so that with no time lost
1 / (1/ready + 1/input) is left of the two rates: `of the bound` is the share of that.

`of ...` is the share of the GPU's peak rate (--peak_tflops), or without a GPU of the
rate measured in a product of two float32 matrices, with 6 operations for each
multiply-add of the network forward. Steps by XLA (Options.jit_compile) are timed
where there is a GPU or with --jit_compile; on CPUs they take ten times as long.
"""

import contextlib
import dataclasses
import importlib.util
import json
import math
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import typing

import numpy as np
from absl import flags

from tfxfer import architectures, config, errors
from tfxfer.cli import app
from tfxfer.data.cache_options import CacheOptions
from tfxfer.training.options import Options
from tools import bench_input
from tools.benchmarks import session
from tools.benchmarks.pytorch_features import TIMM
from tools.benchmarks.rows import Row

CLASSES = 10
RECIPE = config.Finetune()  # Whose augmentation is taken.
FEEDS = ('ready', 'memory', 'files')
LIBRARIES = 'tfxfer', 'tensorflow', 'keras', 'tf-models-official', 'torch', 'timm'
QUICK = {
    'archs': ['mobilenet_v1:32'], 'batch': 8, 'rounds': 1, 'seconds': 0.5,
    'every': 2, 'images': 32,
}  # fmt: skip
PRODUCT = 2048  # Side of the matrices.

# 10^12 operations a second in float32 (TF32 where there is such), without sparsity, as
# the makers' data sheets say.
PEAKS = {
    'P100': 10.6, 'V100': 15.7, 'T4': 8.1, 'A10': 62.5, 'A10G': 35.0, 'A100': 156.0,
    'L4': 60.0, 'H100': 494.5,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is timed; `size`: image size in pixels, `folder`: of the image files."""

    arch: str
    size: int
    batch: int
    every: int  # Steps between two reports.
    seconds: float  # Timed at least.
    folder: str | None

    def __str__(self) -> str:
        return f'{self.arch} {self.size} px x {self.batch}'


class Enough(Exception):
    """Ends a training that has been timed."""


class Marks:
    """The times at which reports ended."""

    def __init__(self, problem: Problem):
        self.problem, self.times = problem, []

    def note(self) -> bool:
        """Adds now; returns whether that is enough."""
        self.times.append(time.perf_counter())
        return self.times[-1] - self.times[0] > self.problem.seconds

    def rate(self) -> float:
        """Images per second."""
        images = (len(self.times) - 1) * self.problem.every * self.problem.batch
        return images / (self.times[-1] - self.times[0])


def build(arch: str, size: int) -> typing.Any:
    """The network of ours and of Keras' side."""
    from tfxfer import models

    options = models.NetworkOptions(image_size=size, dropout=0.0, aux=False)
    return models.build(arch, CLASSES, options=options)


def random_batch(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """A batch u8 [b, s, s, 3] of random pixels, and labels i32 [b]."""
    rng = np.random.default_rng(0)
    shape = problem.batch, problem.size, problem.size, 3
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    return images, rng.integers(0, CLASSES, problem.batch, dtype=np.int32)


def batches(problem: Problem, feed: str) -> typing.Any:
    """Endless batches as a Run has them: a tf.data.Dataset."""
    import tensorflow as tf

    from tfxfer import datasets
    from tfxfer.data import image_cache, pipeline, readers

    if feed == 'ready':
        image, label = random_batch(problem)
        return tf.data.Dataset.from_tensors({'image': image, 'label': label}).repeat()
    _, images = readers.read(datasets.find(f'folder:{problem.folder}'))
    indices = np.arange(len(images.labels))
    if feed == 'memory':
        options = CacheOptions('decoded')
        images = image_cache.cached(images, indices, options, problem.folder)
    stream = pipeline.TrainingStream(
        problem.size, problem.batch, seed=0, min_area=RECIPE.min_area, flip=RECIPE.flip
    )
    return pipeline.training(images, indices, stream)


def ours(problem: Problem, feed: str, jit_compile: bool = False) -> float:
    import tensorflow as tf

    from tfxfer.training import loop

    marks = Marks(problem)

    def validate(model):
        if marks.note():
            raise Enough

    data = batches(problem, feed)
    steps = 50 * problem.every  # So that fit reports after so many.
    with contextlib.suppress(Enough):
        loop.fit(
            loop.Training(
                build(problem.arch, problem.size),
                lambda start, share, parts: data,
                config.Finetune(steps=steps, batch=problem.batch),
                images=10_000,
                devices=tf.distribute.get_strategy(),
            ),
            options=Options(valid_every=problem.every, jit_compile=jit_compile),
            measurements=loop.Measurements(validate=validate),
        )
    return marks.rate()


def xla(problem: Problem, feed: str) -> float:
    return ours(problem, feed, jit_compile=True)


def keras(problem: Problem, feed: str) -> float:
    import keras

    marks = Marks(problem)

    def note(batch, logs):
        if batch % problem.every == problem.every - 1:
            model.stop_training = marks.note()

    network = keras.models.clone_model(
        build(problem.arch, problem.size), clone_function=kerass_own
    )
    model = keras.Model(network.input, network.output['logits'])
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=['accuracy'],
    )
    model.fit(
        batches(problem, feed).map(lambda batch: (batch['image'], batch['label'])),
        steps_per_epoch=50 * problem.every,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=note)],
        verbose=0,
    )
    return marks.rate()


def kerass_own(layer: typing.Any) -> typing.Any:
    """The same layer; of our batch norm, Keras' own."""
    import keras

    from tfxfer.models import batch_norm

    ours = isinstance(layer, batch_norm.BatchNormalization)
    kind = keras.layers.BatchNormalization if ours else type(layer)
    return kind.from_config(layer.get_config())


def pytorch(problem: Problem, feed: str) -> float | None:
    import timm
    import torch

    if problem.arch not in TIMM:
        return None
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision('high')  # TF32, as TensorFlow has it.
    network = timm.create_model(TIMM[problem.arch], num_classes=CLASSES)
    if problem.arch.startswith('resnet'):
        stride_late(network)
    network = network.train().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), 0.01, momentum=0.9, nesterov=True, fused=True
    )
    images, labels = map(torch.from_numpy, random_batch(problem))
    marks, done = Marks(problem), False
    while not done:
        for _ in range(problem.every):
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


def alone(problem: Problem, feed: str) -> float:
    """Images per second of the input without a network."""
    data = iter(batches(problem, feed))
    for _ in range(10):  # What prefetching had ready, and the first reading.
        next(data)
    marks = Marks(problem)
    while not marks.note():
        for _ in range(problem.every):
            next(data)
    return marks.rate()


def product(problem: Problem, feed: str) -> float:
    """Operations per second in a product of two matrices."""
    return product_rate('float32')


def product_rate(dtype: str) -> float:
    """The same in any precision."""
    import tensorflow as tf

    a, times = tf.cast(tf.random.normal([PRODUCT, PRODUCT]), dtype), []
    multiply = tf.function(lambda: tf.reduce_sum(a @ a))
    for _ in range(20):
        start = time.perf_counter()
        multiply().numpy()
        times.append(time.perf_counter() - start)
    return 2 * PRODUCT**3 / statistics.median(times)


def multiply_adds(problem: Problem, feed: str) -> int:
    return multiply_adds_of(problem.arch, problem.size)


def multiply_adds_of(arch: str, size: int) -> int:
    """Of one image forward: a kernel moves over every output pixel once."""
    return sum(
        math.prod(layer.output.shape[1:3] if len(variable.shape) > 2 else ())
        * math.prod(variable.shape)
        for layer in build(arch, size).layers
        for variable in layer.weights
        if variable.name.endswith('kernel')
    )


SIDES = {
    side.__name__: side
    for side in (ours, xla, keras, pytorch, alone, product, multiply_adds)
}


def in_own_process(side: str, feed: str, problem: Problem) -> typing.Any:
    """What a side returns, called in a process of its own."""
    command = [
        *(sys.executable, '-m', 'tools.bench_train', f'--side={side}/{feed}'),
        *(f'--archs={problem.arch}:{problem.size}', f'--batch={problem.batch}'),
        *(f'--every={problem.every}', f'--seconds={problem.seconds}'),
        f'--folder={problem.folder}',
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{side} of {problem}: {done.stderr[-2000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def pairs_to_time(
    feeds: list[str], *, xla: bool, product: bool
) -> list[tuple[str, str]]:
    """(side, feed) in the order of a round."""
    sides = ['ours', 'keras']
    sides += ['xla'] * xla
    sides += ['pytorch'] * all(map(importlib.util.find_spec, ('torch', 'timm')))
    sides += ['product'] * product
    pairs = [(side, 'ready') for side in sides]
    for feed in feeds:
        if feed != 'ready':
            pairs += [('ours', feed), ('alone', feed)]
    return pairs


def medians(
    problem: Problem,
    pairs: list[tuple[str, str]],
    rounds: int,
    bench: session.Session,
) -> dict[tuple[str, str], float]:
    """{(side, feed): median} over the rounds; without sides that lack the network.

    Says each as it is measured. Interrupted, the medians are of those until then.
    """
    rates = {pair: [] for pair in pairs}
    with bench.cut_short():
        for i in range(rounds):
            for (side, feed), values in rates.items():
                rate = in_own_process(side, feed, problem)
                values.append(rate)
                shown = 'has no such network' if rate is None else f'{rate:.4g}'
                bench.say(f'  round {i + 1}: {side}, {feed}: {shown}')
    return {
        pair: statistics.median(values)
        for pair, values in rates.items()
        if values and None not in values
    }


class Reference(typing.NamedTuple):
    """What a rate is compared with."""

    multiply_adds: int  # Of one image forward.
    peak: float | None  # Operations per second of the GPU or of a product, if known.
    gpu: str  # Its name, or ''.


def lines(
    problem: Problem, rates: dict[tuple[str, str], float], reference: Reference
) -> typing.Iterator[str]:
    """What is printed of a network: one line per feed."""
    if ('ours', 'ready') not in rates:  # Interrupted.
        return
    own = rates['ours', 'ready']
    parts = [f'ours {own:.1f}']
    for side, name in (('keras', 'Keras'), ('pytorch', 'PyTorch'), ('xla', 'XLA')):
        if rate := rates.get((side, 'ready')):
            parts.append(f'{name} {rate:.1f} (ours/{name} {own / rate:.2f})')
    if peak := reference.peak:
        share = 100 * 6 * reference.multiply_adds * own / peak
        of = "the GPU's peak" if reference.gpu else "a matrix product's"
        parts.append(f'{share:.0f} % of {of} {peak / 1e12:.3g} Tflop/s')
    texts = {'ready': parts}
    for feed in ('memory', 'files'):
        rate, alone = rates.get(('ours', feed)), rates.get(('alone', feed))
        if rate and alone:
            bound = min(own, alone) if reference.gpu else 1 / (1 / own + 1 / alone)
            texts[feed] = [
                f'ours {rate:.1f}',
                f'{100 * rate / own:.0f} % of ready',
                f'{100 * rate / bound:.0f} % of the bound',
                f'input alone {alone:.0f}',
            ]
    if 'memory' in texts and 'files' in texts:
        share = rates['ours', 'files'] / rates['ours', 'memory']
        texts['files'].insert(1, f'{100 * share:.0f} % of memory')
    for feed, parts in texts.items():
        yield f'{problem}, {feed}: {", ".join(parts)}'


def name_of_gpu() -> str:
    """Of the first; '' where there is none."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices('GPU'):
        return tf.config.experimental.get_device_details(gpu).get('device_name', 'GPU')
    return ''


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.strings(
        'archs', ['mobilenet_v1:96', 'resnet_50:128'], 'Networks, as NAME:PIXELS.'
    )
    define.integer('batch', 32, 'Images per step.', least=1)
    define.strings(
        'feeds', list(FEEDS), 'Of ready, memory and files; ready is always taken.'
    )
    define.integer('rounds', 3, 'Turns of each.', least=1)
    define.number('seconds', 5.0, 'Timed of each, per turn, at least.', least=0)
    define.integer(
        'every', 5, 'Steps between reports, a Run has 100: for GPUs.', least=1
    )
    define.integer('images', 256, 'JPEG files to make.', least=2)
    define.boolean('jit_compile', False, 'Ours by XLA too.')
    define.number(
        'peak_tflops', None, "The GPU's peak, if it is not known here.", least=0
    )
    define.string('side', None, 'One SIDE/FEED (internal).')
    define.string('folder', None, 'Files for --side (internal).')
    session.define(define)
    return define.given


def main(given: app.Given) -> None:
    options = session.settle(given, QUICK)
    problems = [parse_problem(text, options) for text in options.archs]
    for feed in options.feeds:
        errors.find('feed', dict.fromkeys(FEEDS), feed)
    if options.side:
        side, feed = options.side.split('/')
        print(json.dumps(SIDES[side](problems[0], feed)))
        return
    with (
        session.begin(options, 'bench_train', LIBRARIES) as bench,
        tempfile.TemporaryDirectory() as folder,
    ):
        if {'memory', 'files'} & set(options.feeds):
            bench_input.make_files(pathlib.Path(folder), options.images)
        for problem in problems:
            time_one(dataclasses.replace(problem, folder=folder), options, bench)
            if bench.interrupted:
                break


def time_one(
    problem: Problem, options: session.Options, bench: session.Session
) -> None:
    """Runs all sides of a problem; says and records the medians."""
    gpu = name_of_gpu()
    jit_compile = bool(gpu or options.jit_compile)
    pairs = pairs_to_time(options.feeds, xla=jit_compile, product=not gpu)
    work = in_own_process('multiply_adds', 'ready', problem)
    bench.say(f'{problem}: images per second, {options.rounds} rounds')
    rates = medians(problem, pairs, options.rounds, bench)
    peak = peak_of(gpu, options.peak_tflops) or rates.get(('product', 'ready'))
    for line in lines(problem, rates, Reference(work, peak, gpu)):
        bench.say(line)
    if not bench.interrupted:
        bench.record(row(problem, rates))


def row(problem: Problem, rates: dict[tuple[str, str], float]) -> Row:
    """The same for the table of all benchmarks; by XLA where that is faster."""
    own = {'ours': rates['ours', 'ready'], 'XLA': rates.get(('xla', 'ready'), 0.0)}
    best = max(own, key=lambda side: own[side])
    peers = {'pytorch': 'PyTorch', 'keras': 'Keras'}
    return Row(
        f'training {problem.arch}, {problem.size} pixels, batch {problem.batch}',
        own[best],
        'images/s',
        {
            name: rates[side, 'ready']
            for side, name in peers.items()
            if (side, 'ready') in rates
        },
        note='by XLA' if best == 'XLA' else '',
    )


def parse_problem(text: str, given: session.Options) -> Problem:
    """The Problem of NAME:PIXELS."""
    name, _, size = text.partition(':')
    if not re.fullmatch('[1-9][0-9]*', size):
        raise errors.InputError(
            f'--archs has {text!r}; NAME:PIXELS, such as resnet_50:128, was expected.'
        )
    errors.find('architecture', architectures.ARCHITECTURES, name)
    return Problem(
        name, int(size), given.batch, given.every, given.seconds, given.folder
    )


def peak_of(gpu: str, tflops: float | None) -> float:
    """Operations per second, as given or as the GPU's data sheet says; 0: unknown."""
    known = [PEAKS[word] for word in re.split(r'\W+', gpu) if word in PEAKS]
    return 1e12 * (tflops or (known[0] if known else 0))


if __name__ == '__main__':
    app.run(sys.modules[__name__])
