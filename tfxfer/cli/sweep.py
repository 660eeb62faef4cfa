"""Runs a study: every network x task x setting, with tables and a report at the end.

    python -m tools.sweep --config=configs/quickstart.py --workdir=runs/quickstart

Axes are narrowed by flags: --config.archs=mobilenet_v1,mobilenet_v2. Stopped at any
moment, the same command goes on where it was; what is done is not done again. --plan
says what a study would take, --status how one stands.

On several machines that share the workdir, start the same command on each, as
--shard=0/16, --shard=1/16 and so on; or once with --ray_address of a Ray cluster.
"""

import pathlib
import re
import typing
from collections.abc import Callable, Collection, Mapping

from absl import flags, logging

from tfxfer import architectures, errors, race_log, results
from tfxfer.cli import app, sweep_plan
from tfxfer.comparison import inputs
from tfxfer.report import formats
from tfxfer.study import (
    checks,
    driver,
    executors,
    failures,
    ray_executor,
    status,
    study_file,
)
from tfxfer.study.study import Study
from tfxfer.transfer.options import ExecutionOptions

Summary = Callable[[list[results.Record]], str]


def define_flags(
    values: flags.FlagValues = flags.FLAGS, default_config: str | None = None
) -> app.Given:
    define = app.Define(values)
    define.string('workdir', 'runs/study', 'Folder for results.')
    define_study(define, default_config)
    return define.given


def define_study(define: app.Define, default_config: str | None) -> None:
    """The flags of a program that carries out a study, but for its workdir."""
    define.config(default_config)
    define.checkpoints()
    define.data()
    define.trust()
    define.image_cache()
    _define_plan(define)
    _define_execution(define)


def _define_plan(define: app.Define) -> None:
    define.boolean('plan', False, 'Says what the study takes, and starts nothing.')
    define.strings(
        'images_per_second',
        [],
        'For --plan: training images per second on a device, RATE for all networks or '
        'NETWORK:RATE,... Default: measured here.',
    )
    define.boolean(
        'calibrate', True, 'For --plan: measures each network, once, for some seconds.'
    )
    define.boolean(
        'status', False, 'Says how the study in --workdir stands, and starts nothing.'
    )


def _define_execution(define: app.Define) -> None:
    define.integer(
        'jobs',
        None,
        'Runs at the same time. Default: one per GPU, without GPUs one per core.',
        least=1,
        most=app.THREADS,
    )
    define.integer(
        'threads',
        None,
        'Threads of each Run. Default: the cores, shared out. Another number rounds '
        'sums differently.',
        least=1,
        most=app.THREADS,
    )
    define.string(
        'shard',
        '0/1',
        'I/N: begins with the I-th N-th of the Runs, then helps with the others. For '
        'machines that share the workdir.',
    )
    define.boolean(
        'wait', True, 'Ends when all is done; --nowait: when nothing can start here.'
    )
    define.choice('executor', 'local', ('local', 'ray'), 'What carries the Runs out.')
    define.string(
        'ray_address',
        None,
        'A running Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Default with '
        '--executor=ray: one of this machine alone.',
    )
    define.number(
        'gpus', 0.0, 'GPUs of each Run on a Ray cluster; 0.5: two share one.', least=0
    )
    define.integer(
        'jobs_per_gpu',
        None,
        'Runs at the same time on each GPU, each with its share of the memory. '
        'Default: one. A small network alone does not fill a GPU.',
        least=1,
        most=app.THREADS,
    )
    define.jit_compile()
    define.boolean('retry_failed', False, 'Tries Runs again that failed for good.')


def main(given: app.Given) -> None:
    run(given)


def run(given: app.Given, summary: Summary | None = None) -> None:
    """Does what the flags say; `summary` of all Records is printed after a sweep.

    Raises:
        app.Failed: Runs failed.
        errors.InputError: the study cannot be carried out.
    """
    workdir = pathlib.Path(given.workdir)
    if given.status:
        show_status(study_file.read(workdir), workdir)
        return
    if given.config is None:
        raise errors.InputError('Say what to run: --config=configs/quickstart.py')
    study = checks.study_from(given.config.to_dict())
    options = ExecutionOptions(
        workdir, given.checkpoints, given.data, trust=given.trust
    )
    if given.plan:
        show_plan(study, options, given)
        return
    outcome = carry_out(workdir, given, lambda: inputs.ready(study, options))
    show_results(workdir, summary)
    check_failed(outcome.failed, workdir)


def check_failed(failed: Collection[str], workdir: pathlib.Path) -> None:
    """Raises app.Failed where Runs failed for good; failed: their ids."""
    if failed:
        raise app.Failed(
            f'{len(failed)} Runs failed {failures.ATTEMPTS} times or more; the '
            'table lacks what depends on them. --retry_failed tries them again. Their '
            f'logs: {workdir}/ID/log.txt'
        )


def show_plan(study: Study, options: ExecutionOptions, given: app.Given) -> None:
    """Prints what a study would take."""
    rates = sweep_plan.rates_from(study, given.images_per_second)
    sweep_plan.show(study, options, rates, measure=given.calibrate)


# How a study stands.


def show_status(study: Study, workdir: pathlib.Path) -> None:
    """Prints how a study stands."""
    progress = status.progress(study, workdir)
    rows = [
        {'network': architectures.short(arch), 'dataset': dataset, **row}
        for (arch, dataset), row in status.counts(progress).items()
    ]
    heads = 'network', 'dataset', *status.STATES
    columns = {head: lambda row, head=head: str(row[head]) for head in heads}
    print(formats.md(formats.table('status', 'Status', rows, columns)))
    for sentence in status.sentences(progress, workdir):
        print(sentence)


# Carrying it out.


def carry_out(
    workdir: pathlib.Path, given: app.Given, prepare: Callable[[], Study]
) -> driver.Outcome:
    """Carries a study out as the flags say; all that they say is checked first.

    prepare: returns the study, with its images and weights, written in the workdir.
    """
    shard = shard_of(given.shard)
    executor = executor_of(given, workdir)
    study = prepare()
    if given.retry_failed:
        logging.info('%d Runs are tried again.', failures.forget(workdir))
    outcome = driver.Driver(
        study, workdir, executor, shard=shard, wait=given.wait
    ).carry_out()
    logging.info(
        '%d Runs are done, %d failed; other processes are carrying out %d.',
        len(outcome.done), len(outcome.failed), outcome.elsewhere,
    )  # fmt: skip
    return outcome


def show_results(workdir: pathlib.Path, summary: Summary | None) -> None:
    """Writes the report of all that is done, and prints its table."""
    from tfxfer import report  # Matplotlib, which --plan does without.
    from tfxfer.analysis import cells

    path = report.write(workdir)
    records = cells.of_one_share(  # What is left out was said.
        results.read_folder(workdir).records, race_log.compared(workdir)
    )
    print(report.summary(records, workdir))
    if summary:
        print(summary(records))
    print(path)


def shard_of(text: str) -> tuple[int, int]:
    """(i, n) of I/N, numbered from 0 or from 1.

    Raises:
        errors.InputError: not so written, or I out of range.
    """
    match = re.fullmatch(r'(\d+)/(\d+)', text)
    if match is None:
        raise errors.InputError(f'--shard takes I/N, as 3/16; got {text!r}.')
    i, n = int(match[1]), int(match[2])
    if not n:
        raise errors.InputError(f'--shard={text}: there is no shard.')
    if i > n:
        raise errors.InputError(
            f'--shard={text}: of {n} shards the first is 0 and the last {n - 1} (or, '
            f'numbered from 1, {n}).'
        )
    return i % n, n


def executor_of(given: app.Given, workdir: pathlib.Path) -> executors.Executor:
    """The executor that the flags ask for."""
    if given.executor == 'ray' or given.ray_address:
        gpus = _gpus_of_each(given)
        threads = executors.share(given.jobs, given.threads).threads
        flags = {'threads': threads, **executors.gpu_flags(gpus)}
        return ray_executor.Ray(
            workdir, address=given.ray_address, cpus=threads, gpus=gpus,
            arguments=_run_flags(given, flags),
        )  # fmt: skip
    share = executors.share(given.jobs, given.threads, given.jobs_per_gpu)
    return executors.Local(
        workdir,
        jobs=share.jobs,
        arguments=_run_flags(given, share.flags()),
        gpus=share.gpus,
    )


def _gpus_of_each(given: app.Given) -> float:
    """GPUs of each Run on a Ray cluster.

    Raises:
        errors.InputError: --gpus and --jobs_per_gpu say different things.
    """
    if not given.jobs_per_gpu:
        return given.gpus
    if given.gpus:
        raise errors.InputError(
            f'--gpus={given.gpus:g} and --jobs_per_gpu={given.jobs_per_gpu} both say '
            'how many GPUs a Run gets. Leave one of them out.'
        )
    return 1 / given.jobs_per_gpu


def _run_flags(given: app.Given, share: Mapping[str, typing.Any]) -> list[str]:
    """The flags that the program of each Run gets; share: those of its resources."""
    values = {
        **share,
        'checkpoints': given.checkpoints,
        'data': given.data,
        'jit_compile': given.jit_compile,
    }
    if given.trust:
        values['trust'] = True
    if given.keep:
        values |= {
            'keep': given.keep,
            'keep_in': given.keep_in,
            'keep_gib': given.keep_gib,
        }
    return [f'--{k}={value}' for k, value in values.items() if value not in (None, '')]
