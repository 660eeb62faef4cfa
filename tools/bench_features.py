"""Times networks from decoded images to features: ours, Keras' predict, and peers.

    python -m tools.bench_features --archs=resnet_50,densenet_121 --rounds=5

Prints a table per network: images per second (median of the rounds, in which all take
turns, each in a process of its own), how many times Keras' that is, its operations as a
share of those of a product of two matrices in that precision, and for what runs the
same weights the largest difference from the plain network, as a share of the largest
feature. Weights are random. Ours is OpenVINO by tfxfer/models/openvino.py; the OpenVINO
beside it takes whole batches, as one would use it first. PyTorch (timm's network of
that name, channels last) takes part where it is installed: the extra `bench`. Of int8
the share is that of a product in float32.

Where TensorFlow sees a GPU, ours is XLA by tfxfer/models/xla.py in float32, TF32,
bfloat16 and float16, and PyTorch runs on the same GPU, eager and compiled. Images come
from memory as bytes. Below each table stands how many times PyTorch ours is.
"""

import contextlib
import functools
import gc
import multiprocessing
import statistics
import sys

import keras
import numpy as np
import tensorflow as tf
from absl import flags, logging

from tfxfer import architectures, config, errors, models, openvino_runtime
from tfxfer.cli import app
from tfxfer.models import float32, openvino, predict
from tools import bench_train
from tools.benchmarks import pytorch_features, session
from tools.benchmarks.pytorch_features import TURN, PyTorch, images_of
from tools.benchmarks.rows import Row

ON_GPU = bool(tf.config.list_physical_devices('GPU'))
PRECISIONS = ('float32', 'bfloat16', 'int8')
if ON_GPU:
    PRECISIONS = ('float32', 'tf32', 'bfloat16', 'float16')
LIBRARIES = 'tfxfer', 'tensorflow', 'keras', 'openvino', 'numpy', 'torch', 'timm'
QUICK = {
    'archs': ['mobilenet_v1'], 'precisions': ['float32'], 'batch': 8, 'rounds': 1,
}  # fmt: skip
ARCHS = 'mobilenet_v1,resnet_50,inception_v3,densenet_121,nasnet_mobile'
if ON_GPU:
    ARCHS = 'resnet_50,inception_v3,densenet_121,mobilenet_v2'
BATCH = 256 if ON_GPU else 32


def ours(precision, network, images):
    """Yields a function without arguments that returns the features."""
    spec = tf.TensorSpec(images.shape, images.dtype)
    calibration = images if precision == 'int8' else None
    with openvino.compiled(
        network, spec, ['features'], precision=precision, calibration=calibration
    ) as start:

        def run():  # Two batches, of which the second does not wait for the first.
            begun = [start(images), start(images)]
            return np.concatenate([finish()['features'] for finish in begun])

        yield run


def ours_on_gpu(network, images, precision, turn=TURN):
    """The same as Runs compute features on a GPU, over several batches."""
    count = len(images)
    batch = {
        'image': images, 'label': np.zeros(count, np.int32), 'index': np.arange(count),
    }  # fmt: skip
    batches = tf.data.Dataset.from_tensors(batch).repeat(turn)
    inference = predict.Inference(
        ('features',),
        precision if precision in config.HALF else 'float32',
        gpu=True,
        jit_compile=True,
    )

    def run():
        parts = predict.stream(network, batches, inference)
        return np.concatenate([part['features'] for part in parts])

    yield run


def keras_predict(network, images):
    """The same of Keras' own loop, over several batches so that it is at its best."""
    features = keras.Model(network.input, network.output['features'])
    batches = np.concatenate([images] * 4)
    yield lambda: features.predict(batches, batch_size=len(images), verbose=0)


def openvino_alone(precision, hint, network, images):
    """The same of OpenVINO, one batch after another, or two at once (THROUGHPUT)."""
    from tensorflow.python.framework import convert_to_constants

    traced = tf.function(
        lambda image: network(tf.cast(image, tf.float32), training=False)['features']
    ).get_concrete_function(tf.TensorSpec(images.shape, images.dtype))
    graph = convert_to_constants.convert_variables_to_constants_v2(traced).graph
    ov = openvino_runtime.library()
    compiled = ov.Core().compile_model(
        ov.convert_model(graph),
        'CPU',
        {'INFERENCE_PRECISION_HINT': precision, 'PERFORMANCE_HINT': hint},
    )
    found = []
    queue = ov.AsyncInferQueue(compiled)
    queue.set_callback(
        lambda request, _: found.append(request.get_output_tensor(0).data.copy())
    )

    def run():
        found.clear()
        for _ in range(2 * len(queue) if len(queue) > 1 else 1):
            queue.start_async([images])
        queue.wait_all()
        return np.concatenate(found)

    yield run


# All but PyTorch have our weights.
CONTENDERS = {
    'Keras predict': keras_predict,
    'ours float32': functools.partial(ours, 'float32'),
    'PyTorch float32': PyTorch(),
    'OpenVINO float32': functools.partial(openvino_alone, 'f32', 'LATENCY'),
    'OpenVINO float32, 2 streams': functools.partial(
        openvino_alone, 'f32', 'THROUGHPUT'
    ),
    'ours bfloat16': functools.partial(ours, 'bfloat16'),
    'OpenVINO bfloat16': functools.partial(openvino_alone, 'bf16', 'LATENCY'),
    'OpenVINO bfloat16, 2 streams': functools.partial(
        openvino_alone, 'bf16', 'THROUGHPUT'
    ),
    'ours int8': functools.partial(ours, 'int8'),
}
if ON_GPU:
    CONTENDERS = {
        'Keras predict': keras_predict,
        **{
            f'ours {precision}': functools.partial(ours_on_gpu, precision=precision)
            for precision in PRECISIONS
        },
        **{
            f'PyTorch {precision}{", compiled" if compiled else ""}': PyTorch(
                precision, compiled, gpu=True
            )
            for precision in PRECISIONS
            for compiled in (False, True)
        },
    }


def network_of(name, precision='float32'):
    """A network with random weights, its batch norms as after some training.

    On a GPU it computes in `precision`.
    """
    float32.allow_tf32(precision == 'tf32')
    keras.utils.set_random_seed(0)
    options = models.NetworkOptions(policy=predict.policy(precision))
    network = models.build(name, 10, options=options)
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.1, shape))
            layer.moving_variance.assign(rng.uniform(0.7, 1.4, shape))
            layer.beta.assign(rng.normal(0, 0.1, shape))
    return network


def serve(pipe, contender, name, batch):
    """A contender, in a process of its own, so that no other's threads are in its way.

    Sends the difference from the plain network, or a text, why the contender cannot
    take part; then images per second whenever it gets True.
    """
    make = CONTENDERS[contender]
    for gpu in tf.config.list_physical_devices('GPU'):  # Which all of them share.
        tf.config.experimental.set_memory_growth(gpu, True)
    precision = _precision(contender)
    network, images = network_of(name, precision), images_of(name, batch)
    exact = network_of(name) if precision in config.HALF else network
    float32.allow_tf32(precision == 'tf32')
    with contextlib.ExitStack() as stack:
        try:
            run = stack.enter_context(contextlib.contextmanager(make)(network, images))
            features = run()
        except (ImportError, errors.InputError) as error:
            pipe.send(str(error))
            return
        few = images[:4].astype(np.float32)  # Eager, it holds all that it computes.
        float32.allow_tf32(False)
        plain = exact(few, training=False)['features']
        float32.allow_tf32(precision == 'tf32')
        difference = np.abs(features[: len(few)] - plain).max() / np.abs(plain).max()
        pipe.send(difference)
        pytorch_features.send_rates(pipe, run)


def serve_product(pipe, dtype):
    """The rate of a product, as serve does that of a contender."""
    float32.allow_tf32(dtype == 'tf32')
    dtype = 'float32' if dtype in ('tf32', 'int8') else dtype
    for gpu in tf.config.list_physical_devices('GPU'):
        tf.config.experimental.set_memory_growth(gpu, True)
    while pipe.recv():
        pipe.send(bench_train.product_rate(dtype))


def started(function, *arguments):
    """The parent's end of the pipe to a process that runs function(pipe, ...)."""
    context = multiprocessing.get_context('spawn')
    here, there = context.Pipe()
    context.Process(target=function, args=(there, *arguments), daemon=True).start()
    return here


def _precision(contender):
    words = contender.replace(',', '').split()
    return next((word for word in words if word in PRECISIONS), 'float32')


def compare(name, options, bench):
    """Rates, differences, and operations a second of products by precision.

    Says each as it is measured. Interrupted, the rates are of the rounds until then.

    Returns:
        {contender: images per second}, {contender: difference or None} and {precision:
        operations a second of a product}.
    """
    pipes, differences = {}, {}
    for contender in CONTENDERS:  # One at a time, or they would be in memory's way.
        if _precision(contender) not in options.precisions:
            continue
        if isinstance(pytorch := CONTENDERS[contender], PyTorch):
            pipe = pytorch_features.started(pytorch, name, options.batch)
        else:
            pipe = started(serve, contender, name, options.batch)
        try:
            difference = pipe.recv()
        except EOFError:
            difference = 'its process ended'
        if isinstance(difference, str):
            logging.info('%s without %s: %s', name, contender, difference)
        else:
            pipes[contender], differences[contender] = pipe, difference
            bench.say(f'  {contender}: ready')
    products = {
        precision: started(serve_product, precision) for precision in options.precisions
    }
    rates = {key: [] for key in (*pipes, *products)}
    with bench.cut_short():
        for i in range(options.rounds):
            for key, pipe in (pipes | products).items():
                pipe.send(True)
                rates[key].append(pipe.recv())
                unit = 'images/s' if key in pipes else 'operations/s in a product'
                bench.say(f'  round {i + 1}: {key} {rates[key][-1]:.4g} {unit}')
        for pipe in (pipes | products).values():
            pipe.send(False)
    medians = {key: statistics.median(each) for key, each in rates.items() if each}
    return (
        {contender: medians[contender] for contender in pipes if contender in medians},
        differences,
        {dtype: medians.get(dtype, np.nan) for dtype in products},
    )


def lines(name, batch, work, rates, differences, products):
    """What is printed of a network; work: multiply-adds of an image; rest: compare."""
    yield f'{name}, batches of {batch}'
    yield f'{"":30}{"images/s":>9}{"x Keras":>9}{"of product":>12}{"difference":>12}'
    for contender, rate in rates.items():
        share = f'{100 * 2 * work * rate / products[_precision(contender)]:.0f} %'
        off = '' if differences[contender] is None else f'{differences[contender]:.1e}'
        times = rate / rates['Keras predict']
        yield f'{contender:30}{rate:9.1f}{times:9.2f}{share:>12}{off:>12}'
    if ON_GPU:
        yield from ratios(rates)


def ratios(rates):
    """Lines: how many times PyTorch ours is, in each precision."""
    for contender, rate in rates.items():
        library, _, precision = contender.partition(' ')
        peers = [f'PyTorch {precision}', f'PyTorch {precision}, compiled']
        if library == 'ours':
            for peer in peers:
                if peer in rates:
                    yield f'{contender} is {rate / rates[peer]:.2f} x {peer}'


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.strings('archs', ARCHS.split(','), 'Networks.')
    define.strings('precisions', list(PRECISIONS), 'Leave out others.')
    define.integer('batch', BATCH, 'Images per batch.', least=1)
    define.integer('rounds', 5, 'Turns of each.', least=1)
    session.define(define)
    return define.given


def main(given: app.Given) -> None:
    options = session.settle(given, QUICK)
    for name in options.archs:
        errors.find('architecture', architectures.ARCHITECTURES, name)
    for precision in options.precisions:
        errors.find('precision', dict.fromkeys(PRECISIONS), precision)
    with session.begin(options, 'bench_features', LIBRARIES) as bench:
        for name in options.archs:
            size = architectures.ARCHITECTURES[name].input_size
            work = bench_train.multiply_adds_of(name, size)
            found = compare(name, options, bench)
            for line in lines(name, options.batch, work, *found):
                bench.say(line)
            if bench.interrupted:
                break
            for precision in options.precisions:
                if row := row_of(name, precision, found[0]):
                    bench.record(row)
            keras.backend.clear_session()
            gc.collect()


def row_of(name: str, precision: str, rates: dict[str, float]) -> Row | None:
    """A row of the table of all benchmarks: the best of each library."""
    best = {}  # {library: its rate}
    for contender, rate in rates.items():
        if _precision(contender) == precision:
            library = contender.partition(' ')[0]
            best[library] = max(rate, best.get(library, 0.0))
    if 'ours' not in best:
        return None
    own = best.pop('ours')
    return Row(f'{name}, images to features, {precision}', own, 'images/s', best)


if __name__ == '__main__':
    app.run(sys.modules[__name__])
