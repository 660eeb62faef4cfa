"""Peers driven down a path of l2s, to within the tolerance of ours at each.

At each l2 a peer is given looser tolerances first, then tighter ones, each time from
its own solution at the l2 before, until its objective is within the tolerance of
tfxfer.logreg. A failed attempt is a part of the one that succeeds: the same iterations
from the same start, stopped earlier. So what counts is the time of that last fit alone,
as of a peer that knew its tolerances beforehand. Not counted are failed attempts, other
peers, checks, copies to a GPU, imports, and the trial of one thread against all.
"""

import dataclasses
import pathlib
import time
import typing
from collections.abc import Callable, Sequence

import numpy as np
import threadpoolctl

from tfxfer import logreg
from tools.benchmarks import blas_threads, child, path_peers

# Of a peer's own criterion, from loose to tight.
TOLS = tuple(10 ** (-i / 2) for i in range(2, 27))
ITERATIONS = 10**6  # Never the reason to stop.


class Problem:
    """Features, labels and l2s, and how far from the minimum a solution may be.

    Attributes:
        folder: x.npy and y.npy.
        x, y: float64 [n, d], [n].
        l2s: strongest first.
        least: the lowest objective known at each l2.
    """

    def __init__(self, folder: pathlib.Path, l2s: Sequence[float]):
        self.folder, self.l2s = folder, list(l2s)
        self.x = np.load(folder / 'x.npy').astype(np.float64)
        self.y = np.load(folder / 'y.npy')
        self.classes = int(self.y.max()) + 1
        self.least = np.full(len(self.l2s), np.inf)

    def objective(self, i: int, w: np.ndarray) -> float:
        """Of w [d + 1, k] at the i-th l2, in float64; lowers `least`."""
        w, l2 = w.astype(np.float64), self.l2s[i]
        with threadpoolctl.threadpool_limits(1):  # Not ten times as long beside others.
            value, _ = logreg.loss_and_grad(w, self.x, self.y, l2)
        self.least[i] = min(self.least[i], value)
        return float(value)

    def gap(self, i: int, value: float) -> float:
        """How far an objective is above the least, in units of the tolerance."""
        least = self.least[i]
        free = logreg.ATOL * len(self.y) * np.log(self.classes)
        return float((value - least) / (logreg.RTOL * least + free))


class Control(typing.NamedTuple):
    """When a peer stops by itself."""

    tol: float
    iterations: int = ITERATIONS


@dataclasses.dataclass
class Way:
    """How far a peer came.

    Attributes:
        peer: who.
        seconds, controls, weights, values: at each l2 that it solved.
        lost: seconds that the l2 after those takes at least.
        ended: why it went no further; '' where it is done.
        peak: MiB.
        beyond: no time at all would have been enough.
        absent: it could not take part.
        rung: of TOLS, the one that is tried.
    """

    peer: path_peers.Peer
    seconds: list[float] = dataclasses.field(default_factory=list)
    controls: list[Control] = dataclasses.field(default_factory=list)
    weights: list[np.ndarray] = dataclasses.field(default_factory=list)
    values: list[float] = dataclasses.field(default_factory=list)
    lost: float = 0.0
    ended: str = 'interrupted'
    peak: float = 0.0
    beyond: bool = False
    absent: bool = False
    rung: int = 0

    def keep(
        self, control: Control, w: np.ndarray, value: float, seconds: float
    ) -> None:
        """Adds a solution."""
        self.controls.append(control)
        self.weights.append(w)
        self.values.append(value)
        self.seconds.append(seconds)
        self.lost = 0.0

    @property
    def total(self) -> float:
        """Seconds of the whole way, or what they are at least."""
        return sum(self.seconds) + self.lost


def drive(way: Way, problem: Problem, limit: float, say: Callable[[str], None]) -> None:
    """Takes a way as far as it goes in so many seconds of fits that count."""
    with child.Child(serve, problem.folder, way.peer) as process:
        try:
            without = process.answer()
            if without:
                way.ended, way.absent = without, True
                return
            for i in range(len(problem.l2s)):
                if not _solve(way, problem, i, limit, process):
                    return
                say(f'  {way.peer}: {_solved(way, problem, i)}')
            way.ended = ''
        except child.Ended as error:
            way.ended = str(error)


def _solved(way, problem, i):
    tol, gap = way.controls[-1].tol, problem.gap(i, way.values[-1])
    return (
        f'l2 {problem.l2s[i]:.3g}, tol {tol:.0e}, {way.seconds[-1]:.3g} s, '
        f'gap {gap:.2g}'
    )


def _solve(way, problem, i, limit, process):
    """One l2: adds to the way and returns True, or says in it why not."""
    start = way.weights[-1] if way.weights else None
    way.rung = max(way.rung - 1, 0)
    control, before, tried = Control(TOLS[way.rung]), None, False
    while True:
        left = max(limit - sum(way.seconds), 0.0)
        begun = time.perf_counter()
        try:
            answer = process.ask(
                (problem.l2s[i], start, control), None if left == np.inf else left
            )
        except TimeoutError:
            way.lost = max(way.lost, time.perf_counter() - begun)
            way.ended, way.peak = f'stopped after {way.total:.3g} s', process.peak()
            return False
        w, seconds, count = answer
        way.peak = process.peak()
        value = problem.objective(i, w)
        gap = problem.gap(i, value)
        if gap <= 1:
            way.keep(control, w, value, seconds)
            return True
        way.lost = max(way.lost, seconds)
        one_more = control.iterations < ITERATIONS
        if count < control.iterations if one_more else way.rung == len(TOLS) - 1:
            way.ended, way.beyond = f'{gap:.2g} above at l2 {problem.l2s[i]:.3g}', True
            return False
        if count and count == before and not tried:
            # A tighter tolerance changed nothing: can it go on at all?
            control, tried = Control(TOLS[-1], count + 1), True
        else:
            way.rung = min(way.rung + 1, len(TOLS) - 1)
            control = Control(TOLS[way.rung])
        before = count


def again(way: Way, problem: Problem) -> float:
    """Seconds of a way that is done, once more with the tolerances that it found."""
    starts = [None, *way.weights[:-1]]
    with child.Child(serve, problem.folder, way.peer) as process:
        process.answer()
        return sum(
            process.ask((l2, start, control))[1]
            for l2, start, control in zip(
                problem.l2s, starts, way.controls, strict=True
            )
        )


def serve(pipe: typing.Any, folder: pathlib.Path, peer: path_peers.Peer) -> None:
    """A peer's process: answers why it cannot take part, or '', and then its fits.

    A question is (l2, start, Control), an answer (w, seconds, iterations).
    """
    x, y = np.load(folder / 'x.npy'), np.load(folder / 'y.npy')
    try:
        fit = peer.make(x, y, int(y.max()) + 1)
    except path_peers.Unavailable as error:
        pipe.send(str(error))
        return
    few = 1 if peer.key == 'newton-cholesky' else 3
    threads = blas_threads.faster(lambda: fit(1.0, None, TOLS[-1], few))
    pipe.send('')
    while True:
        l2, start, control = pipe.recv()
        with threadpoolctl.threadpool_limits(threads):
            begun = time.perf_counter()
            w, count = fit(l2, start, *control)
            seconds = time.perf_counter() - begun
        pipe.send((w, seconds, count))
