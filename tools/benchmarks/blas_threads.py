"""One thread of BLAS or all of them: whichever is faster.

On small problems, and on a machine where other programs run, threads that wait for each
other can take ten times as long as one alone.
"""

import time
from collections.abc import Callable

import threadpoolctl


def faster(function: Callable[[], object]) -> int | None:
    """1, or None for all: with whichever a call takes less time."""
    times = dict.fromkeys((None, 1), float('inf'))
    for threads in (None, 1) * 2:  # What a first call starts is not counted.
        with threadpoolctl.threadpool_limits(threads):
            begun = time.perf_counter()
            function()
            times[threads] = min(times[threads], time.perf_counter() - begun)
    return min(times, key=lambda threads: times[threads])
