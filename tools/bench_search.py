"""Searches of the same grid, side by side: what each costs, and what it finds.

    python -m tools.bench_search --checkpoints=MY_CHECKPOINTS --workdir=runs/search

carries out one study by every point of the grid, by successive halving and by its
asynchronous kind, in one folder, where they share the Runs that they have in common,
and prints for each the training steps of its trials and the test scores of the points
that it chose, in all and by cell. The study is MobileNet v1, with ImageNet weights, on
the ten digits, 20 images a class, five draws; another by --config, of a folder of
photographs for example. It goes on where it was stopped.
"""

import os
import pathlib

import numpy as np
from absl import flags

from tfxfer import config, errors, number_format, storage
from tfxfer.cli import app
from tfxfer.report import formats
from tfxfer.study import driver, executors, sweep
from tools import studies


def outcome(study, done):
    """What a search came to: [{cell's names, 'steps', 'score', 'lr', 'wd'}]."""
    rows = []
    for cell in sweep.cells(study):
        if not cell.trials:
            continue
        tried = cell.search(done)
        final = done[cell.final(tried).id]
        rows.append(
            {
                'network': final.run.arch,
                'dataset': final.run.dataset,
                'setting': final.run.setting,
                'seed': final.run.seed,
                'steps': steps(tried.runs),
                'score': final.score,
                'lr': final.run.hparams.lr,
                'wd': final.run.hparams.wd,
            }
        )
    return rows


def steps(runs):
    """Training steps of trials, each of which goes on from where it was before."""
    reached = {}
    for run in runs:
        at = run.until or run.hparams.steps
        reached[run.hparams] = max(at, reached.get(run.hparams, 0))
    return sum(reached.values())


def compared(found):
    """Rows of a table; found: {search: rows of `outcome`, 'grid' among them}."""
    base = found['grid']
    rows = []
    for name, own in found.items():
        scores = np.array([row['score'] for row in own])
        loss = 100 * np.array(
            [a['score'] - b['score'] for a, b in zip(base, own, strict=True)]
        )
        cost, all_steps = (sum(row['steps'] for row in rows) for rows in (own, base))
        spread = loss.std(ddof=1) / len(loss) ** 0.5 if len(loss) > 1 else float('nan')
        rows.append(
            {
                'search': name,
                'cells': len(own),
                'steps': cost,
                'share': cost / all_steps,
                'score': scores.mean(),
                'loss': loss.mean(),
                'error': spread,
                'same': sum(
                    (a['lr'], a['wd']) == (b['lr'], b['wd'])
                    for a, b in zip(base, own, strict=True)
                ),
            }
        )
    return formats.table(
        'searches', 'Searches', rows,
        {
            'search': lambda row: row['search'],
            'cells': lambda row: str(row['cells']),
            'steps of trials': lambda row: f'{row["steps"]:,}',
            'of the grid': lambda row: f'1/{1 / row["share"]:.1f}',
            'test %': lambda row: number_format.percent(row['score']),
            'loses, points': lambda row: f'{row["loss"]:.2f}',
            'standard error': lambda row: f'{row["error"]:.2f}',
            'same point': lambda row: f'{row["same"]} of {row["cells"]}',
        },
    )  # fmt: skip


def main(argv):
    del argv
    workdir = pathlib.Path(WORKDIR.value)
    fields = CONFIG.value.to_dict()
    storage.writable(workdir)
    cores = len(os.sched_getaffinity(0))
    jobs = JOBS.value or cores
    found = {}
    for name in SEARCHES.value:
        study = sweep.study_from({**fields, 'search': name})
        study, _, _ = studies.resolved(study, workdir, CHECKPOINTS.value, None)
        arguments = [f'--threads={max(1, cores // jobs)}']
        if CHECKPOINTS.value:
            arguments.append(f'--checkpoints={CHECKPOINTS.value}')
        local = executors.Local(workdir, jobs=jobs, arguments=arguments)
        failed = driver.Driver(study, workdir, local).carry_out().failed
        if failed:
            raise errors.InputError(f'{len(failed)} Runs failed: {", ".join(failed)}')
        found[name] = outcome(study, driver.read_done(workdir))
    for name, rows in found.items():
        for row in rows:
            print(f'{name}: ' + ', '.join(f'{k} {v}' for k, v in row.items()))
    print(formats.md(compared(found)))


if __name__ == '__main__':
    CONFIG = app.config_file('configs/search.py')
    WORKDIR = flags.DEFINE_string('workdir', 'runs/search', 'Folder for results.')
    SEARCHES = flags.DEFINE_list(
        'searches', list(config.SEARCHES), 'Which, grid first.'
    )
    JOBS = flags.DEFINE_integer(
        'jobs', None, 'Runs at the same time. Default: one a core.', lower_bound=1
    )
    CHECKPOINTS = app.checkpoints_folder()
    app.run(main)
