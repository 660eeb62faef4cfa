"""Times the whole l2 path of tfxfer.logreg against scikit-learn's.

    python -m tools.bench_logreg
    python -m tools.bench_logreg --shapes=12000x1024x10 --repeats=3
    python -m tools.bench_logreg --shapes= --checkpoints=SLIM --folders=MY_IMAGES

The peer is LogisticRegression(solver='lbfgs', warm_start=True, max_iter=1000) on the
same float32 features, down the same l2s; --peer_tol and --peer_iterations make it go on
where by default it stops far from the minimum. The two run in turn, each in a process
of its own. Features are made (correlated, non-negative, of classes that overlap) or,
with --checkpoints, MobileNet v1's of the digits and of --folders (one folder per
class).

Prints a line for each problem: medians of the seconds and their ratio (with >= where
--limit stopped the peer), the worst gap above the minimum over the l2s in units of the
tolerance (1e-4 f* + 1e-7 n ln k), validation accuracy at each one's best l2, and peak
memory in MiB beside that of the float32 features. f* is the lowest of three values:
ours, the peer's, and that of our path in float64 with a tolerance --tighter times
tighter.
"""

import concurrent.futures
import multiprocessing
import pathlib
import resource
import sys
import tempfile
import time
import typing
import warnings

import numpy as np
from absl import flags

from tfxfer import config, errors, logreg
from tfxfer.cli import app

# images x features x classes: how far the classes are apart, and every n-th l2.
SHAPES = {
    '3000x2048x37': (1.5, 1),
    '12000x1024x10': (1.2, 1),
    '40000x1024x10': (1.2, 1),
    '60000x2048x101': (1.6, 8),
}
APART = 1.5  # Of any other shape.


class Options(typing.NamedTuple):
    """How long the peer goes on."""

    limit: float  # Seconds after which it goes to no further l2.
    tol: float
    iterations: int


def make(folder, n, d, classes, apart):
    """Saves made-up x, y and a quarter as many of xv, yv; the variance falls as 1 / i.

    Most of the difference between classes lies where most of the variance does, as in
    a network's features, so that they overlap.
    """
    rng = np.random.default_rng(0)
    decay = np.arange(1, d + 1, dtype=np.float32) ** -0.5
    mix = rng.standard_normal((d, d), np.float32) * decay[:, None]
    mix /= np.sqrt((decay**2).sum())
    centres = np.float32(apart) * decay * rng.standard_normal((classes, d), np.float32)
    for name, count in (('', n), ('v', n // 4)):
        y = rng.integers(0, classes, count)
        y[:classes] = np.arange(classes)[:count]
        x = np.empty((count, d), np.float32)
        for i in range(0, count, 4096):
            own = y[i : i + 4096]
            hidden = rng.standard_normal((len(own), d), np.float32) + centres[own]
            x[i : i + 4096] = np.maximum(hidden @ mix, 0)
        np.save(folder / f'x{name}.npy', x)
        np.save(folder / f'y{name}.npy', y)


def extract(folder, checkpoints, dataset):
    """Saves MobileNet v1's features of a dataset's train and valid as x, y, xv, yv."""
    from tfxfer.transfer import resolve
    from tfxfer.transfer.options import ExecutionOptions
    from tfxfer.transfer.task import Task

    cell = config.Run(
        'mobilenet_v1', dataset, 'logistic', config.Logistic(), weights='slim'
    )
    options = ExecutionOptions(folder, checkpoints=checkpoints)
    task = Task(resolve.resolve(cell, options), options)
    for name, split in (('', 'train'), ('v', 'valid')):
        x, y = task.features(split)
        np.save(folder / f'x{name}.npy', x)
        np.save(folder / f'y{name}.npy', y)


def ours(x, y, l2s, options, limits=None):
    """Yields w [d + 1, k] at every l2 from the strongest."""
    del options  # Of the peer.
    for _, w in logreg.path(x, y, int(y.max()) + 1, l2s, limits=limits):
        yield w


def peer(x, y, l2s, options):
    """The same of scikit-learn, as far as it comes in options.limit seconds."""
    from sklearn import linear_model

    start = time.perf_counter()
    model = linear_model.LogisticRegression(
        solver='lbfgs', warm_start=True, max_iter=options.iterations, tol=options.tol
    )
    # It has one column u for two classes, softmax -u / 2 and u / 2: half the penalty.
    halves = y.max() == 1
    for l2 in l2s:
        model.set_params(C=(2 if halves else 1) / l2)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # That it stops early is what is measured.
            model.fit(x, y)
        w = np.vstack([model.coef_.T, model.intercept_])
        yield np.hstack([-w, w]) / 2 if halves else w
        if time.perf_counter() - start > options.limit:
            return


def timed(folder, solver, l2s, options):
    """Seconds and peak MiB of a solver; its weights [l2s, d + 1, k] go to a file."""
    x, y = np.load(folder / 'x.npy'), np.load(folder / 'y.npy')
    # Imports what it needs, for which the problem must not be too small.
    first = np.random.default_rng(0).random((1100, 1000), np.float32)
    list(solver(first, np.arange(1100) % 2, [1.0], options))
    start = time.perf_counter()
    weights = list(solver(x, y, l2s, options))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.save(folder / f'{solver.__name__}.npy', np.stack(weights).astype(np.float32))
    return seconds, peak


def objectives(folder, name, l2s):
    """Of saved weights, in float64, and the validation accuracies [l2s]."""
    data = [np.load(folder / f'{part}.npy') for part in ('x', 'y', 'xv', 'yv')]
    x, y, xv, yv = data
    x = x.astype(np.float64)
    weights = np.load(folder / f'{name}.npy')
    values = [
        logreg.loss_and_grad(w, x, y, l2)[0]
        for l2, w in zip(l2s, weights, strict=False)  # The peer may have been stopped.
    ]
    return values, [
        (logreg.predict(w, xv).argmax(axis=1) == yv).mean() for w in weights
    ]


def solve_tightly(folder, l2s, times):
    """Saves the weights of our path in float64 at a far tighter tolerance."""
    x, y = np.load(folder / 'x.npy'), np.load(folder / 'y.npy')
    tight = logreg.Limits(
        rtol=logreg.RTOL / times, atol=logreg.ATOL / times, float64_size=np.inf
    )
    np.save(folder / 'tight.npy', np.stack(list(ours(x, y, l2s, None, tight))))


def in_new_process(function, *arguments):
    """What the function returns in a process of its own."""
    with concurrent.futures.ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context('spawn')
    ) as pool:
        return pool.submit(function, *arguments).result()


def compare(folder, l2s, repeats, options, tighter):
    """The cells of HEAD for the problem saved in a folder."""
    l2s = sorted(l2s, reverse=True)
    rounds = [
        [in_new_process(timed, folder, solver, l2s, options) for solver in SOLVERS]
        for _ in range(repeats)
    ]
    in_new_process(solve_tightly, folder, l2s, tighter)
    rounds = np.array(rounds)  # [repeats, solvers, (seconds, MiB)]
    seconds, peaks = np.median(rounds[..., 0], axis=0), rounds[..., 1].max(axis=0)
    values, accuracies = {}, {}  # Per solver [l2s].
    for name in ('ours', 'peer', 'tight'):
        values[name], accuracies[name] = in_new_process(objectives, folder, name, l2s)
    x, y = np.load(folder / 'x.npy', mmap_mode='r'), np.load(folder / 'y.npy')
    classes, solved = int(y.max()) + 1, len(values['peer'])
    gaps = worst_gaps(values, len(x), classes)
    return (
        f'{len(x)}x{x.shape[1]}x{classes}',
        f'{solved}/{len(l2s)}',
        *(f'{t:.3g}' for t in seconds),
        f'{"" if solved == len(l2s) else ">="}{seconds[1] / seconds[0]:.1f}',
        *(f'{gap:.2g}' for gap in gaps),
        *(f'{max(accuracies[name]):.3f}' for name in ('ours', 'peer')),
        *(f'{peak:.0f}' for peak in peaks),
        f'{x.nbytes / 2**20:.0f}',
    )


def worst_gaps(values, n, classes):
    """Of ours and the peer's: the largest gap over the l2s, in units of the tolerance.

    values: per solver the objectives [l2s]; the least of all is taken for the minimum.
    """
    gaps = {'ours': 0.0, 'peer': 0.0}
    for name in gaps:
        for i, value in enumerate(values[name]):
            least = min(other[i] for other in values.values() if i < len(other))
            allowed = logreg.RTOL * least + logreg.ATOL * n * np.log(classes)
            gaps[name] = max(gaps[name], (value - least) / allowed)
    return gaps.values()


SOLVERS = (ours, peer)
HEAD = (
    'problem       ', 'peer l2s', 's', 'peer s', 'ratio', 'gap', 'peer gap', 'valid',
    'peer valid', 'MiB', 'peer MiB', 'features',
)  # fmt: skip


def line(cells):
    pairs = zip(cells, HEAD, strict=True)
    return ' '.join(f'{cell:>{max(len(head), 9)}}' for cell, head in pairs)


class Bench(typing.NamedTuple):
    """A problem to time."""

    name: str
    prepare: typing.Callable  # make or extract; saves the problem in a folder.
    arguments: tuple  # Of prepare, after the folder.
    l2s: tuple


def made_problem(shape, l2s, every):
    """A made problem of a shape such as 3000x2048x37."""
    try:
        n, d, classes = map(int, shape.split('x'))
    except ValueError:
        raise errors.InputError(
            f'--shapes has {shape!r}; images x features x classes, such as '
            '3000x2048x37, were expected.'
        ) from None
    apart, sparse = SHAPES.get(shape, (APART, 1))
    return Bench(f'made {shape}', make, (n, d, classes, apart), l2s[:: every or sparse])


def problems(l2s, given):
    """Those that the flags ask for."""
    chosen = [made_problem(shape, l2s, given.every) for shape in given.shapes]
    if given.folders and not given.checkpoints:
        raise errors.InputError(
            "--folders needs --checkpoints, the folder of the network's weights."
        )
    if given.checkpoints:
        for name in ('digits', *(f'folder:{path}' for path in given.folders)):
            arguments = given.checkpoints, name
            chosen.append(Bench(name, extract, arguments, l2s[:: given.every or 1]))
    return chosen


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.strings(
        'shapes', list(SHAPES), 'Made problems: images x features x classes.'
    )
    define.string(
        'checkpoints', '', 'Folder of the MobileNet v1 checkpoint: real features, too.'
    )
    define.strings('folders', [], 'More images, one folder per class.')
    define.integer('repeats', 3, 'Rounds, of which the median.', least=1)
    define.number(
        'limit',
        float('inf'),
        'Seconds after which the peer goes to no further l2.',
        least=0.0,
    )
    define.number('peer_tol', 1e-4, "scikit-learn's tol.", least=0.0)
    define.integer('peer_iterations', 1000, "scikit-learn's max_iter.", least=1)
    define.number(
        'tighter',
        1000.0,
        'Tolerance over that of the solution that gaps are from.',
        least=1.0,
    )
    define.integer(
        'every',
        0,
        'Solve every n-th l2 of the 45; 0: all, of the largest shape every 8th.',
        least=0,
    )
    return define.given


def main(given: app.Given) -> None:
    chosen = problems(config.Logistic().l2s, given)
    options = Options(given.limit, given.peer_tol, given.peer_iterations)
    print(line(HEAD), flush=True)
    for bench in chosen:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            in_new_process(bench.prepare, folder, *bench.arguments)
            cells = compare(folder, bench.l2s, given.repeats, options, given.tighter)
            print(line(cells), ' ', bench.name, flush=True)


if __name__ == '__main__':
    app.run(sys.modules[__name__])
