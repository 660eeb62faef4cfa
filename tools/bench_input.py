"""Images a second from JPEG files to batches, ours against Keras' and PyTorch's.

    python -m tools.bench_input

makes JPEG files of ImageNet's usual size (500 x 375) from photographs by random crops
and reads them into 224-pixel batches for training (random crop and flip) and for
evaluation (shorter side resized, central crop). Each side runs in its own process, in
turn, several times; printed are medians, the ratio to the better peer, and the share of
our time that decoding alone takes, the floor. PyTorch takes part where it and
torchvision are installed (pip install torch torchvision).
"""

import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import typing

import numpy as np
from absl import flags
from PIL import Image

from tfxfer import config
from tfxfer.cli import app
from tools.benchmarks import session
from tools.benchmarks.rows import Row

SIZE = 224
RECIPE = config.Finetune()  # Whose augmentation is taken.
SHAPE = (375, 500)
BATCH = 64
LIBRARIES = (
    'tfxfer', 'tensorflow', 'keras', 'pillow', 'numpy', 'torch', 'torchvision'
)  # fmt: skip
QUICK = {'images': 256, 'repeats': 1}
SIDES = {
    'training': ('ours', 'keras', 'pytorch'),
    'evaluation': ('ours', 'keras', 'pytorch'),
    'decoding': ('ours',),
}
# Keras' loader cannot antialias, so that its pixels are others than Pillow's, by far:
# shown, but no peer.
OTHER_PIXELS = (('evaluation', 'keras'),)


def make_files(folder, count):
    """Random crops of scikit-learn's two photographs, in two class folders."""
    from sklearn import datasets

    rng = np.random.default_rng(0)
    for c, photograph in enumerate(datasets.load_sample_images().images):
        (folder / str(c)).mkdir()
        for i in range(count // 2):
            top, left = rng.integers(0, np.subtract(photograph.shape[:2], SHAPE) + 1)
            crop = photograph[top : top + SHAPE[0], left : left + SHAPE[1]]
            path = folder / str(c) / f'{i:05}.jpg'
            Image.fromarray(crop).save(path, quality=90)


def ours(kind, folder, cores):
    del cores  # All there are.
    import tensorflow as tf

    from tfxfer import datasets
    from tfxfer.data import pipeline, preprocess, readers

    if kind == 'decoding':

        def decoded(path):
            data = tf.io.read_file(path)
            return tf.size(tf.io.decode_jpeg(data, dct_method='INTEGER_ACCURATE'))

        files = tf.data.Dataset.list_files(f'{folder}/*/*.jpg', shuffle=False)
        return lambda: files.map(decoded, tf.data.AUTOTUNE).batch(BATCH).prefetch(1)
    _, images = readers.read(datasets.find(f'folder:{folder}'))
    indices = np.arange(len(images.labels))
    if kind == 'evaluation':
        batches = pipeline.evaluation(images, indices, SIZE, preprocess.whole, BATCH)
    else:
        stream = pipeline.TrainingStream(
            SIZE, BATCH, seed=0, min_area=RECIPE.min_area, flip=RECIPE.flip
        )
        batches = pipeline.training(images, indices, stream)
        batches = batches.take(len(indices) // BATCH)
    return lambda: batches


def keras(kind, folder, cores):
    """image_dataset_from_directory, with the same augmentation as in ours."""
    del cores
    import tensorflow as tf

    training = kind == 'training'
    side = round(SIZE * 256 / 224) if training else SIZE
    images = tf.keras.utils.image_dataset_from_directory(
        folder,
        image_size=(side, side),
        batch_size=None,
        shuffle=training,
        seed=0,
        interpolation='bicubic',
        crop_to_aspect_ratio=True,
        verbose=False,
    )

    def augmented(image, label):
        begin, extent, _ = tf.image.sample_distorted_bounding_box(
            tf.shape(image),
            tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0),
        )
        crop = tf.image.resize(
            tf.slice(image, begin, extent), [SIZE, SIZE], method='bicubic'
        )
        return tf.image.random_flip_left_right(crop), label

    if training:
        images = images.map(augmented, tf.data.AUTOTUNE)
    images = images.batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: images


def pytorch(kind, folder, cores):
    from torch.utils import data
    from torchvision import datasets
    from torchvision.transforms import v2

    bicubic = v2.InterpolationMode.BICUBIC
    steps = {
        'training': [
            v2.RandomResizedCrop(SIZE, interpolation=bicubic),
            v2.RandomHorizontalFlip(),
        ],
        'evaluation': [v2.Resize(SIZE, interpolation=bicubic), v2.CenterCrop(SIZE)],
    }
    loader = data.DataLoader(
        datasets.ImageFolder(folder, v2.Compose([*steps[kind], v2.PILToTensor()])),
        batch_size=BATCH,
        shuffle=kind == 'training',
        num_workers=cores,
        persistent_workers=True,
    )
    return lambda: loader


def measure(side, kind, folder, cores):
    """Images a second in the second pass over the files."""
    batches = {'ours': ours, 'keras': keras, 'pytorch': pytorch}[side](
        kind, folder, cores
    )
    count = 0
    for _ in range(2):  # The first starts workers and reads the files into memory.
        start, count = time.perf_counter(), 0
        for _ in batches():
            count += BATCH
    return count / (time.perf_counter() - start)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.integer('images', 2048, 'JPEG files to make.', least=2 * BATCH)
    define.integer('repeats', 5, 'Rounds.', least=1)
    define.integer('cores', len(os.sched_getaffinity(0)), "PyTorch's worker processes.")
    define.string('side', None, 'One SIDE/KIND, in --folder (internal).')
    define.string('folder', None, 'Files for --side (internal).')
    session.define(define)
    return define.given


def main(given: app.Given) -> None:
    if given.side:
        side, kind = given.side.split('/')
        print(json.dumps(measure(side, kind, given.folder, given.cores)))
        return
    options = session.settle(given, QUICK)
    with (
        session.begin(options, 'bench_input', LIBRARIES) as bench,
        tempfile.TemporaryDirectory() as folder,
    ):
        make_files(pathlib.Path(folder), options.images // BATCH * BATCH)
        rates = in_turn(folder, options, bench)
        for line in lines(rates):
            bench.say(line)
        if not bench.interrupted:
            for kind in ('training', 'evaluation'):
                bench.record(row(kind, rates))


def in_turn(
    folder: str, options: session.Options, bench: session.Session
) -> dict[tuple[str, str], float]:
    """{(kind, side): images per second}, medians; interrupted, of those until then."""
    torch = all(importlib.util.find_spec(name) for name in ('torch', 'torchvision'))
    rates: dict[tuple[str, str], list[float]] = {
        (kind, side): []
        for kind, sides in SIDES.items()
        for side in sides
        if side != 'pytorch' or torch
    }
    bench.say(f'images per second, {options.repeats} rounds, {options.cores} cores')
    with bench.cut_short():
        for i in range(options.repeats):
            for (kind, side), values in rates.items():
                values.append(in_own_process(kind, side, folder, options.cores))
                bench.say(f'  round {i + 1}: {kind:10} {side:8} {values[-1]:7.0f}')
    return {key: statistics.median(values) for key, values in rates.items() if values}


def in_own_process(kind: str, side: str, folder: str, cores: int) -> float:
    """What `measure` returns there."""
    command = [
        *(sys.executable, '-m', 'tools.bench_input'),
        *(f'--side={side}/{kind}', f'--folder={folder}', f'--cores={cores}'),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{kind} of {side}: {done.stderr[-2000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def lines(rates: dict[tuple[str, str], float]) -> typing.Iterator[str]:
    """What is printed of the medians."""
    for (kind, side), rate in rates.items():
        more = '  (not antialiased)' if (kind, side) in OTHER_PIXELS else ''
        yield f'{kind:10} {side:8} {rate:7.0f}{more}'
    for kind in ('training', 'evaluation'):
        parts = []
        own, peers = rates.get((kind, 'ours')), peers_of(kind, rates)
        if own and peers:
            best = max(peers, key=peers.get)
            parts.append(f'{own / peers[best]:.2f} times {best}')
        if own and (floor := rates.get(('decoding', 'ours'))):
            share = 100 * own / floor
            parts.append(f'decoding alone takes {share:.0f} % of the time')
        if parts:
            yield f'{kind}: {"; ".join(parts)}'


def peers_of(kind: str, rates: dict[tuple[str, str], float]) -> dict[str, float]:
    """{side: rate} of those whose images are as ours."""
    return {
        side: rate
        for (k, side), rate in rates.items()
        if k == kind and side != 'ours' and (k, side) not in OTHER_PIXELS
    }


def row(kind: str, rates: dict[tuple[str, str], float]) -> Row:
    """The same for the table of all benchmarks."""
    names = {'keras': 'Keras', 'pytorch': 'PyTorch'}
    height, width = SHAPE
    pixels = ", with Pillow's pixels" if kind == 'evaluation' else ''
    return Row(
        f'JPEG files ({width} x {height}) to {SIZE}-pixel {kind} batches{pixels}',
        rates[kind, 'ours'],
        'images/s',
        {names[side]: rate for side, rate in peers_of(kind, rates).items()},
    )


if __name__ == '__main__':
    app.run(sys.modules[__name__])
