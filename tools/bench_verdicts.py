"""The same small study again and again: how often is its verdict the same?

    python -m tools.bench_verdicts --workdir=runs/verdicts

carries a study out with other seeds and another number of threads each time, as another
person would on another machine. It prints how often the cells that are not told apart
from the best were the same, where each cell stood, and whether any two verdicts
contradict each other. It goes on where it was stopped.
"""

import collections
import multiprocessing
import os
import pathlib
import sys
import time
import types
import typing
from collections.abc import Iterable, Sequence

from absl import flags

from tfxfer import config, errors, results, storage
from tfxfer.analysis import cells, verdicts
from tfxfer.cli import app
from tfxfer.comparison import inputs
from tfxfer.report import formats
from tfxfer.study import checks, driver
from tfxfer.study.study import Study
from tfxfer.transfer.options import ExecutionOptions
from tools.benchmarks import session
from tools.benchmarks.rows import Row

LIBRARIES = 'tfxfer', 'tensorflow', 'keras', 'numpy'
QUICK = {'workdir': 'runs/verdicts_quick', 'repetitions': 2}
# Of the config: steps that take seconds.
QUICK_FIELDS = {
    'seeds': (0,),
    'settings': ('logistic', 'finetune'),
    'pretrain': {'steps': 4},
    'finetune': {'steps': 4},
}
THREADS = (1, 2, 3, 4)  # Of the repetitions, in turn.


class Answer(typing.NamedTuple):
    """What one repetition says of one task.

    Attributes:
        task: its dataset.
        best: the cells of which each may be the best: the one with the highest score,
            and those that are not told apart from it.
        better: (cell, cell) where the first is significantly better.
        scores: of each cell, 0-1.
    """

    task: str
    best: frozenset[str]
    better: frozenset[tuple[str, str]]
    scores: dict[str, float]


def answers(workdir: str | os.PathLike) -> list[Answer]:
    """The Answer of a results folder to each task."""
    found = list(cells.cells(cells.read(workdir)))
    judged, notes = verdicts.verdicts(found, workdir)
    if notes:
        raise errors.InputError(' '.join(notes))
    return [
        Answer(
            verdict.best.dataset,
            frozenset([verdict.best.name, *(cell.name for cell in verdict.close)]),
            frozenset(
                (row.a.name, row.b.name)
                for row in verdict.comparisons
                if row.significant
            ),
            {
                cell.name: cell.score
                for cell in found
                if cell.task == verdict.best.task and cell.score is not None
            },
        )
        for verdict in judged
    ]


class Agreement(typing.NamedTuple):
    """How far Answers to one task agree.

    Attributes:
        task: its dataset.
        usual: the most frequent Answer.best.
        same: in how many repetitions it was that.
        repetitions: how many there are.
        contradictions: pairs of cells each of which was once significantly better.
    """

    task: str
    usual: frozenset[str]
    same: int
    repetitions: int
    contradictions: list[tuple[str, str]]


def agreement(given: Sequence[Answer]) -> Agreement:
    """How far Answers to one task agree."""
    counts = collections.Counter(answer.best for answer in given)
    usual, same = max(counts.items(), key=lambda item: (item[1], sorted(item[0])))
    better = frozenset[tuple[str, str]]().union(*(answer.better for answer in given))
    contradictions = sorted((a, b) for a, b in better if a < b and (b, a) in better)
    return Agreement(given[0].task, usual, same, len(given), contradictions)


def table(given: Sequence[Answer]) -> formats.Table:
    """Where each cell stood in the repetitions of one task."""
    names = sorted({name for answer in given for name in answer.scores})
    rows = []
    for name in names:
        known = [answer for answer in given if name in answer.scores]
        among = sum(name in answer.best for answer in known)
        rows.append(
            {
                'cell': name,
                'scores': [answer.scores[name] for answer in known],
                'among': among,
                'worse': len(known) - among,
            }
        )
    return formats.table(
        'verdicts', f'Verdicts on {given[0].task}', rows,
        {
            'cell': lambda row: row['cell'],
            'lowest %': lambda row: f'{100 * min(row["scores"]):.1f}',
            'highest %': lambda row: f'{100 * max(row["scores"]):.1f}',
            'may be the best': lambda row: str(row['among']),
            'significantly worse': lambda row: str(row['worse']),
        },
    )  # fmt: skip


def sentences(found: Agreement) -> Iterable[str]:
    """What an Agreement says."""
    yield (
        f'{found.task}: in {found.same} of {found.repetitions} repetitions the cells '
        f'that may be the best were {", ".join(sorted(found.usual))}.'
    )
    for a, b in found.contradictions:
        yield f'{a} was significantly better than {b}, and in another repetition worse.'
    if not found.contradictions:
        yield 'No two repetitions contradict each other.'


class Here:
    """Runs are carried out in this process, one after the other (an Executor)."""

    def __init__(self, workdir: pathlib.Path) -> None:
        self.workdir, self.running = workdir, dict[str, config.Run]()

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        pass

    def free(self) -> int:
        return 1 - len(self.running)

    def start(self, run: config.Run) -> None:
        results.write_run(self.workdir, run)
        self.running[run.id] = run

    def finished(self, seconds: float) -> dict[str, int]:
        from tfxfer.transfer import execute

        ended = {}
        for name, run in self.running.items():
            execute.execute(run, ExecutionOptions(self.workdir))
            ended[name] = 0
        self.running.clear()
        if not ended:
            time.sleep(seconds)
        return ended


def repeated(fields: dict[str, typing.Any], repetition: int) -> Study:
    """The study with seeds that no other repetition has."""
    count = len(fields['seeds'])
    seeds = tuple(range(repetition * count, (repetition + 1) * count))
    return checks.study_from({**fields, 'seeds': seeds})


def _carry_out(fields: dict[str, typing.Any], repetition: int, folder: pathlib.Path):
    """One repetition, in a process of its own, whose threads are its own."""
    from tfxfer.transfer import environment

    environment.limit_threads(THREADS[repetition % len(THREADS)])
    study = repeated(fields, repetition)
    study = inputs.read(study, ExecutionOptions(folder)).study
    driver.Driver(study, folder, Here(folder)).carry_out()


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.config('configs/verdicts.py')
    define.string('workdir', 'runs/verdicts', 'Folder for results.')
    define.integer('repetitions', 20, 'How many.', least=2)
    session.define(define)
    return define.given


def main(given: app.Given) -> None:
    options = session.settle(given, QUICK, resumes=True)
    fields, workdir = session.fields(options, QUICK_FIELDS), options.workdir
    storage.writable(workdir)
    checks.study_from(fields)
    collected: list[list[Answer]] = []
    with session.begin(options, 'bench_verdicts', LIBRARIES) as bench:
        with bench.cut_short():
            for repetition in range(options.repetitions):
                folder = pathlib.Path(workdir) / str(repetition)
                collected.append(in_own_process(fields, repetition, folder))
                for answer in collected[-1]:
                    bench.say(f'{repetition}: {", ".join(sorted(answer.best))}')
        for task in zip(*collected, strict=True):
            found = agreement(task)
            bench.say(formats.md(table(task)))
            bench.say('\n'.join(sentences(found)))
            if not bench.interrupted:
                bench.record(row(found))


def in_own_process(
    fields: dict[str, typing.Any], repetition: int, folder: pathlib.Path
) -> list[Answer]:
    """The Answers of one repetition, carried out in a process of its own.

    Raises:
        errors.InputError: it failed.
    """
    folder.mkdir(exist_ok=True)
    process = multiprocessing.get_context('spawn').Process(
        target=_carry_out, args=(fields, repetition, folder)
    )
    process.start()
    try:
        process.join()
    finally:  # It ends with this program.
        process.kill()
    if process.exitcode:
        raise errors.InputError(f'Repetition {repetition} failed; see above.')
    return answers(folder)


def row(found: Agreement) -> Row:
    """An Agreement for the table of all benchmarks."""
    return Row(
        f'repetitions with the same verdict, {found.task}',
        found.same,
        f'of {found.repetitions}',
    )


if __name__ == '__main__':
    app.run(sys.modules[__name__])
