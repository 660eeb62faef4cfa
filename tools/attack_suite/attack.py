"""An attack: what is done to a place, a command there, and whether that survives it."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import resource
import signal
import stat
import subprocess
import sys
import time
import typing
from collections.abc import Callable, Iterator, Mapping

from tools.attack_suite.commands import Command, Outcome
from tools.attack_suite.place import ROOT, Place

SECONDS = 300.0  # After which a command counts as hanging.
MEMORY = 8 << 30  # Bytes that no command may need.


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """Of the process that is attacked.

    Attributes:
        variables: {name: value} of its environment; None: not there.
        python: flags of the interpreter.
        umask: of the files that it makes.
        file_size: largest file that it may write, bytes.
        folder: it starts in; None: the project's.
        signals: it gets signal.SIG... after so many seconds.
        stdout: file that it writes to, instead of being read.
        also: so many more such processes are started at the same time.
    """

    variables: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    python: tuple[str, ...] = ()
    umask: int = 0o022
    file_size: int | None = None
    folder: Callable[[Place], pathlib.Path] | None = None
    signals: tuple[int, float] | None = None
    stdout: str | None = None
    also: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Attack:
    """One attempt to make a program fail.

    Attributes:
        kind: what is attacked, in words; attacks of a kind make one row of the table.
        name: what is done, in words.
        command: what runs then.
        act: does it, to a copy of the place.
        refused: it must end with an error, as there is no right result.
        then: after it a clean command, which must succeed with the right result.
        heal: mends, before `then`, what was done.
        keeps: where the program refuses, all files that were there must be as before.
        quick: among those of the test suite.
    """

    kind: str
    name: str
    command: Command
    act: Callable[[Place], typing.Any] = lambda place: None
    surroundings: Surroundings = Surroundings()
    refused: bool = False
    then: Command | None = None
    heal: Callable[[Place], typing.Any] = lambda place: None
    keeps: bool = True
    quick: bool = False


def complaint(attack: Attack, clean: Place, root: pathlib.Path) -> str:
    """Carries an attack out in a new folder; what went wrong, '' if it survived."""
    try:
        wrong = _carried_out(attack, clean, root)
        return ' '.join(wrong.replace(str(root), 'PLACE').split())
    finally:
        _remove(root)


def _carried_out(attack: Attack, clean: Place, root: pathlib.Path) -> str:
    place = clean.copy(root)
    moved = attack.act(place)
    if isinstance(moved, pathlib.Path):  # Where the results lie now.
        place = dataclasses.replace(place, work=moved)
    before = _digests(place)
    outcome = run(attack.command, place, attack.surroundings)
    wrong = _judged(attack, place, clean, outcome, before)
    if wrong or attack.then is None:
        return wrong
    attack.heal(place)
    again = run(attack.then, place)
    if again.status != 0:
        return f'clean command after it: {_ended(again) or again.status}'
    wrong = attack.then.judge(place, clean, again)
    return wrong and f'clean command after it: {wrong}'


def run(command: Command, place: Place, around: Surroundings | None = None) -> Outcome:
    """Runs a command and waits for it, for SECONDS at most.

    Of several at once the first that ended in no good way, else the first.
    """
    around = around or Surroundings()
    with concurrent.futures.ThreadPoolExecutor(1 + around.also) as threads:
        ends = [
            threads.submit(_run, command, place, around) for _ in range(1 + around.also)
        ]
        outcomes = [end.result() for end in ends]
    return next((one for one in outcomes if _ended(one)), outcomes[0])


def _run(command: Command, place: Place, around: Surroundings) -> Outcome:
    variables = {**os.environ, **around.variables}
    with contextlib.ExitStack() as stack:
        out = subprocess.PIPE
        if around.stdout:
            out = stack.enter_context(open(around.stdout, 'wb'))
        process = subprocess.Popen(
            [
                sys.executable,
                *around.python,
                '-m',
                command.module,
                *command.arguments(place),
            ],
            cwd=around.folder(place) if around.folder else ROOT,
            env={k: v for k, v in variables.items() if v is not None},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            umask=around.umask,
            start_new_session=True,
        )
        # From here, as no Python may run between fork and exec beside other threads.
        _limit(process.pid, resource.RLIMIT_DATA, MEMORY)
        if around.file_size is not None:
            _limit(process.pid, resource.RLIMIT_FSIZE, around.file_size)
        # Read by threads, as what a killed process started may hold on to its pipes.
        threads = stack.enter_context(concurrent.futures.ThreadPoolExecutor(2))
        read = [threads.submit(pipe.read) for pipe in _pipes(process)]
        status = _wait(process, around.signals)
        alone = _end(process.pid)
        err, *out_bytes = (future.result() for future in read)
        return Outcome(status, b''.join(out_bytes), err, alone)


def _pipes(process: subprocess.Popen) -> list[typing.IO[bytes]]:
    """Standard error, and standard output unless it goes to a file."""
    return [pipe for pipe in (process.stderr, process.stdout) if pipe]


def _limit(pid: int, kind: int, size: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # It has ended.
        resource.prlimit(pid, kind, (size, size))


def _wait(process: subprocess.Popen, signals: tuple[int, float] | None) -> int | None:
    if signals:
        number, after = signals
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(after)
        if number == signal.SIGKILL:  # As when the machine goes down: all at once.
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    try:
        return process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _end(group: int) -> bool:
    """Ends what is left of a process group; whether nothing was, after a while."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    return False


_LOG = re.compile(r'([IWEF]\d{4} |\d{4}-\d\d-\d\d |  +%|\s*$)')  # absl's, TensorFlow's.


def _shown(output: bytes) -> list[str]:
    """The lines that a terminal shows: after a carriage return a line is overwritten.

    So a progress bar that a program erased is not among them.
    """
    lines = []
    for line in output.decode(errors='replace').split('\n'):
        shown = ''
        for part in line.split('\r'):
            shown = part + shown[len(part) :]
        lines.append(shown)
    return lines


def _ended(outcome: Outcome) -> str:
    """What is wrong with the way a command ended, whatever it was to do."""
    if outcome.status is None:
        return f'it hung for {SECONDS:.0f} s'
    if b'Traceback' in outcome.stderr:
        last = outcome.stderr.decode(errors='replace').strip().splitlines()[-1]
        return f'traceback: {last[:150]}'
    if outcome.status < 0:
        return f'ended by signal {-outcome.status}'
    if any(sign in outcome.stdout + outcome.stderr for sign in (b'\x1b', b'\x07')):
        return 'escape sequences on the terminal'
    lines = [line for line in _shown(outcome.stderr) if not _LOG.match(line)]
    if outcome.status == 0 or lines and all(line[:7] == 'error: ' for line in lines):
        return ''
    return f'no line that says the error: {" / ".join(lines)[:200]!r}'


def _judged(
    attack: Attack, place: Place, clean: Place, outcome: Outcome, before: dict
) -> str:
    around = attack.surroundings
    killed = outcome.status == -signal.SIGKILL
    if killed and around.signals and around.signals[0] == signal.SIGKILL:
        return ''  # `then` says whether anything was lost.
    if wrong := _ended(outcome):
        return wrong
    if not outcome.alone:
        return 'processes that it started were left'
    if outcome.status == 0:
        if attack.refused:
            return 'it was not refused'
        if not around.stdout and (wrong := attack.command.judge(place, clean, outcome)):
            return wrong
    if half := [str(path) for path in _hidden(place)]:
        return f'half-written files are left: {half[:3]}'
    if outcome.status and attack.keeps:
        after = _digests(place)
        lost = [name for name, digest in before.items() if after.get(name) != digest]
        if lost and not around.signals:
            return f'refused, yet changed: {lost[:3]}'
    return ''


# Files that a program adds to or renews, each complete, even where it then refuses.
_RENEWED = re.compile(
    r'.*(/study\.json|/log\.txt|/(report|results)\.\w+|\.lock|/(tables|figures)/.*)'
)


def _files(place: Place) -> Iterator[pathlib.Path]:
    for folder in {place.root, place.work}:
        for path, _, names in os.walk(folder):
            yield from (pathlib.Path(path, name) for name in names)


def _digests(place: Place) -> dict[str, str]:
    """{path: digest} of the plain files of a place."""
    found = {}
    for path in _files(place):
        with contextlib.suppress(OSError):
            facts = path.lstat()
            plain = stat.S_ISREG(facts.st_mode) and facts.st_size < 1 << 24
            if plain and not _RENEWED.fullmatch(str(path)):
                found[str(path)] = hashlib.sha1(path.read_bytes()).hexdigest()
    return found


def _hidden(place: Place) -> list[pathlib.Path]:
    return [path for path in _files(place) if re.match(r'\.\w{6,9}\.', path.name)]


def _remove(root: pathlib.Path) -> None:
    disk = root / 'disk'
    if os.path.ismount(disk):
        subprocess.run(['umount', '-l', str(disk)], check=False)
    subprocess.run(['rm', '-rf', '--', str(root)], check=False)
