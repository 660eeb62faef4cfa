"""Where Runs run: what a driver asks of an executor, and local processes.

A crash costs one Run, as each is a process of its own; what it prints goes to log.txt
in its folder.
"""

import contextlib
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import types
import typing
from collections.abc import Collection, Sequence

from tfxfer import config, errors, results

POLL = 0.05  # Seconds between looks at the processes.
PATIENCE = 10  # Seconds that an interrupted Run has to end.


class Executor(typing.Protocol):
    """What starts Runs; a context manager, which at its end stops what still runs."""

    @property
    def running(self) -> Collection[str]:
        """Ids of the Runs that were started and have not been seen to end."""

    def __enter__(self) -> typing.Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None: ...

    def free(self) -> int:
        """How many more Runs it takes now."""

    def start(self, run: config.Run) -> None:
        """Starts a Run."""

    def finished(self, seconds: float) -> dict[str, int]:
        """{Run id: exit status} of those that ended; waits so long for the first."""


def command(
    workdir: str | pathlib.Path, run: config.Run, arguments: Sequence[str]
) -> list[str]:
    """The command line of a Run whose run.json is there."""
    path = results.folder(workdir, run) / 'run.json'
    module = [sys.executable, '-m', 'tfxfer.run']
    return [*module, f'--run={path}', f'--workdir={workdir}', *arguments]


class Share(typing.NamedTuple):
    """What of this machine each Run gets."""

    jobs: int  # Runs at the same time.
    threads: int  # Of each.
    gpus: list[str]  # Numbers of all.
    gpu_memory: float  # Share of the memory of its GPU.

    def flags(self) -> dict[str, typing.Any]:
        """Those of tfxfer.run, by name."""
        return {'threads': self.threads, **gpu_flags(self.gpu_memory)}


def gpu_flags(share: float) -> dict[str, float]:
    """The flag of tfxfer.run of a Run that has a share of a GPU, not a whole one."""
    return {'gpu_memory': round(share, 6)} if 0 < share < 1 else {}


def share(
    jobs: int | None = None,
    threads: int | None = None,
    jobs_per_gpu: int | None = None,
) -> Share:
    """This machine shared out: a job per GPU, or several, without GPUs one per core.

    Raises:
        errors.InputError: more jobs than the GPUs take; or there is no GPU to share.
    """
    cores, numbers = len(os.sched_getaffinity(0)), gpus()
    if jobs_per_gpu and not numbers:
        raise errors.InputError(
            f'--jobs_per_gpu={jobs_per_gpu}: there is no GPU here. Say --jobs instead.'
        )
    most = len(numbers) * (jobs_per_gpu or 1)
    if jobs and jobs_per_gpu and jobs > most:
        raise errors.InputError(
            f'--jobs={jobs} are more than --jobs_per_gpu={jobs_per_gpu} on '
            f'{len(numbers)} GPUs. Leave one of them out.'
        )
    jobs = jobs or most or cores
    per_gpu = jobs_per_gpu or max(1, math.ceil(jobs / max(1, len(numbers))))
    memory = 1 / per_gpu if numbers else 1.0
    return Share(jobs, threads or max(1, cores // jobs), numbers, memory)


class Local:
    """Up to `jobs` processes of `python -m tfxfer.run`."""

    def __init__(
        self,
        workdir: str | pathlib.Path,
        *,
        jobs: int,
        arguments: Sequence[str] = (),
        gpus: Sequence[str] = (),
    ) -> None:
        """arguments: more flags of tfxfer.run; gpus: their numbers, dealt out to the
        jobs as evenly as they go (two jobs share one where there are fewer).
        """
        self.workdir, self.jobs = workdir, jobs
        self.arguments, self.gpus = list(arguments), list(gpus)
        self.running: dict[str, subprocess.Popen] = {}  # By Run id.
        self._slots: dict[str, int] = {}  # Which of the jobs each is.

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGINT)
        end = time.monotonic() + PATIENCE
        try:
            for process in self.running.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0, end - time.monotonic()))
        finally:  # Another signal ends the waiting, not this.
            for process in self.running.values():
                process.kill()
                process.wait()

    def free(self) -> int:
        return self.jobs - len(self.running)

    def start(self, run: config.Run) -> None:
        results.write_run(self.workdir, run)
        slot = min(set(range(self.jobs)) - set(self._slots.values()))
        environment = dict(os.environ)
        if self.gpus:
            environment['CUDA_VISIBLE_DEVICES'] = ','.join(self.devices(slot))
        with open(results.folder(self.workdir, run) / 'log.txt', 'ab') as log:
            self.running[run.id] = subprocess.Popen(
                command(self.workdir, run, self.arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C reaches the Runs through __exit__, once.
                start_new_session=True,
            )
        self._slots[run.id] = slot

    def devices(self, slot: int) -> list[str]:
        """The GPUs of one of the jobs."""
        if self.jobs >= len(self.gpus):
            return [self.gpus[slot % len(self.gpus)]]
        return self.gpus[slot :: self.jobs]

    def finished(self, seconds: float) -> dict[str, int]:
        end = time.monotonic() + seconds
        while True:
            ended = {
                name: exit_status
                for name, process in self.running.items()
                if (exit_status := process.poll()) is not None
            }
            if ended or time.monotonic() >= end:
                for name in ended:
                    del self.running[name], self._slots[name]
                return ended
            time.sleep(POLL)


def gpus() -> list[str]:
    """Numbers of this machine's NVIDIA GPUs, those of CUDA_VISIBLE_DEVICES if set."""
    chosen = os.environ.get('CUDA_VISIBLE_DEVICES')
    if chosen is not None:
        return [name for name in chosen.split(',') if name not in ('', '-1')]
    matches = (
        re.fullmatch(r'nvidia(\d+)', path.name)
        for path in pathlib.Path('/dev').glob('nvidia*')
    )
    return sorted((match[1] for match in matches if match), key=int)
