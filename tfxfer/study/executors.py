"""Where Runs run: local processes or a Ray cluster, one process a Run.

Every executor is a context manager with `running` (a dict by Run id), `free()` (how
many more Runs it takes now), `start(run)`, `finished(seconds)` ({Run id: exit status}
of those that ended) and stops at its end what still runs. A crash costs one Run; what a
Run prints goes to log.txt in its folder.
"""

import contextlib
import importlib.util
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

from tfxfer import errors, results

POLL = 0.05  # Seconds between looks at the processes.
PATIENCE = 10  # Seconds that an interrupted Run has to end.
KILLED = -signal.SIGKILL  # Status of a Run whose end nobody saw.


def command(workdir, run, arguments):
    """The command line of a Run whose run.json is there."""
    path = results.folder(workdir, run) / 'run.json'
    module = [sys.executable, '-m', 'tfxfer.run']
    return [*module, f'--run={path}', f'--workdir={workdir}', *arguments]


class Local:
    """Up to `jobs` processes of `python -m tfxfer.run`."""

    def __init__(self, workdir, *, jobs, arguments=(), gpus=()):
        """arguments: more flags of tfxfer.run; gpus: their numbers, dealt out to the
        jobs as evenly as they go (two jobs share one where there are fewer).
        """
        self.workdir, self.jobs, self.arguments = workdir, jobs, list(arguments)
        self.gpus, self.running, self._slots = list(gpus), {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for process in self.running.values():
            process.send_signal(signal.SIGINT)
        end = time.monotonic() + PATIENCE
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, end - time.monotonic()))
            process.kill()
            process.wait()

    def free(self):
        return self.jobs - len(self.running)

    def start(self, run):
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

    def devices(self, slot):
        """The GPUs of one of the jobs."""
        if self.jobs >= len(self.gpus):
            return [self.gpus[slot % len(self.gpus)]]
        return self.gpus[slot :: self.jobs]

    def finished(self, seconds):
        end = time.monotonic() + seconds
        while True:
            ended = {
                name: process.returncode
                for name, process in self.running.items()
                if process.poll() is not None
            }
            if ended or time.monotonic() >= end:
                for name in ended:
                    del self.running[name], self._slots[name]
                return ended
            time.sleep(POLL)


def gpus():
    """Numbers of this machine's NVIDIA GPUs, those of CUDA_VISIBLE_DEVICES if set."""
    chosen = os.environ.get('CUDA_VISIBLE_DEVICES')
    if chosen is not None:
        return [name for name in chosen.split(',') if name not in ('', '-1')]
    found = (
        re.fullmatch(r'nvidia(\d+)', path.name)
        for path in pathlib.Path('/dev').glob('nvidia*')
    )
    return sorted((match[1] for match in found if match), key=int)


class Ray:
    """A Ray cluster whose nodes share the workdir and have tfxfer installed.

    A Run whose node is lost is started elsewhere by Ray itself, and goes on from its
    checkpoint.
    """

    def __init__(self, workdir, *, address=None, cpus=1, gpus=0, arguments=()):
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
        self.arguments, self.running = list(arguments), {}
        if address and address != 'auto':
            _reach(address)

    def __enter__(self):
        import ray

        self._ray, self._own = ray, not ray.is_initialized()
        if self._own:
            try:
                ray.init(
                    address=self.address,
                    log_to_driver=False,
                    logging_level='error',
                    **({} if self.address else {'include_dashboard': False}),
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                reason = str(error).strip().partition('\n')[0]
                raise errors.InputError(
                    f'Cannot join the Ray cluster at {self.address!r}: {reason} Start '
                    'one (ray start --head) or leave --ray_address out.'
                ) from error
        self._work = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=3)(
            _on_a_node
        )
        return self

    def __exit__(self, *exception):
        for reference in self.running.values():
            self._ray.cancel(reference, force=False)
        if self.running:
            self._ray.wait(
                list(self.running.values()),
                num_returns=len(self.running),
                timeout=PATIENCE,
            )
        if self._own:
            self._ray.shutdown()

    def free(self):
        # Twice what runs at once, so that no node waits for the next Run.
        total = self._ray.cluster_resources()
        room = int(total.get('CPU', 0) // self.cpus)
        if self.gpus:
            room = min(room, int(total.get('GPU', 0) // self.gpus))
        return max(1, 2 * room) - len(self.running)

    def start(self, run):
        results.write_run(self.workdir, run)
        log = results.folder(self.workdir, run) / 'log.txt'
        line = command(self.workdir, run, self.arguments)
        # The node has its own Python.
        self.running[run.id] = self._work.remote(line[1:], str(log), os.getcwd())

    def finished(self, seconds):
        if not self.running:
            time.sleep(seconds)
            return {}
        names = {reference: name for name, reference in self.running.items()}
        done, _ = self._ray.wait(list(names), num_returns=1, timeout=seconds)
        ended = {}
        for reference in done:
            try:
                status = self._ray.get(reference)
            except self._ray.exceptions.RayError:  # Its node is gone, after retries.
                status = KILLED
            ended[names[reference]] = status
            del self.running[names[reference]]
        return ended


def _on_a_node(arguments, log, folder):
    """What Ray runs: a Run in a process of its own; its exit status."""
    environment = dict(os.environ)
    # Ray sets it to one thread; --threads says what the Run takes.
    environment.pop('OMP_NUM_THREADS', None)
    here = folder if os.path.isdir(folder) else None
    with open(log, 'ab') as file:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, env=environment, cwd=here,
            start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip
        try:
            return process.wait()
        except BaseException:  # Cancelled: KeyboardInterrupt.
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            raise


def _die_with_parent():
    """In a new process: it is to be killed when the one that started it is."""
    import ctypes

    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def _reach(address):
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


def last_words(workdir, name, lines=4):
    """The end of a Run's log, for a person to see why it failed."""
    try:
        text = (pathlib.Path(workdir) / name / 'log.txt').read_text()
    except OSError:
        return '(no log)'
    shown = [line for line in text.replace('\r', '\n').splitlines() if line.strip()]
    errors = [line for line in shown if line.startswith('error: ')]
    return '\n'.join(errors[-1:] or shown[-lines:])
