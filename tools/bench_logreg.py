"""Times the whole l2 path of tfxfer.logreg against others', to the same tolerance.

    python -m tools.bench_logreg
    python -m tools.bench_logreg --shapes=12000x1024x10 --every=8 --limit=3600
    python -m tools.bench_logreg --shapes= --checkpoints=SLIM --folders=MY_IMAGES

Features are made (correlated, non-negative, of classes that overlap) or, with
--checkpoints, MobileNet v1's of the digits and of --folders (one folder per class).
Peers are scikit-learn's LogisticRegression by four solvers, scikit-learn-intelex', and
on a GPU torch's L-BFGS and cuML's, as far as they are installed. All go down the same
l2s in float32, each from its solution before; a peer to which float32 is not enough has
a second way in float64. Each has a process of its own.

What is compared is the time until every l2 is within the tolerance of logreg.path, 1e-4
f* + 1e-7 n ln k above the minimum f*. Ours is the whole of logreg.path from arrays in
memory. A peer's is the sum over the l2s of one fit, that with the loosest tolerance of
its own (of a ladder of half decades) that ends within ours, as if it had been known:
not counted are its attempts with looser ones, checks, copies to a GPU and other peers.
Every side, ours too, computes with one thread of BLAS or with all, whichever a first
trial finds faster. f* is the lowest objective that any side reached, in float64; one
side is our path in float64 with a tolerance --tighter times tighter.

The fastest peer counts. Who is slower than one before is stopped, and all are after
--limit seconds of fits that count: then the ratio is a lower bound (>=). A line is
printed for each l2 and peer, and for each problem: medians of the seconds of the
rounds, in turn, and their ratio; the largest gap above f* over the l2s in units of the
tolerance; validation accuracy at each one's best l2; and peak memory in MiB beside that
of the float32 features.
"""

import dataclasses
import pathlib
import resource
import statistics
import sys
import tempfile
import time
import typing

import numpy as np
import threadpoolctl
from absl import flags

from tfxfer import config, errors, logreg
from tfxfer.cli import app
from tools.benchmarks import blas_threads, child, path_peers, path_race, session
from tools.benchmarks.path_race import Problem, Way
from tools.benchmarks.rows import Row

LIBRARIES = (
    'tfxfer', 'numpy', 'scipy', 'openvino', 'tensorflow', 'scikit-learn',
    'scikit-learn-intelex', 'torch', 'cuml-cu12', 'cuml-cu13',
)  # fmt: skip
QUICK = {'shapes': ['1500x128x5'], 'every': 9, 'repeats': 1, 'limit': 5.0}
# images x features x classes: how far the classes are apart, and every n-th l2.
SHAPES = {
    '3000x2048x37': (1.5, 1),
    '12000x1024x10': (1.2, 1),
    '40000x1024x10': (1.2, 1),
    '60000x2048x101': (1.6, 8),
}
APART = 1.5  # Of any other shape.


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


def ours(folder, l2s, limits=None):
    """(weights [l2s, d + 1, k], seconds, peak MiB) of our path."""
    x, y = np.load(folder / 'x.npy'), np.load(folder / 'y.npy')
    # Imports what it needs, for which the problem must not be too small.
    first = np.random.default_rng(0).random((1100, 1000), np.float32)
    list(logreg.path(first, np.arange(1100) % 2, 2, [1.0]))

    def weights_at(l2s):
        return [w for _, w in logreg.path(x, y, int(y.max()) + 1, l2s, limits=limits)]

    threads = blas_threads.faster(lambda: weights_at(l2s[:1]))
    with threadpoolctl.threadpool_limits(threads):
        start = time.perf_counter()
        weights = weights_at(l2s)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return np.stack(weights), seconds, peak


@dataclasses.dataclass
class Contest:
    """What is known of a problem so far.

    Attributes:
        name: of the problem.
        problem: it.
        seconds: of our path, each round.
        weights, values, peak: ours: [l2s, d + 1, k], [l2s], MiB.
        ways: of the peers, as they ran.
        more: seconds of the fastest peer in the rounds after the first.
        judged: whether f* is known, so that gaps are.
    """

    name: str
    problem: Problem
    seconds: list[float] = dataclasses.field(default_factory=list)
    weights: np.ndarray | None = None
    values: list[float] = dataclasses.field(default_factory=list)
    peak: float = 0.0
    ways: list[Way] = dataclasses.field(default_factory=list)
    more: list[float] = dataclasses.field(default_factory=list)
    judged: bool = False

    def run_ours(self) -> None:
        """One more round of our path."""
        problem = self.problem
        weights, seconds, peak = child.call(ours, problem.folder, problem.l2s)
        self.seconds.append(seconds)
        self.weights, self.peak = weights, max(peak, self.peak)
        self.values = [problem.objective(i, w) for i, w in enumerate(weights)]

    def worst_gap(self, values: list[float]) -> float:
        """The largest of objectives at the first l2s, in units of the tolerance."""
        return max(map(self.problem.gap, range(len(values)), values), default=0.0)

    @property
    def fastest(self) -> Way | None:
        """The peer that was done first."""
        done = [way for way in self.ways if not way.ended]
        return min(done, key=lambda way: way.total, default=None)


def race(contest: Contest, options: session.Options, say: typing.Callable) -> None:
    """Runs all sides; what is known at any moment is in the contest."""
    problem = contest.problem
    contest.run_ours()
    say(f'  ours: {len(problem.l2s)} l2s, {contest.seconds[0]:.3g} s')
    tight = logreg.Limits(
        rtol=logreg.RTOL / options.tighter,
        atol=logreg.ATOL / options.tighter,
        float64_size=np.inf,
    )
    weights, seconds, _ = child.call(ours, problem.folder, problem.l2s, tight)
    for i, w in enumerate(weights):
        problem.objective(i, w)
    contest.judged = True
    say(
        f'  f*: {options.tighter:g} times tighter in float64, {seconds:.3g} s; '
        f'ours is up to {contest.worst_gap(contest.values):.2g} tolerances above'
    )
    queue = [path_peers.Peer(key) for key in path_peers.MAKERS if key in options.peers]
    while queue:
        peer = queue.pop(0)
        why = path_peers.missing(peer.key, problem.x.shape[1], problem.classes)
        if why:
            say(f'  {peer}: left out, {why}')
            continue
        fastest = contest.fastest
        limit = min(options.limit, fastest.total if fastest else np.inf)
        way = Way(peer)
        contest.ways.append(way)
        path_race.drive(way, problem, limit, say)
        say(f'  {peer}: {described(way, problem)}')
        if way.beyond and peer.precision == 'float32':
            queue.insert(0, path_peers.Peer(peer.key, 'float64'))
    for _ in range(1, options.repeats):
        contest.run_ours()
        say(f'  ours: {contest.seconds[-1]:.3g} s')
        if contest.fastest:
            contest.more.append(path_race.again(contest.fastest, problem))
            say(f'  {contest.fastest.peer}: {contest.more[-1]:.3g} s')


def described(way: Way, problem: Problem) -> str:
    """How far a peer came, in words."""
    solved = f'{len(way.seconds)} of {len(problem.l2s)} l2s in {sum(way.seconds):.3g} s'
    return f'{solved}, {way.ended}' if way.ended else solved


class Verdict(typing.NamedTuple):
    """The peer that ours is compared with."""

    way: Way
    seconds: float
    at_least: bool  # None was done: no peer is within the tolerance sooner.


def verdict(contest: Contest) -> Verdict | None:
    """That of the peers which took part; None if there is none."""
    if way := contest.fastest:
        return Verdict(way, statistics.median([way.total, *contest.more]), False)
    ways = [way for way in contest.ways if not way.absent]
    stopped = [way for way in ways if not way.beyond]
    if stopped:
        way = max(stopped, key=lambda way: len(way.seconds))
        return Verdict(way, min(way.total for way in stopped), True)
    if ways:  # However long it went on.
        way = max(ways, key=lambda way: way.total)
        return Verdict(way, way.total, True)
    return None


def accuracy(weights: typing.Sequence[np.ndarray], folder: pathlib.Path) -> float:
    """On xv, yv, of the best of the weights."""
    xv, yv = np.load(folder / 'xv.npy'), np.load(folder / 'yv.npy')
    return max((logreg.predict(w, xv).argmax(axis=1) == yv).mean() for w in weights)


def size(problem: Problem) -> str:
    return 'x'.join(map(str, (*problem.x.shape, problem.classes)))


def cells(contest: Contest) -> tuple[str, ...]:
    """Those of HEAD; empty where no peer has them."""
    problem, found = contest.problem, verdict(contest)
    assert contest.weights is not None
    seconds = statistics.median(contest.seconds)
    peer = [''] * 6
    if found:
        way, sign = found.way, '>=' if found.at_least else ''
        valid = accuracy(way.weights, problem.folder) if way.weights else np.nan
        peer = [
            f'{len(way.seconds)}/{len(problem.l2s)}', f'{sign}{found.seconds:.3g}',
            f'{sign}{found.seconds / seconds:.1f}',
            f'{contest.worst_gap(way.values):.2g}', f'{valid:.3f}', f'{way.peak:.0f}',
        ]  # fmt: skip
    solved, peer_seconds, ratio, peer_gap, peer_valid, peer_peak = peer
    return (
        size(problem), solved, f'{seconds:.3g}', peer_seconds, ratio,
        f'{contest.worst_gap(contest.values):.2g}' if contest.judged else '', peer_gap,
        f'{accuracy(list(contest.weights), problem.folder):.3f}', peer_valid,
        f'{contest.peak:.0f}', peer_peak, f'{problem.x.nbytes / 2 / 2**20:.0f}',
    )  # fmt: skip


def row(contest: Contest) -> Row:
    """The same for the table of all benchmarks."""
    problem, found = contest.problem, verdict(contest)
    n, d = problem.x.shape
    shape = f'{n:,} x {d:,} features, {problem.classes} classes'
    name = '' if contest.name.startswith('made ') else f' of {contest.name}'
    peers, at_least = {}, ()
    if found:
        peers = {str(found.way.peer): found.seconds}
        at_least = (str(found.way.peer),) if found.at_least else ()
    return Row(
        f'{len(problem.l2s)} penalties to the same tolerance, {shape}{name}',
        statistics.median(contest.seconds), 's', peers, at_least,
        record={
            'gap': contest.worst_gap(contest.values),
            'peers': {
                str(way.peer): described(way, problem) for way in contest.ways
            },
        },
    )  # fmt: skip


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
    define.strings('peers', list(path_peers.MAKERS), 'Who takes part, if installed.')
    define.integer('repeats', 3, 'Rounds, of which the median.', least=1)
    define.number(
        'limit', 600.0, 'Seconds of fits after which a peer is stopped.', least=0.0
    )
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
    session.define(define)
    return define.given


def main(given: app.Given) -> None:
    options = session.settle(given, QUICK)
    chosen = problems(config.Logistic().l2s, options)
    for peer in options.peers:
        errors.find('peer', path_peers.MAKERS, peer)
    with session.begin(options, 'bench_logreg', LIBRARIES) as bench:
        for each in chosen:
            time_one(each, options, bench)
            if bench.interrupted:
                break


def time_one(each: Bench, options: session.Options, bench: session.Session) -> None:
    """Prepares a problem, runs all sides, says and records its row."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        bench.say(f'{each.name}, {len(each.l2s)} l2s')
        child.call(each.prepare, folder, *each.arguments)
        problem = Problem(folder, sorted(each.l2s, reverse=True))
        contest = Contest(each.name, problem)
        with bench.cut_short():
            race(contest, options, bench.say)
        if not contest.seconds:
            return
        bench.say(line(HEAD))
        bench.say(f'{line(cells(contest))}  {peer_name(contest)}')
        if not bench.interrupted:
            bench.record(row(contest))


def peer_name(contest: Contest) -> str:
    found = verdict(contest)
    return f'peer: {found.way.peer}' if found else 'no peer'


if __name__ == '__main__':
    app.run(sys.modules[__name__])
