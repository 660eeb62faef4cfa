"""Searches of the same grid, side by side: what each costs, and what it finds.

    python -m tools.bench_search --checkpoints=MY_CHECKPOINTS --workdir=runs/search

carries out one study by every point of the grid, by successive halving and by its
asynchronous kind, in one folder, where they share the Runs that they have in common,
and prints for each the training steps of its trials and the test scores of the points
that it chose, in all and by cell. The study is MobileNet v1, with ImageNet weights, on
the ten digits, 20 images per class, five seeds; another by --config, of a folder of
photographs for example. It goes on where it was stopped.
"""

import os
import pathlib
import sys
import typing
from collections.abc import Sequence

import numpy as np
from absl import flags

from tfxfer import config, errors, number_format, storage
from tfxfer.cli import app
from tfxfer.comparison import inputs
from tfxfer.report import formats
from tfxfer.study import axes, checks, driver, executors, planning, search, status
from tfxfer.study.study import Study
from tfxfer.transfer.options import ExecutionOptions


class Outcome(typing.NamedTuple):
    """What a search came to in one cell."""

    network: str
    dataset: str
    setting: str
    seed: int
    steps: int  # Training steps of its trials.
    score: float  # Of the chosen point, on the test split.
    lr: float
    wd: float


def outcomes(study: Study, done: search.Records) -> list[Outcome]:
    """The Outcome of every cell that was searched."""
    return [_outcome(cell, done) for cell in planning.cells(study) if cell.grid.trials]


def _outcome(cell: planning.Cell, done: search.Records) -> Outcome:
    tried = cell.grid.tried(done)
    run = cell.final(tried)
    assert run, f'{cell.base.id} is not done'
    hparams, score = axes.training(run), done[run.id].score
    return Outcome(
        run.arch, run.dataset, run.setting, run.seed, steps(tried.runs), score,
        hparams.lr, hparams.wd,
    )  # fmt: skip


def steps(runs: Sequence[config.Run]) -> int:
    """Training steps of trials, each of which goes on from where it was before."""
    reached: dict[config.Sgd, int] = {}
    for run in runs:
        hparams = axes.training(run)
        stop = run.until or hparams.steps
        reached[hparams] = max(stop, reached.get(hparams, 0))
    return sum(reached.values())


def comparison(searches: dict[str, list[Outcome]]) -> formats.Table:
    """A table of the searches by name, 'grid' among them."""
    grid = searches['grid']
    rows = [_compared(name, own, grid) for name, own in searches.items()]
    return formats.table(
        'searches', 'Searches', rows,
        {
            'search': lambda row: row['search'],
            'cells': lambda row: str(row['cells']),
            'steps of trials': lambda row: f'{row["steps"]:,}',
            'of the grid': lambda row: f'1/{1 / row["share"]:.1f}',
            'test %': lambda row: number_format.percent(row['score']),
            'below the grid, percentage points': lambda row: f'{row["loss"]:.2f}',
            'standard error': lambda row: f'{row["error"]:.2f}',
            'same point': lambda row: f'{row["same"]} of {row["cells"]}',
        },
    )  # fmt: skip


def _compared(name: str, own: list[Outcome], grid: list[Outcome]) -> dict:
    pairs = list(zip(grid, own, strict=True))
    loss = 100 * np.array([a.score - b.score for a, b in pairs])
    cost, all_steps = (sum(row.steps for row in rows) for rows in (own, grid))
    error = loss.std(ddof=1) / len(loss) ** 0.5 if len(loss) > 1 else float('nan')
    return {
        'search': name,
        'cells': len(own),
        'steps': cost,
        'share': cost / all_steps,
        'score': np.array([row.score for row in own]).mean(),
        'loss': loss.mean(),
        'error': error,
        'same': sum((a.lr, a.wd) == (b.lr, b.wd) for a, b in pairs),
    }


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.config('configs/search.py')
    define.string('workdir', 'runs/search', 'Folder for results.')
    define.strings('searches', config.SEARCHES, 'Names of searches, grid first.')
    define.integer(
        'jobs', None, 'Runs at the same time. Default: one per core.', least=1
    )
    define.checkpoints()
    return define.given


def main(given: app.Given) -> None:
    workdir = pathlib.Path(given.workdir)
    storage.writable(workdir)
    cores = len(os.sched_getaffinity(0))
    jobs = given.jobs or cores
    arguments = [f'--threads={max(1, cores // jobs)}']
    if given.checkpoints:
        arguments.append(f'--checkpoints={given.checkpoints}')
    searches = {}
    for name in given.searches:
        # Each seed is one repetition of the search.
        fields = given.config.to_dict() | {'search': name, 'choose': 'every'}
        study = checks.study_from(fields)
        options = ExecutionOptions(workdir, given.checkpoints)
        study = inputs.read(study, options).study
        local = executors.Local(workdir, jobs=jobs, arguments=arguments)
        failed = driver.Driver(study, workdir, local).carry_out().failed
        if failed:
            raise errors.InputError(f'{len(failed)} Runs failed: {", ".join(failed)}')
        searches[name] = outcomes(study, status.read_done(workdir))
    for name, rows in searches.items():
        for row in rows:
            print(f'{name}: ' + ', '.join(f'{k} {v}' for k, v in row._asdict().items()))
    print(formats.md(comparison(searches)))


if __name__ == '__main__':
    app.run(sys.modules[__name__])
