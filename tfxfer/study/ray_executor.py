"""Runs on a Ray cluster. Ray is imported when an executor of it is entered."""

import contextlib
import functools
import importlib.util
import ipaddress
import logging
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import typing
from collections.abc import Sequence

from tfxfer import config, errors, results
from tfxfer.study import executors, failures


class Ray:
    """A Ray cluster whose nodes share the workdir and have tfxfer installed.

    A Run whose node is lost is started elsewhere by Ray itself, and goes on from its
    checkpoint. A cluster that is started here can be reached from this machine alone,
    with a token that this process and its Runs have.
    """

    def __init__(
        self,
        workdir: str | pathlib.Path,
        *,
        address: str | None = None,
        cpus: int = 1,
        gpus: float = 0,
        arguments: Sequence[str] = (),
    ) -> None:
        """address: of a running cluster ('auto', host:port, ray://host:port); None: one
        of this machine alone, which ends with this program. cpus, gpus: of each Run.

        Raises:
            errors.InputError: Ray is not installed, or nothing answers there.
        """
        if importlib.util.find_spec('ray') is None:
            raise errors.InputError(
                "Ray is not installed. Install it: pip install 'tfxfer[ray]'"
            )
        self.workdir = pathlib.Path(workdir).absolute()  # Nodes start elsewhere.
        self.address, self.cpus, self.gpus = address, cpus, gpus
        self.arguments = list(arguments)
        self.running: dict[str, typing.Any] = {}  # Ray's reference by Run id.
        if address and address != 'auto':
            _reach(address)

    def __enter__(self) -> typing.Self:
        if not self.address:
            os.environ.update(_own_cluster())
        import ray

        self._ray, self._joined_here = ray, not ray.is_initialized()
        if self._joined_here:
            self._join()
        self._work = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=3)(
            _on_a_node
        )
        return self

    def _join(self) -> None:
        options: dict[str, typing.Any] = {'log_to_driver': False}
        if not self.address:
            options['include_dashboard'] = False
        try:
            self._ray.init(self.address, logging_level=logging.ERROR, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).strip().partition('\n')[0]
            raise errors.InputError(
                f'Cannot join the Ray cluster at {self.address!r}: {reason} Start '
                'one (ray start --head) or leave --ray_address out.'
            ) from error
        node = ipaddress.ip_address(self._ray.util.get_node_ip_address())
        if not self.address and not node.is_loopback:
            self._ray.shutdown()
            raise errors.InputError(
                f'Ray would listen at {node}, for all of the network: it was imported '
                'before it could be told otherwise.'
            )

    def __exit__(self, *exception: object) -> None:
        for reference in self.running.values():
            self._ray.cancel(reference, force=False)
        if self.running:
            self._ray.wait(
                list(self.running.values()),
                num_returns=len(self.running),
                timeout=executors.PATIENCE,
            )
        if self._joined_here:
            self._ray.shutdown()

    def free(self) -> int:
        # Twice what runs at once, so that no node waits for the next Run.
        total = self._ray.cluster_resources()
        room = int(total.get('CPU', 0) // self.cpus)
        if self.gpus:
            # A fifth is a little more than 1 / 5.
            room = min(room, int(total.get('GPU', 0) / self.gpus + 1e-6))
        return max(1, 2 * room) - len(self.running)

    def start(self, run: config.Run) -> None:
        results.write_run(self.workdir, run)
        log = results.folder(self.workdir, run) / 'log.txt'
        _, *arguments = executors.command(self.workdir, run, self.arguments)
        # The node has its own Python.
        self.running[run.id] = self._work.remote(arguments, str(log), os.getcwd())

    def finished(self, seconds: float) -> dict[str, int]:
        if not self.running:
            time.sleep(seconds)
            return {}
        names = {reference: name for name, reference in self.running.items()}
        done, _ = self._ray.wait(list(names), num_returns=1, timeout=seconds)
        ended = {names[reference]: self._exit_status(reference) for reference in done}
        for name in ended:
            del self.running[name]
        return ended

    def _exit_status(self, reference: typing.Any) -> int:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError:  # Its node is gone, after retries.
            return failures.KILLED


@functools.cache
def _token() -> str:
    """Of all clusters of this process: Ray reads it once."""
    return secrets.token_hex(32)


def _own_cluster() -> dict[str, str]:
    """What Ray reads when it is imported, for a cluster of this machine alone.

    Without a cluster of several machines, as it has none by default on Windows and
    macOS, its servers listen on the loopback interface; else on every one.
    """
    return {
        'RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER': '0',
        'RAY_AUTH_MODE': 'token',
        'RAY_AUTH_TOKEN': _token(),
    }


def _on_a_node(arguments, log, folder):
    """What Ray runs: a Run in a process of its own; its exit status."""
    environment = dict(os.environ)
    # Ray sets it to one thread; --threads says what the Run takes.
    environment.pop('OMP_NUM_THREADS', None)
    with open(log, 'ab') as file:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, env=environment,
            cwd=folder if os.path.isdir(folder) else None,
            start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip
        try:
            return process.wait()
        except BaseException:  # Cancelled: KeyboardInterrupt.
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(executors.PATIENCE)
            process.kill()
            raise


def _die_with_parent():
    """In a new process: it is to be killed when the one that started it is."""
    import ctypes

    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def _reach(address: str) -> None:
    """Raises where nothing listens at host:port or ray://host:port."""
    match = re.fullmatch(r'(?:ray://)?\[?([^/\]]+?)\]?:(\d+)', address)
    if match is None:
        raise errors.InputError(
            f'--ray_address={address!r} is none of auto, HOST:PORT, ray://HOST:PORT.'
        )
    try:
        socket.create_connection((match[1], int(match[2])), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise errors.InputError(
            f'Nothing answers at --ray_address={address} ({error}). Start a cluster '
            'there (ray start --head) or leave the flag out for one of this machine.'
        ) from error
