"""Where Runs run: local processes, one a Run, so that a crash costs one Run."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import time

from tfxfer import results

POLL = 0.05  # Seconds between looks at the processes.
PATIENCE = 10  # Seconds that an interrupted Run has to end.


class Local:
    """Up to `jobs` processes of `python -m tfxfer.run`.

    Used as a context manager: what still runs at its end is stopped.
    """

    def __init__(self, workdir, *, jobs, arguments=()):
        """arguments: more flags of tfxfer.run."""
        self.workdir, self.jobs, self.arguments = workdir, jobs, list(arguments)
        self.running = {}

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
        """How many more Runs can start."""
        return self.jobs - len(self.running)

    def start(self, run):
        """Starts a Run; what it prints goes to log.txt in its folder."""
        results.write_run(self.workdir, run)
        folder = results.folder(self.workdir, run)
        command = [sys.executable, '-m', 'tfxfer.run', f'--run={folder / "run.json"}']
        with open(folder / 'log.txt', 'ab') as log:
            self.running[run.id] = subprocess.Popen(
                [*command, f'--workdir={self.workdir}', *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches the Runs through __exit__, once.
                start_new_session=True,
            )

    def finished(self):
        """Waits until a Run ends: {Run id: exit status} of all that have."""
        while True:
            ended = {
                name: process.returncode
                for name, process in self.running.items()
                if process.poll() is not None
            }
            if ended:
                for name in ended:
                    del self.running[name]
                return ended
            time.sleep(POLL)


def last_words(workdir, name, lines=4):
    """The end of a Run's log, for a person to see why it failed."""
    try:
        text = (pathlib.Path(workdir) / name / 'log.txt').read_text()
    except OSError:
        return '(no log)'
    shown = [line for line in text.replace('\r', '\n').splitlines() if line.strip()]
    errors = [line for line in shown if line.startswith('error: ')]
    return '\n'.join(errors[-1:] or shown[-lines:])
