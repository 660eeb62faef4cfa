"""Runs a study: every network x task x setting, with tables and a report at the end.

    python -m tools.sweep --config=configs/quickstart.py --workdir=runs/quickstart

Axes are narrowed by flags: --config.archs=mobilenet_v1,mobilenet_v2. Stopped at any
moment, the same command goes on where it was; what is done is not done again.
"""

import os
import pathlib
import sys

import tqdm
from absl import flags, logging

from tfxfer import (
    app,
    architectures,
    config,
    datasets,
    executors,
    imagesets,
    report,
    results,
    sources,
    sweep,
)


def digests(study, workdir, checkpoints, data):
    """Reads what names do not determine: folders of images, files of weights.

    Raises:
        config.InputError: they are missing or broken.
    """
    found = {}
    for name in {*study.datasets, study.source} - {''}:
        _, images = sources.read(
            datasets.find(name),
            imagesets.Options(
                skip_broken=study.skip_broken,
                accept_counts=study.accept_counts,
                cache=pathlib.Path(workdir) / 'cache',
                data=data,
            ),
            metric=study.metric if name in study.datasets else None,
        )
        found[name] = images.digest
    if study.weights not in ('keras', sweep.PRETRAIN) and set(study.settings) - {
        'scratch'
    }:
        from tfxfer import run as runs  # Reads checkpoints with TensorFlow.

        for name in study.archs:
            arch = architectures.ARCHITECTURES[name]
            asked = config.Run(
                name, '', 'finetune', config.Finetune(), weights=study.weights
            )
            found[name] = runs.find_weights(asked, arch, workdir, checkpoints)[1]
    return {name: digest for name, digest in found.items() if digest}


def best_of(done):
    """A few words on the best test score so far."""
    finals = [
        r for r in done.values() if r.score is not None and r.run.setting != 'pretrain'
    ]
    if not finals:
        return ''
    best = max(finals, key=lambda record: record.score)
    return f'best {best.run.arch} {best.run.setting} {100 * best.score:.1f} %'


def carry_out(study, workdir, executor):
    """Runs all of a study that is not done.

    Returns:
        ({Run id: exit status} of the Runs that failed, Records by Run id).
    """
    done, failed = {}, {}
    plan = sweep.plan(study, done)
    while _read_new(workdir, plan.ready, done):
        plan = sweep.plan(study, done)
    with executor, _bar(plan) as bar:
        while True:
            left = [run for name, run in plan.ready.items() if name not in failed]
            todo = [run for run in left if run.id not in executor.running]
            for run in todo[: executor.free()]:
                executor.start(run)
            if not executor.running:
                return failed, done
            ended = executor.finished()
            _read_new(workdir, ended, done)
            for name in ended.keys() - done.keys():
                failed[name] = ended[name]
                bar.write(f'FAILED (exit status {ended[name]}): {name}', sys.stderr)
                bar.write(executors.last_words(workdir, name), sys.stderr)
            plan = sweep.plan(study, done)
            bar.set_postfix_str(best_of(done), refresh=False)
            bar.update(len(plan.done) + len(failed) - bar.n)


def _bar(plan):
    return tqdm.tqdm(
        desc='Runs',
        total=len(plan.done) + len(plan.ready) + plan.waiting,
        initial=len(plan.done),
        unit='Run',
        smoothing=0.1,
    )


def _read_new(workdir, runs, done):
    """Adds the Records that are there of `runs` to `done`; says whether any was new."""
    before = len(done)
    for name in runs:
        if name not in done and (record := results.read(pathlib.Path(workdir) / name)):
            done[name] = record
    return len(done) > before


def main(argv):
    del argv
    if CONFIG.value is None:
        raise config.InputError('Say what to run: --config=configs/quickstart.py')
    workdir = pathlib.Path(WORKDIR.value)
    study = sweep.study_from(CONFIG.value.to_dict())
    results.writable(workdir)
    found = digests(study, workdir, CHECKPOINTS.value, DATA.value)
    study = sweep.study_from({**CONFIG.value.to_dict(), 'digests': found})
    cores = len(os.sched_getaffinity(0))
    jobs = JOBS.value or cores
    arguments = [f'--threads={max(1, cores // jobs)}']
    if CHECKPOINTS.value:
        arguments.append(f'--checkpoints={CHECKPOINTS.value}')
    if KEEP.value:
        arguments += [f'--{flag.name}={flag.value}' for flag in (KEEP, *KEEP_MORE)]
    if DATA.value:
        arguments.append(f'--data={DATA.value}')
    executor = executors.Local(workdir, jobs=jobs, arguments=arguments)
    failed, done = carry_out(study, workdir, executor)
    logging.info('%d Runs are done, %d failed.', len(done), len(failed))
    path = report.write(workdir)
    print(report.summary(results.read_all(workdir)))
    print(path)
    if failed:
        app.stop(
            f'{len(failed)} Runs failed; the table lacks what depends on them. The '
            f'same command tries them again. Their logs: {workdir}/ID/log.txt',
            status=1,
        )


if __name__ == '__main__':
    CONFIG = app.config_file()
    WORKDIR = flags.DEFINE_string('workdir', 'runs/study', 'Folder for results.')
    JOBS = flags.DEFINE_integer(
        'jobs', None, 'Runs at the same time. Default: one a core.', lower_bound=1
    )
    CHECKPOINTS = app.checkpoints_folder()
    DATA = app.data_folder()
    KEEP, *KEEP_MORE = app.kept_images()
    app.run(main)
