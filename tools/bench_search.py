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
from tools.benchmarks import session
from tools.benchmarks.rows import Row

LIBRARIES = 'tfxfer', 'tensorflow', 'keras', 'numpy'
QUICK = {'workdir': 'runs/search_quick', 'searches': ['grid', 'halving']}
# Of the config: a small network, from weights that one Run makes.
QUICK_FIELDS = {
    'archs': ('mobilenet_v1_0.25',),
    'image_size': 32,
    'weights': 'pretrain',
    'source': 'digits_0_4',
    'seeds': (0,),
    'pretrain': {'steps': 8},
    'finetune': {'steps': 16, 'lrs': (0.01, 0.03), 'wds': (0.0,)},
}


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
    session.define(define)
    return define.given


def main(given: app.Given) -> None:
    options = session.settle(given, QUICK, resumes=True)
    fields = session.fields(options, QUICK_FIELDS)
    workdir = pathlib.Path(options.workdir)
    storage.writable(workdir)
    searches: dict[str, list[Outcome]] = {}
    with session.begin(options, 'bench_search', LIBRARIES) as bench:
        with bench.cut_short():
            for name in options.searches:
                searches[name] = carried_out(name, fields, options)
                for found in searches[name]:
                    values = found._asdict().items()
                    bench.say(f'{name}: ' + ', '.join(f'{k} {v}' for k, v in values))
        if 'grid' in searches:
            bench.say(formats.md(comparison(searches)))
        if not bench.interrupted:
            for name in searches:
                bench.record(row(name, searches))


def carried_out(
    name: str, fields: dict[str, typing.Any], given: session.Options
) -> list[Outcome]:
    """The Outcome of every cell of the study, searched in one way.

    Raises:
        errors.InputError: the fields are no study, or Runs failed.
    """
    workdir, cores = pathlib.Path(given.workdir), len(os.sched_getaffinity(0))
    jobs = given.jobs or cores
    arguments = [f'--threads={max(1, cores // jobs)}']
    if given.checkpoints:
        arguments.append(f'--checkpoints={given.checkpoints}')
    # Each seed is one repetition of the search.
    study = checks.study_from(fields | {'search': name, 'choose': 'every'})
    study = inputs.read(study, ExecutionOptions(workdir, given.checkpoints)).study
    local = executors.Local(workdir, jobs=jobs, arguments=arguments)
    failed = driver.Driver(study, workdir, local).carry_out().failed
    if failed:
        raise errors.InputError(f'{len(failed)} Runs failed: {", ".join(failed)}')
    return outcomes(study, status.read_done(workdir))


def row(name: str, searches: dict[str, list[Outcome]]) -> Row:
    """A search's steps for the table of all benchmarks, beside those of the grid."""
    found = comparison(searches).frame.set_index('search')
    cells, loss = len(searches[name]), found.loss[name]
    return Row(
        f'training steps of the search {name}, {cells} cells',
        int(found.steps[name]),
        'steps',
        {} if name == 'grid' else {'the whole grid': int(found.steps['grid'])},
        note=f'{loss:.2f} percentage points below the grid' if name != 'grid' else '',
    )


if __name__ == '__main__':
    app.run(sys.modules[__name__])
