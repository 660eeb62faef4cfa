"""Runs a study: every network x task x setting, with tables and a report at the end.

    python -m tools.sweep --config=configs/quickstart.py --workdir=runs/quickstart

Axes are narrowed by flags: --config.archs=mobilenet_v1,mobilenet_v2. Stopped at any
moment, the same command goes on where it was; what is done is not done again. --plan
says what a study would take, --status how one stands.

On several machines that share the workdir, start the same command on each, as
--shard=0/16, --shard=1/16 and so on; or once with --ray_address of a Ray cluster.
"""

import dataclasses
import os
import pathlib
import re

from absl import flags, logging

from tfxfer import (
    app,
    architectures,
    config,
    datasets,
    driver,
    executors,
    formats,
    imagesets,
    results,
    sources,
    sweep,
)


def resolved(study, workdir, checkpoints, data, *, lenient=False):
    """The study with what its names do not determine: folders of images, weights.

    Args:
        lenient: what is not here is left open, and said; else it is an error.

    Returns:
        (Study, sizes as sweep.loads takes them, [sentence about what is not here]).

    Raises:
        config.InputError: images or weights are missing or broken.
    """
    digests, sizes, gaps = {}, {}, []

    def attempt(look):
        try:
            look()
        except config.InputError as error:
            if not lenient:
                raise
            gaps.append(str(error))

    def look_at_images(name):
        dataset = datasets.find(name)
        if dataset.sizes:
            sizes[name] = *dataset.sizes, dataset.classes
        dataset, images = sources.read(
            dataset,
            imagesets.Options(
                skip_broken=study.skip_broken,
                accept_counts=study.accept_counts,
                cache=pathlib.Path(workdir) / 'cache',
                data=data,
            ),
            metric=study.metric if name in study.datasets else None,
        )
        digests[name] = images.digest
        sizes[name] = *dataset.sizes, dataset.classes

    def look_at_weights(name):
        from tfxfer import run as runs  # Reads checkpoints with TensorFlow.

        weights = sweep.weights_of(study, name)
        if weights not in ('keras', sweep.PRETRAIN):
            arch = architectures.ARCHITECTURES[name]
            asked = config.Run(name, '', 'finetune', config.Finetune(), weights=weights)
            digests[name] = runs.find_weights(asked, arch, workdir, checkpoints)[1]

    for name in sorted({*study.datasets, study.source} - {''}):
        attempt(lambda name=name: look_at_images(name))
    if set(study.settings) - {'scratch'}:
        for name in study.archs:
            attempt(lambda name=name: look_at_weights(name))
    digests = {name: digest for name, digest in digests.items() if digest}
    images = {name: train + valid for name, (train, valid, *_) in sizes.items()}
    return dataclasses.replace(study, digests=digests, images=images), sizes, gaps


# What a study would take.


def show_plan(study, sizes, done, rates):
    """Prints the Runs of a study by kind, and how long devices would take.

    rates: {arch: (training images a second, images seen a second)}, or {}.
    """
    cells = tuple(sweep.cells(study))
    plan = sweep.plan(cells, done)
    rows = {}
    for (setting, phase, arch), load in sweep.loads(cells, sizes).items():
        row = rows.setdefault((setting, phase), {'load': sweep.Load(), 'hours': 0.0})
        row['load'] += load
        if arch in rates:
            train, infer = rates[arch]
            row['hours'] += (load.trained / train + load.seen / infer) / 3600
    total = {'load': sum((row['load'] for row in rows.values()), sweep.Load())}
    total['hours'] = sum(row['hours'] for row in rows.values())
    shown = [{'kind': f'{s} {p}', **row} for (s, p), row in sorted(rows.items())]
    table = formats.table(
        'plan',
        'Plan',
        [*shown, {'kind': 'all', **total}],
        {
            'kind': lambda row: row['kind'],
            'Runs': lambda row: f'{row["load"].runs:,}',
            'steps': lambda row: f'{row["load"].steps:,}',
            'training images': lambda row: f'{row["load"].trained:,}',
            'images scored': lambda row: f'{row["load"].seen:,}',
            'device-hours': lambda row: f'{row["hours"]:,.1f}' if rates else '',
        },
        optional=('device-hours',),
    )
    print(formats.md(table))
    print(f'{len(plan.done)} of these Runs are done already.')


def find_rates(study, path):
    """{arch: rates.Rate} of this machine, measured where they are not known yet."""
    import tqdm

    from tfxfer import rates, run

    facts = run.versions()
    where = f'{facts["device"]}, {facts["threads"]} threads'
    known, found = rates.read(path), {}
    for name in tqdm.tqdm(study.archs, 'Measuring', unit='network'):
        key = f'{name}, {study.image_size or "own"} pixels, {study.precision}, {where}'
        if key not in known:
            known[key] = rates.measure(name, study.image_size, study.precision)
            rates.write(path, known)
        found[name] = known[key]
    for name, rate in found.items():
        print(f'{name}: {rate.train:.1f} images/s in training, {rate.infer:.1f} scored')
    return found


def given_rates(study, texts):
    """{arch: (train, infer)} of NAME:RATE or RATE, of training; scored is 3 times it.

    Raises:
        config.InputError: not so written, or a network without rate.
    """
    found = {}
    for text in texts:
        name, _, number = text.rpartition(':')
        try:
            rate = float(number)
        except ValueError:
            rate = 0.0
        if rate <= 0:
            raise config.InputError(
                f'--images_per_second takes RATE or NETWORK:RATE,...; got {text!r}.'
            )
        for arch in (name,) if name else study.archs:
            config.find('architecture', dict.fromkeys(study.archs), arch)
            found[arch] = rate, 3 * rate
    if found and (missing := [name for name in study.archs if name not in found]):
        raise config.InputError(
            f'--images_per_second says nothing of {", ".join(missing)}.'
        )
    return found


# How a study stands.


def show_status(study, workdir):
    """Prints how a study stands; returns whether a Run of it is set aside."""
    progress = driver.status(study, workdir)
    plan = progress.plan
    rows = {}
    for runs, kind in ((plan.done, 'done'), (plan.ready, None)):
        for name, run in runs.items():
            held, failed = name in progress.running, name in progress.failed
            state = kind or (held and 'running') or (failed and 'failed') or 'waiting'
            row = rows.setdefault(
                (run.arch, run.dataset),
                dict.fromkeys(('done', 'running', 'waiting', 'failed'), 0),
            )
            row[state] += 1
    shown = [
        {'network': arch, 'dataset': dataset, **row}
        for (arch, dataset), row in rows.items()
    ]
    heads = 'network', 'dataset', 'done', 'running', 'waiting', 'failed'
    print(formats.md(formats.table('status', 'Status', shown, {
        head: lambda row, head=head: str(row[head]) for head in heads
    })))  # fmt: skip
    total = len(plan.done) + len(plan.ready) + plan.waiting
    print(
        f'{len(plan.done)} of {total} Runs are done, {len(progress.running)} running, '
        f'{len(progress.failed)} failed; {plan.waiting} more wait for others.'
    )
    print(driver.pace(plan, workdir, len(progress.running)))
    for name, holder in sorted(progress.running.items()):
        print(f'running: {name}, {holder}, last sign {holder.silent:.0f} s ago')
    for name, faults in sorted(progress.failed.items()):
        last = faults[-1]
        print(
            f'failed {len(faults)} times: {name}, last with exit status '
            f'{last["status"]} on {last["host"]} at {last["time"]}:'
        )
        print('  ' + last['words'].replace('\n', '\n  '))
    if progress.failed:
        print('--retry_failed tries them again.')


# Carrying it out.


def shard_of(text):
    """(i, n) of I/N, numbered from 0 or from 1.

    Raises:
        config.InputError: not so written, or I out of range.
    """
    match = re.fullmatch(r'(\d+)/(\d+)', text)
    if match is None:
        raise config.InputError(f'--shard takes I/N, as 3/16; got {text!r}.')
    i, n = int(match[1]), int(match[2])
    if not 0 <= i <= n or not n:
        raise config.InputError(
            f'--shard={text}: of {n} shards the first is 0 and the last {n - 1} (or, '
            f'numbered from 1, {n}).'
            if n
            else f'--shard={text}: there is no shard.'
        )
    return i % n, n


def executor_of(workdir):
    """The executor that the flags ask for."""
    cores = len(os.sched_getaffinity(0))
    gpus = executors.gpus()
    jobs = JOBS.value or (len(gpus) or cores)
    threads = THREADS.value or max(1, cores // jobs)
    arguments = [f'--threads={threads}']
    if CHECKPOINTS.value:
        arguments.append(f'--checkpoints={CHECKPOINTS.value}')
    if KEEP.value:
        arguments += [f'--{flag.name}={flag.value}' for flag in (KEEP, *KEEP_MORE)]
    if DATA.value:
        arguments.append(f'--data={DATA.value}')
    if EXECUTOR.value == 'ray' or RAY_ADDRESS.value:
        return executors.Ray(
            workdir, address=RAY_ADDRESS.value, cpus=threads, gpus=GPUS.value,
            arguments=arguments,
        )  # fmt: skip
    return executors.Local(workdir, jobs=jobs, arguments=arguments, gpus=gpus)


def main(argv):
    del argv
    workdir = pathlib.Path(WORKDIR.value)
    if STATUS.value and CONFIG.value is None:
        show_status(driver.read_study(workdir), workdir)
        return
    if CONFIG.value is None:
        raise config.InputError('Say what to run: --config=configs/quickstart.py')
    study = sweep.study_from(CONFIG.value.to_dict())
    asked = study, workdir, CHECKPOINTS.value, DATA.value
    if PLAN.value or STATUS.value:
        given = given_rates(study, IMAGES_PER_SECOND.value)
        study, sizes, gaps = resolved(*asked, lenient=True)
        if STATUS.value:
            show_status(study, workdir)
            return
        if absent := sorted(set(study.datasets) - set(sizes)):
            raise config.InputError(
                f'How many images has {absent[0]}? {gaps[0] if gaps else ""}'
            )
        done = driver.read_done(workdir)
        show_plan(study, sizes, done, given)
        for gap in gaps:
            print(f'Not here yet: {gap}')
        if CALIBRATE.value and not given:
            rates = find_rates(study, workdir / 'cache' / 'rates.json')
            show_plan(study, sizes, done, rates)
            print(
                'Device-hours: this machine as one device, images in memory, without '
                'the logistic regressions themselves.'
            )
        return
    shard = shard_of(SHARD.value)
    results.writable(workdir)
    driver.check_schema(workdir)
    executor = executor_of(workdir)
    study, _, _ = resolved(*asked)
    driver.write_study(workdir, study)
    if RETRY_FAILED.value:
        logging.info('%d Runs are tried again.', driver.forget_failures(workdir))
    outcome = driver.Driver(
        study, workdir, executor, shard=shard, wait=WAIT.value
    ).carry_out()
    logging.info(
        '%d Runs are done, %d failed, %d are with others.',
        len(outcome.done), len(outcome.failed), outcome.elsewhere,
    )  # fmt: skip
    from tfxfer import report  # Matplotlib, which --plan does without.

    path = report.write(workdir)
    print(report.summary(results.read_all(workdir)))
    print(path)
    if outcome.failed:
        app.stop(
            f'{len(outcome.failed)} Runs are set aside after {driver.ATTEMPTS} '
            'failures; the table lacks what depends on them. --retry_failed tries '
            f'them again. Their logs: {workdir}/ID/log.txt',
            status=1,
        )


if __name__ == '__main__':
    CONFIG = app.config_file()
    WORKDIR = flags.DEFINE_string('workdir', 'runs/study', 'Folder for results.')
    PLAN = flags.DEFINE_boolean(
        'plan', False, 'Says what the study takes, and starts nothing.'
    )
    IMAGES_PER_SECOND = flags.DEFINE_list(
        'images_per_second',
        [],
        'For --plan: training images a second on a device, RATE for all networks or '
        'NETWORK:RATE,... Default: measured here.',
    )
    CALIBRATE = flags.DEFINE_boolean(
        'calibrate', True, 'For --plan: measures each network, once, for some seconds.'
    )
    STATUS = flags.DEFINE_boolean(
        'status', False, 'Says how the study in --workdir stands, and starts nothing.'
    )
    JOBS = flags.DEFINE_integer(
        'jobs',
        None,
        'Runs at the same time. Default: one a GPU, without any one a core.',
        lower_bound=1,
    )
    THREADS = flags.DEFINE_integer(
        'threads',
        None,
        'Threads of each Run. Default: the cores, shared out. Another number rounds '
        'sums differently.',
        lower_bound=1,
    )
    SHARD = flags.DEFINE_string(
        'shard',
        '0/1',
        'I/N: begins with the I-th N-th of the Runs, then helps with the others. For '
        'machines that share the workdir.',
    )
    WAIT = flags.DEFINE_boolean(
        'wait', True, 'Ends when all is done; --nowait: when nothing can start here.'
    )
    EXECUTOR = flags.DEFINE_enum(
        'executor', 'local', ('local', 'ray'), 'Where Runs run.'
    )
    RAY_ADDRESS = flags.DEFINE_string(
        'ray_address',
        None,
        'A running Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Default with '
        '--executor=ray: one of this machine alone.',
    )
    GPUS = flags.DEFINE_float(
        'gpus', 0.0, 'GPUs of each Run on a Ray cluster; 0.5: two share one.',
        lower_bound=0.0,
    )  # fmt: skip
    RETRY_FAILED = flags.DEFINE_boolean(
        'retry_failed', False, 'Tries Runs again that were set aside.'
    )
    CHECKPOINTS = app.checkpoints_folder()
    DATA = app.data_folder()
    KEEP, *KEEP_MORE = app.kept_images()
    app.run(main)
