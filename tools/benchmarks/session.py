"""One benchmark from its head to its last row, which may be cut short at any moment.

    options = session.settle(given, QUICK)
    with session.begin(options, 'bench_input', LIBRARIES) as bench:
        bench.say('ours: 800 images/s')
        bench.record(Row('JPEG files to batches', ours=800, unit='images/s'))

What is said is seen at once, and a row is in the file of --out as soon as it is known.
"""

import contextlib
import dataclasses
import datetime
import os
import pathlib
import time
import typing
from collections.abc import Iterable, Iterator, Mapping

from tfxfer import errors, storage
from tfxfer.cli import app
from tfxfer.transfer import environment
from tools.benchmarks import machine, rows


def define(define: app.Define, *, out: bool = True) -> None:
    """The flags --quick and, of programs that time something, --out."""
    define.boolean(
        'quick',
        False,
        'Small problems, two minutes on two cores: shows that all sides run here; its '
        'figures say little. Flags that are given count all the same.',
    )
    if out:
        define.string(
            'out',
            '',
            'Folder for the rows as JSON, with the machine: of tools.bench_table.',
        )


class Options:
    """The values of a program's flags, with --quick those that are quick."""

    def __init__(
        self,
        given: app.Given,
        quick: Mapping[str, typing.Any],
        *,
        resumes: bool = False,
    ):
        self.given, self.resumes = given, resumes
        self._quick = quick if given.quick else {}

    def __getattr__(self, name: str) -> typing.Any:
        quick = self.__dict__.get('_quick', {})
        if name in quick and not self.given.was_given(name):
            return quick[name]
        return getattr(self.given, name)

    @property
    def config_is_given(self) -> bool:
        """Whether --config or any of its fields was."""
        return any(
            argument.lstrip('-').startswith('config')
            for argument in self.given.passed_on()
        )


def fields(options: Options, quick: Mapping[str, typing.Any]) -> dict[str, typing.Any]:
    """Those of --config; with --quick and no config given, some are quick ones.

    quick: {field: its value, or a dict of those within it that change}.
    """
    found = options.given.config.to_dict()
    if not options.quick or options.config_is_given:
        return found
    return found | {
        name: {**found[name], **value} if isinstance(value, dict) else value
        for name, value in quick.items()
    }


def settle(
    given: app.Given, quick: Mapping[str, typing.Any], *, resumes: bool = False
) -> Options:
    """The options of a program.

    Args:
        given: its flags.
        quick: {flag: its value with --quick}.
        resumes: interrupted, the same command goes on from where it was.
    """
    return Options(given, quick, resumes=resumes)


@dataclasses.dataclass
class Session:
    """A benchmark that runs.

    Attributes:
        program: its name, such as bench_input.
        file: of its rows; None: they are only said.
        where: the machine.
        facts: of every row that is recorded.
        before: rows that the file had.
        found: rows that were measured since.
        interrupted: a part ended by Ctrl-C or SIGTERM and kept what it had.
    """

    program: str
    file: pathlib.Path | None
    where: machine.Machine
    facts: dict[str, typing.Any]
    before: list[rows.Row] = dataclasses.field(default_factory=list)
    found: list[rows.Row] = dataclasses.field(default_factory=list)
    interrupted: bool = False

    def say(self, text: str) -> None:
        """Prints a line, at once."""
        print(text, flush=True)

    def record(self, row: rows.Row) -> None:
        """Keeps a row, and writes all there are where --out is given."""
        row = dataclasses.replace(
            row,
            ours=rows.rounded(row.ours),
            peers={name: rows.rounded(value) for name, value in row.peers.items()},
            record={**self.facts, **row.record},
        )
        self.found.append(row)
        if self.file:
            rows.write(self.file, self.where, self.found, self.before)

    @contextlib.contextmanager
    def cut_short(self) -> Iterator[None]:
        """A block that may be interrupted; what comes after it sums up what it did."""
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True


@contextlib.contextmanager
def begin(
    options: Options, program: str, libraries: Iterable[str]
) -> Iterator[Session]:
    """Says what the machine is; ends as interrupted where the benchmark was.

    Args:
        options: of the program.
        program: its name, such as bench_input.
        libraries: distributions whose versions matter.

    Raises:
        errors.InputError: --out has rows of another machine, or cannot be written.
    """
    where, versions = machine.here(), machine.libraries(libraries)
    command = ' '.join(
        ['python -m', f'tools.{program}', *options.given.passed_on('out')]
    )
    facts = {
        'date': datetime.date.today().isoformat(),
        'commit': environment.commit(),
        'command': command,
        'libraries': versions,
        'threads': machine.threads(),
        'load': round(os.getloadavg()[0], 2),
        'quick': bool(options.quick),
    }
    bench = Session(program, None, where, facts)
    if out := getattr(options.given, 'out', ''):
        bench.file, bench.before = _opened(out, program, where)
    for line in head(where, facts):
        bench.say(line)
    start = time.perf_counter()
    with bench.cut_short():
        yield bench
    if bench.interrupted:
        seconds = time.perf_counter() - start
        more = ' The same command goes on from there.' if options.resumes else ''
        app.stop(
            f'Interrupted after {seconds:.0f} s; what was measured is above.{more}',
            status=130,
        )


def head(where: machine.Machine, facts: dict[str, typing.Any]) -> Iterator[str]:
    """What a benchmark says first."""
    yield f'machine: {where}'
    versions = facts['libraries'].items()
    yield 'libraries: ' + ', '.join(f'{name} {version}' for name, version in versions)
    threads = facts['threads'].items()
    yield 'threads: ' + (
        ', '.join(f'{name}={value}' for name, value in threads)
        or f'as each library chooses, of {where.cores} cores'
    )
    if facts['load'] > 0.5:
        yield f'load of the last minute: {facts["load"]:g}; take ratios, not times'


def _opened(folder, program, where):
    """The file of rows, and the rows that it has."""
    storage.writable(folder)
    path = rows.path_of(folder, program)
    if not path.exists():
        return path, []
    there, old = rows.read(path)
    if there != where:
        raise errors.InputError(
            f'{str(path)!r} has rows of another machine ({there}); this is {where}. '
            'Name another folder.'
        )
    return path, old
